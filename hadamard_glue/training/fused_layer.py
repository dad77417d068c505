"""A whole layer as two functions of our own, where the Hadamard adapter and norms are all that trains in it.

Between the matrix products of a layer lie some fifty small steps; as modules and automatic gradients each is a pass
over memory and a call of its own. Here query, key and value are one product, sums and masks are added in place, and
what a gradient does not need is not kept. BERT, RoBERTa and ELECTRA have this layer; on the CPU, in float32. The
numbers are those of the layer's own modules, up to the order of float32 sums, and so are the dropout masks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from hadamard_glue.backbones.anatomy import Anatomy, Layer
from hadamard_glue.backbones.forwards import forwards
from hadamard_glue.methods.hadamard_tuner import HadamardLinear, HadamardNorm
from hadamard_glue.training.device import Device
from hadamard_glue.training.dropout import Masks, additive
from hadamard_glue.training.fused_attention import AttentionBlock
from hadamard_glue.training.fused_feed_forward import FeedForwardBlock
from hadamard_glue.training.packed import can_pack, packable

_FAMILIES = ("bert", "roberta", "electra")


def fused_layers(model: Any, anatomy: Anatomy, device: Device, masks: Masks) -> contextlib.AbstractContextManager[None]:
    """While open, each layer that can be fused is; the last is not, of which one token alone is computed.

    A layer stays as it is where other weights than adapter and norms train, where a method put a module of another
    kind, or where a hook looks in. As with :func:`hadamard_glue.training.packed.frozen_packed`, what is frozen is
    taken when it opens.
    """
    config = model.config
    suits = anatomy.family in _FAMILIES and config.hidden_act == "gelu" and not getattr(config, "is_decoder", False)
    layers = anatomy.layers[:-1] if suits and can_pack(device) else ()
    parts = (_Parts(model, layer) for layer in layers)
    return forwards((part.layer, _forward(part, masks)) for part in parts if part.fit())


class _Parts:
    """The modules of a layer."""

    def __init__(self, model: nn.Module, layer: Layer) -> None:
        self.layer: Any = model.get_submodule(layer.path)
        get: Callable[[str], Any] = model.get_submodule
        self.projections = [get(layer.query), get(layer.key), get(layer.value)]
        self.output, self.attention_norm = get(layer.attention_output), get(layer.attention_norm)
        self.inner, self.outer, self.ffn_norm = get(layer.ffn_in), get(layer.ffn_out), get(layer.ffn_norm)

    def fit(self) -> bool:
        """Whether these are the modules that the functions know, and nobody looks in."""
        linears = [*self.projections, _linear(self.output), self.inner, self.outer]
        norms = [_acting_norm(self.attention_norm), _acting_norm(self.ffn_norm)]
        return (
            all(packable(module) and module.bias is not None and not module.bias.requires_grad for module in linears)
            and all(type(norm) is nn.LayerNorm for norm in norms)
            and not any(module._forward_hooks or module._forward_pre_hooks for module in self.layer.modules())
        )


def _linear(output: Any) -> Any:
    """The attention output projection itself."""
    return output.get_base_layer() if type(output) is HadamardLinear else output


def _acting_norm(norm: Any) -> Any:
    return norm.acting() if type(norm) is HadamardNorm else norm


def _forward(parts: _Parts, masks: Masks) -> Callable[..., Tensor]:
    plain, own = parts.layer.forward, parts.layer.attention.self
    attention = AttentionBlock(
        projections=parts.projections,
        output=_linear(parts.output),
        heads=own.num_attention_heads,
        scale=own.scaling,
        weights_dropout=own.dropout,
        dropout=parts.layer.attention.output.dropout,
        masks=masks,
    )
    feed_forward = FeedForwardBlock(parts.inner, parts.outer, parts.layer.output.dropout, masks)

    def forward(hidden: Tensor, attention_mask: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        if kwargs.get("past_key_values") is not None:  # keys and values that a method puts before the row's own
            return plain(hidden, attention_mask, *args, **kwargs)
        # every query sees the same keys
        mask = None if attention_mask is None else additive(attention_mask[:, :, :1], hidden.dtype)
        adapter = parts.output.acting() if type(parts.output) is HadamardLinear else None
        between = attention(hidden, mask, adapter, _acting_norm(parts.attention_norm))
        return feed_forward(between, _acting_norm(parts.ffn_norm)).view(hidden.shape)

    return forward
