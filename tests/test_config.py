"""The typed schema: what is refused and how, and which settings decide a score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from hadamard_glue.config import RunConfig, check, known_keys, nearest
from hadamard_glue.errors import InputError


def plain(**overrides: Any) -> dict[str, Any]:
    return tiny.plain_config(**{"backbone": "/nowhere", "source": "/nowhere", **overrides})


def refusal(**overrides: Any) -> str:
    with pytest.raises(InputError) as caught:
        check(plain(**overrides))
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert "pydantic" not in message
    return message


@pytest.mark.parametrize("method", tiny.METHODS)
def test_every_method_gives_a_valid_config(method: str) -> None:
    config = check(plain(method=method))
    assert config.method.name == method
    assert config.science()["method"]["name"] == method


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ({"batch_size": 0}, ("batch_size=0", "greater than 0")),
        ({"batch_size": 2.5}, ("batch_size=2.5", "whole number")),
        ({"batch_size": "many"}, ("batch_size=many", "whole number")),
        ({"stage1__epochs": 0}, ("stage1.epochs=0", "greater than 0")),
        ({"stage2__epochs": -1}, ("stage2.epochs=-1", "greater than 0")),
        ({"stage1__lr": -0.1}, ("stage1.lr=-0.1", "greater than 0")),
        ({"stage2__lr": 0.0}, ("stage2.lr=0.0", "greater than 0")),
        ({"stage2__lr": float("inf")}, ("stage2.lr=inf", "finite")),
        ({"stage2__lr": float("nan")}, ("stage2.lr=nan",)),
        ({"stage2__lr": "fast"}, ("stage2.lr=fast", "number")),
        ({"stage1__features": "chached"}, ("stage1.features=chached", "'cached'")),
        ({"seed": -1}, ("seed=-1", "at least 0")),
        ({"seed": 2**32}, ("seed=4294967296", "less than")),
        ({"max_length": 4}, ("max_length=4", "at least 8")),
        ({"warmup": 1.0}, ("warmup=1.0", "less than 1")),
        ({"warmup": -0.1}, ("warmup=-0.1", "at least 0")),
        ({"weight_decay": -0.1}, ("weight_decay=-0.1", "at least 0")),
        ({"max_grad_norm": 0.0}, ("max_grad_norm=0.0", "greater than 0")),
        ({"selection": "best-dev"}, ("selection=best-dev", "'best_dev'")),
        ({"stages": "three"}, ("stages=three", "two")),
        ({"task": "sts-b"}, ("task.name=sts-b", "'stsb'")),
        ({"method": {"name": "hadamrad"}}, ("method.name=hadamrad", "'hadamard'")),
        ({"method__site": "head"}, ("method.site=head", "'heads'")),
        ({"method__norm": "attn"}, ("method.norm=attn", "attention")),
        ({"method__layers": "4:11"}, ("method.layers='4:11'", "4-11")),
        ({"method__layers": "7-4"}, ("method.layers='7-4'", "range")),
        ({"method__layers": []}, ("method.layers=[]", "list")),
        ({"method__layers": [0, -1]}, ("method.layers=[0, -1]", "list")),
        ({"method__layers": [0, 1.5]}, ("method.layers=[0, 1.5]", "list")),
        ({"method__layers": [True]}, ("method.layers=[True]", "list")),
        ({"method__layers": None}, ("method.layers=None", "list")),
        ({"method__layers": True}, ("method.layers=True", "list")),
        ({"method__layers": 1.5}, ("method.layers=1.5", "list")),
        ({"method": "houlsby", "method__bottleneck": 0}, ("method.bottleneck=0", "greater than 0")),
        ({"method": "houlsby", "method__activation": "gleu"}, ("method.activation=gleu", "'gelu'")),
        ({"method": "bitfit", "method__biases": "query"}, ("method.biases=query", "'query_middle'")),
        ({"method": "library", "method__peft_type": "ia4"}, ("method.peft_type='ia4'", "'ia3'")),
        ({"method": "library", "method__peft_type": "prefix_tuning"}, ("method.peft_type", "named modules")),
        ({"method": "library", "method__peft_type": "hadamard"}, ("method.peft_type='hadamard'", "no such method")),
        ({"method": "library", "method__options": {"rr": 4}}, ("method.options", "'rr'", "'r'")),
        ({"method": "library", "method__options": {"r": "four"}}, ("method.options", "r='four'", "integer")),
        ({"method": "library", "method__options": {"r": True}}, ("method.options", "r=True", "integer")),
        ({"method": "library", "method__options": {"target_modules": ["q"]}}, ("method.options", "method.targets")),
        ({"method": "library", "method__options": {"task_type": "SEQ_CLS"}}, ("method.options", "'task_type'")),
        ({"method": "library", "method__name": "My row"}, ("method.name='My row'", "small letters")),
        ({"method": "library", "method__targets": ["norm"]}, ("method.targets", "norm", "'norms'")),
        ({"method": {"name": "full", "peft_type": "ia3"}}, ("'method.peft_type'",)),
        ({"method": {"layers": "all"}}, ("method.name is missing",)),
        ({"method__train_head": "yes"}, ("method.train_head=yes", "true or false")),
        ({"method": "lora", "method__rank": 0}, ("method.rank=0", "greater than 0")),
        ({"method": "lora", "method__alpha": -1.0}, ("method.alpha=-1.0", "greater than 0")),
        ({"method": "lora", "method__dropout": 1.0}, ("method.dropout=1.0", "less than 1")),
        ({"method": "lora", "method__targets": []}, ("method.targets=[]", "query,value")),
        ({"method": "lora", "method__targets": "query"}, ("method.targets='query'", "query,value")),
        ({"method": "lora", "method__targets": ["querry"]}, ("method.targets", "querry", "'query'")),
        ({"hardware__device": "gpu"}, ("hardware.device=gpu", "cpu")),
        ({"hardware__precision": "bf-16"}, ("hardware.precision=bf-16", "bf16")),
        ({"hardware__threads": 0}, ("hardware.threads=0", "greater than 0")),
        ({"hardware__deterministic": 1}, ("hardware.deterministic=1", "true or false")),
        ({"tracking__mode": "onlin"}, ("tracking.mode=onlin", "online")),
        ({"limit__train": 0}, ("limit.train=0", "greater than 0")),
        ({"limit__dev": -3}, ("limit.dev=-3", "greater than 0")),
        ({"results_dir": ""}, ("results_dir=", "empty")),
        ({"source": {"kind": "directory", "path": None}}, ("source.path",)),
        ({"method__layers": "0-99999999999"}, ("method.layers='0-99999999999'", "range")),
        ({"method__layers": {"0": 1}}, ("method.layers={'0': 1}", "list")),
        ({"source": {"kind": "directroy"}}, ("source.kind=directroy", "'directory'")),
        ({"bacth_size": 8}, ("'bacth_size'", "'batch_size'")),
        ({"stage2__lrr": 0.1}, ("'stage2.lrr'", "'stage2.lr'")),
        ({"method__sites": "heads"}, ("'method.sites'", "'method.site'")),
        ({"method": "full", "method__layers": "all"}, ("'method.layers'",)),
        ({"hardware__thread": 1}, ("'hardware.thread'", "'hardware.threads'")),
        ({"method": "bitfit", "method__train_head": False}, ("stages=one", "train_head")),
        ({"stages": "one"}, ("stages=one", "train_head")),
    ],
    ids=lambda value: ",".join(f"{key}={inner}" for key, inner in value.items()) if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_bad_value_is_refused_in_one_line_that_names_it(overrides: dict[str, Any], parts: tuple[str, ...]) -> None:
    message = refusal(**overrides)
    for part in parts:
        assert part in message, message


def test_a_missing_section_is_named() -> None:
    config = plain()
    del config["stage1"]["lr"]
    with pytest.raises(InputError, match=r"^stage1\.lr is missing$"):
        check(config)


def test_a_value_that_hydra_still_waits_for_is_named() -> None:
    config = plain()
    config["backbone"]["path"] = "???"
    with pytest.raises(InputError, match=r"^backbone\.path: no value given; give backbone\.path=VALUE$"):
        check(OmegaConf.create(config))


def test_a_composed_config_is_the_same_as_a_plain_one() -> None:
    config = plain(method="lora", method__layers=[1, 0])
    assert check(OmegaConf.create(config)) == check(config)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12))
def test_layers_given_as_a_list_are_a_sorted_set(layers: list[int]) -> None:
    config = check(plain(method__layers=layers))
    assert config.method.layers == tuple(sorted(set(layers)))  # type: ignore[union-attr]


@given(st.integers(0, 40), st.integers(0, 20))
def test_a_range_of_layers_is_the_list_of_them(first: int, more: int) -> None:
    config = check(plain(method__layers=f"{first}-{first + more}"))
    assert config == check(plain(method__layers=list(range(first, first + more + 1))))


def test_one_layer_may_be_given_as_a_number() -> None:
    assert check(plain(method__layers=3)).method.layers == (3,)  # type: ignore[union-attr]


@given(st.text(max_size=8).filter(lambda text: text != "all"))
def test_any_other_text_for_layers_is_refused_or_a_range(text: str) -> None:
    try:
        config = check(plain(method__layers=text))
    except InputError as error:
        assert "method.layers" in str(error)  # noqa: PT017
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        first, last = text.split("-")
        assert config.method.layers == tuple(range(int(first), int(last) + 1))  # type: ignore[union-attr]


_NOT_SCIENCE: list[dict[str, Any]] = [
    {"backbone": "/elsewhere"},
    {"source": "/elsewhere"},
    {"limit__train": 10},
    {"results_dir": "/elsewhere"},
    {"tracking__mode": "offline"},
    {"tracking__project": "other"},
    {"hardware__device": "cuda"},
    {"hardware__precision": "bf16"},
    {"hardware__threads": 2},
    {"hardware__workers": 3},
    {"hardware__deterministic": True},
]


@pytest.mark.parametrize("override", _NOT_SCIENCE, ids=lambda override: next(iter(override)))
def test_where_and_how_is_no_science(override: dict[str, Any]) -> None:
    assert check(plain(**override)).science() == check(plain()).science()


_SCIENCE: list[dict[str, Any]] = [
    {"seed": 2},
    {"batch_size": 8},
    {"max_length": 64},
    {"warmup": 0.5},
    {"weight_decay": 0.0},
    {"max_grad_norm": 2.0},
    {"selection": "best_dev"},
    {"stage1__epochs": 2},
    {"stage1__lr": 0.5},
    {"stage1__features": "live"},
    {"stage2__epochs": 2},
    {"stage2__lr": 0.5},
    {"method__site": "projection"},
    {"method__norm": "ffn"},
    {"method__layers": [0]},
    {"method__train_head": True},
    {"method": "full"},
]


@pytest.mark.parametrize("override", _SCIENCE, ids=lambda override: next(iter(override)))
def test_what_decides_a_score_is_science(override: dict[str, Any]) -> None:
    assert check(plain(**override)).science() != check(plain()).science()


@pytest.mark.parametrize(
    ("method", "idle"),
    [
        ("classifier", {"stages": "two"}),
        ("classifier", {"stage2__lr": 0.5}),
        ("classifier", {"stage2__epochs": 9}),
        ("full", {"stage1__lr": 0.5}),
        ("full", {"stage1__epochs": 9}),
        ("lora", {"stage1__features": "live"}),
    ],
)
def test_settings_of_a_stage_that_does_not_run_are_dropped(method: str, idle: dict[str, Any]) -> None:
    assert check(plain(method=method, **idle)).science() == check(plain(method=method)).science()


@pytest.mark.parametrize(
    ("method", "stages", "expected"),
    [
        ("classifier", "one", ("stage1",)),
        ("classifier", "two", ("stage1",)),
        ("hadamard", "two", ("stage1", "stage2")),
        ("full", "one", ("stage2",)),
        ("full", "two", ("stage1", "stage2")),
    ],
)
def test_the_stages_of_each_method(method: str, stages: str, expected: tuple[str, ...]) -> None:
    config = check(plain(method=method, stages=stages))
    assert config.stage_names == expected
    assert config.science()["stages"] == ("two" if len(expected) == 2 else "one")
    assert [name for name in ("stage1", "stage2") if config.science()[name] is not None] == list(expected)


def test_a_config_is_not_changed_in_place(make_config: Callable[..., RunConfig]) -> None:
    with pytest.raises(Exception, match="frozen"):
        make_config().seed = 2


def test_known_keys_are_the_keys_that_a_config_has() -> None:
    def dotted(section: dict[str, Any], prefix: str = "") -> set[str]:
        found = set()
        for key, value in section.items():
            found.add(prefix + key)
            found |= dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else set()
        return found

    used = set().union(*(dotted(plain(method=method)) for method in tiny.METHODS))
    assert used == set(known_keys())


@given(st.text("abcdef_", min_size=1, max_size=10), st.lists(st.text("abcdef_", min_size=1), max_size=30))
def test_a_hint_names_only_what_there_is(word: str, choices: list[str]) -> None:
    hint = nearest(word, choices)
    assert hint == "" or any(choice in hint for choice in choices)
    if word in choices:
        assert repr(word) in hint
