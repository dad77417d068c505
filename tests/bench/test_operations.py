"""Operations against formulas written out by hand for a BERT of two layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import nn

from hadamard_glue.bench import rate
from hadamard_glue.bench.matmul import _representatives, ideal
from hadamard_glue.bench.operations import PhaseOperations, Tally
from hadamard_glue.config import RunConfig
from hadamard_glue.methods.plan import train_exactly
from hadamard_glue.methods.registry import apply
from hadamard_glue.runs.trunk import Trunk
from hadamard_glue.training.device import Device

ROWS, KEYS, HIDDEN, INNER = 3, 7, 32, 64
TOKENS = ROWS * KEYS
PROJECTION, FFN = 2 * TOKENS * HIDDEN * HIDDEN, 2 * TOKENS * HIDDEN * INNER
ATTENTION = 4 * TOKENS * KEYS * HIDDEN
FORWARD = 2 * (4 * PROJECTION + 2 * FFN)
POOLER = 2 * ROWS * HIDDEN * HIDDEN


def _counted(config: RunConfig, training: bool, inject: bool) -> Tally:
    backbone = Trunk(config).material.backbone
    tally = Tally()
    tally.watch(backbone)
    model = backbone.model
    if inject:
        train_exactly(model, apply(model, backbone.anatomy, config.method).names)
    nn.Module.train(model, training)
    model(input_ids=torch.ones(ROWS, KEYS, dtype=torch.int64))
    return tally


def test_the_features_pass(make_config: Callable[..., RunConfig]) -> None:
    counted = _counted(make_config(), training=False, inject=False).phases["features"]
    assert (counted.linear, counted.attention) == (FORWARD + POOLER, 2 * ATTENTION)


def test_a_step_goes_back_to_the_lowest_adapter_and_no_further(make_config: Callable[..., RunConfig]) -> None:
    counted = _counted(make_config(), training=True, inject=True).phases["stage2"]
    # below: the output projection, which the adapter feeds, and the feed-forward; above: all; no weight gradient
    back = (PROJECTION + 2 * FFN) + (4 * PROJECTION + 2 * FFN) + POOLER
    assert counted.linear == FORWARD + POOLER + back
    assert counted.attention == ATTENTION + 3 * ATTENTION


def test_an_adapter_in_the_last_layer_alone(make_config: Callable[..., RunConfig]) -> None:
    config = make_config(method__layers=[1], method__site="projection", method__norm="none")
    counted = _counted(config, training=True, inject=True).phases["stage2"]
    assert counted.linear == FORWARD + POOLER + 2 * FFN + POOLER
    assert counted.attention == 2 * ATTENTION


def test_a_trained_weight_costs_its_gradient(make_config: Callable[..., RunConfig]) -> None:
    counted = _counted(make_config(method="full"), training=True, inject=True).phases["stage2"]
    assert counted.linear == 3 * (FORWARD + POOLER)


@pytest.mark.parametrize("kind", ["bert", "bart", "electra", "deberta_v2"])
def test_the_formula_agrees_with_torchs_count(
    make_config: Callable[..., RunConfig], tiny_models: dict[str, object], kind: str, tmp_path: object
) -> None:
    checked = rate.check(make_config(backbone=tiny_models[kind], results_dir=str(tmp_path)))
    # torch counts the head, a large part of so small a model, and DeBERTa's relative positions
    assert 0.7 < checked["ratio"] <= 1.0


def test_operations_survive_json() -> None:
    counted = PhaseOperations(5, Counter({(1, 2, 3): 4}))
    assert PhaseOperations.from_plain(counted.plain()) == counted


def test_representatives_stand_for_all_operations() -> None:
    work = Counter({rows: 1000 * rows for rows in range(1, 101)})
    found = _representatives(work)
    assert sum(found.values()) == sum(work.values())
    assert len(found) <= 6
    assert set(found) <= set(work)


@pytest.mark.parametrize("packed", [False, True])
def test_the_ideal_is_a_sum_over_shapes(packed: bool) -> None:
    found = ideal(Counter({(8, 16, 4): 3, (16, 16, 4): 1}), Device(torch.device("cpu"), "float32"), packed)
    assert found["operations"] == 2 * 16 * 4 * (3 * 8 + 16)
    assert found["flops_per_second"] == pytest.approx(found["operations"] / found["seconds"])
