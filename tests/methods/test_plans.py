"""What every method promises on every backbone: to start from the pretrained model and train exactly what it names."""

from __future__ import annotations

import re

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from hadamard_glue.config import Method
from hadamard_glue.errors import InputError
from hadamard_glue.methods.plan import GROUPS, count, grouped, train_exactly
from hadamard_glue.methods.registry import METHODS, apply
from methods.battery import CASES, KINDS, LAST_LAYER, LIBRARY, VARIANTS, Subject, method_of

on_every_backbone = pytest.mark.parametrize("kind", KINDS)
every_case = pytest.mark.parametrize(("variant", "kind"), CASES)


#: A key's bias shifts all scores of a row alike.
_SOFTMAX_FORGETS = ("key.bias", "k_proj.bias")
#: One factor of a product whose other factor starts at zero gets no gradient in the first step.
_AT_ZERO = re.compile(r"\.(lora_A\..*|lora_B\.default|vera_lambda_d\..*|lokr_w2\..*)$")


def values_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def one_step(subject: Subject, model: nn.Module, trained: dict[str, Tensor]) -> None:
    model.train()
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-2, weight_decay=0.0)
    nn.functional.cross_entropy(model(**subject.batch).logits, subject.labels).backward()
    optimizer.step()


def test_the_battery_has_every_method() -> None:
    assert {method_of(variant, "bert").name for variant in VARIANTS} == {*METHODS, *LIBRARY, "library"}


@every_case
def test_before_the_first_step_the_model_is_the_pretrained_one(
    subjects: dict[str, Subject], kind: str, variant: str
) -> None:
    subject = subjects[kind]
    backbone, _ = subject.injected(variant, kind)
    found, pretrained = subject.logits(backbone.model), subject.logits(subject.backbone.model)
    if variant.startswith(("houlsby", "pfeiffer")):  # near the identity, as far as their initial values are from zero
        assert 0 < (found - pretrained).abs().max() < 1e-4
    elif variant == "dora":  # divides a weight by its norms and multiplies it by them
        assert (found - pretrained).abs().max() < 1e-5
    else:
        assert torch.equal(found, pretrained)


@every_case
@pytest.mark.parametrize("with_head", [True, False])
def test_one_step_changes_exactly_what_the_plan_names(
    subjects: dict[str, Subject], kind: str, variant: str, with_head: bool
) -> None:
    subject = subjects[kind]
    backbone, plan = subject.injected(variant, kind)
    head = backbone.anatomy.head if with_head else ()
    if not plan.names and not head:
        return  # the classifier without its head trains nothing
    trained = train_exactly(plan.model, [*plan.names, *head])
    assert set(trained) == {*plan.names, *head}
    before = values_of(plan.model)
    one_step(subject, plan.model, trained)
    after = values_of(plan.model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    still = {name for name in trained if name.endswith(_SOFTMAX_FORGETS) or _AT_ZERO.search(name)}
    assert changed <= set(trained)
    assert set(trained) - still <= changed
    for name, parameter in plan.model.named_parameters():
        assert name in trained or parameter.grad is None, name


@every_case
def test_injection_leaves_head_and_pretrained_values_as_they_were(
    subjects: dict[str, Subject], kind: str, variant: str
) -> None:
    subject = subjects[kind]
    before = values_of(subject.backbone.model)
    backbone, plan = subject.injected(variant, kind)
    after = values_of(plan.model)
    for name in backbone.anatomy.head:
        assert torch.equal(after[name], before[name]), name
    kept = {name.replace(".base_layer.", "."): value for name, value in after.items()}
    for name, value in before.items():
        assert torch.equal(kept[name], value), name
    assert set(before) <= set(kept)


@every_case
def test_a_plan_names_each_parameter_once_and_none_of_the_head(
    subjects: dict[str, Subject], kind: str, variant: str
) -> None:
    backbone, plan = subjects[kind].injected(variant, kind)
    assert len(plan.names) == len(set(plan.names))
    assert set(plan.groups) <= set(GROUPS) - {"head"}
    parameters = dict(plan.model.named_parameters())
    assert set(plan.names) <= set(parameters)
    assert not set(plan.names) & set(backbone.anatomy.head)
    found = count(plan, backbone.anatomy)
    assert found["trained"] == sum(parameters[name].numel() for name in plan.names)
    assert found["head"] == sum(parameters[name].numel() for name in backbone.anatomy.head)
    assert found["backbone_total"] == subjects[kind].backbone.anatomy.backbone_total
    assert found["percent"] == pytest.approx(100 * found["trained"] / found["backbone_total"])


@on_every_backbone
@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant.endswith("-last-layer")])
def test_layers_left_out_get_nothing(subjects: dict[str, Subject], kind: str, variant: str) -> None:
    subject = subjects[kind]
    backbone, plan = subject.injected(variant, kind)
    chosen = backbone.anatomy.layers[LAST_LAYER[kind]].path
    assert plan.names
    assert all(name.startswith(f"{chosen}.") for name in plan.names)
    untouched = set(dict(subject.backbone.model.named_modules()))
    added = set(dict(plan.model.named_modules())) - untouched
    assert all(name.startswith(f"{chosen}.") for name in added)


