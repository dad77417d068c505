"""BitFit (Ben Zaken, Goldberg, Ravfogel, ACL 2022): the bias vectors of the backbone train, norms' biases included."""

from __future__ import annotations

from transformers import PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.config import BitFitMethod
from hadamard_glue.methods.plan import Plan, grouped


def apply_bitfit(model: PreTrainedModel, anatomy: Anatomy, config: BitFitMethod) -> Plan:
    """All biases of the backbone; with ``layers`` given, those of these layers alone (no embeddings, no pooler).

    Raises:
        InputError: a layer beyond the last.
    """
    if config.layers == "all":
        return Plan(model, grouped(bias=anatomy.biases))
    prefixes = tuple(f"{layer.path}." for layer in anatomy.chosen(config.layers))
    return Plan(model, grouped(bias=[name for name in anatomy.biases if name.startswith(prefixes)]))
