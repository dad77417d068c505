"""Dropout on the CPU for a fraction of torch's cost: sixteen random bits for each element instead of a draw of its own.

torch draws every element of a mask one after the other on one core, which took a tenth of stage 2 and more. The law
is the same: every element is kept with probability 1 - p, independently, and divided by it; p is rounded to 1/65536.
CUDA has a fused kernel, so nothing of this is used there.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hadamard_glue.training.device import Device

_DRAWS = 1 << 16


class Masks:
    """Dropout masks that follow from a seed and the order in which they are asked for."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.SFC64(seed)

    def draw(self, shape: torch.Size, p: float, dtype: torch.dtype = torch.float32) -> Tensor:
        """0 or 1 / (1 - p) for every element, in a new tensor.

        Args:
            p: the probability of 0, from 0 to 1, both excluded.
        """
        mask = torch.empty(shape, dtype=dtype)
        count, dropped = mask.numel(), min(round(p * _DRAWS), _DRAWS - 1)
        draws = np.asarray(self._bits.random_raw(-(-count // 4))).view(np.int16)[:count]
        torch.ge(torch.from_numpy(draws), dropped - _DRAWS // 2, out=mask.view(-1))  # ones and zeros, in one pass
        return mask.mul_(_DRAWS / (_DRAWS - dropped))


@contextlib.contextmanager
def dropout_of(model: Any, device: Device, masks: Masks) -> Iterator[None]:
    """While open, ``torch.nn.functional`` drops by ``masks`` on the CPU, in its attention too; else it is torch's own.

    Nothing for a model without dropout. In the whole process: a mode of torch's for this thread alone would stand
    between every call to torch, which took over a hundredth of stage 2.
    """
    if device.is_cuda or not _drops(model):
        yield
        return
    own = {"dropout": _dropout(masks), "scaled_dot_product_attention": _attention(masks)}
    before = {name: getattr(nn.functional, name) for name in own}
    for name, function in own.items():
        setattr(nn.functional, name, function)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(nn.functional, name, function)


def _drops(model: Any) -> bool:
    """Whether a module drops, or the config says so: BART's layers hold plain numbers."""
    settings = vars(model.config) if hasattr(model, "config") else {}
    named = [value for name, value in settings.items() if "drop" in name and isinstance(value, float)]
    return any(p > 0 for p in [*named, *(module.p for module in model.modules() if isinstance(module, nn.Dropout))])


def _dropout(masks: Masks) -> Callable[..., Tensor]:
    plain = nn.functional.dropout

    def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or not 0.0 < p < 1.0 or inplace:
            return plain(input, p, training, inplace)
        return input * masks.draw(input.shape, p, input.dtype)

    return dropout


def _attention(masks: Masks) -> Callable[..., Tensor]:
    plain = nn.functional.scaled_dot_product_attention

    def attention(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Softmax of scaled products, dropout, weighted sum, as torch's own without its fused kernels.

        Scores lie as [keys, queries], as in training/fused_attention.py, so both draw the same masks.
        """
        if dropout_p == 0.0 or enable_gqa:  # or fewer key heads than query heads, as in none of our families
            return plain(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
        scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        scores = key @ (query * scale).transpose(-2, -1)
        if is_causal:
            attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
        if attn_mask is not None:
            scores = scores + additive(attn_mask, scores.dtype).transpose(-2, -1)
        weights = torch.softmax(scores, dim=-2)
        return (weights * masks.draw(weights.shape, dropout_p, weights.dtype)).transpose(-2, -1) @ value

    return attention


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What an attention mask, bool or additive, adds to scores: finite, so a row that sees nothing gives no NaN."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
