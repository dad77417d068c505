"""Which rows go together, and how they become padded tensors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from hadamard_glue.glue.encoding import Encoded

_POOL_BATCHES = 50  # large enough that a batch's rows are almost equally long, small enough to mix the epoch well


def train_batches(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """One epoch of shuffled batches of rows of similar length.

    The rows are shuffled, cut into pools of 50 batches, sorted by length inside a pool, cut into batches, and
    the batches shuffled. Every row comes exactly once; one batch may be smaller than ``batch_size``.

    Args:
        lengths: tokens of each row, int, shape [rows].
        batch_size: rows of a batch.
        rng: drawn from when this is called, not while the batches are taken.

    Returns:
        an iterator of row indices, int64, shape [batch].

    Raises:
        ValueError: ``batch_size`` is below 1.
    """
    pools = _cut(rng.permutation(len(lengths)), batch_size * _POOL_BATCHES)
    batches = [batch for pool in pools for batch in _cut(_sorted(pool, lengths), batch_size)]
    return iter([batches[index] for index in rng.permutation(len(batches))])


def eval_batches(lengths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Batches for evaluation: the longest rows first (memory runs out at once or never), every row exactly
    once.

    Args and Raises: as :func:`train_batches`.
    """
    return iter(_cut(_sorted(np.arange(len(lengths)), lengths)[::-1], batch_size))


def collate(encoded: Encoded, indices: np.ndarray, pad_token_id: int) -> dict[str, torch.Tensor]:
    """Rows as tensors, padded on the right to the longest of them.

    Args:
        encoded: the split.
        indices: rows to take, int, shape [batch], at least one.
        pad_token_id: fills ``input_ids``; ``attention_mask`` and ``token_type_ids`` are filled with 0.

    Returns:
        ``input_ids``, ``attention_mask`` and, where the split has them, ``token_type_ids``: int64, shape
        [batch, longest]; ``labels``: int64 or float32, shape [batch].
    """
    starts = encoded.offsets[indices]
    lengths = encoded.offsets[indices + 1] - starts
    columns = np.arange(lengths.max())
    mask = columns < lengths[:, None]
    # Past a row's end the position is any valid one: the mask decides what is taken from there.
    positions = np.where(mask, starts[:, None] + columns, 0)
    batch = {
        "input_ids": torch.from_numpy(np.where(mask, encoded.input_ids[positions], pad_token_id).astype(np.int64)),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)),
    }
    if encoded.token_type_ids is not None:
        types = np.where(mask, encoded.token_type_ids[positions], 0)
        batch["token_type_ids"] = torch.from_numpy(types.astype(np.int64))
    batch["labels"] = torch.from_numpy(encoded.labels[indices])
    return batch


def _sorted(rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    return rows[np.argsort(lengths[rows], kind="stable")]


def _cut(rows: np.ndarray, size: int) -> list[np.ndarray]:
    if size < 1:
        raise ValueError("batch_size must be at least 1")
    return [rows[start : start + size] for start in range(0, len(rows), size)]
