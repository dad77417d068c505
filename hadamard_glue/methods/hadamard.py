"""The Hadamard adapter as a method of this harness; the adapter itself is the PEFT tuner in hadamard_tuner.py."""

from __future__ import annotations

from transformers import PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.config import HadamardMethod
from hadamard_glue.methods.hadamard_tuner import HadamardConfig, HadamardModel
from hadamard_glue.methods.plan import Plan, grouped, new_parameters


def apply_hadamard(model: PreTrainedModel, anatomy: Anatomy, config: HadamardMethod) -> Plan:
    """W * A + b on the self-attention output of the chosen layers, and the chosen norms of the same layers (Fig. 3).

    Raises:
        InputError: a layer beyond the last.
    """
    before = [name for name, _ in model.named_parameters()]
    HadamardModel(model, HadamardConfig(site=config.site, norm=config.norm, layers=config.layers), "default")
    added = new_parameters(model, before, "hadamard_")
    norm = [name for name in added if ".hadamard_norm." in name]
    return Plan(model, grouped(adapter=[name for name in added if name not in set(norm)], norm=norm))
