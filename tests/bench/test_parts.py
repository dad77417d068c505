"""Each part measures something; none of these tests looks at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hadamard_glue.backbones.loading import load, locate
from hadamard_glue.bench.scaling import cut_to, line
from hadamard_glue.bench.trainer_arm import trainer
from hadamard_glue.bench.versus import majority, spread
from hadamard_glue.config import RunConfig
from hadamard_glue.glue.tasks import TASKS


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize(("kind", "task"), [("bert", "mrpc"), ("bart", "stsb"), ("roberta", "mnli")])
def test_the_trainer_goes_through_both_stages(
    make_config: Callable[..., RunConfig], tiny_models: dict[str, Path], kind: str, task: str, tuned: bool
) -> None:
    limit = {"train": 20, "dev": 12}
    config = make_config(backbone=tiny_models[kind], task=task, limit=limit, batch_size=8)
    answer = trainer(config, [1, 2], tuned)
    assert [run["seed"] for run in answer["runs"]] == [1, 2]
    for run in answer["runs"]:
        assert list(run["phases"]) == ["load", "encode", "stage1", "stage2", "predict"]
        assert set(run["metrics"]) == set(TASKS[task].splits)
        assert set(run["metrics"][TASKS[task].headline_split]) == set(TASKS[task].metrics)


def test_the_trainer_pads_as_its_arm_says(
    make_config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Trainer

    widths: list[int] = []
    original = Trainer.compute_loss

    def watched(self: Any, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        assert "length" not in inputs
        widths.append(inputs["input_ids"].shape[1])
        return original(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(Trainer, "compute_loss", watched)
    config = make_config(task="mrpc", batch_size=8)
    trainer(config, [1], tuned=False)
    assert set(widths) == {config.max_length}
    widths.clear()
    trainer(config, [1], tuned=True)
    assert max(widths) < config.max_length
    assert len(set(widths)) > 1


def test_the_majority_class_is_that_of_the_training_rows() -> None:
    train, dev = np.array([1, 1, 0]), np.array([0, 0, 1, 0])
    assert majority(TASKS["mrpc"], train, dev) == {"f1": pytest.approx(0.4), "accuracy": 0.25}
    assert majority(TASKS["cola"], train, dev)["matthews"] == 0.0
    scores = np.array([1.0, 3.0], dtype=np.float32)
    assert majority(TASKS["stsb"], scores, scores)["pearson"] == 0.0


def test_spread() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "rounds": [3.0, 1.0, 2.0]}


def test_the_line_goes_through_the_medians() -> None:
    fit = line([{"x": x, "seconds": [2 * x + 1, 2 * x + 1, 99.0]} for x in (1, 2, 4)])
    assert (fit["slope"], fit["intercept"], fit["r2"]) == pytest.approx((2, 1, 1))
    assert line([{"x": 1, "seconds": [1.0]}, {"x": 2, "seconds": [2.0]}])["slope"] is None


@pytest.mark.parametrize("kind", ["bert", "bart", "deberta_v2"])
def test_a_backbone_of_fewer_layers_loads(
    make_config: Callable[..., RunConfig], tiny_models: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    config = make_config(backbone=tiny_models[kind])
    whole = load(locate(config.backbone), 2)
    folder = cut_to(locate(config.backbone), 1, tmp_path / "cut")
    cut = load(locate(config.backbone.model_copy(update={"path": str(folder)})), 2)
    assert 2 * len(cut.anatomy.layers) == len(whole.anatomy.layers)
    written = json.loads((tiny_models[kind] / "config.json").read_text())
    assert 1 not in [written.get(key) for key in ("num_hidden_layers", "encoder_layers")]  # the original is as it was
