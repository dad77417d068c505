"""From config to record, through the public door."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from hadamard_glue.config import RunConfig
from hadamard_glue.errors import InputError, RunFailed
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.record import read
from hadamard_glue.runs.trunk import Trunk

METHODS = {
    "classifier": {"method": {"name": "classifier"}, "stages": "one"},
    "full": {"method": {"name": "full"}, "stages": "one"},
    "bitfit": {"method": {"name": "bitfit"}, "stages": "one"},
    "lora": {
        "method": {"name": "lora", "rank": 2, "alpha": 4.0, "dropout": 0.0, "targets": ["query", "value"]},
        "stages": "one",
    },
    "hadamard": {"method": {"name": "hadamard", "site": "heads", "norm": "attention"}, "stages": "two"},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", ["sst2", "mrpc", "stsb"])
def test_every_method_ends_in_a_record(
    make_config: Callable[..., RunConfig], tmp_path: Path, method: str, task: str
) -> None:
    config = make_config(task={"name": task}, results_dir=str(tmp_path), **METHODS[method])
    path = execute(config)
    record = read(path)
    assert record["status"] == "done"
    assert path.stem == f"{record['slug']}-{record['digest']}"
    assert set(record["spec"]) >= {"science_version", "backbone", "task", "data", "method", "stages", "seed"}
    headline = record["headline"]
    assert record["metrics"]["final"][headline["split"]][headline["metric"]] == headline["value"]
    assert ("stage1" in record["metrics"]) == (method in ("classifier", "hadamard"))
    assert record["parameters"]["trained"] == sum(
        record["parameters"][group] for group in ("adapter", "norm", "bias", "backbone")
    )
    logits = load_file(path.parent / record["predictions"])[headline["split"]]
    assert logits.shape == (record["data"]["rows"]["dev"], 1 if task == "stsb" else 2)
    assert np.isfinite(logits).all()
    environment = record["environment"]
    assert environment["precision"] == "float32"
    assert environment["packages"]["torch"]
    assert record["cost"]["peak_memory"]["host_bytes"] > 0


def test_a_recorded_run_is_not_run_again(
    make_config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(results_dir=str(tmp_path))
    path = execute(config)
    before = path.read_bytes()
    monkeypatch.setattr("hadamard_glue.runs.execute.run_stages", lambda *_, **__: pytest.fail("trained again"))
    assert execute(config) == path
    assert path.read_bytes() == before


def test_the_same_spec_gives_the_same_scores_alone_or_after_others(
    make_config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    alone = make_config(results_dir=str(tmp_path / "alone"))
    trunk = Trunk(alone)
    after = make_config(results_dir=str(tmp_path / "after"))
    for method in ("full", "lora"):
        execute(make_config(results_dir=str(tmp_path / "after"), **METHODS[method]), trunk)
    first, second = read(execute(alone)), read(execute(after, trunk))
    assert first["digest"] == second["digest"]
    assert first["metrics"] == second["metrics"]
    losses = [[entry["loss"] for entry in record["history"]] for record in (first, second)]
    assert losses[0] == losses[1]
    files = [
        load_file(tmp_path / where / "records" / record["predictions"])["dev"]
        for where, record in (("alone", first), ("after", second))
    ]
    np.testing.assert_array_equal(files[0], files[1])


def test_a_failed_run_is_recorded_as_failed_and_tried_again(
    make_config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(results_dir=str(tmp_path))

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of\nluck")

    with monkeypatch.context() as patched:
        patched.setattr("hadamard_glue.runs.execute.run_stages", fail)
        with pytest.raises(RunFailed, match="out of luck"):
            execute(config)
    (failed,) = (tmp_path / "records").glob("*.failed-1.json")
    assert read(failed)["status"] == "failed"
    assert read(failed)["error"] == "RuntimeError: out of luck"
    assert read(execute(config))["status"] == "done"
    assert failed.is_file()


def test_a_rate_that_explodes_fails_with_a_reason(make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    config = make_config(
        results_dir=str(tmp_path),
        task={"name": "stsb"},
        stage2={"epochs": 3, "lr": 1e30},
        max_grad_norm=1e30,
        **METHODS["full"],
    )
    with pytest.raises(RunFailed, match="not finite"):
        execute(config)


def test_bad_input_writes_nothing(make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    config = make_config(
        results_dir=str(tmp_path / "results"),
        method={"name": "hadamard", "site": "heads", "norm": "attention", "layers": [99]},
    )
    with pytest.raises(InputError, match=r"method\.layers=\[99\]"):
        execute(config)
    assert not list((tmp_path / "results").rglob("*.json"))


def test_no_secret_reaches_a_record(
    make_config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    monkeypatch.setenv("WANDB_API_KEY", "wandb_very_secret")
    text = json.dumps(read(execute(make_config(results_dir=str(tmp_path)))))
    assert "very_secret" not in text


def test_a_collapsed_run_is_flagged(make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    # a rate of almost nothing leaves the head as drawn, which on this few rows predicts one class
    config = make_config(
        results_dir=str(tmp_path),
        stage1={"epochs": 1, "lr": 1e-12, "features": "cached"},
        **METHODS["classifier"],
    )
    record = read(execute(config))
    logits = load_file(tmp_path / "records" / record["predictions"])["dev"]
    assert ("collapsed" in record["flags"]) == (len(set(logits.argmax(axis=1))) == 1)
