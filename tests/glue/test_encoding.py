"""Encoding: what the tokenizer gives, kept flat, and the same from the cache."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from hadamard_glue.errors import InputError
from hadamard_glue.glue.encoding import Encoded, encode
from hadamard_glue.glue.rows import Rows

Maker = Callable[..., PreTrainedTokenizerFast]

texts = st.lists(st.integers(0, 120), max_size=30).map(lambda words: " ".join(f"w{word}" for word in words))


def rows_of(pairs: list[tuple[str, str]], single: bool = False) -> Rows:
    second = None if single else [pair[1] for pair in pairs]
    return Rows("dev", [pair[0] for pair in pairs], second, np.arange(len(pairs), dtype=np.int64) % 2)


def assert_same(one: Encoded, other: Encoded) -> None:
    assert one.split == other.split
    for name in ("input_ids", "offsets", "token_type_ids", "labels"):
        left, right = getattr(one, name), getattr(other, name)
        if left is None or right is None:
            assert left is right
        else:
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=12), st.integers(4, 40), st.booleans(), st.booleans())
def test_rows_are_what_the_tokenizer_gives_and_specials_survive(
    make_tokenizer: Maker, pairs: list[tuple[str, str]], max_length: int, single: bool, types: bool
) -> None:
    tokenizer = make_tokenizer(types)
    rows = rows_of(pairs, single)
    encoded = encode(rows, tokenizer, "digest", max_length, None)
    assert len(encoded) == len(rows) == len(encoded.lengths)
    assert encoded.input_ids.dtype == np.int32
    assert encoded.offsets.dtype == np.int64
    assert (encoded.token_type_ids is None) == (not types or not pairs)
    separators = 1 if single else 2
    for index, pair in enumerate(pairs):
        part = slice(encoded.offsets[index], encoded.offsets[index + 1])
        # As lists of one, because a lone empty second text counts as no second text.
        second = None if single else [pair[1]]
        alone = tokenizer([pair[0]], second, truncation="longest_first", max_length=max_length)
        ids = encoded.input_ids[part].tolist()
        assert ids == alone["input_ids"][0]
        assert len(ids) <= max_length
        assert ids[0] == tokenizer.cls_token_id
        assert ids[-1] == tokenizer.sep_token_id
        assert ids.count(tokenizer.sep_token_id) == separators
        if encoded.token_type_ids is not None:
            assert encoded.token_type_ids[part].tolist() == alone["token_type_ids"][0]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=12), st.booleans(), st.booleans())
def test_cache_hit_equals_miss(
    make_tokenizer: Maker,
    tmp_path_factory: pytest.TempPathFactory,
    pairs: list[tuple[str, str]],
    single: bool,
    types: bool,
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    rows, tokenizer = rows_of(pairs, single), make_tokenizer(types)
    miss = encode(rows, tokenizer, "digest", 16, cache)
    assert sorted(file.suffix for file in cache.iterdir()) == ["", ".safetensors"]  # locks, and no temporary file
    hit = encode(rows, _unused(tokenizer), "digest", 16, cache)
    assert_same(hit, miss)
    assert_same(encode(rows, tokenizer, "digest", 16, None), miss)


def _unused(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """A tokenizer that fails when it is asked to tokenize."""

    class Unused:
        num_special_tokens_to_add = staticmethod(tokenizer.num_special_tokens_to_add)

    return Unused()  # type: ignore[return-value]


def test_of_several_at_once_one_tokenizes(make_tokenizer: Maker, tmp_path: Path) -> None:
    rows, plain, calls = rows_of([("w1 w2", "w3"), ("w4", "w5")]), make_tokenizer(), []

    class Slow:
        num_special_tokens_to_add = staticmethod(plain.num_special_tokens_to_add)

        def __call__(self, *arguments: Any, **named: Any) -> Any:
            calls.append(1)
            time.sleep(0.2)
            return plain(*arguments, **named)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: encode(rows, Slow(), "digest", 16, tmp_path), range(4)))  # type: ignore[arg-type]
    assert len(calls) == 1
    for one in found:
        assert_same(one, found[0])


def test_cache_is_keyed_by_texts_tokenizer_and_length(make_tokenizer: Maker, tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    rows = rows_of([("w1 w2", "w3"), ("w4", "w5")])
    encode(rows, tokenizer, "digest", 16, tmp_path)
    relabelled = Rows("train", rows.first, rows.second, np.array([2.5, 0], dtype=np.float32))
    again = encode(relabelled, _unused(tokenizer), "digest", 16, tmp_path)
    assert again.split == "train"
    assert again.labels.tolist() == [
        2.5,
        0,
    ]
    for other, digest, length in [
        (rows, "other", 16),
        (rows, "digest", 17),
        (rows_of([("w1", "w2 w3"), ("w4", "w5")]), "digest", 16),
        (rows_of([("w1 w2", ""), ("w4", "")], single=True), "digest", 16),
    ]:
        before = len(list(tmp_path.glob("*.safetensors")))
        encode(other, tokenizer, digest, length, tmp_path)
        assert len(list(tmp_path.glob("*.safetensors"))) == before + 1


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_damaged_cache_is_noticed_and_made_anew(
    damage: str, make_tokenizer: Maker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer, rows = make_tokenizer(), rows_of([("w1 w2", "w3"), ("w4", "w5")])
    good = encode(rows, tokenizer, "digest", 16, None)  # in memory: what is mapped dies with its file
    encode(rows, tokenizer, "digest", 16, tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    content = file.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    file.write_bytes({"cut": content[:-5], "flip": flipped, "empty": b"", "text": b"not safetensors"}[damage])
    with caplog.at_level(logging.WARNING):
        assert_same(encode(rows, tokenizer, "digest", 16, tmp_path), good)
    assert "damaged cache file, made anew" in caplog.text
    assert file.read_bytes() == content


def test_more_rows_than_one_chunk(make_tokenizer: Maker) -> None:
    rows = rows_of([(f"w{i % 100} " * (i % 7), "w1") for i in range(9000)])
    encoded = encode(rows, make_tokenizer(), "digest", 16, None)
    assert len(encoded) == 9000
    assert encoded.lengths.tolist() == [4 + i % 7 for i in range(9000)]


@pytest.mark.parametrize(("single", "room"), [(True, 3), (False, 4)])
def test_length_without_room_for_text(single: bool, room: int, make_tokenizer: Maker) -> None:
    rows = rows_of([("w1", "w2")], single)
    with pytest.raises(InputError, match="special tokens leave no room"):
        encode(rows, make_tokenizer(), "digest", room - 1, None)
    assert encode(rows, make_tokenizer(), "digest", room, None).lengths.max() == room


def test_cache_that_cannot_be_written(make_tokenizer: Maker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="HADAMARD_GLUE_CACHE") as caught:
        encode(rows_of([("w1", "w2")]), make_tokenizer(), "digest", 16, tmp_path / "file" / "cache")
    assert "\n" not in str(caught.value)
