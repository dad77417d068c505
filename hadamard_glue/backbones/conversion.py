"""Weights that exist only as a pickle (``pytorch_model.bin``; DeBERTa v3 on the hub), converted once to safetensors.

No code of a pickle is ever run: transformers' loader reads plain tensors alone (``weights_only``).
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers.modeling_utils import load_state_dict

from hadamard_glue.cache import cache_folder
from hadamard_glue.errors import InputError

logger = logging.getLogger(__name__)

_WEIGHTS, _CHECKSUM = "model.safetensors", "model.safetensors.sha256"
_FORMAT = 1


def converted(pickle: Path) -> Path:
    """A folder of the cache with the same tensors as ``model.safetensors``, made where it is absent or damaged.

    It is named by the content of ``pickle``, so that equal files in several places share it.

    Raises:
        InputError: a file that is damaged, that holds more than tensors, or a cache that cannot be written.
    """
    folder = cache_folder() / "converted" / f"{_sha256(pickle)}-{_FORMAT}"
    if not _is_whole(folder):
        _write(folder, _read(pickle))
        logger.info("%s: converted to %s", pickle, folder / _WEIGHTS)
    return folder


def _read(pickle: Path) -> dict[str, Tensor]:
    try:
        stored = load_state_dict(pickle, weights_only=True)
    except Exception as error:  # a damaged archive or pickle makes torch raise nearly anything
        raise InputError(
            f"{pickle} cannot be read as plain tensors: it is damaged, or holds pickled code, which is never run"
        ) from error
    if not isinstance(stored, dict) or not stored or not all(isinstance(name, str) for name in stored):
        raise InputError(f"{pickle} is no checkpoint: expected tensors by name")
    for name, value in stored.items():
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            raise InputError(f"{pickle} is no checkpoint: {name!r} is no dense tensor")
    # safetensors keeps no two names for one memory, as tied weights have
    return {name: value.detach().clone().contiguous() for name, value in stored.items()}


def _is_whole(folder: Path) -> bool:
    try:
        return (folder / _CHECKSUM).read_text(encoding="ascii") == _sha256(folder / _WEIGHTS)
    except (OSError, UnicodeDecodeError):
        return False


def _write(folder: Path, tensors: dict[str, Tensor]) -> None:
    mark = uuid.uuid4().hex
    weights, checksum = folder / f".{_WEIGHTS}.{mark}", folder / f".{_CHECKSUM}.{mark}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            save_file(tensors, weights, metadata={"format": "pt"})
            checksum.write_text(_sha256(weights), encoding="ascii")
            weights.replace(folder / _WEIGHTS)
            checksum.replace(folder / _CHECKSUM)
        finally:
            weights.unlink(missing_ok=True)
            checksum.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: converted weights cannot be written ({error.strerror or error}); "
                         "set HADAMARD_GLUE_CACHE to a folder that can") from error  # fmt: skip


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
