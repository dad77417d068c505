"""Where everything is in a backbone: one table of dotted paths per family, checked by ``anatomy.resolve``.

Nothing is found by suffix or by class: a path that does not exist is an error that names the layer and the path.
"""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass, fields, replace
from typing import Literal

from hadamard_glue.errors import InputError


@dataclass(frozen=True)
class CrossAttention:
    """Dotted module paths of a decoder layer's attention to the encoder, as in :class:`Layer`."""

    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str


@dataclass(frozen=True)
class Layer:
    """Dotted module paths of one layer: relative to the layer in the tables, from the model's root once resolved.

    A projection that computes several of query, key and value at once stands in each of their places (DeBERTa v1's
    ``in_proj``); ``fused`` says so. ``query_bias`` is the one parameter here: the bias of the query is not always that
    of a module.
    """

    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    ffn_in: str
    ffn_out: str
    ffn_norm: str
    query_bias: str
    path: str = ""
    cross: CrossAttention | None = None

    def below(self, prefix: str) -> Layer:
        """The same paths below ``prefix``, which becomes the layer's own path."""
        cross = self.cross and CrossAttention(*(f"{prefix}.{path}" for path in astuple(self.cross)))
        own = {name: f"{prefix}.{path}" for name, path in self.modules().items() if "." not in name}
        return replace(self, **own, query_bias=f"{prefix}.{self.query_bias}", path=prefix, cross=cross)

    def modules(self) -> dict[str, str]:
        """Every module path by its name in the table, ``cross.query`` and the like included."""
        no_modules = ("query_bias", "path", "cross")
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in no_modules}
        cross = {} if self.cross is None else asdict(self.cross)
        return own | {f"cross.{name}": path for name, path in cross.items()}

    @property
    def norms(self) -> tuple[str, ...]:
        """Paths of the layer's norms."""
        return tuple(path for name, path in self.modules().items() if name.endswith("norm"))

    @property
    def fused(self) -> bool:
        """Whether one projection computes query, key and value, so that none of them can be had without the others."""
        return self.query == self.key == self.value


@dataclass(frozen=True)
class Stack:
    """A ``ModuleList`` of layers that look alike."""

    path: str
    layer: Layer


@dataclass(frozen=True)
class FamilyTable:
    """One family.

    Attributes:
        stacks: its stacks in the order in which layers are counted.
        norms: the norms outside the layers.
        head: how the head reads a pooled feature vector (head.py): ``linear``, dropout and one Linear; ``first_token``,
            a network that takes token 0 of a sequence; ``network``, one that takes the vector.
        pooler: the pooler between the backbone and a ``linear`` head; part of the backbone where it lies inside the
            base model and the checkpoint holds it.
        pooled_at: the position whose hidden state is pooled.
        optional_norms: norms outside the layers that only some configs of the family ask for.
        bias_names: what the family calls its bias vectors.
        positions_after_padding: position ids start after the padding id; those up to it are never used.
    """

    stacks: tuple[Stack, ...]
    norms: tuple[str, ...]
    head: Literal["linear", "first_token", "network"]
    pooler: str | None = None
    pooled_at: Literal["first", "last_eos"] = "first"
    optional_norms: tuple[str, ...] = ()
    bias_names: tuple[str, ...] = ("bias",)
    positions_after_padding: bool = False


_BERT_LAYER = Layer(
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    ffn_norm="output.LayerNorm",
    query_bias="attention.self.query.bias",
)
# One fused projection without a bias; those of query and value are parameters of the attention itself.
_DEBERTA_LAYER = replace(
    _BERT_LAYER,
    query="attention.self.in_proj",
    key="attention.self.in_proj",
    value="attention.self.in_proj",
    query_bias="attention.self.q_bias",
)
_DEBERTA_V2_LAYER = replace(
    _BERT_LAYER,
    query="attention.self.query_proj",
    key="attention.self.key_proj",
    value="attention.self.value_proj",
    query_bias="attention.self.query_proj.bias",
)
_BART_LAYER = Layer(
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention_output="self_attn.out_proj",
    attention_norm="self_attn_layer_norm",
    ffn_in="fc1",
    ffn_out="fc2",
    ffn_norm="final_layer_norm",
    query_bias="self_attn.q_proj.bias",
)
# The paper's adapter acts on self-attention only; what else acts on this is told so.
_BART_DECODER_LAYER = replace(
    _BART_LAYER,
    cross=CrossAttention(
        query="encoder_attn.q_proj",
        key="encoder_attn.k_proj",
        value="encoder_attn.v_proj",
        attention_output="encoder_attn.out_proj",
        attention_norm="encoder_attn_layer_norm",
    ),
)

FAMILIES: dict[str, FamilyTable] = {
    "bert": FamilyTable(
        (Stack("bert.encoder.layer", _BERT_LAYER),),
        norms=("bert.embeddings.LayerNorm",),
        head="linear",
        pooler="bert.pooler",
    ),
    "roberta": FamilyTable(
        (Stack("roberta.encoder.layer", _BERT_LAYER),),
        norms=("roberta.embeddings.LayerNorm",),
        head="first_token",
        positions_after_padding=True,
    ),
    "bart": FamilyTable(
        (Stack("model.encoder.layers", _BART_LAYER), Stack("model.decoder.layers", _BART_DECODER_LAYER)),
        norms=("model.encoder.layernorm_embedding", "model.decoder.layernorm_embedding"),
        head="network",
        pooled_at="last_eos",
    ),
    "electra": FamilyTable(
        (Stack("electra.encoder.layer", _BERT_LAYER),), norms=("electra.embeddings.LayerNorm",), head="first_token"
    ),
    "deberta": FamilyTable(
        (Stack("deberta.encoder.layer", _DEBERTA_LAYER),),
        norms=("deberta.embeddings.LayerNorm",),
        head="linear",
        pooler="pooler",
        bias_names=("bias", "q_bias", "v_bias"),
    ),
    "deberta-v2": FamilyTable(
        (Stack("deberta.encoder.layer", _DEBERTA_V2_LAYER),),
        norms=("deberta.embeddings.LayerNorm",),
        head="linear",
        pooler="pooler",
        # of the relative position embeddings (all of v3), and of the convolution (the large v2)
        optional_norms=("deberta.encoder.LayerNorm", "deberta.encoder.conv.LayerNorm"),
    ),
}


def family_table(family: str) -> FamilyTable:
    """The table of a family.

    Raises:
        InputError: a family that is not supported.
    """
    if family not in FAMILIES:
        raise InputError(f"unsupported backbone family {family!r} (supported: {', '.join(FAMILIES)})")
    return FAMILIES[family]
