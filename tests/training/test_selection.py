"""Which epoch counts, and that the values, the metrics and the record agree on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hadamard_glue.config import RunConfig
from hadamard_glue.glue.metrics import score
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.training.device import Device
from hadamard_glue.training.selection import Selection, halves, predictions_of
from hadamard_glue.training.stages import Material, run_stages

MakeConfig = Callable[..., RunConfig]
MaterialOf = Callable[..., Material]
SST2 = TASKS["sst2"]


@given(st.integers(2, 3000))
def test_halves_are_halves(rows: int) -> None:
    chosen, reported = halves(rows)
    assert len(chosen) == rows // 2
    assert sorted([*chosen, *reported]) == list(range(rows))
    assert all(np.array_equal(one, two) for one, two in zip(halves(rows), (chosen, reported), strict=True))


def logits_for(labels: np.ndarray, right: int) -> np.ndarray:
    """Logits that get the first ``right`` rows right and the others wrong."""
    predicted = np.where(np.arange(len(labels)) < right, labels, 1 - labels)
    return np.eye(2, dtype=np.float32)[predicted]


@settings(max_examples=50, deadline=None)
@given(
    rights=st.lists(st.integers(0, 20), min_size=1, max_size=6),
    rule=st.sampled_from(["last", "best_dev", "heldout_half"]),
)
def test_the_chosen_epochs_values_come_back(rights: list[int], rule: str) -> None:
    labels = np.arange(20) % 2
    value = torch.zeros(3)
    selection = Selection(rule, SST2, {"dev": labels}, {"w": value})
    accuracies = []
    for epoch, right in enumerate(rights, start=1):
        value.fill_(epoch)
        logits = logits_for(labels, right)
        entry = selection.after_epoch(epoch, {"dev": logits}.__getitem__)
        rows = halves(20)[0] if rule == "heldout_half" else np.arange(20)
        accuracies.append(float(np.mean(logits.argmax(axis=1)[rows] == labels[rows])))
        assert entry == ({} if rule == "last" else {"selection": {"dev": {"accuracy": accuracies[-1]}}})
    expected = len(rights) if rule == "last" else 1 + int(np.argmax(accuracies))  # the first of equals
    selection.restore()
    assert selection.epoch == expected
    assert value.tolist() == [expected] * 3


def test_heldout_half_reports_the_half_that_did_not_choose() -> None:
    labels = np.arange(20) % 2
    chosen, _ = halves(20)
    predicted = labels.copy()
    predicted[chosen] = 1 - labels[chosen]  # all wrong where it chooses, all right where it reports
    logits = np.eye(2, dtype=np.float32)[predicted]
    for rule, accuracy in (("heldout_half", 1.0), ("best_dev", 0.5), ("last", 0.5)):
        assert Selection(rule, SST2, {"dev": labels}, {}).metrics({"dev": logits}) == {"dev": {"accuracy": accuracy}}


def test_heldout_half_reports_all_of_a_split_that_never_chooses() -> None:
    labels = {"dev_matched": np.arange(20) % 3, "dev_mismatched": np.arange(10) % 3}
    logits = {split: np.eye(3, dtype=np.float32)[values] for split, values in labels.items()}
    logits["dev_mismatched"][0] = np.roll(logits["dev_mismatched"][0], 1)
    found = Selection("heldout_half", TASKS["mnli"], labels, {}).metrics(logits)
    assert found == {"dev_matched": {"accuracy": 1.0}, "dev_mismatched": {"accuracy": 0.9}}


def test_predictions_are_classes_or_scores() -> None:
    assert predictions_of(SST2, np.array([[0.1, 0.2], [3, -1]], np.float32)).tolist() == [1, 0]
    scores = predictions_of(TASKS["stsb"], np.array([[2.5], [7.0]], np.float32))
    assert scores.tolist() == [2.5, 7.0]
    assert scores.dtype == np.float32


# In a run


@pytest.mark.parametrize("method", ["classifier", "full", "lora", "hadamard"])
def test_best_dev_restores_the_epoch_it_recorded(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, method: str
) -> None:
    config = make_config(method=method, selection="best_dev", stage1__epochs=4, stage2__epochs=4, stage2__lr=3e-2)
    result = run_stages(config, material_of(), cpu)
    for stage in config.stage_names:
        entries = [entry for entry in result.history if entry["stage"] == stage]
        found = [entry["selection"]["dev"]["accuracy"] for entry in entries]
        assert result.selected[stage] == 1 + int(np.argmax(found))
        recorded = result.metrics["final" if stage == config.stage_names[-1] else stage]["dev"]
        assert recorded == entries[int(np.argmax(found))]["selection"]["dev"]


def test_some_run_does_not_choose_its_last_epoch(make_config: MakeConfig, material_of: MaterialOf, cpu: Device) -> None:
    """So that the test above does not pass for want of a choice."""
    selected = {
        run_stages(
            make_config(method="full", selection="best_dev", stage2__epochs=4, stage2__lr=3e-2, seed=seed),
            material_of(),
            cpu,
        ).selected["stage2"]
        for seed in range(4)
    }
    assert selected - {4}


def test_last_looks_at_no_dev_row_before_the_end(make_config: MakeConfig, material_of: MaterialOf, cpu: Device) -> None:
    result = run_stages(make_config(stage1__epochs=2, stage2__epochs=3), material_of(), cpu)
    assert result.selected == {"stage1": 2, "stage2": 3}
    assert not any("selection" in entry for entry in result.history)


def test_evaluating_every_epoch_does_not_change_the_training(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device
) -> None:
    last, best = (
        run_stages(make_config(method="lora", stage2__epochs=3, selection=rule), material_of(), cpu)
        for rule in ("last", "best_dev")
    )
    assert [entry["loss"] for entry in last.history] == [entry["loss"] for entry in best.history]


def test_heldout_half_in_a_run(make_config: MakeConfig, material_of: MaterialOf, cpu: Device) -> None:
    material = material_of()
    config = make_config(method="full", selection="heldout_half", stage2__epochs=3, stage2__lr=3e-2)
    result = run_stages(config, material, cpu)
    labels = material.dev["dev"].encoded.labels
    chosen, reported = halves(len(labels))
    predicted = predictions_of(material.task, result.logits["dev"])
    epoch = result.selected["stage2"]
    assert epoch is not None
    assert result.metrics["final"]["dev"] == score(material.task, predicted[reported], labels[reported])
    assert result.history[epoch - 1]["selection"]["dev"] == score(material.task, predicted[chosen], labels[chosen])
