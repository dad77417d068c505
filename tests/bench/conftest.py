"""The bench on tiny models: its jobs in this very process, unless a test asks for a real child."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hadamard_glue.bench import child, command, scaling, versus
from hadamard_glue.config import RunConfig

Overrides = Callable[..., list[str]]


@pytest.fixture
def overrides(tiny_bert: Path, tiny_glue: Path) -> Overrides:
    """``overrides("task=sst2", ...)``: a command line for a run of two dozen rows."""
    common = [
        *("backbone=custom", f"backbone.path={tiny_bert}", "source=directory", f"source.path={tiny_glue}"),
        *("stage1.epochs=1", "stage2.epochs=2", "batch_size=8", "max_length=32", "limit.train=24", "limit.dev=16"),
        *("hardware=cpu", "hardware.threads=1", "rounds=1", "seeds=2"),
    ]
    return lambda *more: [*common, *more]


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Children's jobs are done here, each with an empty cache; the list names them as they come."""
    done: list[str] = []

    def measure(job: str, config: RunConfig, threads: int, **options: Any) -> dict[str, Any]:
        done.append(job)
        scratch = tmp_path / "scratch" / str(len(done))
        monkeypatch.setenv("HADAMARD_GLUE_CACHE", str(scratch / "cache"))
        placed = config.model_copy(update={"results_dir": str(scratch / "results")})
        return child._jobs()[job](placed, **options)

    for module in (command, scaling, versus):
        monkeypatch.setattr(module, "measure", measure)
    return done
