"""The table of every family against its stock model: each path exists, has its role, and is missed when it is gone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import BUILDERS
from transformers import AutoConfig, AutoModelForSequenceClassification

from hadamard_glue.backbones.anatomy import Anatomy, resolve, usable_positions
from hadamard_glue.backbones.families import FAMILIES
from hadamard_glue.backbones.loading import Backbone, load, load_tokenizer, locate
from hadamard_glue.config import BackboneConfig, RunConfig
from hadamard_glue.errors import InputError
from hadamard_glue.runs.trunk import Trunk

KINDS = tuple(BUILDERS)
BASE = {"bart": "model", "deberta_v2": "deberta", "bert_without_pooler": "bert"}
HEADS = {
    "bert": {"dropout", "classifier"},
    "bert_without_pooler": {"bert.pooler", "dropout", "classifier"},
    "roberta": {"classifier"},
    "bart": {"classification_head"},
    "electra": {"classifier"},
    "deberta": {"pooler", "dropout", "classifier"},
    "deberta_v2": {"pooler", "dropout", "classifier"},
}
AFTER_ATTENTION = (
    "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm",
)  # fmt: skip
PROJECTIONS = ("attention.self.query", "attention.self.key", "attention.self.value")
#: BitFit's set, by hand: the parameters of a layer, and those outside the layers.
BIASES: dict[str, tuple[list[str], list[str]]] = {
    "bert": (
        [f"{path}.bias" for path in (*PROJECTIONS, *AFTER_ATTENTION)],
        ["embeddings.LayerNorm.bias", "pooler.dense.bias"],
    ),
    "bert_without_pooler": (
        [f"{path}.bias" for path in (*PROJECTIONS, *AFTER_ATTENTION)],
        ["embeddings.LayerNorm.bias"],
    ),
    "roberta": ([f"{path}.bias" for path in (*PROJECTIONS, *AFTER_ATTENTION)], ["embeddings.LayerNorm.bias"]),
    "electra": (
        [f"{path}.bias" for path in (*PROJECTIONS, *AFTER_ATTENTION)],
        ["embeddings.LayerNorm.bias", "embeddings_project.bias"],
    ),
    "deberta": (
        [
            "attention.self.q_bias",
            "attention.self.v_bias",
            "attention.self.pos_q_proj.bias",
            *(f"{path}.bias" for path in AFTER_ATTENTION),
        ],
        ["embeddings.LayerNorm.bias"],
    ),
    "deberta_v2": (
        [f"{path}_proj.bias" for path in PROJECTIONS] + [f"{path}.bias" for path in AFTER_ATTENTION],
        ["embeddings.LayerNorm.bias", "encoder.LayerNorm.bias"],
    ),
}


@pytest.fixture(scope="module")
def backbones(tiny_models: dict[str, Path]) -> dict[str, Backbone]:
    return {kind: load(locate(BackboneConfig(name="custom", path=str(path))), 3) for kind, path in tiny_models.items()}


def ids(model: Any, length: int, rows: int = 2) -> dict[str, torch.Tensor]:
    """Rows of words without padding that end in what BART takes for the end."""
    words = torch.full((rows, length), 7)
    words[:, -1] = getattr(model.config, "eos_token_id", None) or 7
    return {"input_ids": words, "attention_mask": torch.ones_like(words)}


def v2(**settings: Any) -> Any:
    config = AutoConfig.for_model(
        "deberta-v2", vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        relative_attention=True, pos_att_type=["c2p", "p2c"], **settings,
    )  # fmt: skip
    return AutoModelForSequenceClassification.from_config(config).eval()


def test_every_family_has_a_tiny_backbone(backbones: dict[str, Backbone]) -> None:
    assert {backbone.anatomy.family for backbone in backbones.values()} == set(FAMILIES)


@pytest.mark.parametrize("kind", KINDS)
def test_head_and_backbone_part_the_parameters(backbones: dict[str, Backbone], kind: str) -> None:
    model, anatomy = backbones[kind].model, backbones[kind].anatomy
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    assert sorted(anatomy.head + anatomy.backbone) == sorted(sizes)
    assert not set(anatomy.head) & set(anatomy.backbone)
    assert set(anatomy.head_modules) == HEADS[kind]
    assert anatomy.backbone_total == sum(sizes[name] for name in anatomy.backbone)
    inside = {name for name in sizes if name.startswith(f"{BASE.get(kind, kind)}.")}
    assert set(anatomy.backbone) == {name for name in inside if kind != "bert_without_pooler" or ".pooler." not in name}


@pytest.mark.parametrize("kind", KINDS)
def test_the_modules_of_a_layer_are_called_in_the_order_of_their_roles(
    backbones: dict[str, Backbone], kind: str
) -> None:
    model, anatomy = copy.deepcopy(backbones[kind].model), backbones[kind].anatomy
    called: list[str] = []
    for name, module in model.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: called.append(name))
    with torch.inference_mode():
        model(**ids(model, 6))
    first = {name: called.index(name) for name in dict.fromkeys(called)}
    previous = max(first[name] for name in FAMILIES[anatomy.family].norms[:1])
    for layer in anatomy.layers:
        attention = [first[path] for path in (layer.query, layer.key, layer.value)]
        rest = [layer.attention_output, layer.attention_norm]
        if layer.cross is not None:
            assert first[layer.attention_norm] < first[layer.cross.query] < first[layer.cross.attention_output]
            rest += [layer.cross.attention_output, layer.cross.attention_norm]
        order = [first[path] for path in (*rest, layer.ffn_in, layer.ffn_out, layer.ffn_norm)]
        assert previous < min(attention)
        assert max(attention) < order[0]
        assert order == sorted(order)
        previous = order[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_of_a_layer(backbones: dict[str, Backbone], kind: str) -> None:
    model, anatomy = backbones[kind].model, backbones[kind].anatomy
    width = 32
    for layer in anatomy.layers:
        fused = 3 if kind == "deberta" else 1
        assert layer.fused == (kind == "deberta")
        for path in (layer.query, layer.key, layer.value):
            assert model.get_submodule(path).weight.shape == (fused * width, width)
        assert model.get_submodule(layer.attention_output).weight.shape == (width, width)
        assert model.get_submodule(layer.ffn_in).weight.shape == (2 * width, width)
        assert model.get_submodule(layer.ffn_out).weight.shape == (width, 2 * width)
        assert model.get_parameter(layer.query_bias).shape == (width,)
    for path in anatomy.norms:
        assert {name for name, _ in model.get_submodule(path).named_parameters()} == {"weight", "bias"}


@pytest.mark.parametrize("kind", BIASES)
def test_biases_are_exactly_those_of_the_architecture(backbones: dict[str, Backbone], kind: str) -> None:
    inside, outside = BIASES[kind]
    base = BASE.get(kind, kind)
    layers = [f"{base}.encoder.layer.{index}.{name}" for index in range(2) for name in inside]
    anatomy = backbones[kind].anatomy
    assert sorted(anatomy.biases) == sorted([*layers, *(f"{base}.{name}" for name in outside)])
    assert {layer.query_bias for layer in anatomy.layers} <= set(anatomy.biases)


def test_biases_of_bart(backbones: dict[str, Backbone]) -> None:
    anatomy = backbones["bart"].anatomy
    attention = [f"{name}_proj.bias" for name in ("q", "k", "v", "out")]
    inner = ["fc1.bias", "fc2.bias", "final_layer_norm.bias", "self_attn_layer_norm.bias"]
    own = [f"self_attn.{name}" for name in attention] + inner
    cross = [f"encoder_attn.{name}" for name in attention] + ["encoder_attn_layer_norm.bias"]
    expected = [f"model.{stack}.layernorm_embedding.bias" for stack in ("encoder", "decoder")]
    expected += [f"model.encoder.layers.{index}.{name}" for index in range(2) for name in own]
    expected += [f"model.decoder.layers.{index}.{name}" for index in range(2) for name in (*own, *cross)]
    assert sorted(anatomy.biases) == sorted(expected)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bert_without_pooler"])
def test_a_model_that_lacks_a_part_of_its_table_is_refused_by_layer_and_path(
    backbones: dict[str, Backbone], kind: str
) -> None:
    anatomy = backbones[kind].anatomy
    for index, layer in enumerate(anatomy.layers):
        for role, path in layer.modules().items():
            if layer.fused and role in ("key", "value"):
                continue  # the same module as the query
            error = refusal(backbones[kind].model, path)
            assert error == f"layer {index} of this {anatomy.family} model has no {path!r} ({role})"
    for path in FAMILIES[anatomy.family].norms:
        assert (
            refusal(backbones[kind].model, path)
            == f"this {anatomy.family} model has no {path!r}, where a norm should be"
        )
    for stack in FAMILIES[anatomy.family].stacks:
        error = refusal(backbones[kind].model, stack.path)
        assert error == f"this {anatomy.family} model has no {stack.path!r}, where its layers should be"


def refusal(model: Any, path: str) -> str:
    """What resolving says when the module at ``path`` is gone; the model is as it was afterwards."""
    parent, _, name = path.rpartition(".")
    removed = model.get_submodule(path)
    delattr(model.get_submodule(parent), name)
    try:
        with pytest.raises(InputError) as caught:
            resolve(model)
    finally:
        model.get_submodule(parent).add_module(name, removed)
    return str(caught.value)


def test_a_query_without_a_bias_is_refused(backbones: dict[str, Backbone]) -> None:
    model = copy.deepcopy(backbones["deberta"].model)
    del model.get_submodule("deberta.encoder.layer.1.attention.self").q_bias
    with pytest.raises(InputError, match=r"layer 1 of this deberta model has no '.*\.q_bias' \(query_bias\)"):
        resolve(model)


def test_norms_that_only_some_configs_of_deberta_v2_ask_for() -> None:
    def outside(anatomy: Anatomy) -> list[str]:
        return [path for path in anatomy.norms if ".layer." not in path]

    plain = resolve(v2())
    assert outside(plain) == ["deberta.embeddings.LayerNorm"]
    full = resolve(v2(norm_rel_ebd="layer_norm", conv_kernel_size=3, conv_act="gelu"))
    assert outside(full) == [
        "deberta.embeddings.LayerNorm", "deberta.encoder.LayerNorm", "deberta.encoder.conv.LayerNorm",
    ]  # fmt: skip
    assert set(full.biases) - set(plain.biases) == {
        "deberta.encoder.LayerNorm.bias", "deberta.encoder.conv.LayerNorm.bias", "deberta.encoder.conv.conv.bias",
    }  # fmt: skip


# Positions


@pytest.mark.parametrize("kind", KINDS)
def test_the_longest_row_is_taken_and_a_longer_one_is_not(backbones: dict[str, Backbone], kind: str) -> None:
    model = backbones[kind].model
    longest = usable_positions(model)
    assert longest == (None if kind.startswith("deberta") else 64)
    with torch.inference_mode():
        assert model(**ids(model, longest or 150)).logits.isfinite().all()
        if longest is not None:
            with pytest.raises((IndexError, RuntimeError)):
                model(**ids(model, longest + 1))


def test_a_deberta_with_absolute_positions_is_limited_by_them() -> None:
    model = v2(position_biased_input=True, max_position_embeddings=20)
    assert usable_positions(model) == 20
    with torch.inference_mode():
        model(**ids(model, 20))
        with pytest.raises((IndexError, RuntimeError)):
            model(**ids(model, 21))


def test_a_max_length_beyond_roberta_is_refused(
    make_config: Callable[..., RunConfig], tiny_models: dict[str, Path]
) -> None:
    roberta = tiny_models["roberta"]
    assert Trunk(make_config(backbone=roberta, max_length=64)).material.train
    with pytest.raises(InputError, match=r"^max_length=65: tiny-roberta-\w{8} has 64 positions$"):
        _ = Trunk(make_config(backbone=roberta, max_length=65)).material


# Pretrained weights


@pytest.mark.parametrize("name", ["roberta-tiny", "electra-tiny", "deberta-v2-tiny"])
def test_the_same_weights_in_another_family_give_the_same_hidden_states(shared_models: Path, name: str) -> None:
    """The shared backbones hold one BERT's weights in float16: positions, segments and masks must be read alike."""
    first = ["the old man sees a red house .", "a great film"]
    second = ["is it so ?", "it was the best film of the whole year , they said ."]
    hidden = []
    for folder in ("bert-tiny", name):
        located = locate(BackboneConfig(name="custom", path=str(shared_models / folder)))
        batch = load_tokenizer(located)(first, second, padding=True, return_tensors="pt")
        model: Any = load(located, 2).model
        with torch.inference_mode():
            hidden.append(model.base_model(**batch).last_hidden_state[:, 0])
    torch.testing.assert_close(hidden[0], hidden[1], atol=5e-3, rtol=0)
