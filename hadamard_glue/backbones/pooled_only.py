"""The last layer only where it is read: at the pooled position.

No other token of it reaches the head, so its query, its attention's output and its feed-forward block are computed for
that one token of each row; keys and values still see every token. The numbers are those of the whole layer, up to the
order of float32 sums. Only while :func:`last_layer_at` is open, so who asks the model for hidden states gets all.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.backbones.forwards import forwards


@contextlib.contextmanager
def last_layer_at(model: Any, anatomy: Anatomy, position: Tensor | None = None) -> Iterator[None]:
    """Compute the last layer at one position; ``last_hidden_state`` is then [batch, 1, hidden].

    Where that would not give the same numbers (a decoder, a convolution over the last layer), nothing is changed.

    Args:
        position: of each row, [batch] int64, for BART; token 0 for the other families.
    """
    last = model.get_submodule(anatomy.layers[-1].path)
    forward: Callable[..., Any]
    if anatomy.family == "bart":
        assert position is not None
        narrowed, forward = last, _bart_layer(last, position)
    elif getattr(model.config, "is_decoder", False) or _convolved(model, anatomy):
        yield
        return
    elif anatomy.family.startswith("deberta"):
        # the position terms of its attention want as many queries as keys, so only what follows is narrowed
        narrowed, forward = last.attention.output, _first_token(last.attention.output)
    else:
        narrowed, forward = last.attention, _bert_attention(last.attention)
    with forwards([(narrowed, forward)]):  # what PEFT put inside is called as ever
        yield


def _convolved(model: Any, anatomy: Anatomy) -> bool:
    """Whether a convolution over tokens follows the last layer: DeBERTa v2's follows the first."""
    return len(anatomy.layers) == 1 and getattr(model.base_model.encoder, "conv", None) is not None


def _first_token(module: nn.Module) -> Callable[..., Tensor]:
    plain = module.forward

    def forward(*inputs: Tensor) -> Tensor:
        return plain(*(_first(tensor) for tensor in inputs))

    return forward


def _first(hidden: Tensor) -> Tensor:
    """[batch, 1, hidden]; a slice in place would be multiplied row by row when no gradient is asked for."""
    return hidden[:, :1].contiguous()


def _bert_attention(attention: Any) -> Callable[..., tuple[Tensor, None]]:
    """The attention of BERT, RoBERTa and ELECTRA with token 0 as its one query."""
    own: Any = attention.self
    plain = sys.modules[type(own).__module__].eager_attention_forward

    def forward(hidden: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> tuple[Tensor, None]:
        first = _first(hidden)
        query, key, value = (
            project(tokens).unflatten(-1, (-1, own.attention_head_size)).transpose(1, 2)
            for project, tokens in ((own.query, first), (own.key, hidden), (own.value, hidden))
        )
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(own.config._attn_implementation, plain)
        mask = attention_mask if attention_mask is None else attention_mask[:, :, :1]
        dropout = own.dropout.p if own.training else 0.0
        mixed, _ = attend(own, query, key, value, mask, dropout=dropout, scaling=own.scaling, **_of_attention(kwargs))
        return attention.output(mixed.flatten(2), first), None

    return forward


def _bart_layer(layer: Any, position: Tensor) -> Callable[..., Tensor]:
    """BART's decoder layer for the token at ``position`` of each row alone."""

    def forward(
        hidden: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> Tensor:
        rows = torch.arange(len(hidden), device=hidden.device)
        here = hidden[rows, position].unsqueeze(1)
        mask = _row_of_mask(attention_mask, hidden, rows, position)
        mixed, _ = layer.self_attn(here, key_value_states=hidden, attention_mask=mask, **kwargs)
        here = layer.self_attn_layer_norm(here + _drop(layer, mixed, layer.dropout))
        across = encoder_attention_mask if encoder_attention_mask is None else encoder_attention_mask[:, :, :1]
        mixed, _ = layer.encoder_attn(here, key_value_states=encoder_hidden_states, attention_mask=across, **kwargs)
        here = layer.encoder_attn_layer_norm(here + _drop(layer, mixed, layer.dropout))
        inner = _drop(layer, layer.activation_fn(layer.fc1(here)), layer.activation_dropout)
        return layer.final_layer_norm(here + _drop(layer, layer.fc2(inner), layer.dropout))

    return forward


def _row_of_mask(mask: Tensor | None, hidden: Tensor, rows: Tensor, position: Tensor) -> Tensor:
    """Which tokens the one query of each row sees, [batch, 1, 1, tokens]: the causal mask's row of its position."""
    if mask is None:  # causal by a flag, which holds for as many queries as keys only
        tokens = torch.arange(hidden.shape[1], device=hidden.device)
        return (tokens <= position.unsqueeze(1))[:, None, None]
    return mask.expand(len(hidden), -1, -1, -1)[rows, :, position].unsqueeze(2)


def _drop(layer: Any, hidden: Tensor, p: float) -> Tensor:
    return nn.functional.dropout(hidden, p=p, training=layer.training)


def _of_attention(kwargs: dict[str, Any]) -> dict[str, Any]:
    """What a layer hands to its attention function: not the cache, nor another stack's states."""
    others = ("past_key_values", "encoder_hidden_states", "encoder_attention_mask", "use_cache")
    return {name: value for name, value in kwargs.items() if name not in others}
