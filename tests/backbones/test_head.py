"""Pooled features and head put together are the stock model, and a head is drawn from its seed alone."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import BUILDERS, MARKS, WORDS
from torch import Tensor

from hadamard_glue.backbones.head import head, initialise_head, pooled
from hadamard_glue.backbones.loading import Backbone, load, load_tokenizer, locate
from hadamard_glue.config import BackboneConfig

KINDS = tuple(BUILDERS)
TEXTS = st.lists(st.sampled_from([*WORDS, *MARKS]), min_size=1, max_size=12).map(" ".join)


@pytest.fixture(scope="module")
def loaded(tiny_models: dict[str, Path]) -> dict[str, tuple[Backbone, object]]:
    found = {}
    for kind, folder in tiny_models.items():
        located = locate(BackboneConfig(name="custom", path=str(folder)))
        found[kind] = (load(located, 3), load_tokenizer(located))
    return found


def fresh(backbone: Backbone) -> Backbone:
    return Backbone(copy.deepcopy(backbone.model), backbone.anatomy)


def state(backbone: Backbone, names: tuple[str, ...]) -> dict[str, Tensor]:
    values = dict(backbone.model.named_parameters())
    return {name: values[name].detach().clone() for name in names}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.booleans(), rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_head_of_pooled_is_the_stock_model(
    loaded: dict[str, tuple[Backbone, object]], kind: str, pairs: bool, rows: list[tuple[str, str]]
) -> None:
    backbone, tokenizer = loaded[kind]
    first, second = [row[0] for row in rows], [row[1] for row in rows] if pairs else None
    batch = dict(tokenizer(first, second, padding=True, return_tensors="pt"))  # type: ignore[operator]
    with torch.inference_mode():
        features = pooled(backbone.model, backbone.anatomy, batch)
        logits = head(backbone.model, backbone.anatomy, features)
        whole = head(backbone.model, backbone.anatomy, pooled(backbone.model, backbone.anatomy, batch, whole=True))
        expected = backbone.model(**batch).logits
    assert features.shape == (len(rows), 32)
    assert logits.shape == (len(rows), 3)
    assert torch.equal(whole, expected)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)  # sums of another order


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_neighbours_do_not_matter(loaded: dict[str, tuple[Backbone, object]], kind: str) -> None:
    backbone, tokenizer = loaded[kind]
    texts = ["a cat", "the old man sees a red house near the river quickly"]
    together = dict(tokenizer(texts, padding=True, return_tensors="pt"))  # type: ignore[operator]
    with torch.inference_mode():
        features = pooled(backbone.model, backbone.anatomy, together)
        for index, text in enumerate(texts):
            alone = dict(tokenizer([text], return_tensors="pt"))  # type: ignore[operator]
            torch.testing.assert_close(
                pooled(backbone.model, backbone.anatomy, alone)[0], features[index], rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize("kind", KINDS)
def test_labels_in_the_batch_are_not_looked_at(loaded: dict[str, tuple[Backbone, object]], kind: str) -> None:
    backbone, tokenizer = loaded[kind]
    batch = dict(tokenizer(["a cat"], return_tensors="pt"))  # type: ignore[operator]
    with torch.inference_mode():
        bare = pooled(backbone.model, backbone.anatomy, batch)
        assert torch.equal(pooled(backbone.model, backbone.anatomy, {**batch, "labels": torch.tensor([1])}), bare)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), other=st.integers(0, 2**32 - 1), before=st.integers(0, 2**32 - 1))
def test_a_head_depends_on_its_seed_alone(
    loaded: dict[str, tuple[Backbone, object]], kind: str, seed: int, other: int, before: int
) -> None:
    original = loaded[kind][0]
    one, two = fresh(original), fresh(original)
    torch.manual_seed(before)
    initialise_head(one.model, one.anatomy, seed)
    drawn = torch.rand(2)
    torch.manual_seed(before)
    assert torch.equal(torch.rand(2), drawn)  # the global stream went on as if nothing had been drawn
    initialise_head(two.model, two.anatomy, other)
    different = state(two, two.anatomy.head)
    initialise_head(two.model, two.anatomy, seed)
    for name, value in state(one, one.anatomy.head).items():
        assert torch.equal(value, state(two, two.anatomy.head)[name]), name
        if value.ndim > 1 and seed != other:
            assert not torch.equal(value, different[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_drawing_a_head_leaves_the_backbone_alone(loaded: dict[str, tuple[Backbone, object]], kind: str) -> None:
    backbone = fresh(loaded[kind][0])
    before = state(backbone, backbone.anatomy.backbone)
    initialise_head(backbone.model, backbone.anatomy, 7)
    for name, value in state(backbone, backbone.anatomy.backbone).items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_head_has_the_familys_width_and_no_bias(loaded: dict[str, tuple[Backbone, object]], kind: str) -> None:
    backbone = fresh(loaded[kind][0])
    initialise_head(backbone.model, backbone.anatomy, 7)
    for name, value in state(backbone, backbone.anatomy.head).items():
        if value.ndim == 1:
            assert not value.any(), name
        else:
            assert 0.012 < float(value.std()) < 0.028, name  # initializer_range 0.02
