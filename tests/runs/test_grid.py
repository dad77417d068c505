"""The worker processes of a grid: they outlive a trunk, and the trunk's memory does not outlive its runs."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from hadamard_glue.config import RunConfig
from hadamard_glue.runs import grid
from hadamard_glue.runs.record import read
from hadamard_glue.runs.trunk import Trunk


class Told(list[str]):
    """A queue for lines, in this process."""

    put = list.append


def test_one_process_serves_trunk_after_trunk(
    make_config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()

    class Pool(ProcessPoolExecutor):
        def submit(self, *arguments: Any, **named: Any) -> Future[Any]:
            future = super().submit(*arguments, **named)
            future.add_done_callback(lambda _: seen.update(self._processes or ()))
            return future

    monkeypatch.setattr(grid, "ProcessPoolExecutor", Pool)
    configs = [
        make_config(task=task, method="classifier", results_dir=str(tmp_path)) for task in ("sst2", "mrpc", "rte")
    ]
    lines: list[str] = []
    assert grid.execute_missing(grid.plan(configs), 1, lines.append) == []
    assert len(lines) == 3
    assert len(seen) == 1
    assert not any(run.missing for run in grid.plan(configs))


def test_a_trunk_is_freed_before_the_next(
    make_config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[weakref.ref[Any]] = []

    class Watched(Trunk):
        def __init__(self, config: RunConfig) -> None:
            assert not any(reference() for reference in models)
            super().__init__(config)
            models.append(weakref.ref(self.material.backbone.model))

    monkeypatch.setattr(grid, "Trunk", Watched)
    gc.disable()  # it must be asked for, not happen by chance
    try:
        for task in ("sst2", "mrpc"):
            configs = [
                make_config(task=task, method=method, results_dir=str(tmp_path))
                for method in ("lora", "hadamard", "full")
            ]
            assert grid._execute_trunk(configs, Told()) == []
    finally:
        gc.enable()
    assert len(models) == 2


def test_threads_asked_for_by_one_trunk_are_not_the_next_ones(
    make_config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    before = torch.get_num_threads()
    for threads, expected in ((before + 1, before + 1), (None, before)):
        told = Told()
        task = "sst2" if threads else "mrpc"
        config = make_config(task=task, method="classifier", results_dir=str(tmp_path), hardware__threads=threads)
        assert grid._execute_trunk([config], told) == []
        (record,) = (path for path in (tmp_path / "records").glob(f"*-{task}-*.json"))
        assert read(record)["environment"]["threads"] == expected
    assert torch.get_num_threads() == before
