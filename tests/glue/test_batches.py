"""Batches hold every row exactly once, and collate loses nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hadamard_glue.glue.batches import collate, eval_batches, train_batches
from hadamard_glue.glue.encoding import Encoded

lengths_of = st.lists(st.integers(1, 128), max_size=400).map(lambda values: np.array(values, dtype=np.int64))
ragged = st.lists(st.lists(st.integers(1, 30000), min_size=1, max_size=20), min_size=1, max_size=12)


def encoded_of(rows: list[list[int]], types: bool, scores: bool) -> Encoded:
    flat = np.array([token for row in rows for token in row], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    labels = np.arange(len(rows), dtype=np.float32 if scores else np.int64)
    return Encoded("dev", flat, offsets, (flat % 2).astype(np.int8) if types else None, labels)


@given(lengths_of, st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_every_row_exactly_once(lengths: np.ndarray, batch_size: int, seed: int) -> None:
    trained = list(train_batches(lengths, batch_size, np.random.default_rng(seed)))
    evaluated = list(eval_batches(lengths, batch_size))
    for batches in (trained, evaluated):
        assert sorted(int(row) for batch in batches for row in batch) == list(range(len(lengths)))
        assert len(batches) == -(-len(lengths) // batch_size)
        assert all(1 <= len(batch) <= batch_size for batch in batches)
        assert sum(len(batch) < batch_size for batch in batches) <= 1


def test_training_order_follows_the_generator_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 500)

    def epoch(seed: int) -> list[list[int]]:
        return [batch.tolist() for batch in train_batches(lengths, 16, np.random.default_rng(seed))]

    assert epoch(1) == epoch(1) != epoch(2)
    rng = np.random.default_rng(1)
    first = train_batches(lengths, 16, rng)
    second = [batch.tolist() for batch in train_batches(lengths, 16, rng)]
    assert [batch.tolist() for batch in first] == epoch(1) != second  # drawn when called, not when taken


def test_batches_are_bucketed_but_not_in_order_of_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 129, 5000)
    batches = list(train_batches(lengths, 32, np.random.default_rng(0)))
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    assert padded < 1.05 * lengths.sum()  # random batches would be about 1.9 times
    means = [lengths[batch].mean() for batch in batches]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.3
    longest = [int(lengths[batch].max()) for batch in eval_batches(lengths, 32)]
    assert longest == sorted(longest, reverse=True)


@pytest.mark.parametrize("size", [0, -1])
def test_batch_size_below_one(size: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        train_batches(np.ones(3, dtype=np.int64), size, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 1"):
        eval_batches(np.ones(3, dtype=np.int64), size)


@settings(deadline=None)
@given(ragged, st.booleans(), st.booleans(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_collate_round_trip(rows, types, scores, pad, random) -> None:  # type: ignore[no-untyped-def]
    encoded = encoded_of(rows, types, scores)
    indices = np.array(random.sample(range(len(rows)), random.randint(1, len(rows))))
    batch = collate(encoded, indices, pad)
    longest = max(len(rows[index]) for index in indices)
    assert set(batch) == {"input_ids", "attention_mask", "labels"} | ({"token_type_ids"} if types else set())
    for name in set(batch) - {"labels"}:
        assert batch[name].dtype == torch.int64
        assert batch[name].shape == (len(indices), longest)
    assert batch["labels"].dtype == (torch.float32 if scores else torch.int64)
    assert batch["labels"].tolist() == indices.tolist()
    for place, index in enumerate(indices):
        mask = batch["attention_mask"][place].bool()
        assert mask.tolist() == [True] * len(rows[index]) + [False] * (longest - len(rows[index]))
        assert batch["input_ids"][place][mask].tolist() == rows[index]
        assert (batch["input_ids"][place][~mask] == pad).all()
        if types:
            assert batch["token_type_ids"][place][mask].tolist() == [token % 2 for token in rows[index]]
            assert (batch["token_type_ids"][place][~mask] == 0).all()
