"""Finding a backbone's files, digesting them, and loading them as float32 models."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from hadamard_glue.backbones.anatomy import Anatomy, resolve
from hadamard_glue.backbones.conversion import converted
from hadamard_glue.backbones.families import family_table
from hadamard_glue.backbones.hub import PICKLE, SAFETENSORS, SAFETENSORS_INDEX, snapshot
from hadamard_glue.backbones.random_weights import random_digest, randomise
from hadamard_glue.config import BackboneConfig
from hadamard_glue.errors import InputError

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spm.model",
    "sentencepiece.bpe.model",
)
#: ``backbone.path=package:FOLDER`` is a folder of this package, wherever it is installed.
_PACKAGE = "package:"
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spm.model", "sentencepiece.bpe.model")


@dataclass(frozen=True)
class Located:
    """A backbone whose files lie on this machine.

    Attributes:
        name: the config's name; for a custom backbone ``<folder>-<8 hex of the digest>``; with ``-random`` behind it
            for the control.
        family: from its config.json.
        folder: where the files are.
        digest: sha256 over weights, config and tokenizer files, by content; of random weights over what decides them.
        tokenizer_digest: the same over the tokenizer files and the config alone.
        revision: the commit on the hub, None for a directory.
        pickle: the weights, where they exist as a pickle alone; :func:`load` converts them once into our cache.
        random: :func:`load` puts random weights in the place of the pretrained ones.
    """

    name: str
    family: str
    folder: Path
    digest: str
    tokenizer_digest: str
    revision: str | None
    pickle: Path | None = None
    random: bool = False

    @property
    def weights(self) -> Path:
        """The folder of the safetensors; converting first where there are none.

        Raises:
            InputError: a pickle that is damaged or holds more than tensors.
        """
        return self.folder if self.pickle is None else converted(self.pickle)


@dataclass
class Backbone:
    """A loaded model with its anatomy; float32, eval mode, on the CPU."""

    model: PreTrainedModel
    anatomy: Anatomy


def locate(config: BackboneConfig) -> Located:
    """Find a backbone's files, in a directory or through the hub's cache, and digest them.

    Raises:
        InputError: a folder or file that is missing, an unsupported family, a hub that cannot be reached.
    """
    folder, revision = _folder(config)
    settings = _read_config(folder)
    family = str(settings.get("model_type"))
    family_table(family)
    _check_architecture(config, settings, family)
    weights = _weight_files(folder)
    tokenizer_files = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    if not any(file.name in _VOCABULARIES for file in tokenizer_files):
        raise InputError(f"backbone folder {folder} has no tokenizer (expected one of {', '.join(_VOCABULARIES)})")
    digest = _digest([folder / "config.json", *weights, *tokenizer_files])
    name = config.name
    if name == "custom":
        stem = folder.name if revision is None else config.path.rpartition("/")[2]
        name = f"{stem}-{digest[:8]}"
    tokenizer_digest = _digest([folder / "config.json", *tokenizer_files])
    pickle = weights[0] if weights[0].name == PICKLE else None
    random = config.weights == "random"
    if random:
        name, digest = f"{name}-random", random_digest(tokenizer_digest, weights)
    return Located(name, family, folder, digest, tokenizer_digest, revision, pickle, random)


def load(located: Located, num_labels: int) -> Backbone:
    """Load the weights as float32, whatever dtype the file holds, with a fresh head of ``num_labels`` outputs.

    Raises:
        InputError: weights that are damaged, or that lack a part of the backbone.
    """
    _quiet()
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            located.weights,
            config=AutoConfig.from_pretrained(located.folder, num_labels=num_labels, local_files_only=True),
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # a head of another width is thrown away; anything else is refused below
            output_loading_info=True,
        )
    except (SafetensorError, StrictDataclassError, OSError, ValueError, RuntimeError) as error:
        raise InputError(f"backbone {located.folder} cannot be loaded: {_first_line(error)}") from error
    mismatched = [entry[0] if isinstance(entry, tuple) else entry for entry in info["mismatched_keys"]]
    anatomy = resolve(model, absent=info["missing_keys"])
    lacking = sorted((set(info["missing_keys"]) | set(mismatched)) & set(anatomy.backbone))
    if lacking:
        raise InputError(f"backbone {located.folder}: its weights lack {lacking[0]!r} ({len(lacking)} in all)")
    if located.random:
        randomise(model, anatomy)
    # a checkpoint may come with requires_grad, tied heads or training mode of its own: start from one known state
    return Backbone(model.eval().requires_grad_(False), anatomy)


def load_tokenizer(located: Located) -> Any:
    """The backbone's own fast tokenizer.

    Raises:
        InputError: tokenizer files that cannot be read, or that give no fast tokenizer.
    """
    _quiet()
    try:
        tokenizer = AutoTokenizer.from_pretrained(located.folder, local_files_only=True)
    except Exception as error:  # tokenizers raises bare Exception for a damaged file
        raise InputError(f"tokenizer in {located.folder} cannot be loaded: {_first_line(error)}") from error
    if not tokenizer.is_fast:
        raise InputError(f"tokenizer in {located.folder} has no fast version")
    return _with_one_separator(tokenizer) if type(tokenizer).__name__ == "DebertaTokenizer" else tokenizer


def _with_one_separator(tokenizer: Any) -> Any:
    """DeBERTa v1's tokenizer as the model was pretrained: ``[CLS] A [SEP] B [SEP]``.

    The class of transformers 5 puts RoBERTa's two separators between A and B, and does so again after it is saved and
    loaded; the general class keeps what it is given.
    """
    first, last = tokenizer.cls_token, tokenizer.sep_token
    core = tokenizer.backend_tokenizer
    core.post_processor = TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B:1 {last}:1",
        special_tokens=[(first, tokenizer.cls_token_id), (last, tokenizer.sep_token_id)],
    )
    named = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=tokenizer.model_max_length, **named)


def skeleton(config: BackboneConfig, num_labels: int) -> Backbone:
    """The model without weights (meta device), for counting parameters: from the config's architecture numbers, or from
    the config.json of a backbone that comes with the package.

    Raises:
        InputError: a config without family or architecture, such as ``custom``.
    """
    if config.path.startswith(_PACKAGE):
        settings = AutoConfig.from_pretrained(_folder(config)[0], num_labels=num_labels, local_files_only=True)
    elif config.family is None or config.architecture is None:
        raise InputError(f"backbone={config.name} gives no architecture, so its parameters cannot be counted unread")
    else:
        family_table(config.family)
        settings = AutoConfig.for_model(config.family, num_labels=num_labels, **config.architecture)
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(settings)
    return Backbone(model.eval().requires_grad_(False), resolve(model))


def _folder(config: BackboneConfig) -> tuple[Path, str | None]:
    if config.path.startswith(_PACKAGE):
        folder = Path(__file__).parents[1] / config.path.removeprefix(_PACKAGE)
        if not folder.is_dir():
            raise InputError(f"backbone.path={config.path}: this installation has no such folder")
        return folder, None
    path = Path(config.path).expanduser()
    if path.is_dir():
        return path.resolve(), None
    if config.path.startswith((".", "/", "~")) or config.path.count("/") > 1:
        raise InputError(f"backbone.path={config.path}: no such folder")
    folder = snapshot(config.path, config.revision, _TOKENIZER_FILES)
    return folder, folder.name


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"backbone folder {folder} has no config.json") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{folder / 'config.json'} is not valid JSON") from error
    if not isinstance(settings, dict) or "model_type" not in settings:
        raise InputError(f"{folder / 'config.json'} names no model_type")
    return settings


def _check_architecture(config: BackboneConfig, settings: dict[str, Any], family: str) -> None:
    """A folder given for a named backbone must be that backbone: tables would carry the wrong name otherwise."""
    if config.family is not None and config.family != family:
        raise InputError(f"backbone={config.name} is of family {config.family}, but {config.path} holds {family!r}")
    for key, expected in (config.architecture or {}).items():
        if key in settings and _plain(settings[key]) != _plain(expected):
            raise InputError(
                f"backbone={config.name} has {key} {expected}, but {config.path} has {settings[key]}; "
                "use backbone=custom"
            )


def _plain(value: Any) -> Any:
    """DeBERTa's ``pos_att_type``, a set, is written ``c2p|p2c`` on the hub and as a list by transformers."""
    parts = value.split("|") if isinstance(value, str) else value
    return sorted(parts) if isinstance(parts, list) else parts


def _weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights: safetensors, else a pickle."""
    single, index = folder / SAFETENSORS, folder / SAFETENSORS_INDEX
    if single.is_file():
        return [single]
    if not index.is_file() and (folder / PICKLE).is_file():
        return [folder / PICKLE]
    if not index.is_file():
        raise InputError(f"backbone folder {folder} has no weights (expected {SAFETENSORS} or {PICKLE})")
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{index} is no index of weight files") from error
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing:
        raise InputError(f"backbone folder {folder} lacks the weight file {missing[0]}")
    return [index, *(folder / shard for shard in shards)]


def _digest(files: list[Path]) -> str:
    total = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        status = file.stat()
        total.update(f"{file.name} {_file_digest(file, status.st_size, status.st_mtime_ns)}\n".encode())
    return total.hexdigest()


@functools.lru_cache(maxsize=256)
def _file_digest(file: Path, size: int, modified: int) -> str:
    """sha256 of a file; size and time of change are arguments so that a changed file is read again."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _quiet() -> None:
    """The loading report of transformers repeats on every load what :func:`load` checks once."""
    if "TRANSFORMERS_VERBOSITY" not in os.environ:
        transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
