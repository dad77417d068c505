"""Rows to token ids, flat in memory (no padding) and cached on disk by content."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
import transformers
from safetensors import SafetensorError
from safetensors.numpy import save_file
from transformers import PreTrainedTokenizerBase

from hadamard_glue.cache import making
from hadamard_glue.errors import InputError
from hadamard_glue.glue.rows import Rows

logger = logging.getLogger(__name__)

_FORMAT = 1  # of the cache files; raise it when what they hold changes
_DTYPES = {"I8": np.int8, "I32": np.int32, "I64": np.int64}
_CHUNK = 4096  # rows tokenized at once: enough for all cores, and few enough Python lists to keep memory flat


@dataclass(frozen=True)
class Encoded:
    """One split as token ids. Row ``i`` is ``input_ids[offsets[i]:offsets[i + 1]]``.

    Attributes:
        split: our name of it.
        input_ids: int32, shape [tokens], special tokens included, no padding.
        offsets: int64, shape [rows + 1].
        token_type_ids: int8, shape [tokens], or ``None`` where the tokenizer has none.
        labels: shape [rows]; int64 class ids, or float32 scores.
    """

    split: str
    input_ids: np.ndarray
    offsets: np.ndarray
    token_type_ids: np.ndarray | None
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row: int64, shape [rows]."""
        return np.diff(self.offsets)


def encode(
    rows: Rows,
    tokenizer: PreTrainedTokenizerBase,
    tokenizer_digest: str,
    max_length: int,
    cache_dir: Path | None,
) -> Encoded:
    """Tokenize a split, or read it from the cache.

    A pair that is too long loses tokens of its longer text first; special tokens are always kept.

    Args:
        rows: the split.
        tokenizer: a Hugging Face tokenizer (a fast one, for speed).
        tokenizer_digest: stands for the tokenizer's content in the cache's key.
        max_length: the most tokens of a row, special tokens included.
        cache_dir: where cache files lie, made where absent; ``None`` caches nothing.

    Raises:
        InputError: ``max_length`` leaves no room for text, or the cache cannot be written.
    """
    special = tokenizer.num_special_tokens_to_add(pair=rows.second is not None)
    if max_length <= special:
        raise InputError(f"max_length={max_length} is too small: {special} special tokens leave no room for text")
    file = None if cache_dir is None else cache_dir / f"{_key(rows, tokenizer_digest, max_length)}.safetensors"
    if file is None:
        arrays = _tokenize(rows, tokenizer, max_length)
    else:
        arrays = _read(file, len(rows)) or _make(file, rows, tokenizer, max_length)
    return Encoded(rows.split, arrays["input_ids"], arrays["offsets"], arrays.get("token_type_ids"), rows.labels)


def _make(file: Path, rows: Rows, tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, np.ndarray]:
    try:
        with making(file):
            arrays = _read(file, len(rows))  # another process may have made it while this one waited
            if arrays is None:
                arrays = _tokenize(rows, tokenizer, max_length)
                _write(file, arrays)
                arrays = _read(file, len(rows)) or arrays  # mapped, so that memory holds no second copy
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{file.parent}: the cache of encoded data cannot be written ({error}); "
            "set HADAMARD_GLUE_CACHE to a folder that can"
        ) from error
    return arrays


def _key(rows: Rows, tokenizer_digest: str, max_length: int) -> str:
    # The libraries' versions are in it because the same tokenizer file may be read differently by the next
    # ones. Labels are not: they are not in the cache.
    versions = f"{transformers.__version__} {tokenizers.__version__}"
    digest = hashlib.sha256(f"{_FORMAT} {versions} {tokenizer_digest} {max_length} ".encode())
    for chunk in rows.text_bytes():
        digest.update(chunk)
    return digest.hexdigest()


def _tokenize(rows: Rows, tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, np.ndarray]:
    ids, types, lengths = [], [], []
    for start in range(0, len(rows), _CHUNK):
        second = None if rows.second is None else rows.second[start : start + _CHUNK]
        batch = tokenizer(
            rows.first[start : start + _CHUNK],
            second,
            truncation="longest_first",
            max_length=max_length,
            return_attention_mask=False,
        )
        ids.append(_flat(batch["input_ids"], np.int32))
        lengths.append(np.fromiter(map(len, batch["input_ids"]), dtype=np.int64))
        if "token_type_ids" in batch:
            types.append(_flat(batch["token_type_ids"], np.int8))
    arrays = {
        "input_ids": np.concatenate([np.empty(0, np.int32), *ids]),
        "offsets": np.concatenate([[0], np.cumsum(np.concatenate([np.empty(0, np.int64), *lengths]))]).astype(np.int64),
    }
    if types:
        arrays["token_type_ids"] = np.concatenate(types)
    return arrays


def _flat(lists: list[list[int]], dtype: type[np.generic]) -> np.ndarray:
    return np.fromiter(itertools.chain.from_iterable(lists), dtype=dtype, count=sum(map(len, lists)))


def _read(file: Path, rows: int) -> dict[str, np.ndarray] | None:
    """The cached arrays, or ``None`` where there are none or they are damaged."""
    if not file.is_file():
        return None
    try:
        arrays, checksum = _mapped(file)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s: damaged cache file, made anew (%s)", file, error)
        return None
    if checksum != _checksum(arrays) or len(arrays["offsets"]) != rows + 1:
        logger.warning("%s: damaged cache file, made anew (checksum)", file)
        return None
    return arrays


def _mapped(file: Path) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of a safetensors file, memory-mapped and read-only, and the checksum that it names.

    safetensors itself reads them into memory; the format is a length, a JSON header, and the arrays one by one. We only
    ever replace such a file as a whole, which leaves what is mapped of the old one alone.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError: it is something else, or cut short.
    """
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > file.stat().st_size:
            raise ValueError("cut short")
        header = json.loads(stream.read(length))
        checksum = header.pop("__metadata__")["sha256"]
        arrays = {}
        for name, entry in header.items():
            shape, start = tuple(entry["shape"]), 8 + length + entry["data_offsets"][0]
            dtype = _DTYPES[entry["dtype"]]
            empty = 0 in shape  # which cannot be mapped
            found = np.empty(shape, dtype) if empty else np.memmap(stream, dtype, "r", start, shape)
            arrays[name] = np.asarray(found)  # plain arrays: those of memmap are slower to take rows from
    return arrays, checksum


def _write(file: Path, arrays: dict[str, np.ndarray]) -> None:
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        save_file(arrays, temporary, metadata={"sha256": _checksum(arrays)})
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
