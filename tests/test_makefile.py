"""What `make reproduce-table` would run: the Makefile is read by make itself, nothing is executed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A dry run that takes the packages for installed, without the variables of a make that runs the tests."""
    command = ["make", "-n", "-o", ".venv/.installed", *arguments]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def grid(*variables: str) -> list[str]:
    """The overrides of the one command that would run."""
    done = make("reproduce-table", *variables)
    assert done.returncode == 0, done.stderr
    command = done.stdout.replace("\\\n", " ").split()
    return command[command.index("grid") + 1 :]


def test_with_nothing_given_it_is_the_demo_world() -> None:
    expected = ["experiment=demo_table,demo_control", "'results_dir=\"results/demo\"'"]
    assert grid() == grid("PROFILE=demo") == expected


def test_the_demo_world_narrowed() -> None:
    given = ["BACKBONES=demo_bert,demo_bart", "METHODS=full", "TASKS=rte", "SEEDS=1,2", "RESULTS=r", "ARGS=--plan"]
    assert grid(*given) == [
        "experiment=demo_table,demo_control", "backbone=demo_bert,demo_bart", "method=full", "task=rte", "seed=1,2",
        "'results_dir=\"r\"'", "--plan",
    ]  # fmt: skip


def test_the_paper_and_folders_of_ones_own(tmp_path: Path) -> None:
    assert grid("PROFILE=paper", "BACKBONES=bert_base,bart_base", "SEEDS=1") == [
        "experiment=main_table", "backbone=bert_base,bart_base", "--require-gpu", "seed=1",
        "'results_dir=\"results/paper\"'",
    ]  # fmt: skip
    (tmp_path / "RTE").mkdir()
    assert grid("SOURCE=directory", f"DATA={tmp_path}", "BACKBONE=bert_base") == [
        "experiment=main_table", "backbone=bert_base", "source=directory", f"'source.path=\"{tmp_path}\"'", "task=rte",
        "seed=1,2", "'results_dir=\"results/bert_base\"'",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (["PROFILE=deom"], "unknown PROFILE=deom, there is: demo, paper"),
        (["BACKBONES=bert_base"], "bert_base is no demo backbone: give PROFILE=paper BACKBONES=bert_base"),
        (["PROFILE=demo", "DATA=x"], "PROFILE=demo makes its own rows"),
        (["BACKBONE=x"], "reproduce-table needs SOURCE=directory DATA=FOLDER BACKBONE=FOLDER"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_installed(variables: list[str], expected: str) -> None:
    done = make("reproduce-table", *variables)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stdout == ""


def test_tables_looks_where_reproduce_table_writes() -> None:
    for variables in ([], ["PROFILE=paper"], ["RESULTS=elsewhere"]):
        assert make("tables", *variables).stdout.split()[-1] in grid(*variables)
