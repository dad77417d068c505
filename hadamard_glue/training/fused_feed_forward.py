"""The second half of a layer, LN(x + dropout(W2 gelu(W1 x + b1) + b2)), as one function with its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hadamard_glue.training.dropout import Masks
from hadamard_glue.training.packed import PackedWeight, multiply


class FeedForwardBlock:
    """Frozen weights W1, b1, W2, b2 (``inner``, ``outer``); the norm may train."""

    def __init__(self, inner: nn.Linear, outer: nn.Linear, dropout: nn.Dropout, masks: Masks) -> None:
        self.inner, self.inner_bias = PackedWeight(inner.weight.detach), inner.bias
        self.outer, self.outer_bias = PackedWeight(outer.weight.detach), outer.bias
        self._dropout, self._masks = dropout, masks

    def __call__(self, rows: Tensor, norm: nn.LayerNorm) -> Tensor:
        """[rows, hidden] -> [rows, hidden]."""
        if torch.is_grad_enabled() or self._dropout.training:
            found: Tensor = _FeedForward.apply(rows, norm.weight, norm.bias, norm.eps, self)
            return found
        inner = multiply(rows, self.inner.forth, self.inner_bias, then="gelu")
        normed: Tensor = norm(multiply(inner, self.outer.forth, self.outer_bias).add_(rows))
        return normed

    def mask(self, like: Tensor) -> Tensor | None:
        """Of the dropout before the residual sum."""
        return mask_of(self._dropout, self._masks, like.shape)


class _FeedForward(torch.autograd.Function):
    """Gradients of rows, and of the norm's weight and bias."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, eps: float, block: FeedForwardBlock) -> Tensor:
        inner = multiply(rows, block.inner.forth, block.inner_bias)
        output = multiply(torch.nn.functional.gelu(inner), block.outer.forth, block.outer_bias)
        mask = block.mask(output)
        summed = with_residual(output, mask, rows)
        found, mean, deviation = torch.native_layer_norm(summed, weight.shape, weight, bias, eps)
        ctx.block = block
        ctx.save_for_backward(inner, mask, summed, mean, deviation, weight, bias)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inner, mask, *norm = ctx.saved_tensors
        residual, of_weight, of_bias = norm_gradients(gradients[0], norm, *ctx.needs_input_grad[1:3])
        if not ctx.needs_input_grad[0]:
            return None, of_weight, of_bias, None, None
        of_output = residual if mask is None else residual * mask
        of_inner = multiply(of_output, ctx.block.outer.back)
        torch.ops.aten.gelu_backward.grad_input(of_inner, inner, grad_input=of_inner)
        return multiply(of_inner, ctx.block.inner.back).add_(residual), of_weight, of_bias, None, None


def mask_of(dropout: nn.Dropout, masks: Masks, shape: torch.Size) -> Tensor | None:
    """A dropout module's mask, or none where it keeps everything."""
    return masks.draw(shape, dropout.p) if dropout.training and dropout.p > 0 else None


def with_residual(output: Tensor, mask: Tensor | None, residual: Tensor) -> Tensor:
    """output * mask + residual, written over ``output``."""
    return output.add_(residual) if mask is None else torch.addcmul(residual, output, mask, out=output)


def norm_gradients(
    gradient: Tensor, saved: list[Tensor], weight_trains: bool, bias_trains: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of a norm's input, and of its weight and bias where they train.

    Args:
        saved: the norm's input, mean, reciprocal deviation, weight and bias.
    """
    summed, mean, deviation, weight, bias = saved
    found: tuple[Tensor, Tensor | None, Tensor | None] = torch.ops.aten.native_layer_norm_backward(
        gradient, summed, weight.shape, mean, deviation, weight, bias, [True, weight_trains, bias_trains]
    )
    return found
