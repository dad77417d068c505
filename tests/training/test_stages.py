"""The recipe of stages: what trains when, and that a run is a function of its config alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from hadamard_glue.config import RunConfig
from hadamard_glue.errors import InputError
from hadamard_glue.glue.metrics import score
from hadamard_glue.methods.plan import Plan
from hadamard_glue.training import stages
from hadamard_glue.training.device import Device
from hadamard_glue.training.loop import TrainingError
from hadamard_glue.training.selection import predictions_of
from hadamard_glue.training.stages import Material, Result, run_stages

MakeConfig = Callable[..., RunConfig]
MaterialOf = Callable[..., Material]
KINDS = ("bert", "bert_without_pooler", "bart")


@dataclasses.dataclass
class Watched:
    """What a run did: the model with its values when the plan was made, and what each stage was told to train."""

    plan: Plan | None = None
    at_plan: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    trained: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    decayed: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    at_end: dict[str, Tensor] = dataclasses.field(default_factory=dict)  # of the last stage

    def values(self) -> dict[str, Tensor]:
        assert self.plan is not None
        return {name: value.detach().clone() for name, value in self.plan.model.named_parameters()}


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    seen = Watched()
    apply: Any = vars(stages)["apply"]
    train: Any = vars(stages)["train"]

    def watch_apply(*arguments: Any) -> Plan:
        seen.plan = apply(*arguments)
        seen.at_plan = seen.at_end = seen.values()
        return seen.plan

    def watch_train(
        settings: Any, forward: Any, rows: Any, trained: Any, decayed: Any, *more: Any, **named: Any
    ) -> Any:
        seen.trained[settings.name], seen.decayed[settings.name] = set(trained), set(decayed)
        outcome = train(settings, forward, rows, trained, decayed, *more, **named)
        if seen.plan is not None:
            seen.at_end = seen.values()  # the model is given back as it was
        return outcome

    monkeypatch.setattr(stages, "apply", watch_apply)
    monkeypatch.setattr(stages, "train", watch_train)
    return seen


def changed(watched: Watched) -> set[str]:
    return {name for name, value in watched.at_end.items() if not torch.equal(value, watched.at_plan[name])}


def without_seconds(result: Result) -> dict[str, Any]:
    plain = dataclasses.asdict(result)
    del plain["seconds"], plain["logits"]
    plain["history"] = [{key: value for key, value in entry.items() if key != "seconds"} for entry in result.history]
    return plain


def assert_same(one: Result, two: Result) -> None:
    assert without_seconds(one) == without_seconds(two)
    assert set(one.logits) == set(two.logits)
    for split, logits in one.logits.items():
        assert np.array_equal(logits, two.logits[split]), split


# What trains when


@pytest.mark.parametrize("kind", KINDS)
def test_hadamard_trains_its_head_first_and_freezes_it_then(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, watched: Watched, kind: str
) -> None:
    material = material_of(kind)
    run_stages(make_config(method="hadamard"), material, cpu)
    assert watched.plan is not None
    assert watched.trained["stage1"] == set(material.backbone.anatomy.head)
    assert watched.trained["stage2"] == set(watched.plan.names)
    assert changed(watched) == set(watched.plan.names)  # all else bit for bit as stage 1 left it, the head too
    pretrained = dict(material.backbone.model.named_parameters())
    for name in material.backbone.anatomy.backbone:
        kept = next(value for other, value in watched.at_end.items() if other.replace(".base_layer.", ".") == name)
        assert torch.equal(kept, pretrained[name]), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["full", "bitfit", "lora"])
def test_other_methods_train_with_their_head_in_one_stage(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, watched: Watched, kind: str, method: str
) -> None:
    material = material_of(kind)
    result = run_stages(make_config(method=method), material, cpu)
    assert watched.plan is not None
    assert set(watched.trained) == {"stage2"}
    assert watched.trained["stage2"] == {*watched.plan.names, *material.backbone.anatomy.head}
    assert changed(watched) <= watched.trained["stage2"]
    assert set(material.backbone.anatomy.head) <= changed(watched)
    assert set(result.metrics) == {"final"}
    assert set(result.steps) == {"stage2"}


def test_the_classifier_stops_after_stage_1(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, watched: Watched
) -> None:
    material = material_of()
    result = run_stages(make_config(method="classifier"), material, cpu)
    assert watched.trained == {"stage1": set(material.backbone.anatomy.head)}
    assert result.metrics["final"] == result.metrics["stage1"]
    assert result.parameters["trained"] == 0


@pytest.mark.parametrize("method", ["full", "bitfit", "lora"])
def test_two_stages_with_a_frozen_head_for_any_method(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, watched: Watched, method: str
) -> None:
    material = material_of()
    run_stages(make_config(method=method, method__train_head=False, stages="two"), material, cpu)
    assert watched.plan is not None
    assert watched.trained["stage2"] == set(watched.plan.names)
    assert not changed(watched) & set(material.backbone.anatomy.head)
    assert changed(watched)


def test_hadamard_with_its_head_trained_on(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, watched: Watched
) -> None:
    head = set(material_of().backbone.anatomy.head)
    run_stages(make_config(method__train_head=True), material_of(), cpu)
    assert watched.plan is not None
    assert changed(watched) == {*watched.plan.names, *head}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", tiny.METHODS)
def test_decay_acts_on_matrices_of_backbone_and_head_alone(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, watched: Watched, kind: str, method: str
) -> None:
    material = material_of(kind)
    run_stages(make_config(method=method), material, cpu)
    assert watched.plan is not None
    anatomy, sizes = material.backbone.anatomy, watched.at_end
    for stage, decayed in watched.decayed.items():
        allowed = {*anatomy.head, *(anatomy.backbone if method == "full" else ())} & watched.trained[stage]
        assert decayed == {name for name in allowed if sizes[name].ndim > 1}
    assert any(watched.decayed.values())


def test_a_dev_split_that_is_not_the_headline_is_measured_too(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device
) -> None:
    material = material_of(task="mnli")
    result = run_stages(make_config(task="mnli"), material, cpu)
    for stage in ("stage1", "final"):
        assert set(result.metrics[stage]) == {"dev_matched", "dev_mismatched"}
    assert result.logits["dev_matched"].shape == (48, 3)


@pytest.mark.parametrize("task", ["sst2", "mrpc", "stsb"])
@pytest.mark.parametrize("kind", KINDS)
def test_recorded_metrics_are_those_of_the_recorded_logits(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, kind: str, task: str
) -> None:
    material = material_of(kind, task)
    result = run_stages(make_config(task=task, method="lora"), material, cpu)
    labels = material.dev["dev"].encoded.labels
    assert result.logits["dev"].dtype == np.float32
    expected = score(material.task, predictions_of(material.task, result.logits["dev"]), labels)
    assert result.metrics["final"]["dev"] == expected
    assert set(expected) == set(material.task.metrics)


def test_regression_learns(make_config: MakeConfig, material_of: MaterialOf, cpu: Device) -> None:
    config = make_config(task="stsb", method="full", stage2__epochs=8, stage2__lr=1e-2)
    result = run_stages(config, material_of(task="stsb"), cpu)
    losses = [entry["loss"] for entry in result.history]
    assert result.logits["dev"].shape == (48, 1)
    assert losses[-1] < losses[0] / 2
    assert result.metrics["final"]["dev"]["pearson"] > 0.5


def test_classification_learns(make_config: MakeConfig, material_of: MaterialOf, cpu: Device) -> None:
    config = make_config(method="full", stage2__epochs=4, stage2__lr=5e-3)
    assert run_stages(config, material_of("bert_without_dropout"), cpu).metrics["final"]["dev"]["accuracy"] > 0.9


def test_history_steps_and_tokens_count_what_happened(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device
) -> None:
    material = material_of()
    seen: list[dict[str, Any]] = []
    config = make_config(stage1__epochs=2, stage2__epochs=3, batch_size=20)
    result = run_stages(config, material, cpu, log=seen.append)
    assert [(entry["stage"], entry["epoch"]) for entry in result.history] == [
        ("stage1", 1), ("stage1", 2), ("stage2", 1), ("stage2", 2), ("stage2", 3),
    ]  # fmt: skip
    assert seen == result.history
    assert result.steps == {"stage1": 10, "stage2": 15}  # 96 rows in batches of 20
    assert result.tokens == 3 * int(material.train.encoded.lengths.sum())
    assert set(result.seconds) == {"features", "dev_features", "stage1", "stage2", "evaluation"}


# A run is a function of its config


@pytest.mark.parametrize("method", tiny.METHODS)
def test_the_same_run_gives_the_same_bits_whatever_ran_before(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, method: str
) -> None:
    material = material_of()
    config = make_config(method=method, stage2__epochs=2)
    first = run_stages(config, material, cpu)
    torch.manual_seed(12345)
    torch.rand(7)
    run_stages(make_config(method="lora", seed=9), material, cpu)
    assert_same(run_stages(config, material, cpu), first)


def test_another_batch_size_before_changes_nothing(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, tmp_path: Any
) -> None:
    """The feature cache must not carry another run's arithmetic over."""
    alone = dataclasses.replace(material_of(), feature_folder=tmp_path / "alone")
    after = dataclasses.replace(material_of(), feature_folder=tmp_path / "after")
    config = make_config(method="classifier")
    run_stages(make_config(method="classifier", batch_size=7), after, cpu)
    assert_same(run_stages(config, after, cpu), run_stages(config, alone, cpu))


