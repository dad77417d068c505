"""Prefetching: the backbones and rows of some runs, so that a machine without network can execute them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hadamard_glue.backbones.loading import load_tokenizer, locate
from hadamard_glue.config import BackboneConfig, RunConfig
from hadamard_glue.glue.sources import load_rows, source_title
from hadamard_glue.glue.tasks import TASKS


def fetch(configs: Sequence[RunConfig], say: Callable[[str], None]) -> None:
    """Bring every backbone and every task of ``configs`` to this machine, and say where each is.

    What is already there is not downloaded again, so an interrupted call goes on where it stopped. Weights that need it
    are converted, and tokenizers are built, so that nothing is left to fail on the machine that runs.

    Raises:
        InputError: a backbone or rows that are not here and cannot be had, or that cannot be used.
    """
    for backbone in _distinct_backbones(configs):
        say(_backbone_line(backbone))
    for config in {_rows_key(config): config for config in configs}.values():
        say(_rows_line(config))


def _distinct_backbones(configs: Sequence[RunConfig]) -> list[BackboneConfig]:
    return list({config.backbone.model_dump_json(): config.backbone for config in configs}.values())


def _backbone_line(backbone: BackboneConfig) -> str:
    located = locate(backbone)
    weights = located.weights
    load_tokenizer(located)
    size = sum(file.stat().st_size for file in weights.glob("*.safetensors")) / 2**20
    source = "" if located.revision is None else f"{backbone.path} at {located.revision}, "
    converted = "" if located.pickle is None else f", weights converted to {weights}"
    return f"backbone {located.name}: {source}{size:.1f} MiB in {located.folder}{converted}"


def _rows_key(config: RunConfig) -> tuple[str, str]:
    return config.task.name, config.source.model_dump_json()


def _rows_line(config: RunConfig) -> str:
    task, source = TASKS[config.task.name], config.source
    data = load_rows(task, source.kind, source.path, None, None, source.revision)
    counts = " + ".join(f"{len(rows.labels)} {split}" for split, rows in {"train": data.train, **data.dev}.items())
    at = "" if data.origin["revision"] is None else f" at {data.origin['revision']}"
    return f"task {task.name}: {data.origin['path'] or source_title(source.kind)}{at}, rows: {counts}"
