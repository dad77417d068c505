"""The CPU's dropout masks: the law of dropout, repeatable, and torch's attention around them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from hadamard_glue.training.device import Device
from hadamard_glue.training.dropout import Masks, dropout_of

CPU = Device(torch.device("cpu"), "float32")
MODEL = nn.Dropout(0.1)
NONE_DROPPED = 1e-9  # rounds to a mask that keeps everything


def drop(shape: tuple[int, ...], p: float, seed: int = 0) -> Tensor:
    with dropout_of(MODEL, CPU, Masks(seed)):
        return nn.functional.dropout(torch.ones(shape), p)


def functions() -> tuple[Callable[..., Tensor], ...]:
    return nn.functional.dropout, nn.functional.scaled_dot_product_attention


@given(p=st.floats(0.01, 0.99), seed=st.integers(0, 1000))
def test_kept_with_probability_1_minus_p_and_divided_by_it(p: float, seed: int) -> None:
    count = 40_000
    found = drop((count,), p, seed)
    kept = found[found != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - p)), rtol=1e-3, atol=0)
    assert abs(len(kept) / count - (1 - p)) < 6 * math.sqrt(p * (1 - p) / count)


def test_elements_are_dropped_independently() -> None:
    """Neighbours share a draw of 64 bits, and must not share their fate."""
    dropped = (drop((400_000,), 0.3) == 0).double()
    for distance in (1, 2, 3, 4, 5, 64):
        one, two = dropped[:-distance], dropped[distance:]
        assert abs(torch.corrcoef(torch.stack([one, two]))[0, 1]) < 6 / math.sqrt(len(one))


@given(shape=st.lists(st.integers(0, 7), max_size=4), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_any_shape_and_dtype(shape: list[int], dtype: torch.dtype) -> None:
    inputs = torch.ones(shape, dtype=dtype)
    with dropout_of(MODEL, CPU, Masks(0)):
        found = nn.functional.dropout(inputs, 0.5)
    assert (found.shape, found.dtype) == (inputs.shape, dtype)
    assert set(found.flatten().tolist()) <= {0.0, 2.0}


def test_masks_follow_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = drop((100,), 0.5)
    torch.manual_seed(2)
    assert torch.equal(first, drop((100,), 0.5))
    assert not torch.equal(first, drop((100,), 0.5, seed=1))


def test_the_gradient_passes_what_was_kept() -> None:
    inputs = torch.ones(50, requires_grad=True)
    with dropout_of(MODEL, CPU, Masks(0)):
        found = nn.Dropout(0.4)(inputs)
        found.sum().backward()
    assert inputs.grad is not None
    assert torch.equal(inputs.grad, found.detach())
    assert 0 < int((found == 0).sum()) < 50


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_and_everything(p: float) -> None:
    assert torch.equal(drop((9,), p), torch.full((9,), 1 - p))


def test_a_probability_that_rounds_to_1_keeps_its_scale_finite() -> None:
    assert torch.isfinite(drop((1000,), 1 - 1e-9)).all()


def test_eval_mode_and_in_place_are_torchs_own() -> None:
    inputs = torch.ones(1000)
    with dropout_of(MODEL, CPU, Masks(0)):
        assert nn.Dropout(0.5).eval()(inputs) is inputs
        assert nn.functional.dropout(inputs, 0.5, inplace=True) is inputs
    assert 300 < int((inputs == 0).sum()) < 700


def test_on_cuda_everything_is_torchs_own() -> None:
    plain = functions()
    with dropout_of(MODEL, Device(torch.device("cuda"), "float32"), Masks(0)):
        assert functions() == plain


def test_torchs_own_functions_come_back() -> None:
    plain = functions()
    with dropout_of(MODEL, CPU, Masks(0)):
        assert not set(functions()) & set(plain)
    assert functions() == plain
    with pytest.raises(ZeroDivisionError), dropout_of(MODEL, CPU, Masks(0)):
        raise ZeroDivisionError
    assert functions() == plain


@pytest.mark.parametrize("kind", ["bert", "bart", "deberta"])
def test_only_where_the_model_drops(tmp_path: Path, kind: str) -> None:
    build: Callable[..., Path] = tiny.BUILDERS[kind]
    for dropout, expected in ((0.0, False), (0.1, True)):
        folder = build(tmp_path / f"{dropout}", dropout=dropout)
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        plain = functions()
        with dropout_of(model, CPU, Masks(0)):
            assert (functions() != plain) == expected


# Attention

BATCH, HEADS, QUERIES, KEYS, WIDTH = 2, 3, 5, 5, 8
PADDED = torch.tensor([5, 3])
MASKS = {
    "none": None,
    "bool": (torch.arange(KEYS) < PADDED[:, None])[:, None, None].expand(-1, -1, QUERIES, -1),
    "float": torch.randn(BATCH, 1, QUERIES, KEYS, generator=torch.Generator().manual_seed(5)),
}


def attention(p: float, **kwargs: Any) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(BATCH, HEADS, QUERIES, WIDTH, generator=draw, requires_grad=True) for _ in range(3)
    )
    found = nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=p, **kwargs)
    return (found, *torch.autograd.grad(found.square().sum(), [query, key, value]))


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("mask", [*MASKS, "causal"])
def test_attention_is_torchs_where_nothing_is_dropped(mask: str, scale: float | None) -> None:
    kwargs = {"scale": scale, "is_causal": mask == "causal", "attn_mask": MASKS.get(mask)}
    expected = attention(0.0, **kwargs)
    with dropout_of(MODEL, CPU, Masks(0)):
        found = attention(NONE_DROPPED, **kwargs)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two)


def test_attention_drops_weights_and_keeps_their_mean() -> None:
    """Queries of zero see all keys alike: with values of one, each output is the sum of its kept weights."""
    zeros, ones = torch.zeros(64, 8, 20, 4), torch.ones(64, 8, 20, 4)
    with dropout_of(MODEL, CPU, Masks(0)):
        found = nn.functional.scaled_dot_product_attention(zeros, zeros, ones, dropout_p=0.25)
    kept = found[..., 0] * 20 * 0.75
    torch.testing.assert_close(kept, kept.round(), rtol=1e-3, atol=1e-3)
    assert abs(float(found.mean()) - 1) < 0.005
    assert set(kept.round().unique().tolist()) <= set(range(21))
    assert len(kept.round().unique()) > 3


def test_grouped_heads_are_torchs_own() -> None:
    many, few = torch.zeros(1, 4, 3, 8), torch.ones(1, 2, 3, 8)
    with dropout_of(MODEL, CPU, Masks(0)):
        torch.manual_seed(0)
        found = nn.functional.scaled_dot_product_attention(many, few, few, dropout_p=0.5, enable_gqa=True)
    torch.manual_seed(0)
    expected = nn.functional.scaled_dot_product_attention(many, few, few, dropout_p=0.5, enable_gqa=True)
    assert torch.equal(found, expected)


def test_a_row_that_sees_nothing_gives_no_nan() -> None:
    zeros = torch.zeros(1, 1, 2, 4)
    nothing = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    with dropout_of(MODEL, CPU, Masks(0)):
        found = nn.functional.scaled_dot_product_attention(zeros, zeros, zeros, attn_mask=nothing, dropout_p=0.1)
    assert torch.isfinite(found).all()
