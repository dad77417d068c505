"""The command line as its users meet it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hadamard_glue import cli

Call = Callable[..., tuple[int, list[str], list[str]]]
SMALL = ["stage1.epochs=1", "stage2.epochs=1", "batch_size=16", "max_length=32", "hardware=cpu", "hardware.threads=1"]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """``call("run", ...)``: exit code, lines on standard output, lines on standard error."""

    def run(*arguments: str) -> tuple[int, list[str], list[str]]:
        monkeypatch.setattr(sys, "argv", ["hadamard-glue", *map(str, arguments)])
        try:
            code = cli.main()
        except SystemExit as stop:  # Hydra ends --help so
            code = int(stop.code or 0)
        output = capsys.readouterr()
        return code, output.out.splitlines(), output.err.splitlines()

    return run


@pytest.fixture
def base(tiny_bert: Path, tiny_glue: Path, tmp_path: Path) -> Any:
    """Overrides of a small run whose results land in ``tmp_path / "results"``."""
    return [
        *("backbone=custom", f"backbone.path={tiny_bert}", "source=directory", f"source.path={tiny_glue}"),
        *("task=sst2", f"results_dir={tmp_path / 'results'}", *SMALL),
    ]


def test_run_prints_the_records_path_last(call: Call, base: Any, tmp_path: Path) -> None:
    code, out, err = call("run", *base, "method=hadamard", "seed=3")
    assert (code, err) == (0, [])
    record = json.loads(Path(out[-1]).read_text())
    assert record["spec"]["seed"] == 3
    assert Path(out[-1]).parent == tmp_path / "results" / "records"


def test_a_multirun_makes_every_record(call: Call, base: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = call("run", "-m", *base, "method=bitfit,hadamard", "seed=1,2")
    assert code == 0
    assert len({line for line in out if line.endswith(".json")}) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_a_multirun_goes_on_past_a_job_that_does_not_fit(call: Call, base: Any, tmp_path: Path) -> None:
    code, out, err = call("run", "-m", *base, "batch_size=0,16")
    assert code == 2
    assert len([line for line in out if line.endswith(".json")]) == 1
    assert err == ["hadamard-glue: batch_size=0 is not valid: it must be greater than 0"]


def test_config_and_help_are_hydras(call: Call, base: Any) -> None:
    code, out, _ = call("run", "--cfg", "job", *base)
    assert code == 0
    assert any(line.startswith("results_dir:") for line in out)
    code, out, _ = call("run", "--help")
    assert code == 0
    assert any(line.startswith("method:") and "hadamard" in line for line in out)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("hadamard-glue ", list(cli.VERBS)),
        ("hadamard-glue ta", ["tables"]),
        ("hadamard-glue run task=s", ["task=sst2", "task=stsb"]),
        ("hadamard-glue grid method=had", ["method=hadamard"]),
    ],
)
def test_shell_completion(call: Call, monkeypatch: pytest.MonkeyPatch, typed: str, expected: Any) -> None:
    monkeypatch.setenv("COMP_LINE", typed)
    code, out, _ = call("-sc", "query=bash")
    assert code == 0
    assert out[-1].split() == expected


def test_help_without_a_verb(call: Call) -> None:
    for arguments in ([], ["--help"]):
        code, out, _ = call(*arguments)
        assert code == 0
        assert out[0].startswith("usage: hadamard-glue VERB")


def _bad(tmp_path: Path, tiny_bert: Path) -> dict[str, list[str]]:
    empty = tmp_path / "empty"
    (empty / "SST-2").mkdir(parents=True)
    (empty / "SST-2" / "train.tsv").write_text("")
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (bare / name).write_bytes((tiny_bert / name).read_bytes())
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text('{"model_type": "gpt2"}')
    (tmp_path / "file").write_text("")
    return {
        "no such folder": ["source.path=/nowhere"],
        "no folder CoLA": ["task=cola", f"source.path={tmp_path}"],
        "empty": [f"source.path={empty}"],
        "no weights": [f"backbone.path={bare}"],
        "unsupported backbone family 'gpt2'": [f"backbone.path={foreign}"],
        "batch_size=0 is not valid": ["batch_size=0"],
        "stage2.lr=-1 is not valid": ["stage2.lr=-1"],
        "unknown key 'sed' (did you mean 'seed'?)": ["sed=1"],
        "method=hadamrd does not exist (did you mean 'hadamard'?)": ["method=hadamrd"],
        "the hub cannot be reached": ["source=hub"],
        "results_dir=": [f"results_dir={tmp_path / 'file' / 'x'}"],
        "max_length=4": ["max_length=4"],
        "has 64 positions": ["max_length=512"],
        "hub cannot be reached": ["backbone=bert_base"],
        "hydra/launcher=nowhere does not exist": ["hydra/launcher=nowhere"],
        "shows no CUDA device": ["hardware=gpu"],
        "reads a pickle": ["--experimental-rerun=x"],
    }


def test_bad_input_is_one_line_and_writes_nothing(
    call: Call, base: Any, tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for expected, overrides in _bad(tmp_path, tiny_bert).items():
        keys = {override.partition("=")[0] for override in overrides}
        kept = [override for override in base if override.partition("=")[0] not in keys]
        if overrides == ["source=hub"]:
            kept = [override for override in kept if not override.startswith("source.path")]
        if overrides == ["backbone=bert_base"]:
            kept = [override for override in kept if not override.startswith("backbone.path")]
        code, out, err = call("run", *kept, *overrides)
        assert code == 2, (expected, err)
        assert out == []
        assert len(err) == 1, err
        assert expected in err[0]
        assert "Traceback" not in err[0]
        assert not (tmp_path / "results").exists(), expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ruin"], "unknown verb 'ruin' (did you mean 'run'?)"),
        (["grid"], "grid needs experiment=NAME, such as experiment=main_table"),
        (["grid", "experiment=main_tble"], "experiment=main_tble does not exist (did you mean 'main_table'?)"),
        (["grid", "experiment=main_table", "--wrong"], "unrecognized arguments: --wrong"),
        (["tables", "results_dir=/nowhere"], "/nowhere/records is not a folder of records"),
        (["params", "backbone=custom"], "backbone.path: no value given"),
        (["tables", "--config-dir", "/nowhere"], "--config-dir /nowhere: no such folder"),
    ],
)
def test_other_verbs_refuse_in_one_line(call: Call, arguments: list[str], expected: Any) -> None:
    code, _, err = call(*arguments)
    assert code == 2
    assert len(err) == 1
    assert expected in err[0]


GRID = ["grid", "experiment=main_table", "method=classifier,hadamard", "task=sst2,mrpc", "seed=1"]


def test_a_grid_plans_runs_renders_and_resumes(call: Call, base: Any, tmp_path: Path) -> None:
    rest = [override for override in base if not override.startswith("task=")]
    code, out, _ = call(*GRID, *rest, "--plan")
    assert code == 0
    assert out[-1].startswith("4 runs, 0 done, 4 missing")
    assert not (tmp_path / "results").exists()
    code, out, _ = call(*GRID, *rest, "hardware.workers=2")
    assert code == 0
    records = {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "records").glob("*.json")}
    assert len(records) == 4
    assert any("[4/4]" in line for line in out)
    table = (tmp_path / "results" / "tables" / "main.md").read_text()
    assert "Hadamard adapter" in table
    code, out, _ = call(*GRID, *rest)
    assert code == 0
    assert any(line.startswith("4 runs, 4 done, 0 missing") for line in out)
    assert {path: path.stat().st_mtime_ns for path in records} == records


def test_without_a_gpu_a_grid_that_wants_one_only_says_what_it_would_do(
    call: Call, base: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rest = [override for override in base if not override.startswith("task=")]
    code, out, err = call(*GRID, *rest, "--require-gpu")
    assert code == 3
    assert "4 missing" in out[-1]
    assert len(err) == 1
    assert not (tmp_path / "results").exists()


def test_a_plan_says_once_why_something_cannot_be_read_here(call: Call) -> None:
    code, out, _ = call(*GRID, "backbone=bert_base", "--plan")
    assert code == 0
    assert [line for line in out if "the hub cannot be reached" in line] == [out[-2]]
    assert out[-1].startswith("4 runs, 0 done, 4 missing")


def test_a_killed_grid_is_finished_by_the_same_command(base: Any, tmp_path: Path) -> None:
    rest = [override for override in base if not override.startswith("task=")]
    command = [
        sys.executable,
        "-m",
        "hadamard_glue",
        *GRID[:2],
        "method=classifier,bitfit,hadamard",
        "task=sst2",
        *rest,
    ]
    folder = tmp_path / "results" / "records"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True, env=dict(os.environ))
    deadline = time.monotonic() + 120
    while not list(folder.glob("*.json")):  # nine runs: killed once the first is recorded
        assert process.poll() is None
        assert time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    first = {path: path.read_bytes() for path in folder.glob("*.json")}
    for content in first.values():
        json.loads(content)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(folder.glob("*.json"))) == 9
    assert {path: path.read_bytes() for path in first} == first


def test_parameters_are_counted_without_weights(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("params", "backbone=bert_base", "method=hadamard,lora", f"results_dir={tmp_path}")
    assert code == 0
    table = (tmp_path / "tables" / "parameters.csv").read_text()
    assert "36864" in table
    assert "294912" in table
    assert str(tmp_path / "tables" / "parameters.csv") in out
