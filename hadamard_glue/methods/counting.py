"""Parameters of every backbone x method from the configs alone: nothing is downloaded, the models have no weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hadamard_glue.backbones.loading import skeleton
from hadamard_glue.compose import run_config
from hadamard_glue.errors import Unsupported
from hadamard_glue.methods.plan import count
from hadamard_glue.methods.registry import apply


def parameter_rows(
    backbones: Iterable[str],
    methods: Iterable[str],
    overrides: Sequence[str] = (),
    num_labels: int = 2,
    refused: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """One row per backbone and method: their names and the counts of :func:`~hadamard_glue.methods.plan.count`.

    Args:
        refused: told in one line of a backbone that cannot take a method; without it that is raised.

    Raises:
        InputError: an unknown name, or a backbone whose config gives no architecture.
    """
    rows = []
    methods = list(methods)
    for backbone in backbones:
        for method in methods:
            config = run_config([f"backbone={backbone}", f"method={method}", *overrides])
            bare = skeleton(config.backbone, num_labels)
            try:
                counts = count(apply(bare.model, bare.anatomy, config.method), bare.anatomy)
            except Unsupported as error:
                if refused is None:
                    raise
                refused(f"{backbone} {method}: {error}")
                continue
            rows.append({**counts, "backbone": backbone, "method": config.method.name})
    return rows