@on_every_backbone
def test_hadamard_names_one_pair_and_one_norm_a_layer(subjects: dict[str, Subject], kind: str) -> None:
    backbone, plan = subjects[kind].injected("hadamard-heads-attention", kind)
    layers = backbone.anatomy.layers
    assert len(plan.groups["adapter"]) == len(plan.groups["norm"]) == 2 * len(layers)
    for layer in layers:
        assert {name for name in plan.groups["adapter"] if name.startswith(f"{layer.attention_output}.")} == {
            f"{layer.attention_output}.hadamard_weight.default", f"{layer.attention_output}.hadamard_bias.default",
        }  # fmt: skip
        assert sum(name.startswith(f"{layer.attention_norm}.") for name in plan.groups["norm"]) == 2


@pytest.mark.parametrize(
    ("norm", "paths"),
    [
        ("attention", ("attention.output.LayerNorm",)),
        ("ffn", ("0.output.LayerNorm", "1.output.LayerNorm")),
        ("both", ("attention.output.LayerNorm", "0.output.LayerNorm", "1.output.LayerNorm")),
    ],
)
def test_hadamard_trains_the_norm_it_is_told(subjects: dict[str, Subject], norm: str, paths: tuple[str, ...]) -> None:
    _, plan = subjects["bert"].injected(f"hadamard-heads-{norm}", "bert")
    owners = {name.partition(".hadamard_norm.")[0] for name in plan.groups["norm"]}
    assert len(owners) == (4 if norm == "both" else 2)
    assert all(any(owner.endswith(path) for path in paths) for owner in owners)
    assert all(any(owner.endswith(path) for owner in owners) for path in paths)


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if not variant.startswith(("full", "bitfit"))])
def test_barts_cross_attention_is_left_alone(subjects: dict[str, Subject], variant: str) -> None:
    _, plan = subjects["bart"].injected(variant, "bart")
    # its norm is one of the norms of the layer, its projections are nobody's
    assert not [name for name in plan.names if "encoder_attn." in name]
    assert not [name for name, _ in plan.model.named_modules() if "encoder_attn." in name and "base_layer" in name]


@pytest.mark.parametrize("name", ["lora", "dora", "ia3"])
def test_barts_cross_attention_is_reached_when_asked(subjects: dict[str, Subject], name: str) -> None:
    backbone = subjects["bart"].copy()
    without = set(subjects["bart"].injected(name, "bart")[1].names)
    method = TypeAdapter(Method).validate_python({**VARIANTS[name], "cross_attention": True})
    plan = apply(backbone.model, backbone.anatomy, method)
    added = {name.partition(".encoder_attn.")[2].partition(".")[0] for name in set(plan.names) - without}
    assert without < set(plan.names)
    assert added == ({"k_proj", "v_proj"} if name == "ia3" else {"q_proj", "v_proj"})


def test_bitfit_takes_every_bias_of_bart_cross_attention_too(subjects: dict[str, Subject]) -> None:
    backbone, plan = subjects["bart"].injected("bitfit", "bart")
    expected = {name for name in backbone.anatomy.backbone if name.endswith(".bias")}
    assert set(plan.names) == expected
    assert any("encoder_attn" in name for name in plan.names)


@on_every_backbone
def test_full_names_the_whole_backbone_and_classifier_nothing(subjects: dict[str, Subject], kind: str) -> None:
    subject = subjects[kind]
    assert set(subject.injected("full", kind)[1].names) == set(subject.backbone.anatomy.backbone)
    assert subject.injected("classifier", kind)[1].names == ()


def test_adapters_start_from_torchs_random_state(subjects: dict[str, Subject]) -> None:
    one, same, other = (values_of(subjects["bert"].injected("lora", "bert", seed)[1].model) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["bitfit", "lora", "hadamard"])
def test_a_layer_that_the_backbone_lacks_is_refused(subjects: dict[str, Subject], name: str) -> None:
    backbone = subjects["bert"].copy()
    method = {**VARIANTS[f"{name}-last-layer"], "layers": [0, 2]}
    with pytest.raises(InputError, match=r"^method\.layers=\[0, 2\]: this backbone has layers 0 to 1$"):
        apply(backbone.model, backbone.anatomy, TypeAdapter(Method).validate_python(method))


def test_training_does_not_start_with_a_name_that_is_not_there(subjects: dict[str, Subject]) -> None:
    backbone = subjects["bert"].copy()
    with pytest.raises(RuntimeError, match=r"'bert\.no\.such'"):
        train_exactly(backbone.model, ["classifier.weight", "bert.no.such"])


def test_a_group_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RuntimeError, match="adaptor"):
        grouped(adaptor=["x"])


def test_train_exactly_forgets_what_trained_before(subjects: dict[str, Subject]) -> None:
    model = subjects["bert"].copy().model
    model.requires_grad_(True)
    trained = train_exactly(model, ["classifier.bias"])
    assert list(trained) == ["classifier.bias"]
    assert [name for name, value in model.named_parameters() if value.requires_grad] == ["classifier.bias"]
