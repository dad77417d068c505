"""The Hadamard adapter as a PEFT tuner: merging, switching, unloading, precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hadamard_glue.errors import InputError
from hadamard_glue.methods.hadamard_tuner import HadamardConfig, HadamardLayer, HadamardLinear, HadamardModel
from methods.battery import KINDS, Subject

SITES = ("heads", "projection")
at_both_sites = pytest.mark.parametrize("site", SITES)
on_every_backbone = pytest.mark.parametrize("kind", KINDS)


def config_of(subject: Subject, site: str = "heads") -> HadamardConfig:
    layers = subject.backbone.anatomy.layers
    return HadamardConfig(
        site=site,
        target_modules=[layer.attention_output for layer in layers],
        norm_modules=[path for layer in layers for path in (layer.attention_norm, layer.ffn_norm)],
    )


def tuned(subject: Subject, site: str = "heads", dtype: torch.dtype = torch.float32, seed: int = 0) -> HadamardModel:
    """A tuner with an adapter that does something."""
    tuner = HadamardModel(subject.as_dtype(dtype), config_of(subject, site), "default")
    shake(tuner, "default", seed)
    return tuner


def shake(tuner: HadamardModel, adapter: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in tuner.named_parameters():
            if "hadamard_" in name and adapter in name.split("."):
                value.add_(0.3 * torch.randn(value.shape, generator=generator).to(value.dtype))


def add(tuner: HadamardModel, subject: Subject, site: str) -> None:
    tuner.peft_config["second"] = config_of(subject, site)
    tuner.inject_adapter(tuner.model, "second")


def layers_of(tuner: HadamardModel) -> list[Any]:
    return [module for module in tuner.modules() if isinstance(module, HadamardLayer)]


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return set(one) == set(two) and all(torch.equal(value, two[name]) for name, value in one.items())


# The arithmetic


@at_both_sites
@settings(max_examples=25, deadline=None)
@given(
    inputs=st.integers(1, 6), outputs=st.integers(1, 6), with_bias=st.booleans(), seed=st.integers(0, 2**31),
    rows=st.integers(1, 4),
)  # fmt: skip
def test_one_projection_is_what_the_paper_writes(
    site: str, inputs: int, outputs: int, with_bias: bool, seed: int, rows: int
) -> None:
    torch.manual_seed(seed)
    linear = nn.Linear(inputs, outputs, bias=with_bias).double()
    layer = HadamardLinear(linear, "default", HadamardConfig(site=site))
    width = inputs if site == "heads" else outputs
    weight, bias = torch.randn(2, width, dtype=torch.float64)
    layer.hadamard_weight["default"].data, layer.hadamard_bias["default"].data = weight, bias
    hidden = torch.randn(rows, 3, inputs, dtype=torch.float64)
    expected = linear(weight * hidden + bias) if site == "heads" else weight * linear(hidden) + bias
    found = layer(hidden)
    assert torch.equal(found, expected) or (found - expected).abs().max() < 1e-12
    before = state(linear)
    layer.merge(safe_merge=True)
    assert (layer(hidden) - expected).abs().max() < 1e-11
    assert linear.bias is not None  # the shift needs one
    layer.unmerge()
    assert same(state(linear), before)
    assert (linear.bias is not None) == with_bias


@at_both_sites
def test_an_adapter_starts_as_identity(site: str) -> None:
    layer = HadamardLinear(nn.Linear(3, 5), "default", HadamardConfig(site=site))
    width = 3 if site == "heads" else 5
    assert torch.equal(layer.hadamard_weight["default"], torch.ones(width))
    assert torch.equal(layer.hadamard_bias["default"], torch.zeros(width))


# In a model


@on_every_backbone
@at_both_sites
def test_a_merged_model_equals_the_adapted_one(subjects: dict[str, Subject], kind: str, site: str) -> None:
    subject = subjects[kind]
    tuner = tuned(subject, site, torch.float64)
    pretrained = subject.logits(subject.as_dtype(torch.float64))
    adapted, before = subject.logits(tuner.model), state(tuner.model)
    assert (adapted - pretrained).abs().max() > 1e-3  # the adapter does something
    tuner.merge_adapter(safe_merge=True)
    assert all(layer.merged for layer in layers_of(tuner))
    assert (subject.logits(tuner.model) - adapted).abs().max() < 1e-12
    tuner.unmerge_adapter()
    assert same(state(tuner.model), before)
    assert torch.equal(subject.logits(tuner.model), adapted)


@on_every_backbone
@at_both_sites
def test_unmerging_restores_float32_bit_for_bit(subjects: dict[str, Subject], kind: str, site: str) -> None:
    tuner = tuned(subjects[kind], site)
    before = state(tuner.model)
    for _ in range(3):
        tuner.merge_adapter()
        assert not same(state(tuner.model), before)
        tuner.unmerge_adapter()
    assert same(state(tuner.model), before)


@on_every_backbone
@at_both_sites
def test_unload_gives_the_pretrained_model_back(subjects: dict[str, Subject], kind: str, site: str) -> None:
    subject = subjects[kind]
    restored = tuned(subject, site).unload()
    assert same(state(restored), state(subject.backbone.model))
    assert not [module for module in restored.modules() if isinstance(module, HadamardLayer)]
    assert torch.equal(subject.logits(restored), subject.logits(subject.backbone.model))


@at_both_sites
def test_unload_after_merge_and_unmerge_gives_the_pretrained_model_back(
    subjects: dict[str, Subject], site: str
) -> None:
    subject = subjects["bert"]
    tuner = tuned(subject, site)
    tuner.merge_adapter()
    tuner.unmerge_adapter()
    assert same(state(tuner.unload()), state(subject.backbone.model))


@on_every_backbone
@at_both_sites
def test_merge_and_unload_gives_a_plain_model_with_the_adapters_logits(
    subjects: dict[str, Subject], kind: str, site: str
) -> None:
    subject = subjects[kind]
    tuner = tuned(subject, site, torch.float64)
    adapted = subject.logits(tuner.model)
    plain = tuner.merge_and_unload(safe_merge=True)
    assert set(plain.state_dict()) == set(subject.backbone.model.state_dict())
    assert (subject.logits(plain) - adapted).abs().max() < 1e-12


@on_every_backbone
@at_both_sites
def test_adapters_switch_and_are_disabled(subjects: dict[str, Subject], kind: str, site: str) -> None:
    subject = subjects[kind]
    tuner = tuned(subject, site)
    first = subject.logits(tuner.model)
    add(tuner, subject, site)
    assert torch.equal(subject.logits(tuner.model), first)  # adding one does not activate it
    shake(tuner, "second", 99)
    tuner.set_adapter("second")
    second = subject.logits(tuner.model)
    assert not torch.equal(first, second)
    tuner.disable_adapter_layers()
    assert torch.equal(subject.logits(tuner.model), subject.logits(subject.backbone.model))
    tuner.enable_adapter_layers()
    assert torch.equal(subject.logits(tuner.model), second)
    tuner.set_adapter("default")
    assert torch.equal(subject.logits(tuner.model), first)


def test_a_second_adapter_starts_from_the_pretrained_model(subjects: dict[str, Subject]) -> None:
    subject = subjects["bert"]
    tuner = tuned(subject)
    add(tuner, subject, "heads")
    tuner.set_adapter("second")
    assert torch.equal(subject.logits(tuner.model), subject.logits(subject.backbone.model))


def test_only_the_active_adapter_trains(subjects: dict[str, Subject]) -> None:
    subject = subjects["bert"]
    tuner = tuned(subject)
    add(tuner, subject, "heads")
    for active in ("default", "second"):
        tuner.set_adapter(active)
        training = {name for name, value in tuner.named_parameters() if value.requires_grad and "hadamard_" in name}
        assert training == {
            name for name, _ in tuner.named_parameters() if "hadamard_" in name and active in name.split(".")
        }


def test_disabling_a_merged_adapter_takes_it_out(subjects: dict[str, Subject]) -> None:
    subject = subjects["bert"]
    tuner = tuned(subject)
    tuner.merge_adapter()
    tuner.disable_adapter_layers()
    assert torch.equal(subject.logits(tuner.model), subject.logits(subject.backbone.model))


def test_two_adapters_do_not_act_or_merge_together(subjects: dict[str, Subject]) -> None:
    subject = subjects["bert"]
    tuner = tuned(subject)
    add(tuner, subject, "heads")
    for layer in layers_of(tuner):
        layer.set_adapter(["default", "second"])
    with pytest.raises(ValueError, match="one at a time"):
        subject.logits(tuner.model)
    with pytest.raises(ValueError, match="one at a time"):
        tuner.merge_adapter(["default", "second"])


def test_a_broken_adapter_is_not_merged_safely(subjects: dict[str, Subject]) -> None:
    tuner = tuned(subjects["bert"])
    layers_of(tuner)[0].hadamard_weight["default"].data[0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        tuner.merge_adapter(safe_merge=True)


def test_a_site_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="site=head is not valid"):
        HadamardConfig(site="head")


def test_a_tuner_without_targets_on_a_model_of_no_known_family_is_refused() -> None:
    with pytest.raises(InputError, match="unsupported backbone family"):
        HadamardModel(nn.Sequential(nn.Linear(2, 2)), HadamardConfig(), "default")


def test_a_model_of_many_layers_is_injected_at_every_one() -> None:
    """PEFT shortens lists of twenty and more target names; BERT-large has 24 layers."""
    from transformers import BertConfig, BertForSequenceClassification

    from hadamard_glue.backbones.anatomy import resolve

    settings = BertConfig(
        vocab_size=20, hidden_size=4, num_hidden_layers=24, num_attention_heads=1, intermediate_size=4
    )
    model = BertForSequenceClassification(settings)
    layers = resolve(model).layers
    HadamardModel(
        model,
        HadamardConfig(
            target_modules=[layer.attention_output for layer in layers[2:]],
            norm_modules=[layer.ffn_norm for layer in layers[2:]],
        ),
        "default",
    )
    found = {name for name, module in model.named_modules() if isinstance(module, HadamardLayer)}
    assert found == {path for layer in layers[2:] for path in (layer.attention_output, layer.ffn_norm)}


# Precision


@at_both_sites
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_adapter_is_float32_under_a_half_precision_backbone(
    subjects: dict[str, Subject], site: str, dtype: torch.dtype
) -> None:
    subject = subjects["bert"]
    tuner = HadamardModel(subject.as_dtype(dtype), config_of(subject, site), "default")
    for name, value in tuner.named_parameters():
        assert value.dtype == (torch.float32 if "hadamard_" in name else dtype), name
    hidden = torch.randn(2, 3, 32).to(dtype)
    layer = next(module for module in layers_of(tuner) if isinstance(module, HadamardLinear))
    assert layer(hidden).dtype == dtype


@at_both_sites
def test_an_update_of_a_hundred_thousandth_survives_bf16_autocast(subjects: dict[str, Subject], site: str) -> None:
    subject = subjects["bert"]
    tuner = HadamardModel(subject.copy().model, config_of(subject, site), "default")
    trained = {name: value for name, value in tuner.named_parameters() if "hadamard_" in name}
    before = {name: value.detach().clone() for name, value in trained.items()}
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-5, weight_decay=0.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nn.functional.cross_entropy(tuner.model(**subject.batch).logits.float(), subject.labels)
    loss.backward()
    optimizer.step()
    for name, value in trained.items():
        moved = (value.detach() - before[name]).abs()
        assert value.dtype == torch.float32
        # Adam's first step is the rate itself wherever there is a gradient
        assert 0.9e-5 < float(moved.max()) < 1.1e-5, name
    assert torch.tensor(1 - 1e-5).bfloat16() == 1  # in bf16 it would have vanished
