"""The demo world's text as token ids, and batches of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hadamard_glue.glue.encoding import Encoded, encode
from hadamard_glue.glue.rows import Rows
from pretraining.vocabulary import MAX_LENGTH, SPECIAL

Document = tuple[str, str | None]


@dataclass(frozen=True)
class Batch:
    """Documents of one length, hence without padding.

    Attributes:
        ids: int64, shape [documents, length], special tokens included.
        types: segment ids of the same shape, or ``None`` where the tokenizer has none.
        documents: int64, shape [documents]: which documents these are.
        visit: how often they were seen before.
    """

    ids: Tensor
    types: Tensor | None
    documents: np.ndarray
    visit: int

    def uniform(self, seed: int, stream: int, visit: int) -> Tensor:
        """Numbers in [0, 1) of the shape of ``ids``: a pure function of the arguments, document and position."""
        key = _mixed(np.uint64(seed) ^ _mixed(np.uint64(stream) ^ _mixed(np.uint64(visit))))
        rows = _mixed(self.documents.astype(np.uint64) ^ key)
        bits = _mixed(rows[:, None] + np.arange(self.ids.shape[1], dtype=np.uint64)[None, :])
        return torch.from_numpy((bits >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)).to(self.ids.device)


@dataclass(frozen=True)
class Text:
    """Encoded documents, flat: document ``i`` is ``ids[offsets[i]:offsets[i + 1]]``; ``types`` beside ``ids``."""

    ids: np.ndarray
    types: np.ndarray | None
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def batches(self, size: int, seed: int, visit: int, device: torch.device) -> Iterator[Batch]:
        """Every document once, in batches of one length, in an order of ``seed`` and ``visit``.

        What is left of a length that fills batches waits for another visit: its few rows would weigh as much as a
        whole batch.
        """
        draw = np.random.default_rng([seed, visit])
        lengths = np.diff(self.offsets)
        order = draw.permutation(len(self))
        order = order[np.argsort(lengths[order], kind="stable")]
        cuts = np.flatnonzero(np.diff(lengths[order])) + 1
        chunks = []
        for group in np.split(order, cuts):
            full = len(group) - len(group) % size or len(group)
            chunks += [group[start : start + size] for start in range(0, full, size)]
        for chunk in draw.permutation(len(chunks)):
            yield self._batch(chunks[chunk], visit, device)

    def _batch(self, documents: np.ndarray, visit: int, device: torch.device) -> Batch:
        length = self.offsets[documents[0] + 1] - self.offsets[documents[0]]
        places = self.offsets[documents][:, None] + np.arange(length)[None, :]
        ids = torch.from_numpy(self.ids[places].astype(np.int64)).to(device)
        types = None if self.types is None else torch.from_numpy(self.types[places].astype(np.int64)).to(device)
        return Batch(ids, types, documents, visit)

    def unigram(self, vocabulary: int) -> Tensor:
        """Relative frequency of every token that is not special, one added to each: float32, shape [vocabulary]."""
        counts = np.bincount(self.ids, minlength=vocabulary) + 1.0
        counts[:SPECIAL] = 0
        return torch.from_numpy(counts / counts.sum()).float()

    def neighbours(self, vocabulary: int) -> Tensor:
        """How often each token follows each other one: float32, shape [vocabulary, vocabulary], first token first."""
        pairs = self.ids[:-1].astype(np.int64) * vocabulary + self.ids[1:]
        return torch.from_numpy(np.bincount(pairs, minlength=vocabulary**2).reshape(vocabulary, vocabulary)).float()


def encode_documents(documents: Iterable[Document], tokenizer: Any) -> Text:
    """Documents as the tasks' rows are encoded: single texts first, then pairs."""
    listed = list(documents)
    singles = [first for first, second in listed if second is None]
    pairs = [(first, second) for first, second in listed if second is not None]
    parts = []
    for first, other in ((singles, None), ([pair[0] for pair in pairs], [pair[1] for pair in pairs])):
        if first:
            rows = Rows("pretraining", first, other, np.zeros(len(first), np.int64))
            parts.append(encode(rows, tokenizer, "", MAX_LENGTH, None))
    return _joined(parts)


def _joined(parts: list[Encoded]) -> Text:
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))])
    types = [part.token_type_ids for part in parts if part.token_type_ids is not None]
    return Text(
        np.concatenate([part.input_ids for part in parts]),
        np.concatenate(types) if types else None,
        offsets.astype(np.int64),
    )


def endless(text: Text, size: int, seed: int, device: torch.device) -> Iterator[Batch]:
    """Visit after visit."""
    for visit in itertools.count():
        yield from text.batches(size, seed, visit, device)


def _mixed(value: Any) -> Any:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014); uint64 in, uint64 out."""
    with np.errstate(over="ignore"):
        value = value + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
