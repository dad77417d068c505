"""The verb from the command line to the table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hadamard_glue import cli
from hadamard_glue.bench import command
from hadamard_glue.bench.child import measure
from hadamard_glue.bench.table import render, write_table
from hadamard_glue.config import check
from hadamard_glue.errors import InputError

from .conftest import Overrides


@pytest.fixture
def measured(overrides: Overrides, in_process: list[str], tmp_path: Path) -> list[Path]:
    """The files of one call that measures every part."""
    asked = overrides("task=mrpc", f"to={tmp_path / 'out'}", "name=tiny", "metric=accuracy")
    return command.bench(asked, asked, lambda line: None)


def test_every_part_leaves_a_file_and_the_table_is_made_from_them(
    measured: list[Path], in_process: list[str], tmp_path: Path
) -> None:
    names = ["trainer-tiny.json", "rate-tiny.json", "memory-tiny.json", "scaling-tiny.json"]
    names += ["operators-tiny.json", "bench.md"]
    assert [path.name for path in measured] == names
    files = [json.loads(path.read_text()) for path in measured[:-1]]
    for one in files:
        assert {"date", "cpu", "command", "environment", "not_measured", "settings", "rows"} <= set(one)
        assert one["rows"] == {"train": 24, "dev": 16}
        assert one["environment"]["threads"] == 1
        assert one["command"].startswith("hadamard-glue bench backbone=custom ")
    by_part: dict[str, Any] = {one["part"]: one["found"] for one in files}
    assert set(by_part["trainer"]["ratios"]) == {"defaults / ours", "tuned / ours", "tuned / ours, several seeds"}
    assert by_part["trainer"]["scores"]["metric"] == "accuracy"
    assert set(by_part["rate"]["phases"]) == {"features", "stage2"}
    assert set(by_part["scaling"]) == {"rows", "tokens", "layers", "runs"}
    operators = by_part["operators"]["operators"]
    assert {"aten::addmm", "aten::mm"} <= {operator["name"] for operator in operators}
    assert operators == sorted(operators, key=lambda operator: -operator["seconds"])
    before, jobs = measured[-1].read_text(), len(in_process)
    assert write_table(tmp_path / "out").read_text() == before == render(sorted(files, key=lambda one: one["part"]))
    assert len(in_process) == jobs  # the table measures nothing
    for heading in (
        "Against the transformers Trainer",
        "matrix-multiply rate",
        "Peak memory",
        "straight line",
        "operator",
    ):
        assert heading in before


def test_random_weights_of_a_configs_shapes(overrides: Overrides, in_process: list[str], tmp_path: Path) -> None:
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    shapes = [f"backbone.architecture.{key}={value}" for key, value in {**small, "vocab_size": 200}.items()]
    given = [part for part in overrides("task=mrpc") if not part.startswith("backbone")]
    asked = [*given, "backbone=bert_base", *shapes, "weights=random", "part=rate", f"to={tmp_path / 'out'}"]
    path, table = command.bench(asked, asked, lambda line: None)
    assert path.name == "rate-mrpc-bert_base_random.json"
    assert "random weights" in table.read_text()


def test_a_child_starts_with_an_empty_cache(overrides: Overrides, tmp_path: Path) -> None:
    from hadamard_glue.compose import composed

    run = [part for part in overrides("task=mrpc", "stages=two") if not part.startswith(("rounds", "seeds"))]
    config = check(composed(run))
    answer = measure("ours", config, 1, seeds=[1, 2])
    assert [run["seed"] for run in answer["runs"]] == [1, 2]
    assert {"load", "features", "dev_features", "stage1", "stage2", "evaluation", "rest"} == set(
        answer["runs"][0]["phases"]
    )
    with pytest.raises(InputError, match="positions"):
        measure("ours", config.model_copy(update={"max_length": 65}), 1, seeds=[1])


def test_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["hadamard-glue", "bench", *arguments])
        return cli.main()

    assert call("part=table", f"to={tmp_path}") == 2
    assert "holds no measurements" in capsys.readouterr().err
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    assert call("part=table", f"to={tmp_path}") == 2
    assert "is not a measurement" in capsys.readouterr().err
    assert call("part=nothing") == 2
    assert capsys.readouterr().err.startswith("hadamard-glue: part=nothing is not valid")
