"""Backbones that have learnt something: what only a trained model can show, on the demo world that comes with it."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from hadamard_glue.compose import run_config
from hadamard_glue.demo.files import demo_folder
from hadamard_glue.export.folders import export
from hadamard_glue.glue.metrics import score
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.record import read
from hadamard_glue.runs.trunk import held_trunk

FAMILIES = ("bert", "roberta", "bart", "deberta", "electra")
Score = Callable[..., float]


@pytest.fixture
def headline(tmp_path: Path) -> Score:
    """``headline("bert", "cola", "full", ...)``: 100 x the task's metric, at the settings of the demo table."""

    def run(family: str, task: str, method: str, *more: str) -> float:
        config = run_config(
            [
                *(f"backbone=demo_{family}", "source=demo", f"task={task}", f"method={method}", "hardware.device=cpu"),
                *("hardware.threads=1", f"results_dir={tmp_path}", *more),
            ]
        )
        value: float = read(execute(config, held_trunk(config)))["headline"]["value"]
        return 100 * value

    return run


@pytest.mark.parametrize("family", FAMILIES)
def test_fine_tuning_beats_the_frozen_backbone_and_random_weights(headline: Score, family: str) -> None:
    full = headline(family, "qnli", "full")
    assert full > headline(family, "qnli", "classifier") + 10
    assert full > headline(family, "qnli", "full", "backbone.weights=random") + 10


def test_two_stages_beat_the_first_alone(headline: Score) -> None:
    assert headline("bert", "qnli", "hadamard") > headline("bert", "qnli", "classifier") + 5


def test_the_best_epoch_is_one_that_was_trained(headline: Score) -> None:
    """On a task that is learnt late the chosen epoch is not the first, and never worse than the last."""
    settings = ("stage2.epochs=4",)
    last = headline("bert", "cola", "full", *settings)
    best = headline("bert", "cola", "full", *settings, "selection=best_dev")
    assert best >= last > 50


def test_a_cached_prefix_trains_as_well(headline: Score) -> None:
    """The backbones have no dropout, so that the cached prefix is the live one but for the last bits."""
    settings = ("method.layers=1-2", "stage2.epochs=2")
    live = headline("bert", "qnli", "lora", *settings)
    cached = headline("bert", "qnli", "lora", *settings, "stage2.prefix=eval_cached")
    assert abs(live - cached) < 3


def test_an_exported_model_predicts_as_well_as_its_record(tmp_path: Path) -> None:
    config = run_config(
        [
            *("backbone=demo_roberta", "source=demo", "task=qnli", "method=lora", "hardware.device=cpu"),
            *("hardware.threads=1", f"results_dir={tmp_path}", "checkpoint=true"),
        ]
    )
    path = execute(config)
    record = read(path)
    folder = export(path, tmp_path / "exported", "merged")
    rows = demo_folder() / "QNLI" / "dev.tsv"
    command = [sys.executable, "-m", "hadamard_glue", "predict", f"model={folder}", f"input={rows}", "device=cpu"]
    told = subprocess.run(
        [*command, "first=question", "second=sentence", f"to={tmp_path / 'told.tsv'}"], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    task = TASKS["qnli"]
    with open(tmp_path / "told.tsv", encoding="utf-8") as stream:
        answers = [task.labels.index(row["label"]) for row in csv.DictReader(stream, delimiter="\t")]
    logits = load_file(path.parent / record["predictions"])["dev"]
    assert (logits.argmax(1).numpy() == answers).mean() > 0.995  # a merged weight rounds otherwise
    with open(rows, encoding="utf-8") as stream:
        truth = [task.labels.index(row["label"]) for row in csv.DictReader(stream, delimiter="\t", quoting=3)]
    assert score(task, np.array(answers), np.array(truth))["accuracy"] > 0.75
