"""Products with frozen weights, faster on the CPU: each weight is laid out for its matrix kernels once a stage.

A general product lays out its weight anew at every call. A frozen weight stays as it is for a whole stage, so oneDNN
packs it once: as it stands for the product, transposed for the gradient of the input; the weight itself has none. The
numbers are those of ``nn.Linear`` up to the order of float32 sums.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from hadamard_glue.training.device import Device

#: Elements of the smallest weight that is packed. At this size, bert-tiny's feed-forward, it neither saved nor cost
#: time: a call of our own function eats up what the product gains.
_SMALLEST = 256 * 256


@contextlib.contextmanager
def frozen_packed(model: nn.Module, device: Device) -> Iterator[None]:
    """While open, linear layers whose weights are frozen multiply with packed copies; nothing on CUDA or in bf16.

    Which weights are frozen is taken when it opens, what they hold at a layer's first call; neither may change before
    it closes. The copies take once more the memory of these weights, twice where gradients go through them.
    """
    packed = [module for module in model.modules() if _packable(module)] if _supported(device) else []
    for module in packed:
        module.forward = _forward(module)  # of this instance: hooks, and what PEFT put around it, act as ever
    try:
        yield
    finally:
        for module in packed:
            del module.forward


def _supported(device: Device) -> bool:
    return not device.is_cuda and device.precision == "float32" and torch.backends.mkldnn.is_available()


def _packable(module: nn.Module) -> bool:
    if type(module) is not nn.Linear:
        return False
    weight = module.weight
    return not weight.requires_grad and weight.dtype == torch.float32 and weight.numel() >= _SMALLEST


def _forward(linear: Any) -> Callable[[Tensor], Tensor]:
    weight = _PackedWeight(linear.weight.detach())

    def forward(inputs: Tensor) -> Tensor:
        bias = linear.bias
        if torch.is_grad_enabled() and (inputs.requires_grad or (bias is not None and bias.requires_grad)):
            product: Tensor = _Product.apply(inputs, bias, weight)
            return product
        return _multiply(inputs, weight.forth, bias)

    return forward


class _PackedWeight:
    """A frozen weight [out, in] float32 packed for either direction, each when it is first asked for."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight
        self._packed: dict[str, Tensor] = {}

    @property
    def forth(self) -> Tensor:
        """For inputs [..., in]."""
        return self._get("forth", lambda: self._weight)

    @property
    def back(self) -> Tensor:
        """For gradients [..., out]."""
        return self._get("back", lambda: self._weight.t().contiguous())

    def _get(self, direction: str, weight: Callable[[], Tensor]) -> Tensor:
        if direction not in self._packed:
            with torch.inference_mode(False), torch.no_grad():  # a pass without gradients may be the first to ask
                self._packed[direction] = torch.ops.mkldnn._reorder_linear_weight(weight())
        return self._packed[direction]


def _multiply(inputs: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    rows = inputs.reshape(-1, inputs.shape[-1])
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")
    # no view: autograd forbids to change a view that a function of our own returned, as DeBERTa does in place
    return torch.ops.aten._unsafe_view(product, [*inputs.shape[:-1], product.shape[-1]])


class _Product(torch.autograd.Function):
    """Inputs [..., in] -> [..., out] float32, with gradients of inputs and bias."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, bias: Tensor | None, weight: _PackedWeight) -> Tensor:
        ctx.weight = weight
        return _multiply(inputs, weight.forth, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        of_inputs = _multiply(gradient, ctx.weight.back, None) if ctx.needs_input_grad[0] else None
        of_bias = gradient.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return of_inputs, of_bias, None
