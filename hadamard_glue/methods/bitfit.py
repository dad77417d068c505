"""BitFit (Ben Zaken, Goldberg, Ravfogel, ACL 2022): the bias vectors of the backbone train, norms' biases included."""

from __future__ import annotations

from transformers import PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.config import BitFitMethod
from hadamard_glue.methods.plan import Plan, grouped


def apply_bitfit(model: PreTrainedModel, anatomy: Anatomy, config: BitFitMethod) -> Plan:
    """All biases of the backbone, or the paper's half of them: those of the query and of the middle of the MLP.

    With ``layers`` given, ``all`` takes those of these layers alone (no embeddings, no pooler). ``query_middle`` takes
    the self-attention's query, also in a decoder.

    Raises:
        Unsupported: a layer beyond the last.
    """
    layers = anatomy.chosen(config.layers)
    if config.biases == "query_middle":
        names = [name for layer in layers for name in (layer.query_bias, f"{layer.ffn_in}.bias")]
        return Plan(model, grouped(bias=names))
    if config.layers == "all":
        return Plan(model, grouped(bias=anatomy.biases))
    prefixes = tuple(f"{layer.path}." for layer in layers)
    return Plan(model, grouped(bias=[name for name in anatomy.biases if name.startswith(prefixes)]))
