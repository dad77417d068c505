"""Stage 2 behind cached states of the frozen layers below: the same numbers as running them, without dropout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from hadamard_glue.backbones.prefix import prefix_layers
from hadamard_glue.config import RunConfig
from hadamard_glue.errors import InputError, Unsupported
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.record import read
from hadamard_glue.runs.trunk import Trunk
from hadamard_glue.training import packed, prefix
from hadamard_glue.training.device import Device
from hadamard_glue.training.stages import Material, Result, run_stages

MakeConfig = Callable[..., RunConfig]


def both(make_config: MakeConfig, device: Device, folder: Path, layers: list[int], **settings: Any) -> list[Result]:
    """Live, and behind the cached prefix."""
    made = [
        make_config(
            backbone=folder, task="mrpc", method__layers=layers, stages="two", stage1__lr=1e-3,
            stage2={"epochs": 2, "lr": 1e-3, "prefix": kind}, **settings,
        )
        for kind in ("live", "eval_cached")
    ]  # fmt: skip
    return [run_stages(config, Trunk(config).material, device) for config in made]


def assert_same(live: Result, cached: Result) -> None:
    losses = [[entry["loss"] for entry in result.history] for result in (live, cached)]
    assert max(abs(one - two) for one, two in zip(*losses, strict=True)) < 1e-5
    np.testing.assert_allclose(live.logits["dev"], cached.logits["dev"], rtol=1e-3, atol=1e-4)
    assert live.tokens == cached.tokens


@pytest.mark.parametrize("method", ["hadamard", "lora", "houlsby"])
@pytest.mark.parametrize("kind", tiny.BUILDERS)
def test_the_cached_prefix_is_the_live_one(
    make_config: MakeConfig, tmp_path: Path, cpu: Device, kind: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_SMALLEST", 0)  # so the tiny layers are fused where hadamard lets them
    build: Callable[..., Path] = tiny.save_bert if kind == "bert_without_pooler" else tiny.BUILDERS[kind]
    more = {"pooler": False} if kind == "bert_without_pooler" else {}
    folder = build(tmp_path / "model", dropout=0.0, **more)
    live, cached = both(make_config, cpu, folder, [1], method=method)
    assert_same(live, cached)
    assert "prefix" in cached.seconds
    assert "prefix" not in live.seconds


def test_barts_prefix_ends_with_its_encoder(make_config: MakeConfig, tmp_path: Path, cpu: Device) -> None:
    folder = tiny.save_bart(tmp_path / "model", dropout=0.0)
    assert_same(*both(make_config, cpu, folder, [3]))  # the decoder's second layer: its first runs live
    assert_same(*both(make_config, cpu, folder, [2, 3]))


def test_dropout_does_not_act_in_it(make_config: MakeConfig, tmp_path: Path, cpu: Device) -> None:
    folder = tiny.save_bert(tmp_path / "model", dropout=0.3)
    live, cached = both(make_config, cpu, folder, [1])
    assert live.history[-1]["loss"] != cached.history[-1]["loss"]


def test_states_are_computed_once(
    make_config: MakeConfig, tiny_bert: Path, cpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"backbone": tiny_bert, "method__layers": [1], "stage2": {"epochs": 1, "lr": 1e-3}}

    def run(**more: Any) -> Result:
        config = make_config(**settings, stage2__prefix="eval_cached", **more)
        return run_stages(config, Trunk(config).material, cpu)

    first = run(seed=7)

    def fail(*arguments: object) -> None:
        raise AssertionError("computed, although cached")

    monkeypatch.setattr(prefix, "prefix_states", fail)
    again, other = run(seed=7), run(seed=8)
    np.testing.assert_array_equal(first.logits["dev"], again.logits["dev"])
    assert (first.logits["dev"] != other.logits["dev"]).any()


def test_it_is_part_of_the_identity_and_the_default_is_not_said(
    make_config: MakeConfig, tiny_bert: Path, tmp_path: Path
) -> None:
    settings = {"backbone": tiny_bert, "method__layers": [1], "results_dir": str(tmp_path)}
    records = [
        read(execute(make_config(**settings, stage2={"epochs": 1, "lr": 1e-3, **more})))
        for more in ({}, {"prefix": "live"}, {"prefix": "eval_cached"})
    ]
    assert records[0]["digest"] == records[1]["digest"] != records[2]["digest"]
    assert "prefix" not in records[0]["spec"]["stage2"]
    assert records[2]["spec"]["stage2"]["prefix"] == "eval_cached"


@pytest.mark.parametrize(
    "settings", [{"method__layers": "all"}, {"method__layers": [0, 1]}, {"method": "full"}, {"method": "bitfit"}]
)
def test_refused_where_nothing_is_frozen_below(make_config: MakeConfig, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"stage2.prefix=eval_cached .* layer 0"):
        make_config(**settings, stage2={"epochs": 1, "lr": 1e-3, "prefix": "eval_cached"})


def test_the_length_of_the_prefix(material_of: Callable[..., Material]) -> None:
    backbone = material_of("bert").backbone
    layer, other = backbone.anatomy.layers[1].path, backbone.anatomy.layers[0].path
    assert (
        prefix_layers(backbone.model, backbone.anatomy, [f"{layer}.output.dense.bias", "bert.pooler.dense.bias"]) == 1
    )
    for below in (f"{other}.output.dense.bias", "bert.embeddings.LayerNorm.weight"):
        with pytest.raises(Unsupported, match="nothing is frozen below"):
            prefix_layers(backbone.model, backbone.anatomy, [f"{layer}.output.dense.bias", below])


def test_a_backbone_that_drops_layers_is_refused(material_of: Callable[..., Material]) -> None:
    backbone = material_of("bart").backbone
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbone.model.config, "encoder_layerdrop", 0.1)
        with pytest.raises(Unsupported, match="encoder_layerdrop"):
            prefix_layers(backbone.model, backbone.anatomy, [])


def test_the_model_is_whole_again_afterwards(material_of: Callable[..., Material], cpu: Device) -> None:
    from hadamard_glue.backbones.prefix import prefix_states, starting_behind

    material = material_of("deberta_v2")
    model, anatomy = material.backbone.model, material.backbone.anatomy
    _, batch = next(material.train.batches(4, None))
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    with torch.no_grad():
        before = model(**inputs).logits
        states = prefix_states(model, anatomy, 1, batch)
        with starting_behind(model, anatomy, 1, torch.zeros_like(states)):
            assert not torch.equal(model(**inputs).logits, before)
        with starting_behind(model, anatomy, 1, states):
            torch.testing.assert_close(model(**inputs).logits, before)
        torch.testing.assert_close(model(**inputs).logits, before, rtol=0, atol=0)
