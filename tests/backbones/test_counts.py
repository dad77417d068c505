"""Parameters of the named backbones, counted without weights, against formulas written down from the architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
from omegaconf import OmegaConf
from pydantic import TypeAdapter

from hadamard_glue.backbones.anatomy import resolve
from hadamard_glue.backbones.loading import Backbone, skeleton
from hadamard_glue.config import BackboneConfig, Method
from hadamard_glue.errors import InputError
from hadamard_glue.methods.plan import count
from hadamard_glue.methods.registry import apply

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "backbone"

# name: vocabulary, positions, width, feed-forward width, layers (BART: encoder, and as many decoder layers)
SHAPES = {
    "bert_base": (30522, 512, 768, 3072, 12),
    "bert_large": (30522, 512, 1024, 4096, 24),
    "bart_base": (50265, 1026, 768, 3072, 6),  # two positions more than it uses
    "bart_large": (50265, 1026, 1024, 4096, 12),
}


def bare(name: str, num_labels: int = 2) -> Backbone:
    plain = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{name}.yaml"))
    return skeleton(BackboneConfig.model_validate(plain), num_labels)


def counts(name: str, method: dict[str, Any], num_labels: int = 2) -> dict[str, int | float]:
    backbone = bare(name, num_labels)
    return count(apply(backbone.model, backbone.anatomy, TypeAdapter(Method).validate_python(method)), backbone.anatomy)


def attention(width: int) -> int:
    return 4 * (width * width + width) + 2 * width  # four projections and the norm


def feed_forward(width: int, inner: int) -> int:
    return width * inner + inner + inner * width + width + 2 * width


def expected_backbone(name: str) -> int:
    words, positions, width, inner, layers = SHAPES[name]
    if name.startswith("bert"):
        embeddings = (words + positions + 2) * width + 2 * width
        pooler = width * width + width
        return embeddings + layers * (attention(width) + feed_forward(width, inner)) + pooler
    stacks = 2 * (positions * width + 2 * width)  # positions and the norm on the embeddings, in both stacks
    encoder = layers * (attention(width) + feed_forward(width, inner))
    decoder = layers * (2 * attention(width) + feed_forward(width, inner))  # self- and cross-attention
    return words * width + stacks + encoder + decoder


@pytest.mark.parametrize("name", SHAPES)
def test_backbone_total_is_what_the_architecture_says(name: str) -> None:
    backbone = bare(name)
    assert backbone.anatomy.backbone_total == expected_backbone(name)
    assert all(parameter.is_meta for parameter in backbone.model.parameters())


def test_backbone_totals_known_from_the_papers() -> None:
    assert expected_backbone("bert_base") == 109_482_240
    assert expected_backbone("bert_large") == 335_141_888
    assert expected_backbone("bart_base") == 139_420_416
    assert expected_backbone("bart_large") == 406_291_456


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
    _, _, width, inner, layers = SHAPES[name]
    layers = layers if name.startswith("bert") else 2 * layers
    hadamard = counts(name, {**tiny.METHODS["hadamard"], "norm": "both"})
    assert (hadamard["adapter"], hadamard["norm"]) == (2 * width * layers, 4 * width * layers)
    lora = counts(name, {**tiny.METHODS["lora"], "rank": 3, "targets": ["key", "ffn_in"]})
    assert lora["adapter"] == layers * 3 * (2 * width + (width + inner))
    for found in (hadamard, lora):
        assert found["trained"] == found["adapter"] + found["norm"]
        assert found["bias"] == found["backbone"] == 0


@pytest.mark.parametrize("name", SHAPES)
def test_bitfit_is_every_bias_of_the_backbone(name: str) -> None:
    _, _, width, inner, layers = SHAPES[name]
    block = 4 * width + width  # four projections and the norm
    dense = inner + width + width
    if name.startswith("bert"):
        expected = width + layers * (block + dense) + width  # norm on the embeddings, pooler
    else:
        expected = 2 * width + layers * (block + dense) + layers * (2 * block + dense)
    assert counts(name, tiny.METHODS["bitfit"])["bias"] == expected


@pytest.mark.parametrize("num_labels", [1, 2, 3])
def test_the_head_is_no_part_of_trained_or_total(num_labels: int) -> None:
    bert, bart = (counts(name, tiny.METHODS["full"], num_labels) for name in ("bert_base", "bart_base"))
    assert bert["head"] == 768 * num_labels + num_labels
    assert bart["head"] == 768 * 768 + 768 + 768 * num_labels + num_labels
    assert bert["trained"] == bert["backbone_total"] == 109_482_240
    assert bart["trained"] == bart["backbone_total"] == 139_420_416


def test_every_shipped_backbone_but_custom_can_be_counted() -> None:
    names = sorted(file.stem for file in CONFIGS.glob("*.yaml"))
    assert set(SHAPES) <= set(names)
    for name in set(names) - {"custom"}:
        assert bare(name).anatomy.backbone_total > 0


def test_a_backbone_without_architecture_cannot_be_counted() -> None:
    with pytest.raises(InputError, match="backbone=custom gives no architecture"):
        skeleton(BackboneConfig(name="custom", path="somewhere"), 2)


def test_head_and_backbone_part_the_parameters() -> None:
    for name in ("bert_base", "bart_base"):
        backbone = bare(name)
        anatomy = backbone.anatomy
        everything = [parameter for parameter, _ in backbone.model.named_parameters()]
        assert sorted(anatomy.head + anatomy.backbone) == sorted(everything)
        assert not set(anatomy.head) & set(anatomy.backbone)
        assert set(anatomy.biases) <= set(anatomy.backbone)
        assert set(anatomy.head_modules) == (
            {"dropout", "classifier"} if name == "bert_base" else {"classification_head"}
        )


def test_barts_layers_are_the_encoders_then_the_decoders() -> None:
    paths = [layer.path for layer in bare("bart_base").anatomy.layers]
    assert paths == [f"model.{stack}.layers.{index}" for stack in ("encoder", "decoder") for index in range(6)]


def test_a_model_that_lacks_a_part_of_its_familys_table_is_refused_by_layer_and_path() -> None:
    model = bare("bert_base").model
    del model.get_submodule("bert.encoder.layer.3.attention.output").LayerNorm
    with pytest.raises(InputError) as caught:
        resolve(model)
    assert str(caught.value) == (
        "layer 3 of this bert model has no 'bert.encoder.layer.3.attention.output.LayerNorm' (attention_norm)"
    )


def test_a_layer_beyond_the_last_is_refused() -> None:
    anatomy = bare("bert_base").anatomy
    with pytest.raises(InputError, match=r"method\.layers=\[2, 12\]: this backbone has layers 0 to 11"):
        anatomy.chosen((2, 12))
    assert anatomy.chosen("all") == anatomy.layers
    assert anatomy.chosen((3, 1)) == (anatomy.layers[1], anatomy.layers[3])
