"""The loop against AdamW written by hand, against the stock model with torch's own parts, and its laws."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hadamard_glue.backbones.head import initialise_head
from hadamard_glue.config import HardwareConfig, RunConfig
from hadamard_glue.errors import InputError
from hadamard_glue.training.device import Device, derived_seed, pick, randomness
from hadamard_glue.training.loop import StageSettings, TrainingError, loss_of, predict, train
from hadamard_glue.training.stages import Material, run_stages


class Points:
    """Rows that are points of a plane, in file order."""

    def __init__(self, rows: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.points = torch.from_numpy(rng.normal(size=(rows, 2)).astype(np.float32))
        self.labels = (self.points[:, 0] > 0).long()

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self, batch_size: int, rng: np.random.Generator | None
    ) -> Iterator[tuple[np.ndarray, dict[str, Tensor]]]:
        for start in range(0, len(self), batch_size):
            indices = np.arange(start, min(start + batch_size, len(self)))
            yield indices, {"points": self.points[indices], "labels": self.labels[indices]}


def settings_of(**changes: Any) -> StageSettings:
    plain = {
        "name": "stage2", "epochs": 3, "lr": 0.05, "batch_size": 4, "warmup": 0.25, "weight_decay": 0.1,
        "max_grad_norm": 0.5, "regression": False,
    }  # fmt: skip
    return StageSettings(**{**plain, **changes})


def parameters() -> dict[str, Tensor]:
    return {
        "weight": nn.Parameter(torch.tensor([[0.5, -0.4], [0.3, 0.9]])),
        "bias": nn.Parameter(torch.tensor([0.2, -0.7])),
    }


def fit(given: StageSettings, trained: dict[str, Tensor], rows: Points, device: Device, **more: Any) -> Any:
    return train(
        given, lambda batch: batch["points"] @ trained["weight"].T + trained["bias"], rows, trained,
        frozenset({"weight"}), device, np.random.default_rng(0), **{"after_epoch": lambda epoch: {}, **more},
    )  # fmt: skip


def adamw_by_hand(given: StageSettings, rows: Points) -> tuple[dict[str, Tensor], list[float]]:
    """Loshchilov and Hutter's algorithm 2 with the defaults of torch, in float64, with clipping and schedule."""
    values = {name: value.detach().double() for name, value in parameters().items()}
    first = {name: torch.zeros_like(value) for name, value in values.items()}
    second = {name: torch.zeros_like(value) for name, value in values.items()}
    total = given.epochs * math.ceil(len(rows) / given.batch_size)
    warm = min(math.ceil(total * given.warmup), total - 1)
    step, losses = 0, []
    for _ in range(given.epochs):
        summed = 0.0
        for _, batch in rows.batches(given.batch_size, None):
            points, labels = batch["points"].double(), batch["labels"]
            logits = points @ values["weight"].T + values["bias"]
            shares = torch.softmax(logits, dim=1)
            summed += float(-shares[torch.arange(len(labels)), labels].log().sum())
            wrong = (shares - nn.functional.one_hot(labels, 2)) / len(labels)
            slopes = {"weight": wrong.T @ points, "bias": wrong.sum(dim=0)}
            norm = math.sqrt(sum(float((slope**2).sum()) for slope in slopes.values()))
            rate = given.lr * (step / warm if step < warm else (total - step) / (total - warm))
            step += 1
            for name, value in values.items():
                slope = slopes[name] * min(1.0, given.max_grad_norm / (norm + 1e-6))
                value *= 1 - rate * (given.weight_decay if name == "weight" else 0.0)
                first[name] = 0.9 * first[name] + 0.1 * slope
                second[name] = 0.999 * second[name] + 0.001 * slope**2
                root = (second[name] / (1 - 0.999**step)).sqrt() + 1e-8
                value -= rate * first[name] / (1 - 0.9**step) / root
        losses.append(summed / len(rows))
    return values, losses


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 30), batch_size=st.integers(1, 9), epochs=st.integers(1, 3),
    warmup=st.sampled_from([0.0, 0.06, 0.5]),
    weight_decay=st.sampled_from([0.0, 0.1]), max_grad_norm=st.sampled_from([0.05, 1.0]), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_loop_is_adamw_with_clipping_and_a_linear_schedule(
    cpu: Device,
    rows: int,
    batch_size: int,
    epochs: int,
    warmup: float,
    weight_decay: float,
    max_grad_norm: float,
    seed: int,
) -> None:
    given = settings_of(
        batch_size=batch_size, epochs=epochs, warmup=warmup, weight_decay=weight_decay, max_grad_norm=max_grad_norm
    )
    trained, points = parameters(), Points(rows, seed)
    outcome = fit(given, trained, points, cpu)
    expected, losses = adamw_by_hand(given, points)
    for name, value in expected.items():
        torch.testing.assert_close(trained[name].detach().double(), value, rtol=1e-4, atol=2e-5)
    assert [entry["loss"] for entry in outcome.history] == pytest.approx(losses, abs=1e-5)
    assert outcome.steps == epochs * math.ceil(rows / batch_size)


