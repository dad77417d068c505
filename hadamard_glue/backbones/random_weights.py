"""The control of every claim about pretraining: a backbone's own architecture with the weights it begins with."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.errors import InputError

#: Raised by any change that gives other weights.
_VERSION = 1
_SEED = 20230701  # any constant; a run's seed does not touch it, as it does not touch pretrained weights


def random_digest(tokenizer_digest: str, weights: list[Path]) -> str:
    """What stands for the content of the weights: architecture, tokenizer, and which tensors the checkpoint held.

    The last, because a tensor that it lacked is part of the head; their values do not count.

    Args:
        tokenizer_digest: of tokenizer files and config.
        weights: the checkpoint's files.

    Raises:
        InputError: a file of weights that cannot be read.
    """
    held = sorted({name for file in weights for name in _tensor_names(file)})
    return hashlib.sha256(f"random weights {_VERSION} {tokenizer_digest} {json.dumps(held)}".encode()).hexdigest()


def randomise(model: PreTrainedModel, anatomy: Anatomy) -> None:
    """Give the backbone, in place, the weights that transformers initialises it with; always the same ones.

    The global random state is left as it was, and the number of labels has no part in what is drawn.
    """
    settings = copy.deepcopy(model.config)
    settings.num_labels = 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        fresh = AutoModelForSequenceClassification.from_config(settings, dtype=torch.float32)
    with torch.no_grad():
        for name in anatomy.backbone:
            model.get_parameter(name).copy_(fresh.get_parameter(name))


def _tensor_names(file: Path) -> list[str]:
    """The tensors of one file; a pickle stands for itself, for its names are known only once it is read."""
    if file.suffix == ".json":
        return []  # an index: its shards are named beside it
    if file.suffix != ".safetensors":
        with open(file, "rb") as stream:
            return [hashlib.file_digest(stream, "sha256").hexdigest()]
    try:
        with safe_open(file, framework="pt") as opened:
            return list(opened.keys())
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
