"""Where everything is in a backbone: one table of dotted paths per family, checked when a model is at hand.

Nothing is found by suffix or by class: a path that does not exist is an error that names the layer and the path.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

from torch import nn
from transformers import PreTrainedModel

from hadamard_glue.errors import InputError


@dataclass(frozen=True)
class Layer:
    """Dotted module paths of one layer: relative to the layer in the tables, from the model's root once resolved."""

    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    ffn_in: str
    ffn_out: str
    ffn_norm: str
    path: str = ""

    def below(self, prefix: str) -> Layer:
        """The same paths below ``prefix``, which becomes the layer's own path."""
        paths = {field.name: f"{prefix}.{getattr(self, field.name)}" for field in fields(self)}
        return Layer(**{**paths, "path": prefix})


@dataclass(frozen=True)
class Stack:
    """A ``ModuleList`` of layers that look alike."""

    path: str
    layer: Layer


@dataclass(frozen=True)
class FamilyTable:
    """One family: its stacks in the order in which layers are counted, and the modules a checkpoint may lack."""

    stacks: tuple[Stack, ...]
    pooler: str | None


_BERT_LAYER = Layer(
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    ffn_norm="output.LayerNorm",
)
# BART's decoder layers have cross-attention beside this; the paper's adapter acts on self-attention only.
_BART_LAYER = Layer(
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention_output="self_attn.out_proj",
    attention_norm="self_attn_layer_norm",
    ffn_in="fc1",
    ffn_out="fc2",
    ffn_norm="final_layer_norm",
)

FAMILIES: dict[str, FamilyTable] = {
    "bert": FamilyTable((Stack("bert.encoder.layer", _BERT_LAYER),), pooler="bert.pooler"),
    "bart": FamilyTable(
        (Stack("model.encoder.layers", _BART_LAYER), Stack("model.decoder.layers", _BART_LAYER)), pooler=None
    ),
}


@dataclass(frozen=True)
class Anatomy:
    """A model's parts by exact name.

    Attributes:
        family: key of :data:`FAMILIES`.
        layers: resolved module paths, encoder before decoder.
        head_modules: modules that make up the head: the children outside the base model, and a pooler that the
            checkpoint did not hold.
        head: parameter names of the head.
        backbone: parameter names of everything else; their number of elements is the denominator of every percentage.
        biases: the bias vectors among ``backbone`` (BitFit's set).
        backbone_total: number of elements of ``backbone``.
    """

    family: str
    layers: tuple[Layer, ...]
    head_modules: tuple[str, ...]
    head: tuple[str, ...]
    backbone: tuple[str, ...]
    biases: tuple[str, ...]
    backbone_total: int

    @property
    def pooler_is_new(self) -> bool:
        """Whether the pooler is part of the head because the checkpoint did not hold it."""
        return FAMILIES[self.family].pooler in self.head_modules

    def chosen(self, layers: str | Collection[int]) -> tuple[Layer, ...]:
        """The layers that a method works on.

        Args:
            layers: ``"all"`` or indices.

        Raises:
            InputError: an index beyond the last layer.
        """
        if isinstance(layers, str):
            return self.layers
        beyond = [index for index in layers if index >= len(self.layers)]
        if beyond:
            raise InputError(f"method.layers={sorted(layers)}: this backbone has layers 0 to {len(self.layers) - 1}")
        return tuple(self.layers[index] for index in sorted(layers))


def family_table(family: str) -> FamilyTable:
    """The table of a family.

    Raises:
        InputError: a family that is not supported.
    """
    if family not in FAMILIES:
        raise InputError(f"unsupported backbone family {family!r} (supported: {', '.join(FAMILIES)})")
    return FAMILIES[family]


def resolve(model: PreTrainedModel, absent: Collection[str] = ()) -> Anatomy:
    """Resolve and check the anatomy of a sequence classification model, before any injection.

    Args:
        model: the model, on any device (``meta`` included).
        absent: names of the parameters that the checkpoint did not hold.

    Raises:
        InputError: an unsupported family, or a path of its table that this model lacks.
    """
    family = str(model.config.model_type)
    table = family_table(family)
    modules = dict(model.named_modules())
    layers = tuple(layer for stack in table.stacks for layer in _resolve_stack(modules, stack, family))
    base = model.base_model_prefix
    head_modules = [name for name, child in model.named_children() if name != base]
    if table.pooler is not None and any(name.startswith(f"{table.pooler}.") for name in absent):
        head_modules.insert(0, table.pooler)
    names = {name: parameter.numel() for name, parameter in model.named_parameters()}
    head = tuple(name for name in names if _below(name, head_modules))
    backbone = tuple(name for name in names if name not in set(head))
    return Anatomy(
        family=family,
        layers=layers,
        head_modules=tuple(head_modules),
        head=head,
        backbone=backbone,
        biases=tuple(name for name in backbone if name.rpartition(".")[2] == "bias"),
        backbone_total=sum(names[name] for name in backbone),
    )


def _resolve_stack(modules: dict[str, nn.Module], stack: Stack, family: str) -> list[Layer]:
    if stack.path not in modules:
        raise InputError(f"this {family} model has no {stack.path!r}, where its layers should be")
    resolved = []
    for index in range(len(list(modules[stack.path].children()))):
        layer = stack.layer.below(f"{stack.path}.{index}")
        for field in fields(layer):
            if getattr(layer, field.name) not in modules:
                raise InputError(
                    f"layer {index} of this {family} model has no {getattr(layer, field.name)!r} ({field.name})"
                )
        resolved.append(layer)
    return resolved


def _below(name: str, modules: Collection[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)
