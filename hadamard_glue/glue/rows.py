"""Rows: the texts and labels of one split, however they were stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rows:
    """One split.

    Attributes:
        split: our name of it: ``train``, ``dev``, ``dev_matched``, ``dev_mismatched``.
        first: the first text of every row, exactly as the file holds it (SST-2's trailing space too).
        second: the second text of every row, or ``None`` for tasks of single sentences.
        labels: shape [rows]; int64 class ids, or float32 scores in [0, 5] for STS-B.
    """

    split: str
    first: list[str]
    second: list[str] | None
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def take(self, indices: np.ndarray) -> Rows:
        """The rows at ``indices`` (int, shape [chosen]), in that order."""
        chosen = indices.tolist()
        second = None if self.second is None else [self.second[index] for index in chosen]
        return Rows(self.split, [self.first[index] for index in chosen], second, self.labels[indices])

    def text_bytes(self) -> Iterator[bytes]:
        """The texts as bytes to digest, with lengths: no two different splits give the same bytes."""
        for column in (self.first, self.second):
            encoded = [text.encode() for text in column or ()]
            yield b"none" if column is None else b"%d" % len(encoded)
            yield np.fromiter(map(len, encoded), dtype="<i8", count=len(encoded)).tobytes()
            yield b"".join(encoded)

    def label_bytes(self) -> bytes:
        """The labels as little-endian bytes to digest."""
        return self.labels.astype("<f4" if self.labels.dtype.kind == "f" else "<i8").tobytes()
