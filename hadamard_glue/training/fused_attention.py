"""The first half of a layer, LN(x + dropout(attention's output)), Hadamard adapter included, as one function.

The attention is softmax(Q K^T / sqrt(d) + mask) V with weights dropped (Vaswani et al. 2017, section 3.2.1). With P the
softmax, D the dropout's mask (0 or 1 / (1 - p)) and O the weighted sum, the gradient of the scores is
P D dO V^T - P rowsum(dO O): the sums of rows need no pass over the weights (Dao et al. 2022, appendix B.4).

Scores lie as [keys, queries], so that the softmax over keys runs along whole vector registers: over rows of 12 keys
torch's softmax took 3.5 times as long.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hadamard_glue.methods.hadamard_tuner import ActingAdapter
from hadamard_glue.training.dropout import Masks
from hadamard_glue.training.fused_feed_forward import mask_of, norm_gradients, with_residual
from hadamard_glue.training.packed import PackedWeight, multiply

#: Tokens from which torch's flash kernel is faster where no gradient is asked for; it also spares the scores' memory.
_LONG = 96


class AttentionBlock:
    """Frozen projections; adapter and norm may train.

    Args:
        projections: of query, key and value.
        output: the attention output projection.
        scale: of the scores.
        weights_dropout: acts on the softmax, ``dropout`` before the residual sum.
    """

    def __init__(
        self,
        projections: list[nn.Linear],
        output: nn.Linear,
        heads: int,
        scale: float,
        weights_dropout: nn.Dropout,
        dropout: nn.Dropout,
        masks: Masks,
    ) -> None:
        pairs = list(zip(projections, (scale, 1.0, 1.0), strict=True))  # the query takes the scale of the scores
        self.heads = heads
        self.together = PackedWeight(lambda: torch.cat([linear.weight.detach() * by for linear, by in pairs]))
        self.together_bias = torch.cat([linear.bias.detach() * by for linear, by in pairs])
        self.output, self.output_bias = PackedWeight(output.weight.detach), output.bias
        self.weights_dropout, self.dropout, self.masks = weights_dropout, dropout, masks

    def __call__(
        self, hidden: Tensor, mask: Tensor | None, adapter: ActingAdapter | None, norm: nn.LayerNorm
    ) -> Tensor:
        """[batch, tokens, hidden] -> [batch * tokens, hidden]; ``mask`` [batch, 1, 1, tokens] joins the scores."""
        if torch.is_grad_enabled() or self.dropout.training:
            weight, bias, site = adapter or (None, None, None)
            found: Tensor = _Attention.apply(hidden, weight, bias, norm.weight, norm.bias, norm.eps, site, mask, self)
            return found
        by_head = self.by_head(hidden)
        if hidden.shape[1] < _LONG:
            *_, mixed = _attend(by_head.permute(2, 0, 3, 1, 4).contiguous(), mask, self)
        else:
            query, key, value = by_head.transpose(1, 3).unbind(2)
            mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)
        output = _projected(mixed.transpose(1, 2).reshape(-1, hidden.shape[-1]), self, adapter)[0]
        normed: Tensor = norm(output.add_(hidden.flatten(0, 1)))
        return normed

    def by_head(self, hidden: Tensor) -> Tensor:
        """Query, key and value, [batch, tokens, 3, heads, width]."""
        product = multiply(hidden.flatten(0, 1), self.together.forth, self.together_bias)
        return product.view(*hidden.shape[:2], 3, self.heads, -1)


def _projected(rows: Tensor, block: AttentionBlock, adapter: ActingAdapter | None) -> tuple[Tensor, Tensor | None]:
    """The heads' rows [rows, hidden] through projection and adapter, and what came into the adapter."""
    if adapter is not None and adapter.site == "heads":
        return multiply(_adapted(rows, adapter), block.output.forth, block.output_bias), rows
    output = multiply(rows, block.output.forth, block.output_bias)
    return (output, None) if adapter is None else (_adapted(output, adapter), output)


def _adapted(rows: Tensor, adapter: ActingAdapter) -> Tensor:
    return torch.addcmul(adapter.bias, rows, adapter.weight)


