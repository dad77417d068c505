"""Finished runs with checkpoints, each trained once a session, and the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hadamard_glue import cli
from hadamard_glue.config import RunConfig
from hadamard_glue.runs.execute import execute

Runs = Callable[..., Path]
Call = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture(scope="session")
def runs(
    make_config: Callable[..., RunConfig], tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Runs:
    """``runs("bert", "lora", "mnli", ...)``: the record of a small run that kept its checkpoint."""
    folder = tmp_path_factory.mktemp("runs")

    def run(kind: str, method: Any, task: str = "sst2", **overrides: Any) -> Path:
        return execute(
            make_config(
                backbone=tiny_models[kind],
                method=method,
                task=task,
                results_dir=str(folder),
                checkpoint=True,
                **overrides,
            )
        )

    return run


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """``call("export", ...)``: exit code, lines on standard output, lines on standard error."""

    def run(*arguments: Any) -> tuple[int, list[str], list[str]]:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["hadamard-glue", *map(str, arguments)])
        code = cli.main()
        output = capfd.readouterr()
        return code, output.out.splitlines(), output.err.splitlines()

    return run
