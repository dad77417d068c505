"""Parameters of the named backbones, counted without weights, against formulas written down from the architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
from omegaconf import OmegaConf
from pydantic import TypeAdapter

from hadamard_glue.backbones.loading import Backbone, skeleton
from hadamard_glue.config import BackboneConfig, Method
from hadamard_glue.errors import InputError
from hadamard_glue.methods.plan import count
from hadamard_glue.methods.registry import apply

from . import architecture
from .architecture import SHAPES

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "backbone"


def bare(name: str, num_labels: int = 2) -> Backbone:
    plain = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{name}.yaml"))
    return skeleton(BackboneConfig.model_validate(plain), num_labels)


def counts(name: str, method: dict[str, Any], num_labels: int = 2) -> dict[str, int | float]:
    backbone = bare(name, num_labels)
    return count(apply(backbone.model, backbone.anatomy, TypeAdapter(Method).validate_python(method)), backbone.anatomy)


@pytest.mark.parametrize("name", SHAPES)
def test_backbone_total_is_what_the_architecture_says(name: str) -> None:
    backbone = bare(name)
    assert backbone.anatomy.backbone_total == architecture.backbone_total(name)
    assert len(backbone.anatomy.norms) == architecture.norms(name)
    assert len(backbone.anatomy.layers) == architecture.all_layers(name)
    assert all(parameter.is_meta for parameter in backbone.model.parameters())


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("bert_base", 109_482_240),
        ("bert_large", 335_141_888),
        ("roberta_base", 124_645_632 - 590_592),  # as published, less the pooler that classification does not have
        ("roberta_large", 355_359_744 - 1_049_600),
        ("bart_base", 139_420_416),
        ("bart_large", 406_291_456),
        ("electra_base", 108_891_648),
        ("electra_large", 334_092_288),
        ("deberta_base", 138_601_728),
        ("deberta_v3_base", 183_831_552),
        ("deberta_v3_large", 434_012_160),
    ],
)
def test_backbone_totals_as_published(name: str, total: int) -> None:
    assert bare(name).anatomy.backbone_total == total


@pytest.mark.parametrize(
    ("method", "trained", "percent"),
    [
        (tiny.METHODS["classifier"], 0, 0.0),
        (tiny.METHODS["full"], 109_482_240, 100.0),
        (tiny.METHODS["bitfit"], 102_912, 0.0940),
        ({**tiny.METHODS["lora"], "rank": 8}, 294_912, 0.2694),
        (tiny.METHODS["hadamard"], 36_864, 0.0337),
        ({**tiny.METHODS["hadamard"], "site": "projection"}, 36_864, 0.0337),
        ({**tiny.METHODS["hadamard"], "layers": "4-11"}, 24_576, 0.0224),
        ({**tiny.METHODS["hadamard"], "norm": "none"}, 18_432, 0.0168),
        ({**tiny.METHODS["hadamard"], "norm": "both"}, 55_296, 0.0505),
    ],
    ids=lambda value: str(value["name"]) if isinstance(value, dict) else "",
)
def test_published_counts_of_bert_base(method: dict[str, Any], trained: int, percent: float) -> None:
    found = counts("bert_base", method)
    assert found["trained"] == trained
    assert found["percent"] == pytest.approx(percent, abs=5e-5)
    assert found["head"] == 768 * 2 + 2
    assert found["backbone_total"] == 109_482_240  # counted before injection


@pytest.mark.parametrize("name", SHAPES)
def test_counts_by_group(name: str) -> None:
    hadamard = counts(name, tiny.METHODS["hadamard"])
    assert (hadamard["adapter"], hadamard["norm"]) == architecture.hadamard(name)
    lora = counts(name, {**tiny.METHODS["lora"], "rank": 8})
    assert lora["adapter"] == architecture.lora(name, 8)
    bitfit = counts(name, tiny.METHODS["bitfit"])
    assert bitfit["bias"] == architecture.biases(name)
    for found in (hadamard, lora, bitfit):
        assert found["trained"] == found["adapter"] + found["norm"] + found["bias"]
        assert found["backbone"] == 0
        assert found["backbone_total"] == architecture.backbone_total(name)  # counted before injection


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("num_labels", [1, 3])
def test_the_head_is_no_part_of_trained_or_total(name: str, num_labels: int) -> None:
    found = counts(name, tiny.METHODS["full"], num_labels)
    assert found["head"] == architecture.head(name, num_labels)
    assert found["trained"] == found["backbone_total"] == architecture.backbone_total(name)


def test_every_shipped_backbone_but_custom_can_be_counted() -> None:
    names = {file.stem for file in CONFIGS.glob("*.yaml")}
    assert set(SHAPES) <= names
    for name in names - {"custom"} - set(SHAPES):
        assert bare(name).anatomy.backbone_total > 0


def test_a_backbone_without_architecture_cannot_be_counted() -> None:
    with pytest.raises(InputError, match="backbone=custom gives no architecture"):
        skeleton(BackboneConfig(name="custom", path="somewhere"), 2)


def test_barts_layers_are_the_encoders_then_the_decoders() -> None:
    paths = [layer.path for layer in bare("bart_base").anatomy.layers]
    assert paths == [f"model.{stack}.layers.{index}" for stack in ("encoder", "decoder") for index in range(6)]


def test_a_layer_beyond_the_last_is_refused() -> None:
    anatomy = bare("bert_base").anatomy
    with pytest.raises(InputError, match=r"method\.layers=\[2, 12\]: this backbone has layers 0 to 11"):
        anatomy.chosen((2, 12))
    assert anatomy.chosen("all") == anatomy.layers
    assert anatomy.chosen((3, 1)) == (anatomy.layers[1], anatomy.layers[3])
