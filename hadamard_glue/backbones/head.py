"""Pooled features and the head: ``head(pooled(batch))`` equals the stock model's logits in eval mode.

The two halves meet where the frozen backbone ends, so that stage 1 runs the first half once (training/features.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.backbones.families import FAMILIES
from hadamard_glue.backbones.pooled_only import last_layer_at


def pooled(model: Any, anatomy: Anatomy, batch: Mapping[str, Tensor], whole: bool = False) -> Tensor:
    """The backbone's feature vector of each row.

    Args:
        batch: ``input_ids`` and ``attention_mask`` [batch, tokens] int64, and ``token_type_ids`` where there are such.
        whole: compute the last layer for every token, not only for the one that is read (pooled_only.py).

    Returns:
        [batch, hidden]: BERT's pretrained pooler output; BART's last EOS of the decoder; token 0 of every other family,
        and of a BERT whose checkpoint held no pooler.
    """
    inputs: dict[str, Any] = {
        name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch
    }
    table = FAMILIES[anatomy.family]
    position = None
    if table.pooled_at == "last_eos":
        position = _last_eos(model, inputs["input_ids"])
        inputs["use_cache"] = False
    with contextlib.nullcontext() if whole else last_layer_at(model, anatomy, position):
        output = model.base_model(**inputs)
    hidden: Tensor = output.last_hidden_state
    if position is not None and hidden.shape[1] > 1:  # whole, or the last layer left out by LayerDrop
        return hidden[torch.arange(len(hidden), device=hidden.device), position]
    pretrained_pooler = table.pooler is not None and not anatomy.pooler_is_new
    return output.pooler_output if pretrained_pooler else hidden[:, 0]


def head(model: Any, anatomy: Anatomy, features: Tensor) -> Tensor:
    """Logits [batch, labels] of pooled features [batch, hidden]."""
    table = FAMILIES[anatomy.family]
    if table.head == "network":
        return model.classification_head(features)
    if table.head == "first_token":
        return model.classifier(features.unsqueeze(1))  # the stock network takes token 0 of a sequence
    if anatomy.pooler_is_new:
        pooler = model.get_submodule(str(table.pooler))
        features = pooler(features.unsqueeze(1))  # the stock pooler takes token 0 of a sequence
    return model.classifier(model.dropout(features))


def initialise_head(model: PreTrainedModel, anatomy: Anatomy, seed: int) -> None:
    """Draw the head anew, as the family draws it, from ``seed`` alone; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for path in anatomy.head_modules:
            part = model.get_submodule(path)
            device = model.device
            part.to("cpu")  # so that a seed gives the same head on every device
            for module in part.modules():
                # transformers skips what it marked as initialised when the checkpoint was loaded
                for marked in (module, *module.parameters(recurse=False)):
                    setattr(marked, "_is_hf_initialized", False)  # noqa: B010 (neither type declares it)
                model._init_weights(module)
            part.to(device)


def _last_eos(model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    """Position of the last EOS of each row, [batch] int64, without a host synchronisation."""
    positions = torch.arange(input_ids.shape[1], device=input_ids.device)
    return (input_ids.eq(model.config.eos_token_id) * positions).argmax(dim=1)