class _Attention(torch.autograd.Function):
    """Gradients of the hidden states, of the adapter's weight and bias, and of the norm's."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        adapter_weight: Any,
        adapter_bias: Any,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        site: str | None,
        mask: Tensor | None,
        block: AttentionBlock,
    ) -> Tensor:
        by_head = block.by_head(hidden).permute(2, 0, 3, 1, 4).contiguous()
        weights, dropped, mixed = _attend(by_head, mask, block)
        rows = mixed.transpose(1, 2).reshape(-1, hidden.shape[-1])
        adapter = None if site is None else ActingAdapter(adapter_weight, adapter_bias, site)
        output, adapted = _projected(rows, block, adapter)
        drop = mask_of(block.dropout, block.masks, output.shape)
        summed = with_residual(output, drop, hidden.flatten(0, 1))
        found, mean, deviation = torch.native_layer_norm(summed, weight.shape, weight, bias, eps)
        ctx.block, ctx.site, ctx.shape = block, site, hidden.shape
        ctx.save_for_backward(
            by_head, weights, dropped, rows, adapted, adapter_weight, drop, summed, mean, deviation, weight, bias
        )
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_head, weights, dropped, rows, adapted, adapter_weight, drop, *norm = ctx.saved_tensors
        below, *_, weight_trains, bias_trains = ctx.needs_input_grad[:5]
        residual, of_weight, of_bias = norm_gradients(gradients[0], norm, weight_trains, bias_trains)
        gradient = residual if drop is None else residual * drop
        of_hidden = of_adapter = of_adapter_bias = None
        if ctx.site == "projection":
            gradient, of_adapter, of_adapter_bias = _adapter_gradients(gradient, adapted, adapter_weight)
        if below or ctx.site == "heads":
            gradient = multiply(gradient, ctx.block.output.back)
        if ctx.site == "heads":
            gradient, of_adapter, of_adapter_bias = _adapter_gradients(gradient, adapted, adapter_weight)
        if below:
            of_rows = _attend_backward(gradient, rows, by_head, weights, dropped)
            of_hidden = multiply(of_rows, ctx.block.together.back).add_(residual).view(ctx.shape)
        return of_hidden, of_adapter, of_adapter_bias, of_weight, of_bias, None, None, None, None


def _attend(by_head: Tensor, mask: Tensor | None, block: AttentionBlock) -> tuple[Tensor, Tensor, Tensor]:
    """Softmax, the same with weights dropped [batch * heads, keys, queries], and sums [batch, heads, queries, width].

    Args:
        by_head: query, key and value, [3, batch, heads, tokens, width] contiguous.
    """
    query, key, value = by_head.flatten(1, 2)
    weights = torch.bmm(key, query.transpose(1, 2))
    if mask is not None:
        weights.view(*by_head.shape[1:4], -1).add_(mask.transpose(2, 3))
    torch.softmax(weights, dim=1, out=weights)
    drop = mask_of(block.weights_dropout, block.masks, weights.shape)
    dropped = weights if drop is None else drop.mul_(weights)
    return weights, dropped, torch.bmm(dropped.transpose(1, 2), value).view(by_head.shape[1:])


def _attend_backward(gradient: Tensor, rows: Tensor, by_head: Tensor, weights: Tensor, dropped: Tensor) -> Tensor:
    """Gradient of query, key and value, [rows, 3 hidden], from that of the heads' rows [rows, hidden]."""
    _, batch, heads, tokens, width = by_head.shape
    query, key, value = by_head.flatten(1, 2)
    shape = (batch, tokens, heads, width)
    sums = (gradient * rows).view(shape).sum(-1).transpose(1, 2).reshape(-1, 1, tokens)
    gradient = gradient.view(shape).transpose(1, 2).reshape(-1, tokens, width)
    of_scores = torch.bmm(value, gradient.transpose(1, 2)).mul_(dropped).addcmul_(weights, sums, value=-1)
    found = torch.empty_like(by_head)
    of_query, of_key, of_value = found.flatten(1, 2)
    torch.bmm(of_scores.transpose(1, 2), key, out=of_query)
    torch.bmm(of_scores, query, out=of_key)
    torch.bmm(dropped, gradient, out=of_value)
    return found.permute(1, 3, 0, 2, 4).reshape(batch * tokens, -1)


def _adapter_gradients(gradient: Tensor, inputs: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the adapter's input, W and b, from that of W * input + b."""
    return gradient * weight, (gradient * inputs).sum(0), gradient.sum(0)
