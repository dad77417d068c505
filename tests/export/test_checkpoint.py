"""Checkpoints beside records: what they hold, and that they change nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from export.conftest import Call, Runs
from hadamard_glue.config import RunConfig
from hadamard_glue.errors import InputError
from hadamard_glue.export.finished import rebuild
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.grid import plan
from hadamard_glue.runs.record import read


@pytest.mark.parametrize("method", ["classifier", "full", "bitfit", "lora", "hadamard"])
@pytest.mark.parametrize("kind", ["bert", "bert_without_pooler", "bart"])
def test_a_checkpoint_holds_what_was_trained_and_the_head(runs: Runs, kind: str, method: str) -> None:
    path = runs(kind, method)
    record = read(path)
    tensors = load_file(path.parent / record["checkpoint"])
    parameters = record["parameters"]
    assert sum(value.numel() for value in tensors.values()) == parameters["trained"] + parameters["head"]
    assert all(value.dtype == torch.float32 for value in tensors.values())
    rebuilt = rebuild(path)
    state = rebuilt.model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in tensors.items())


def test_keeping_a_checkpoint_is_no_scientific_setting(
    make_config: Callable[..., RunConfig], runs: Runs, tmp_path: Path
) -> None:
    without, kept = read(execute(make_config(results_dir=str(tmp_path)))), read(runs("bert", "hadamard"))
    assert without["checkpoint"] is None
    assert without["digest"] == kept["digest"]
    assert without["metrics"] == kept["metrics"]
    assert not list((tmp_path / "records").glob("*checkpoint*"))


def test_a_record_without_a_checkpoint_is_not_written_again(
    make_config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    path = execute(make_config(results_dir=str(tmp_path)))
    before = path.read_bytes()
    asked = make_config(results_dir=str(tmp_path), checkpoint=True)
    for refusing in (lambda: execute(asked), lambda: plan([asked])):
        refuse: Any = refusing
        with pytest.raises(InputError, match="is done without a checkpoint and is never written again; with another"):
            refuse()
    assert path.read_bytes() == before
    elsewhere = make_config(results_dir=str(tmp_path / "elsewhere"), checkpoint=True)
    kept = execute(elsewhere)
    assert execute(elsewhere) == kept  # done, with its checkpoint
    assert (kept.parent / str(read(kept)["checkpoint"])).is_file()


def test_the_epoch_that_was_chosen_is_the_one_that_is_kept(runs: Runs, call: Call, tmp_path: Path) -> None:
    path = runs("bert", "hadamard", selection="best_dev", stage2={"epochs": 3, "lr": 0.05})
    # exporting compares with nothing but the checkpoint; the recorded logits are compared here
    from export.test_folders import recorded
    from hadamard_glue.export.finished import logits_of
    from hadamard_glue.glue.sources import load_rows
    from hadamard_glue.glue.tasks import TASKS

    record, run = read(path), rebuild(path)
    rows = load_rows(TASKS["sst2"], "directory", record["data"]["path"], None, None).dev["dev"]
    found = logits_of(run.model, run.tokenizer, rows.first, rows.second, 32)
    assert abs(found - recorded(path)).max() < 1e-6
