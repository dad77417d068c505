"""The bottleneck adapters: what they compute, where, and from which start."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hadamard_glue.methods.houlsby import DEVIATION, AdaptedNorm, AdaptedProjection, Bottleneck
from methods.battery import KINDS, Subject

on_every_backbone = pytest.mark.parametrize("kind", KINDS)
ACTIVATIONS = {
    "gelu": lambda x: nn.functional.gelu(x, approximate="tanh"),
    "relu": torch.relu,
    "silu": lambda x: x * torch.sigmoid(x),
    "tanh": torch.tanh,
}


def shaken(width: int, bottleneck: int, activation: str) -> Bottleneck:
    adapter = Bottleneck(width, bottleneck, activation, torch.zeros(1, dtype=torch.float64))
    with torch.no_grad():
        for value in adapter.parameters():
            value.normal_(generator=torch.Generator().manual_seed(value.numel()))
    return adapter


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_two_forms_are_what_the_papers_write(activation: str) -> None:
    adapter = shaken(5, 3, activation)
    hidden = torch.randn(2, 4, 7, dtype=torch.float64)

    def bottleneck(x: Tensor) -> Tensor:
        down = ACTIVATIONS[activation](x @ adapter.down.weight.T + adapter.down.bias)
        return down @ adapter.up.weight.T + adapter.up.bias

    projection = nn.Linear(7, 5).double()
    projected = projection(hidden)
    assert torch.allclose(AdaptedProjection(projection, adapter)(hidden), projected + bottleneck(projected), atol=1e-12)
    norm, total = nn.LayerNorm(5).double(), torch.randn(2, 4, 5, dtype=torch.float64)
    assert torch.allclose(AdaptedNorm(norm, adapter)(total), norm(total + bottleneck(norm(total))), atol=1e-12)


def test_it_starts_from_a_truncated_normal_and_zero_biases() -> None:
    torch.manual_seed(0)
    adapter = Bottleneck(768, 64, "gelu", torch.zeros(1))
    for linear in (adapter.down, adapter.up):
        assert torch.equal(linear.bias, torch.zeros_like(linear.bias))
        assert 0 < linear.weight.abs().max() <= 2 * DEVIATION
        # a normal cut at two deviations has 0.88 of its deviation
        assert linear.weight.std().item() == pytest.approx(0.88 * DEVIATION, rel=0.02)


@on_every_backbone
def test_houlsby_stands_after_both_projections_and_pfeiffer_at_the_last_norm(
    subjects: dict[str, Subject], kind: str
) -> None:
    for variant, kinds, names in (
        ("houlsby", AdaptedProjection, ("attention_output", "ffn_out")),
        ("pfeiffer", AdaptedNorm, ("ffn_norm",)),
    ):
        backbone, plan = subjects[kind].injected(variant, kind)
        found = {path for path, module in plan.model.named_modules() if isinstance(module, kinds)}
        assert found == {getattr(layer, name) for layer in backbone.anatomy.layers for name in names}


@on_every_backbone
@pytest.mark.parametrize("variant", ["houlsby", "pfeiffer-with-norms", "ln_tuning"])
def test_every_norm_of_the_backbone_trains(subjects: dict[str, Subject], kind: str, variant: str) -> None:
    """By what they do: a parameter of a module whose output has mean 0 and variance 1 but for its weight and bias."""
    subject = subjects[kind]
    model: Any = subject.copy().model
    seen: set[str] = set()

    def listen(path: str) -> Any:
        def hook(module: Any, inputs: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, Tensor) and output.shape[-1] == len(module.weight):
                plain = (output - module.bias) / module.weight
                variance = plain.var(-1, unbiased=False).median()  # that of a padding's embedding, all zeros, is 0
                if plain.mean(-1).abs().max() < 1e-3 and (variance - 1).abs() < 1e-2:
                    seen.add(path)

        return hook

    for path, module in model.named_modules():
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if isinstance(weight, Tensor) and weight.ndim == 1 and isinstance(bias, Tensor):
            module.register_forward_hook(listen(path))
    with torch.no_grad():
        model.eval()(**subject.batch)
    _, plan = subject.injected(variant, kind)
    trained = {name.replace(".base_layer", "").partition(".ln_tuning_layers")[0] for name in plan.groups["norm"]}
    assert {name.removesuffix(".weight").removesuffix(".bias") for name in trained} == seen
