"""Frozen weights in packed products: where they stand in, and what they leave behind."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from hadamard_glue.training.device import Device
from hadamard_glue.training.packed import frozen_packed

WIDE = 256
CUDA, BF16 = Device(torch.device("cuda"), "float32"), Device(torch.device("cpu"), "bf16")


def layers(inner: int = WIDE, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    found = nn.Sequential(nn.Linear(WIDE, inner, bias=bias), nn.GELU(), nn.Linear(inner, WIDE, bias=bias))
    return found.requires_grad_(False)


def is_packed(module: nn.Module) -> bool:
    return "forward" in vars(module)


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    inner=st.sampled_from([WIDE, 384, 300]),
    bias=st.booleans(),
    bias_trains=st.booleans(),
    seed=st.integers(0, 99),
)
def test_products_and_gradients_are_those_of_linear_layers(
    shape: list[int], inner: int, bias: bool, bias_trains: bool, seed: int
) -> None:
    model = layers(inner, bias)
    if bias and bias_trains:
        for module in (model[0], model[2]):
            module.bias.requires_grad_()
    trained = [value for value in model.parameters() if value.requires_grad]
    inputs = torch.randn(*shape, WIDE, generator=torch.Generator().manual_seed(seed), requires_grad=True)
    weights = torch.randn(*shape, WIDE, generator=torch.Generator().manual_seed(seed + 1))

    def results() -> list[Tensor]:
        found = model(inputs)
        return [found, *torch.autograd.grad((found * weights).sum(), [inputs, *trained])]

    expected = results()
    with frozen_packed(model, Device(torch.device("cpu"), "float32")):
        assert is_packed(model[0])
        assert is_packed(model[2])
        for one, two in zip(results(), expected, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
    assert not is_packed(model[0])
    assert not is_packed(model[2])
    for one, two in zip(results(), expected, strict=True):
        assert torch.equal(one, two)


def test_what_trains_and_what_is_small_stays_as_it_is(cpu: Device) -> None:
    model = nn.ModuleList([layers(), nn.Linear(WIDE, WIDE), nn.Linear(WIDE, WIDE - 1).requires_grad_(False)])
    with frozen_packed(model, cpu):
        packed = [name for name, module in model.named_modules() if is_packed(module)]
    assert packed == ["0.0", "0.2"]


@pytest.mark.parametrize("device", [CUDA, BF16])
def test_nothing_is_packed_on_cuda_or_in_bf16(device: Device) -> None:
    model = layers()
    with frozen_packed(model, device):
        assert not is_packed(model[0])


def test_an_error_inside_puts_the_layers_back(cpu: Device) -> None:
    model = layers()
    with pytest.raises(ZeroDivisionError), frozen_packed(model, cpu):
        raise ZeroDivisionError
    assert not is_packed(model[0])


def test_a_pass_without_gradients_comes_first(cpu: Device) -> None:
    """The features pass packs in inference mode what training then uses."""
    model, inputs = layers(), torch.ones(2, WIDE, requires_grad=True)
    with frozen_packed(model, cpu):
        with torch.inference_mode():
            before = model(torch.ones(2, WIDE))
        after = model(inputs)
        after.sum().backward()
    assert torch.equal(before, after)
    assert inputs.grad is not None


def test_a_view_of_the_product_can_be_changed_in_place(cpu: Device) -> None:
    """DeBERTa scales its position keys so."""
    model, inputs = nn.Linear(WIDE, WIDE).requires_grad_(False), torch.ones(2, 3, WIDE, requires_grad=True)

    def gradient() -> Tensor:
        product = model(inputs).permute(1, 0, 2)
        product /= 3.0
        found: Tensor
        (found,) = torch.autograd.grad(product.sum(), inputs)
        return found

    expected = gradient()
    with frozen_packed(model, cpu):
        torch.testing.assert_close(gradient(), expected)


def test_a_weight_is_read_anew_each_time_it_opens(cpu: Device) -> None:
    model, inputs = layers(), torch.ones(2, WIDE)
    with frozen_packed(model, cpu):
        model(inputs)
    with torch.no_grad():
        model.get_parameter("2.weight").zero_()
    with frozen_packed(model, cpu):
        assert torch.equal(model(inputs), model.get_parameter("2.bias").expand(2, -1))
