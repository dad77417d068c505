"""Counts against formulas written from the architectures, for every real backbone and for the tiny ones.

h is the hidden size, f the feed-forward size, L the number of layers, e ELECTRA's embedding size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from hadamard_glue.backbones.loading import skeleton
from hadamard_glue.compose import choices, run_config
from hadamard_glue.methods.counting import parameter_rows
from hadamard_glue.methods.plan import count
from methods.battery import KINDS, Subject

BACKBONES = [name for name in choices("backbone") if name != "custom"]
#: Published numbers for BERT-base.
BERT_BASE = {
    "hadamard": 36_864, "lora": 294_912, "bitfit": 102_912, "houlsby": 2_417_664, "classifier": 0, "full": 109_482_240,
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    family: str
    h: int
    f: int
    layers: int
    decoder_layers: int
    e: int
    pooler: bool

    @property
    def fused(self) -> bool:
        return self.family == "deberta"

    def norms(self) -> int:
        """Weight and bias of every LayerNorm."""
        in_layers = 2 * self.layers + self.decoder_layers  # a decoder layer has a third one
        outside = {"bart": 2, "deberta-v2": 2}.get(self.family, 1)
        wide = 2 * self.h * (in_layers + outside)
        return wide - 2 * self.h + 2 * self.e if self.family == "electra" else wide

    def biases(self) -> int:
        """q k v o, two norms, in and out of the feed-forward block: 7h + f a layer, in every family.

        DeBERTa v1 has none for the key, and one for the query of positions.
        """
        in_layers = self.layers * (7 * self.h + self.f) + self.decoder_layers * 5 * self.h  # q k v o and the norm
        outside = {"bart": 2 * self.h, "deberta-v2": 2 * self.h, "electra": self.e}.get(self.family, self.h)
        projection = self.h if self.family == "electra" and self.e != self.h else 0
        return in_layers + outside + projection + (self.h if self.pooler else 0)

    def low_rank(self, rank: int) -> int:
        """A and B on query and on value: 2 x r(h + h); on the fused projection: r(h + 3h)."""
        return self.layers * 4 * rank * self.h

    def bottlenecks(self, size: int, each: int) -> int:
        return self.layers * each * (2 * size * self.h + size + self.h)


def shape_of(config: Any, family: str, pooler: bool) -> Shape:
    if family == "bart":
        layers = config.encoder_layers + config.decoder_layers
        return Shape(family, config.d_model, config.encoder_ffn_dim, layers, config.decoder_layers, 0, False)
    width, e = config.hidden_size, getattr(config, "embedding_size", config.hidden_size)
    return Shape(family, width, config.intermediate_size, config.num_hidden_layers, 0, e, pooler)


def expected(method: str, shape: Shape, total: int) -> int | None:
    """Trained parameters, head excluded, in the settings of configs/method; None where there is no such method."""
    h, f, layers = shape.h, shape.f, shape.layers
    qv_inputs, qv_outputs = (1, 3) if shape.fused else (2, 2)  # in units of h, summed over the targets
    return {
        "classifier": 0,
        "full": total,
        "hadamard": layers * 4 * h,  # W, b, and a norm's weight and bias
        "houlsby": shape.bottlenecks(64, 2) + shape.norms(),
        "pfeiffer": shape.bottlenecks(64, 1),
        "lora": shape.low_rank(8),
        "bitfit": shape.biases(),
        "ia3": None if shape.fused else layers * (2 * h + f),
        "ln_tuning": shape.norms(),
        "vera": layers * (qv_inputs * 256 + qv_outputs * h),  # d of the rank, b of the outputs
        "dora": shape.low_rank(8) + layers * qv_outputs * h,
        "oft": layers * qv_inputs * (h // 32) * (32 * 31 // 2),  # skew-symmetric blocks of 32 on the inputs
        "adalora": 12 * layers * ((4 * h + 1 if shape.fused else 3 * (2 * h + 1)) + (2 * h + 1) + 2 * (h + f + 1)),
    }[method]


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("method", [name for name in choices("method") if name != "library"])
def test_a_real_backbones_count_is_the_architectures(backbone: str, method: str) -> None:
    refused: list[str] = []
    rows = parameter_rows([backbone], [method], refused=refused.append)
    bare = skeleton(run_config([f"backbone={backbone}"]).backbone, 2)
    pooler = any("pooler" in name for name in bare.anatomy.backbone)
    found = rows[0]["trained"] if rows else None
    shape = shape_of(bare.model.config, bare.anatomy.family, pooler)
    assert found == expected(method, shape, bare.anatomy.backbone_total)
    assert bool(refused) == (found is None)
    if backbone == "bert_base" and method in BERT_BASE:
        assert found == BERT_BASE[method]


def test_houlsby_of_bert_base_with_and_without_norms() -> None:
    with_norms = parameter_rows(["bert_base"], ["houlsby"])[0]
    assert (with_norms["adapter"], with_norms["norm"], with_norms["trained"]) == (2_379_264, 25 * 1536, 2_417_664)
    without = parameter_rows(["bert_base"], ["houlsby"], ["method.train_norms=false"])[0]
    assert (without["adapter"], without["norm"], without["trained"]) == (2_379_264, 0, 2_379_264)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_bitfits_half_is_the_querys_and_the_middles(backbone: str) -> None:
    row = parameter_rows([backbone], ["bitfit"], ["method.biases=query_middle"])[0]
    bare = skeleton(run_config([f"backbone={backbone}"]).backbone, 2)
    shape = shape_of(bare.model.config, bare.anatomy.family, False)
    assert row["bias"] == row["trained"] == shape.layers * (shape.h + shape.f)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tiny_backbones_of_the_battery_count_alike(subjects: dict[str, Subject], kind: str) -> None:
    subject = subjects[kind]
    backbone = subject.backbone
    shape = shape_of(backbone.model.config, backbone.anatomy.family, kind == "bert")
    known = {
        "houlsby": shape.bottlenecks(6, 2) + shape.norms(),
        "houlsby-without-norms": shape.bottlenecks(6, 2),
        "pfeiffer": shape.bottlenecks(6, 1),
        "pfeiffer-with-norms": shape.bottlenecks(6, 1) + shape.norms(),
        "bitfit": shape.biases(),
        "bitfit-query-middle": shape.layers * (shape.h + shape.f),
        "ln_tuning": shape.norms(),
        "lora": shape.low_rank(4),
        "hadamard-heads-attention": 4 * shape.h * shape.layers,
    }
    for variant, size in known.items():
        _, plan = subject.injected(variant, kind)
        assert count(plan, backbone.anatomy)["trained"] == size, variant
    _, plan = subject.injected("houlsby-last-layer", kind)
    norms = 3 if kind == "bart" else 2
    per_layer = 2 * (2 * 6 * shape.h + 6 + shape.h) + norms * 2 * shape.h
    assert count(plan, backbone.anatomy)["trained"] == per_layer
