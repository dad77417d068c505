"""Opening a folder that ``export`` wrote, of either kind."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from hadamard_glue.backbones.loading import load
from hadamard_glue.errors import InputError
from hadamard_glue.export.finished import find_backbone, name_labels, quietly
from hadamard_glue.glue.tasks import TASKS, Task

#: What ``export`` writes about a folder, beside what transformers and PEFT read.
ABOUT = "hadamard_glue.json"
SCHEMA_VERSION = 1
#: The file of weights by format.
WEIGHTS = {"merged": "model.safetensors", "peft": "adapter_model.safetensors"}


@dataclass(frozen=True)
class Exported:
    """A model ready to predict: float32, eval mode, on the CPU."""

    model: Any
    tokenizer: Any
    task: Task
    max_length: int


def open_exported(folder: Path, backbone: str | None = None) -> Exported:
    """Open an exported folder.

    Args:
        backbone: for a PEFT folder, where its backbone is, if no longer at the recorded place.

    Raises:
        InputError: no such folder, one of another kind, damaged weights, or a backbone that is not the adapter's.
    """
    about = _read_about(folder)
    task = TASKS[about["task"]]
    _check_weights(folder / WEIGHTS[about["format"]], about["weights"])
    model = _open_merged(folder) if about["format"] == "merged" else _open_peft(folder, about, task, backbone)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # tokenizers raises bare Exception for a damaged file
        raise InputError(f"the tokenizer in {folder} cannot be loaded: {_line(error)}") from error
    return Exported(model.eval(), tokenizer, task, about["max_length"])


def _read_about(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{folder} was not written by export: it has no {ABOUT}") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{folder / ABOUT} cannot be read: {_line(error)}") from error
    if not isinstance(about, dict) or about.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{folder / ABOUT} is not of schema version {SCHEMA_VERSION}")
    return about


def digest_of(file: Path) -> str:
    """sha256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_weights(file: Path, digest: str) -> None:
    """A file cut short shows when it is loaded; changed bytes would not."""
    try:
        found = digest_of(file)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    if found != digest:
        raise InputError(f"{file} is damaged: it is not the file that export wrote")


def _open_merged(folder: Path) -> Any:
    transformers_logging.disable_progress_bar()
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise InputError(f"the model in {folder} cannot be loaded: {_line(error)}") from error
    lacking = sorted(info["missing_keys"])
    if lacking:
        raise InputError(f"the weights in {folder} lack {lacking[0]!r} ({len(lacking)} in all)")
    return model


def _open_peft(folder: Path, about: dict[str, Any], task: Task, path: str | None) -> Any:
    located = find_backbone(about["backbone"], about["backbone"]["digest"], path)
    base = load(located, task.num_labels).model
    name_labels(base, task)
    try:
        with quietly():
            return PeftModel.from_pretrained(base, str(folder), local_files_only=True)
    except InputError:
        raise
    except Exception as error:  # PEFT raises what comes up: KeyError, ValueError, RuntimeError, SafetensorError, ...
        raise InputError(f"the adapter in {folder} cannot be loaded: {_line(error)}") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
