"""Which modules a method acts on, by full path: what its settings name, looked up in the anatomy."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy, Layer
from hadamard_glue.config import LibraryMethod, LoraMethod
from hadamard_glue.errors import Unsupported

ATTENTION = ("query", "key", "value", "attention_output")


def target_paths(anatomy: Anatomy, config: LoraMethod | LibraryMethod) -> tuple[str, ...]:
    """The modules that ``config.targets`` names in the chosen layers, each once.

    DeBERTa v1 computes query, key and value in one projection: naming any of them names it.

    Raises:
        Unsupported: a layer beyond the last, or cross-attention asked of layers without it.
    """
    layers = anatomy.chosen(config.layers)
    paths = [path for layer in layers for name in config.targets if name != "norms" for path in _of(layer, name, False)]
    if config.cross_attention:
        crossed = [layer for layer in layers if layer.cross is not None]
        if not crossed:
            raise Unsupported(f"method.cross_attention=true: no layer chosen of this {anatomy.family} has it")
        paths += [path for layer in crossed for name in config.targets for path in _of(layer, name, True)]
    if "norms" in config.targets:
        paths += norm_paths(anatomy, config.layers)
    return tuple(dict.fromkeys(paths))


def norm_paths(anatomy: Anatomy, layers: str | Iterable[int]) -> tuple[str, ...]:
    """Every norm of the backbone; with layers given, those of these layers alone.

    Raises:
        Unsupported: a layer beyond the last.
    """
    if isinstance(layers, str):
        return anatomy.norms
    return tuple(path for layer in anatomy.chosen(tuple(layers)) for path in layer.norms)


def parameters_below(model: PreTrainedModel, paths: Iterable[str]) -> tuple[str, ...]:
    """Names of all parameters of the modules at ``paths``."""
    return tuple(f"{path}.{name}" for path in paths for name, _ in model.get_submodule(path).named_parameters())


def _of(layer: Layer, name: str, cross: bool) -> list[str]:
    if not cross:
        return [getattr(layer, name)]
    return [getattr(layer.cross, name)] if name in ATTENTION else []
