"""Dropout on the CPU for a fraction of torch's cost: sixteen random bits for each element instead of a draw of its own.

torch draws every element of a mask one after the other on one core, which took a tenth of stage 2 and more. The law
is the same: every element is kept with probability 1 - p, independently, and divided by it; p is rounded to 1/65536.
CUDA has a fused kernel, so nothing of this is used there.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hadamard_glue.training.device import Device, derived_seed

_DRAWS = 1 << 16


def dropout_of(model: Any, device: Device, seed: int, purpose: str) -> contextlib.AbstractContextManager[object]:
    """While open, dropout on the CPU has masks that follow from seed and purpose alone.

    Nothing for a model without dropout, since every call to torch costs a little more while it is open.
    """
    if device.is_cuda or not _drops(model):
        return contextlib.nullcontext()
    return _CheapMasks(derived_seed(seed, purpose))


def _drops(model: Any) -> bool:
    """Whether a module drops, or the config says so: BART's layers hold plain numbers."""
    settings = vars(model.config) if hasattr(model, "config") else {}
    named = [value for name, value in settings.items() if "drop" in name and isinstance(value, float)]
    return any(p > 0 for p in [*named, *(module.p for module in model.modules() if isinstance(module, nn.Dropout))])


class _CheapMasks(TorchFunctionMode):
    """Answers torch's dropout, and its attention where that drops weights; every other function is torch's own."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._bits = np.random.SFC64(seed)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.nn.functional.dropout:
            return self._dropout(func, *args, **kwargs)
        if func is torch.nn.functional.scaled_dot_product_attention and kwargs.get("dropout_p", 0.0) > 0.0:
            grouped = kwargs.pop("enable_gqa", False)  # fewer key heads than query heads, as in none of our families
            return func(*args, **kwargs, enable_gqa=True) if grouped else self._attention(*args, **kwargs)
        return func(*args, **kwargs)

    def _dropout(
        self,
        plain: Callable[..., Tensor],
        input: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> Tensor:
        if not training or not 0.0 < p < 1.0 or inplace:
            return plain(input, p, training, inplace)
        return input * self._mask(input, p)

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
    ) -> Tensor:
        """Softmax of scaled products, dropout, weighted sum, as torch's own without its fused kernels."""
        scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        scores = (query * scale) @ key.transpose(-2, -1)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is not None:
            scores = scores + _additive(attn_mask, scores.dtype)
        weights = torch.softmax(scores, dim=-1)
        return (weights * self._mask(weights, dropout_p)) @ value

    def _mask(self, like: Tensor, p: float) -> Tensor:
        """0 or 1 / (1 - p) for every element, of the tensor's shape and dtype."""
        count, dropped = like.numel(), min(round(p * _DRAWS), _DRAWS - 1)
        draws = np.asarray(self._bits.random_raw(-(-count // 4))).view(np.uint16)[:count]
        kept = torch.from_numpy((draws >= dropped).view(np.int8))  # numpy compares, torch widens: each the faster
        return kept.to(like.dtype).mul_(_DRAWS / (_DRAWS - dropped)).view(like.shape)


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to scores: finite, so a row that sees nothing gives no NaN."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
