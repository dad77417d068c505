"""From a method's config to its plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.config import LibraryMethod, LoraMethod, Method
from hadamard_glue.methods.bitfit import apply_bitfit
from hadamard_glue.methods.full import apply_classifier, apply_full
from hadamard_glue.methods.hadamard import apply_hadamard
from hadamard_glue.methods.houlsby import apply_bottleneck
from hadamard_glue.methods.library import apply_library, apply_lora, check_library
from hadamard_glue.methods.plan import Plan
from hadamard_glue.methods.targets import target_paths

#: The methods of this harness by name; a name that is not here is a row's own, of a method of the PEFT library.
METHODS: dict[str, Callable[[PreTrainedModel, Anatomy, Any], Plan]] = {
    "full": apply_full,
    "houlsby": apply_bottleneck,
    "pfeiffer": apply_bottleneck,
    "lora": apply_lora,
    "bitfit": apply_bitfit,
    "hadamard": apply_hadamard,
    "classifier": apply_classifier,
}


def apply(model: PreTrainedModel, anatomy: Anatomy, config: Method) -> Plan:
    """Apply a method to a model, in place; ``anatomy`` is the model's before injection.

    Draws an adapter's initial values from torch's global random state.

    Raises:
        Unsupported: a setting that this backbone cannot take, such as a layer it does not have.
    """
    return METHODS.get(config.name, apply_library)(model, anatomy, config)


def check_method(anatomy: Anatomy, config: Method) -> None:
    """Refuse a method that a backbone cannot take, as far as its anatomy tells; changes nothing.

    Raises:
        Unsupported: as :func:`apply`.
    """
    anatomy.chosen(getattr(config, "layers", "all"))
    if isinstance(config, LibraryMethod):
        check_library(anatomy, config)
    elif isinstance(config, LoraMethod):
        target_paths(anatomy, config)
