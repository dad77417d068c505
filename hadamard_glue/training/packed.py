"""Products with frozen weights, faster on the CPU: each weight is laid out for its matrix kernels once a stage.

A general product lays out its weight anew at every call. A frozen weight stays as it is for a whole stage, so oneDNN
packs it once: as it stands for the product, transposed for the gradient of the input; the weight itself has none. The
numbers are those of ``nn.Linear`` up to the order of float32 sums.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hadamard_glue.backbones.forwards import forwards
from hadamard_glue.training.device import Device

#: Elements of the smallest weight that is packed. At this size, bert-tiny's feed-forward, it neither saved nor cost
#: time: a call of our own function eats up what the product gains.
_SMALLEST = 256 * 256


def frozen_packed(model: nn.Module, device: Device) -> contextlib.AbstractContextManager[None]:
    """While open, linear layers whose weights are frozen multiply with packed copies; nothing on CUDA or in bf16.

    Which weights are frozen is taken here, what they hold at a layer's first call; neither may change before
    it closes. The copies take once more the memory of these weights, twice where gradients go through them.
    """
    packed = [module for module in model.modules() if packable(module)] if can_pack(device) else []
    return forwards((module, _forward(module)) for module in packed)


def can_pack(device: Device) -> bool:
    """Whether weights are packed on this device and in its precision."""
    return not device.is_cuda and device.precision == "float32" and torch.backends.mkldnn.is_available()


def packable(module: nn.Module) -> bool:
    """Whether a module is a linear layer whose weight is frozen and worth packing."""
    if type(module) is not nn.Linear:
        return False
    weight = module.weight
    return not weight.requires_grad and weight.dtype == torch.float32 and weight.numel() >= _SMALLEST


class PackedWeight:
    """A frozen weight [out, in] float32 packed for either direction, each when it is first asked for.

    Args:
        weight: gives it; called once for each direction.
    """

    def __init__(self, weight: Callable[[], Tensor]) -> None:
        self._weight = weight
        self._packed: dict[str, Tensor] = {}

    @property
    def forth(self) -> Tensor:
        """For inputs [..., in]."""
        return self._get("forth", self._weight)

    @property
    def back(self) -> Tensor:
        """For gradients [..., out]."""
        return self._get("back", lambda: self._weight().t().contiguous())

    def _get(self, direction: str, weight: Callable[[], Tensor]) -> Tensor:
        if direction not in self._packed:
            with torch.inference_mode(False), torch.no_grad():  # a pass without gradients may be the first to ask
                self._packed[direction] = torch.ops.mkldnn._reorder_linear_weight(weight())
        return self._packed[direction]


def multiply(rows: Tensor, packed: Tensor, bias: Tensor | None = None, then: str = "none") -> Tensor:
    """[rows, in] by a packed weight, plus bias: [rows, out]; ``then`` may be ``gelu``, computed on the way."""
    # the overload by name: finding it costs a third of a small product
    product: Tensor = torch.ops.mkldnn._linear_pointwise.default(rows, packed, bias, then, [], "none")
    return product


def _forward(linear: Any) -> Callable[[Tensor], Tensor]:
    weight = PackedWeight(linear.weight.detach)

    def forward(inputs: Tensor) -> Tensor:
        bias = linear.bias
        if torch.is_grad_enabled() and (inputs.requires_grad or (bias is not None and bias.requires_grad)):
            product: Tensor = _Product.apply(inputs, bias, weight)
            return product
        return _any_shape(inputs, weight.forth, bias)

    return forward


def _any_shape(inputs: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    shape = inputs.shape
    product = multiply(inputs.reshape(-1, shape[-1]), packed, bias)
    # no view: autograd forbids to change a view that a function of our own returned, as DeBERTa does in place
    found: Tensor = torch.ops.aten._unsafe_view.default(product, [*shape[:-1], product.shape[-1]])
    return found


class _Product(torch.autograd.Function):
    """Inputs [..., in] -> [..., out] float32, with gradients of inputs and bias."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, bias: Tensor | None, weight: PackedWeight) -> Tensor:
        ctx.weight = weight
        return _any_shape(inputs, weight.forth, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        of_inputs = _any_shape(gradient, ctx.weight.back, None) if ctx.needs_input_grad[0] else None
        of_bias = gradient.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return of_inputs, of_bias, None
