"""The last layer at the pooled position alone: the whole layer's numbers and gradients, whatever a method put there."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from hadamard_glue.backbones.head import head, pooled
from hadamard_glue.backbones.loading import Backbone
from hadamard_glue.config import RunConfig
from hadamard_glue.glue.batches import collate
from hadamard_glue.methods.plan import train_exactly
from hadamard_glue.methods.registry import apply
from hadamard_glue.runs.trunk import Trunk

MakeConfig = Callable[..., RunConfig]
CALM: dict[str, dict[str, Any]] = {"bert_without_pooler": {"pooler": False}}


@pytest.fixture(scope="session")
def calm_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny backbones of every kind, their dropout off."""
    folder = tmp_path_factory.mktemp("calm")
    builders: dict[str, Callable[..., Path]] = {**tiny.BUILDERS, "bert_without_pooler": tiny.save_bert}
    return {kind: build(folder / kind, dropout=0.0, **CALM.get(kind, {})) for kind, build in builders.items()}


@pytest.fixture(scope="session")
def trunk_of(make_config: MakeConfig, calm_models: dict[str, Path]) -> Callable[[str], Trunk]:
    made: dict[str, Trunk] = {}

    def trunk(kind: str) -> Trunk:
        return made.setdefault(kind, Trunk(make_config(backbone=calm_models[kind], task="mrpc")))

    return trunk


def copied(trunk: Trunk) -> Backbone:
    backbone = trunk.material.backbone
    return Backbone(copy.deepcopy(backbone.model), backbone.anatomy)


def batch_of(trunk: Trunk) -> dict[str, Tensor]:
    """Seven rows of different lengths, so that there is padding."""
    rows = trunk.material.train
    return collate(rows.encoded, np.argsort(rows.encoded.lengths)[::14], rows.pad_token_id)


def disturb(model: nn.Module) -> None:
    """Adapters start at the identity, where a missing one would not show."""
    torch.manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value), alpha=0.05)


@pytest.mark.parametrize("method", [name for name in tiny.METHODS if name != "classifier"])
@pytest.mark.parametrize("kind", tiny.BUILDERS)
def test_values_and_gradients_are_those_of_the_whole_layer(
    make_config: MakeConfig, trunk_of: Callable[[str], Trunk], kind: str, method: str
) -> None:
    trunk = trunk_of(kind)
    backbone = copied(trunk)
    model, anatomy = backbone.model, backbone.anatomy
    plan = apply(model, anatomy, make_config(method=method).method)
    disturb(model)
    trained = train_exactly(model, [*plan.names, *anatomy.head])
    model.train()
    batch = batch_of(trunk)
    assert not batch["attention_mask"].all()  # padding is part of it
    found = {}
    for whole in (True, False):
        logits = head(model, anatomy, pooled(model, anatomy, batch, whole))
        gradients = torch.autograd.grad(logits.square().sum(), list(trained.values()), allow_unused=True)
        found[whole] = [logits.detach(), *(torch.zeros(()) if value is None else value for value in gradients)]
    for name, one, two in zip(["logits", *trained], found[True], found[False], strict=True):
        torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5, msg=functools.partial("{}: {}".format, name))


@pytest.mark.parametrize("kind", tiny.BUILDERS)
def test_the_last_layer_sees_one_token_and_the_model_is_left_as_it_was(
    trunk_of: Callable[[str], Trunk], kind: str
) -> None:
    trunk = trunk_of(kind)
    model, anatomy, batch = trunk.material.backbone.model, trunk.material.backbone.anatomy, batch_of(trunk)
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    expected = model(**inputs).logits
    seen: list[int] = []
    hook = model.get_submodule(anatomy.layers[-1].ffn_in).register_forward_hook(
        lambda module, inputs, output: seen.append(output.shape[1])
    )
    below = model.get_submodule(anatomy.layers[-2].ffn_in).register_forward_hook(
        lambda module, inputs, output: seen.append(output.shape[1])
    )
    with torch.no_grad():
        logits = head(model, anatomy, pooled(model, anatomy, batch))
        tokens = batch["input_ids"].shape[1]
        assert seen == [tokens, 1]
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
        states = model(**inputs, output_hidden_states=True)
    last = states.hidden_states if kind != "bart" else states.decoder_hidden_states
    assert last[-1].shape[1] == tokens
    hook.remove()
    below.remove()
    assert not any("forward" in vars(module) for module in model.modules())


def test_an_error_leaves_nothing_behind(trunk_of: Callable[[str], Trunk]) -> None:
    backbone = trunk_of("roberta").material.backbone
    wrong = {"input_ids": torch.tensor([[10**6]]), "attention_mask": torch.tensor([[1]])}
    with pytest.raises(IndexError):
        pooled(backbone.model, backbone.anatomy, wrong)
    assert not any("forward" in vars(module) for module in backbone.model.modules())


@pytest.mark.parametrize("kind", [kind for kind in tiny.BUILDERS if "deberta" not in kind])
def test_every_attention_of_transformers_will_do(trunk_of: Callable[[str], Trunk], kind: str) -> None:
    trunk = trunk_of(kind)
    backbone, batch = copied(trunk), batch_of(trunk)
    full = {**batch, "attention_mask": torch.ones_like(batch["attention_mask"])}  # for which there may be no mask
    for implementation in ("eager", "sdpa"):
        backbone.model.set_attn_implementation(implementation)
        for given in (batch, full):
            with torch.no_grad():
                one, two = (pooled(backbone.model, backbone.anatomy, given, whole) for whole in (True, False))
            torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5)


def test_what_it_cannot_narrow_stays_whole(trunk_of: Callable[[str], Trunk]) -> None:
    """A convolution right after the last layer reads every token of it; LayerDrop may leave the last layer out."""
    from transformers import AutoModelForSequenceClassification, DebertaV2Config

    from hadamard_glue.backbones.anatomy import resolve

    settings = DebertaV2Config(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        relative_attention=True, pos_att_type=["p2c", "c2p"], max_position_embeddings=64, type_vocab_size=0,
    )  # fmt: skip
    settings.update({"conv_kernel_size": 3, "position_buckets": 8})
    model = AutoModelForSequenceClassification.from_config(settings).eval()
    trunk = trunk_of("deberta_v2")
    batch, anatomy = batch_of(trunk), resolve(model)
    batch["input_ids"] = batch["input_ids"] % 60
    with torch.no_grad():
        one, two = (pooled(model, anatomy, batch, whole) for whole in (True, False))
    assert torch.equal(one, two)
    bart = copied(trunk_of("bart"))
    decoder: Any = bart.model.get_submodule("model.decoder")
    decoder.layerdrop = 1.0
    bart.model.train()
    batch = batch_of(trunk_of("bart"))
    one, two = (pooled(bart.model, bart.anatomy, batch, whole) for whole in (True, False))
    assert one.shape == two.shape == (7, 32)
    torch.testing.assert_close(two, one)
