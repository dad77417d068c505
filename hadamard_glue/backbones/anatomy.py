"""A model's parts by exact name: the table of its family (families.py), resolved and checked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from hadamard_glue.backbones.families import FAMILIES, Layer, Stack, family_table
from hadamard_glue.errors import InputError, Unsupported

__all__ = ["FAMILIES", "Anatomy", "Layer", "family_table", "resolve", "usable_positions"]


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
        norms: module paths of every LayerNorm of the backbone, those outside the layers first.
        backbone_total: number of elements of ``backbone``.
    """

    family: str
    layers: tuple[Layer, ...]
    head_modules: tuple[str, ...]
    head: tuple[str, ...]
    backbone: tuple[str, ...]
    biases: tuple[str, ...]
    norms: tuple[str, ...]
    backbone_total: int

    @property
    def pooler_is_new(self) -> bool:
        """Whether the pooler is part of the head: DeBERTa's always, BERT's where the checkpoint did not hold it."""
        return FAMILIES[self.family].pooler in self.head_modules

    def chosen(self, layers: str | Collection[int]) -> tuple[Layer, ...]:
        """The layers that a method works on.

        Args:
            layers: ``"all"`` or indices.

        Raises:
            Unsupported: an index beyond the last layer.
        """
        if isinstance(layers, str):
            return self.layers
        beyond = [index for index in layers if index >= len(self.layers)]
        if beyond:
            raise Unsupported(f"method.layers={sorted(layers)}: this backbone has layers 0 to {len(self.layers) - 1}")
        return tuple(self.layers[index] for index in sorted(layers))


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
    layers: tuple[Layer, ...] = ()
    for stack in table.stacks:
        layers += _resolve_stack(modules, stack, family, first=len(layers))
    for path in table.norms:
        if path not in modules:
            raise InputError(f"this {family} model has no {path!r}, where a norm should be")
    outer_norms = (*table.norms, *(path for path in table.optional_norms if path in modules))
    names = {name: parameter.numel() for name, parameter in model.named_parameters()}
    for index, layer in enumerate(layers):
        if layer.query_bias not in names:
            raise InputError(f"layer {index} of this {family} model has no {layer.query_bias!r} (query_bias)")
    base = model.base_model_prefix
    head_modules = [name for name, child in model.named_children() if name != base]
    pooler = table.pooler
    if pooler is not None and pooler not in head_modules and any(_below(name, [pooler]) for name in absent):
        head_modules.insert(0, pooler)
    head = tuple(name for name in names if _below(name, head_modules))
    backbone = tuple(name for name in names if name not in set(head))
    return Anatomy(
        family=family,
        layers=layers,
        head_modules=tuple(head_modules),
        head=head,
        backbone=backbone,
        biases=tuple(name for name in backbone if name.rpartition(".")[2] in table.bias_names),
        norms=(*outer_norms, *(path for layer in layers for path in layer.norms)),
        backbone_total=sum(names[name] for name in backbone),
    )


def usable_positions(model: PreTrainedModel) -> int | None:
    """The longest row of tokens that a model can take; ``None`` if its positions are relative alone."""
    settings = model.config
    positions = getattr(settings, "max_position_embeddings", None)
    if positions is None or not getattr(settings, "position_biased_input", True):
        return None
    if family_table(str(settings.model_type)).positions_after_padding:
        return int(positions) - int(settings.pad_token_id) - 1
    return int(positions)


def _resolve_stack(modules: dict[str, nn.Module], stack: Stack, family: str, first: int) -> tuple[Layer, ...]:
    if stack.path not in modules:
        raise InputError(f"this {family} model has no {stack.path!r}, where its layers should be")
    resolved = []
    for index in range(len(list(modules[stack.path].children()))):
        layer = stack.layer.below(f"{stack.path}.{index}")
        for name, path in layer.modules().items():
            if path not in modules:
                raise InputError(f"layer {first + index} of this {family} model has no {path!r} ({name})")
        resolved.append(layer)
    return tuple(resolved)


def _below(name: str, modules: Collection[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)
