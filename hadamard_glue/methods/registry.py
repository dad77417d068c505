"""From a method's config to its plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.config import Method
from hadamard_glue.methods.bitfit import apply_bitfit
from hadamard_glue.methods.full import apply_classifier, apply_full
from hadamard_glue.methods.hadamard import apply_hadamard
from hadamard_glue.methods.library import apply_lora
from hadamard_glue.methods.plan import Plan

METHODS: dict[str, Callable[[PreTrainedModel, Anatomy, Any], Plan]] = {
    "full": apply_full,
    "lora": apply_lora,
    "bitfit": apply_bitfit,
    "hadamard": apply_hadamard,
    "classifier": apply_classifier,
}


def apply(model: PreTrainedModel, anatomy: Anatomy, config: Method) -> Plan:
    """Apply a method to a model, in place; ``anatomy`` is the model's before injection.

    Draws an adapter's initial values from torch's global random state.

    Raises:
        InputError: a setting that this backbone cannot take, such as a layer it does not have.
    """
    return METHODS[config.name](model, anatomy, config)