def test_full_fine_tuning_is_the_stock_model_trained_with_torchs_own_parts(
    make_config: Callable[..., RunConfig], material_of: Callable[..., Material], cpu: Device
) -> None:
    material = material_of("bert_without_dropout", "mrpc")
    config = make_config(task="mrpc", method="full", stage2__epochs=2, stage2__lr=1e-3, warmup=0.1, weight_decay=0.1)
    found = [entry["loss"] for entry in run_stages(config, material, cpu).history]

    model = copy.deepcopy(material.backbone.model).requires_grad_(True)
    initialise_head(model, material.backbone.anatomy, derived_seed(config.seed, "head"))
    model.train()
    spared = [value for name, value in model.named_parameters() if "LayerNorm" in name or name.endswith("bias")]
    kept = {id(value) for value in spared}
    decayed = [value for value in model.parameters() if id(value) not in kept]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}], lr=1e-3
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 2 if step < 2 else (12 - step) / 10)
    rng = np.random.default_rng(derived_seed(config.seed, "stage2 order"))
    expected = []
    for _ in range(2):
        losses = []
        for indices, batch in material.train.batches(16, rng):
            loss = model(**batch).loss
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()) * len(indices))
        expected.append(sum(losses) / 96)
    assert found == pytest.approx(expected, abs=1e-5)


def test_decay_acts_where_it_is_told_even_without_a_gradient(cpu: Device) -> None:
    trained = parameters()
    before = {name: value.detach().clone() for name, value in trained.items()}
    train(
        settings_of(weight_decay=0.5, warmup=0.0),
        lambda batch: 0 * (batch["points"] @ trained["weight"].T + trained["bias"]),
        Points(8), trained, frozenset({"weight"}), cpu, np.random.default_rng(0), lambda epoch: {},
    )  # fmt: skip
    assert torch.equal(trained["bias"], before["bias"])
    assert (trained["weight"].detach().abs() < before["weight"].abs()).all()


def test_hooks_see_every_step_and_every_epoch(cpu: Device) -> None:
    steps: list[int] = []
    entries: list[dict[str, Any]] = []
    outcome = fit(
        settings_of(), parameters(), Points(10), cpu, after_epoch=lambda epoch: {"note": epoch * 10},
        after_step=steps.append, after_log=entries.append,
    )  # fmt: skip
    assert steps == list(range(1, 10))
    assert entries == outcome.history
    assert [entry["note"] for entry in entries] == [10, 20, 30]


def test_a_loss_that_is_not_finite_raises_and_is_not_logged(cpu: Device) -> None:
    rows = Points(10)
    entries: list[dict[str, Any]] = []
    rows.points[3, 0] = float("nan")
    with pytest.raises(TrainingError, match="stage2: the loss of epoch 1 is not finite"):
        fit(settings_of(), parameters(), rows, cpu, after_log=entries.append)
    assert entries == []


def test_predict_gives_rows_in_order_or_refuses(cpu: Device) -> None:
    class Backwards(Points):
        def batches(self, batch_size: int, rng: np.random.Generator | None) -> Any:
            return reversed(list(super().batches(batch_size, rng)))

    rows = Backwards(11)
    found = predict(lambda batch: batch["points"], rows, 4, cpu)
    assert found.dtype == np.float32
    assert np.array_equal(found, rows.points.numpy())
    rows.points[5, 1] = float("inf")
    with pytest.raises(TrainingError, match="not finite"):
        predict(lambda batch: batch["points"], rows, 4, cpu)


def test_losses_are_float32_means() -> None:
    logits = torch.tensor([[1.0, 2.0], [0.5, -0.5]])
    labels = torch.tensor([1, 0])
    by_hand = -(math.log(math.e / (1 + math.e)) + math.log(math.e / (1 + math.e))) / 2
    assert float(loss_of(logits, labels, regression=False)) == pytest.approx(by_hand, abs=1e-6)
    assert loss_of(logits.bfloat16(), labels, regression=False).dtype == torch.float32
    scores = torch.tensor([[1.0], [4.0]])
    assert float(loss_of(scores, torch.tensor([2.0, 2.0]), regression=True)) == pytest.approx(2.5)


def test_bf16_trains_float32_parameters(
    make_config: Callable[..., RunConfig], material_of: Callable[..., Material]
) -> None:
    device = Device(torch.device("cpu"), "bf16")
    exact = Device(torch.device("cpu"), "float32")
    config = make_config(method="hadamard", stage1__features="live", stage2__epochs=2)
    one, two = (run_stages(config, material_of("bert_without_dropout"), where) for where in (device, exact))
    assert one.history[-1]["loss"] == pytest.approx(two.history[-1]["loss"], abs=0.05)
    assert one.history[-1]["loss"] != two.history[-1]["loss"]


# Devices and randomness


def hardware(**changes: Any) -> HardwareConfig:
    plain = {"device": "cpu", "precision": "auto", "deterministic": False, "threads": None, "workers": 1}
    return HardwareConfig(**{**plain, **changes})


def test_the_cpu_computes_in_float32_unless_told() -> None:
    assert pick(hardware()) == Device(torch.device("cpu"), "float32")
    assert pick(hardware(precision="bf16")).precision == "bf16"
    assert not pick(hardware()).is_cuda


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_asking_for_cuda_where_there_is_none_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"^hardware\.device=cuda: .*hardware=cpu"):
        pick(hardware(device="cuda"))
    assert pick(hardware(device="auto")).torch_device.type == "cpu"


def test_deterministic_is_switched_on_and_off() -> None:
    pick(hardware(deterministic=True))
    try:
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        pick(hardware())
    assert not torch.are_deterministic_algorithms_enabled()


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.sampled_from(["head", "adapter"]))
def test_purposes_have_seeds_of_their_own(seed: int, other: int, purpose: str) -> None:
    assert 0 <= derived_seed(seed, purpose) < 2**32
    assert derived_seed(seed, purpose) == derived_seed(seed, purpose)
    assert derived_seed(seed, purpose) != derived_seed(seed, "order")
    if other != seed:
        assert derived_seed(seed, purpose) != derived_seed(other, purpose)


def test_randomness_is_put_back() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with randomness(4, "dropout"):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with randomness(4, "dropout"):
        assert torch.equal(torch.rand(3), inside)
