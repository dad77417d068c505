"""A layer as functions of our own against the layer's modules: the same numbers, gradients and dropout masks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from peft import get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from hadamard_glue.backbones.anatomy import Anatomy, resolve
from hadamard_glue.config import HadamardMethod
from hadamard_glue.methods.hadamard import apply_hadamard
from hadamard_glue.methods.hadamard_tuner import HadamardConfig
from hadamard_glue.methods.plan import train_exactly
from hadamard_glue.training import fused_attention, packed
from hadamard_glue.training.device import Device
from hadamard_glue.training.dropout import Masks, dropout_of
from hadamard_glue.training.fused_layer import fused_layers

CPU = Device(torch.device("cpu"), "float32")
CUDA, BF16 = Device(torch.device("cuda"), "float32"), Device(torch.device("cpu"), "bf16")
LAYERS = 3
TOKENS = 37  # more than a vector register holds, and a rest
ROWS = {
    "input_ids": torch.randint(5, 30, (4, TOKENS), generator=torch.Generator().manual_seed(0)),
    "attention_mask": (torch.arange(TOKENS) < torch.tensor([TOKENS, 14, 1, 30])[:, None]).long(),
}


@pytest.fixture(autouse=True)
def tiny_weights_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_SMALLEST", 0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, float], Path]:
    made: dict[tuple[str, float], Path] = {}

    def folder(kind: str, dropout: float) -> Path:
        if (kind, dropout) not in made:
            build: Callable[..., Path] = tiny.BUILDERS[kind]
            made[kind, dropout] = build(tmp_path_factory.mktemp(kind), dropout=dropout, layers=LAYERS)
        return made[kind, dropout]

    return folder


def adapted(folder: Path, seed: int = 0, **settings: Any) -> tuple[Any, Anatomy, list[Tensor]]:
    """A model with Hadamard adapters away from the identity, its anatomy, and what trains in it."""
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    anatomy = resolve(model)
    chosen = {"site": "heads", "norm": "attention", "layers": "all", **settings}
    plan = apply_hadamard(model, anatomy, HadamardMethod(name="hadamard", **chosen))
    trained = train_exactly(model, plan.names)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in trained.values():
            value.add_(torch.randn(value.shape, generator=draw), alpha=0.3)
    return model.train(), anatomy, list(trained.values())


def is_fused(layer: nn.Module) -> bool:
    return "forward" in vars(layer)


def layers_of(model: nn.Module, anatomy: Anatomy) -> list[nn.Module]:
    return [model.get_submodule(layer.path) for layer in anatomy.layers]


@contextlib.contextmanager
def opened(model: Any, anatomy: Anatomy, fused: bool) -> Iterator[None]:
    masks = Masks(seed=7)
    with dropout_of(model, CPU, masks), contextlib.ExitStack() as stack:
        if fused:
            stack.enter_context(fused_layers(model, anatomy, CPU, masks))
            assert [is_fused(layer) for layer in layers_of(model, anatomy)] == [True] * (LAYERS - 1) + [False]
        yield


def states(model: Any) -> Tensor:
    found: Tensor = model.base_model(**ROWS).last_hidden_state
    return found


def assert_alike(model: Any, anatomy: Anatomy, trained: list[Tensor]) -> None:
    """Fused or not: the same states and gradients, with the same masks."""

    def results(fused: bool) -> list[Tensor]:
        with opened(model, anatomy, fused):
            found = states(model)
            return [found, *torch.autograd.grad(found.square().sum(), trained)]

    for one, two in zip(results(fused=True), results(fused=False), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("norm", ["attention", "ffn", "both", "none"])
@pytest.mark.parametrize("site", ["heads", "projection"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
def test_states_gradients_and_masks_are_those_of_the_modules(
    folders: Callable[[str, float], Path], kind: str, site: str, norm: str, dropout: float
) -> None:
    model, anatomy, trained = adapted(folders(kind, dropout), site=site, norm=norm)
    assert_alike(model, anatomy, trained)
    assert not any(is_fused(layer) for layer in layers_of(model, anatomy))


@pytest.mark.parametrize("layers", [[1], [0], [2], [0, 2]])
@pytest.mark.parametrize("site", ["heads", "projection"])
def test_layers_without_an_adapter(folders: Callable[[str, float], Path], site: str, layers: list[int]) -> None:
    model, anatomy, trained = adapted(folders("bert", 0.2), site=site, layers=layers)
    assert_alike(model, anatomy, trained)


@pytest.mark.parametrize("site", ["heads", "projection"])
@pytest.mark.parametrize("long", [TOKENS, TOKENS + 1])  # torch's attention, and ours for shorter rows
def test_eval_mode_without_gradients(
    folders: Callable[[str, float], Path], site: str, long: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_attention, "_LONG", long)
    model, anatomy, _ = adapted(folders("bert", 0.2), site=site, norm="both")
    model.eval()
    with torch.inference_mode():
        expected = states(model)
        with opened(model, anatomy, fused=True):
            torch.testing.assert_close(states(model), expected, rtol=1e-5, atol=1e-5)


def test_train_mode_without_gradients_drops(folders: Callable[[str, float], Path]) -> None:
    model, anatomy, _ = adapted(folders("bert", 0.2))
    with torch.no_grad():
        with opened(model, anatomy, fused=False):
            expected = states(model)
        with opened(model, anatomy, fused=True):
            torch.testing.assert_close(states(model), expected, rtol=1e-5, atol=1e-5)


def test_rows_without_padding(folders: Callable[[str, float], Path]) -> None:
    model, anatomy, _ = adapted(folders("bert", 0.0))
    expected = model.base_model(input_ids=ROWS["input_ids"]).last_hidden_state
    with opened(model, anatomy, fused=True):
        torch.testing.assert_close(
            model.base_model(input_ids=ROWS["input_ids"]).last_hidden_state, expected, rtol=1e-5, atol=1e-5
        )


def test_a_disabled_adapter_does_not_act(folders: Callable[[str, float], Path]) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(folders("bert", 0.0)).eval()
    expected = states(model)
    anatomy = resolve(model)
    wrapped = get_peft_model(model, HadamardConfig(task_type="SEQ_CLS", modules_to_save=[]))
    with torch.no_grad():
        for name, value in wrapped.named_parameters():
            if "hadamard_" in name:
                value.add_(0.5)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with opened(model, anatomy, fused=True):
        assert not torch.allclose(states(model), expected, atol=1e-2)
        with wrapped.disable_adapter():
            torch.testing.assert_close(states(model), expected, rtol=1e-5, atol=1e-5)


def test_the_updates_of_training_are_seen(folders: Callable[[str, float], Path]) -> None:
    model, anatomy, trained = adapted(folders("bert", 0.0))
    with opened(model, anatomy, fused=True):
        before = states(model)
        with torch.no_grad():
            for value in trained:
                value.mul_(1.5)
        after = states(model)
    assert not torch.allclose(before, after, atol=1e-2)
    torch.testing.assert_close(after, states(model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device", [CUDA, BF16])
def test_nothing_is_fused_on_cuda_or_in_bf16(folders: Callable[[str, float], Path], device: Device) -> None:
    model, anatomy, _ = adapted(folders("bert", 0.0))
    with fused_layers(model, anatomy, device, Masks(0)):
        assert not any(is_fused(layer) for layer in layers_of(model, anatomy))


@pytest.mark.parametrize("kind", ["bart", "deberta", "deberta_v2"])
def test_other_families_stay_as_they_are(folders: Callable[[str, float], Path], kind: str) -> None:
    model, anatomy, _ = adapted(folders(kind, 0.0))
    with fused_layers(model, anatomy, CPU, Masks(0)):
        assert not any(is_fused(layer) for layer in layers_of(model, anatomy))


def fused_after(folder: Path, change: Callable[[Any], Any]) -> list[bool]:
    model, anatomy, _ = adapted(folder)
    change(model.bert.encoder.layer[0])
    with fused_layers(model, anatomy, CPU, Masks(0)):
        return [is_fused(layer) for layer in layers_of(model, anatomy)]


def _wrapped(layer: Any) -> None:
    layer.output.dense = nn.Sequential(layer.output.dense)


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.attention.self.query.weight.requires_grad_(),
        lambda layer: layer.output.dense.bias.requires_grad_(),
        lambda layer: layer.intermediate.dense.register_forward_hook(lambda *_: None),
        lambda layer: layer.attention.self.value.register_forward_pre_hook(lambda *_: None),
        _wrapped,
    ],
    ids=["weight trains", "bias trains", "hook", "pre-hook", "another module"],
)
def test_a_layer_that_is_more_than_frozen_weights_stays(
    folders: Callable[[str, float], Path], change: Callable[[Any], Any]
) -> None:
    assert fused_after(folders("bert", 0.0), change) == [False, True, False]


def test_another_activation_stays(folders: Callable[[str, float], Path]) -> None:
    model, anatomy, _ = adapted(folders("bert", 0.0))
    model.config.hidden_act = "relu"
    with fused_layers(model, anatomy, CPU, Masks(0)):
        assert not any(is_fused(layer) for layer in layers_of(model, anatomy))