def test_a_run_leaves_the_global_random_state_alone(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device
) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    run_stages(make_config(), material_of(), cpu)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("method", tiny.METHODS)
def test_another_seed_gives_another_result(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, method: str
) -> None:
    one, two = (run_stages(make_config(method=method, seed=seed), material_of(), cpu) for seed in (1, 2))
    assert not np.array_equal(one.logits["dev"], two.logits["dev"])


def test_methods_of_one_seed_share_head_and_stage_1(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device
) -> None:
    hadamard = run_stages(make_config(method="hadamard"), material_of(), cpu)
    classifier = run_stages(make_config(method="classifier"), material_of(), cpu)
    assert hadamard.metrics["stage1"] == classifier.metrics["stage1"]
    assert hadamard.history[0]["loss"] == classifier.history[0]["loss"]


@pytest.mark.parametrize("kind", KINDS)
def test_shared_weights_are_never_changed(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, kind: str
) -> None:
    model = material_of(kind).backbone.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for method in tiny.METHODS:
        run_stages(make_config(method=method, selection="best_dev"), material_of(kind), cpu)
    after = model.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(value.requires_grad for value in model.parameters())
    assert not model.training


# What goes wrong


@pytest.mark.parametrize("method", ["classifier", "full"])
def test_a_loss_that_is_not_finite_ends_the_run(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, method: str
) -> None:
    config = make_config(method=method, stage1__lr=3e37, stage2__lr=3e37)
    with pytest.raises(TrainingError, match=r"^stage[12]: the loss of epoch 1 is not finite \(lr 3e\+37\)$"):
        run_stages(config, material_of(), cpu)


@pytest.mark.parametrize("task", ["sst2", "stsb"])
def test_predictions_that_are_not_finite_are_no_score(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, task: str
) -> None:
    """The last step of all breaks the weights: its epoch's loss was finite still."""
    config = make_config(task=task, method="full", stage2__lr=3e37, batch_size=96)
    with pytest.raises(TrainingError, match="not finite"):
        run_stages(config, material_of(task=task), cpu)


def test_a_layer_that_the_backbone_lacks_ends_the_run(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device
) -> None:
    with pytest.raises(InputError, match=r"layers 0 to 1"):
        run_stages(make_config(method__layers=[2]), material_of(), cpu)
