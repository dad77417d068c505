"""The Hadamard adapter at home in PEFT: the shell around a stock model, saved, loaded, switched and merged."""

from __future__ import annotations

import copy
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from methods.battery import KINDS
from peft import AutoPeftModelForSequenceClassification, PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hadamard_glue import HadamardConfig
from hadamard_glue.backbones.anatomy import resolve
from hadamard_glue.errors import InputError
from hadamard_glue.methods.hadamard_tuner import HadamardLinear, HadamardNorm

LABELS = 3
SITES = ("heads", "projection")
at_both_sites = pytest.mark.parametrize("site", SITES)
on_every_backbone = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """PEFT calls what transformers has deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def stock(folder: Path, seed: int = 0) -> Any:
    """The model as a user of transformers loads it, with a head drawn from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=LABELS).eval()


def batch_of(folder: Path) -> dict[str, Tensor]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    first = ["the old man sees a red house", "cat runs", "a great movie ."]
    return dict(tokenizer(first, ["never over the river", "dog", "one plot"], padding=True, return_tensors="pt"))


def logits(model: Any, batch: dict[str, Tensor]) -> Tensor:
    model.eval()
    with torch.inference_mode():
        return model(**batch).logits.clone()


def shake(model: Any, adapter: str = "default", seed: int = 0) -> None:
    """Move everything that ``adapter`` trains, the head included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if adapter in name.split(".") and "original_module" not in name:
                value.add_(0.3 * torch.randn(value.shape, generator=generator).to(value.dtype))


def adapted(folder: Path, dtype: torch.dtype = torch.float32, **settings: Any) -> Any:
    model = get_peft_model(stock(folder).to(dtype), HadamardConfig(task_type="SEQ_CLS", **settings))
    shake(model)
    return model


def wrapped(model: Any, kind: type) -> set[str]:
    return {name for name, module in model.get_base_model().named_modules() if isinstance(module, kind)}


# Filling from the anatomy


@on_every_backbone
def test_nothing_but_the_task_type_is_needed(tiny_models: dict[str, Path], kind: str) -> None:
    folder = tiny_models[kind]
    base, batch = stock(folder), batch_of(folder)
    before, layers = logits(base, batch), resolve(base).layers
    model = get_peft_model(base, HadamardConfig(task_type="SEQ_CLS"))
    assert torch.equal(logits(model, batch), before)
    assert wrapped(model, HadamardLinear) == {layer.attention_output for layer in layers}
    assert wrapped(model, HadamardNorm) == {layer.attention_norm for layer in layers}


@on_every_backbone
def test_what_trains_is_the_adapter_and_every_new_part_of_the_head(tiny_models: dict[str, Path], kind: str) -> None:
    base = stock(tiny_models[kind])
    outside = {name for name, _ in base.named_parameters() if not name.startswith(f"{base.base_model_prefix}.")}
    if kind == "bert_without_pooler":
        outside |= {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    model = get_peft_model(base, HadamardConfig(task_type="SEQ_CLS"))
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    head = {name for name in trained if "hadamard_" not in name}
    assert {name.removeprefix("base_model.model.").replace("modules_to_save.default.", "") for name in head} == outside
    assert len(trained) > len(head)


@pytest.mark.parametrize(("norm", "per_layer"), [("attention", 1), ("ffn", 1), ("both", 2), ("none", 0)])
def test_norm_is_an_option(tiny_bert: Path, norm: str, per_layer: int) -> None:
    assert len(wrapped(adapted(tiny_bert, norm=norm), HadamardNorm)) == 2 * per_layer


@pytest.mark.parametrize("layers", [[3], "3-3", 3])
def test_layers_are_an_option_encoder_before_decoder(tiny_bart: Path, layers: Any) -> None:
    model = adapted(tiny_bart, layers=layers)
    assert wrapped(model, HadamardLinear) == {"model.decoder.layers.1.self_attn.out_proj"}
    assert wrapped(model, HadamardNorm) == {"model.decoder.layers.1.self_attn_layer_norm"}


def test_paths_given_by_hand_are_taken_as_they_are(tiny_bert: Path) -> None:
    path = "bert.encoder.layer.1.attention.output.dense"
    model = adapted(tiny_bert, target_modules=[path])
    assert wrapped(model, HadamardLinear) == {path}
    assert wrapped(model, HadamardNorm) == set()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"site": "head"}, r"site=head is not valid \(one of heads, projection\)"),
        ({"norm": "all"}, "norm=all is not valid"),
        ({"layers": "4-"}, "layers=4-: expected 'all', a list or a range"),
        ({"layers": [-1]}, "expected 'all', a list or a range"),
    ],
)
def test_settings_that_do_not_exist_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        HadamardConfig(**settings)


def test_a_layer_beyond_the_last_is_refused_and_the_model_left_alone(tiny_bert: Path) -> None:
    base = stock(tiny_bert)
    names = set(base.state_dict())
    with pytest.raises(InputError, match="layers 0 to 1"):
        get_peft_model(base, HadamardConfig(task_type="SEQ_CLS", layers=[2]))
    assert set(base.state_dict()) == names


# Saving and loading


@on_every_backbone
@at_both_sites
@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
def test_save_and_load_give_the_same_logits(
    tiny_models: dict[str, Path], tmp_path: Path, kind: str, site: str, low_cpu_mem_usage: bool
) -> None:
    folder = tiny_models[kind]
    model, batch = adapted(folder, site=site, norm="both"), batch_of(folder)
    model.save_pretrained(tmp_path)
    other_head = stock(folder, seed=1)
    assert not torch.equal(logits(other_head, batch), logits(stock(folder), batch))
    loaded = PeftModel.from_pretrained(other_head, str(tmp_path), low_cpu_mem_usage=low_cpu_mem_usage)
    assert torch.equal(logits(loaded, batch), logits(model, batch))
    assert not [name for name, value in loaded.named_parameters() if value.requires_grad]


@on_every_backbone
def test_the_auto_class_finds_backbone_adapter_and_head(
    tiny_models: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    folder = tiny_models[kind]
    model, batch = adapted(folder), batch_of(folder)
    model.save_pretrained(tmp_path)
    loaded = AutoPeftModelForSequenceClassification.from_pretrained(str(tmp_path), num_labels=LABELS)
    assert torch.equal(logits(loaded, batch), logits(model, batch))


@pytest.mark.parametrize("order", ["hadamard_glue, peft", "peft, hadamard_glue"])
def test_importing_the_package_is_all_that_peft_needs(tiny_bert: Path, tmp_path: Path, order: str) -> None:
    adapted(tiny_bert).save_pretrained(tmp_path)
    script = f"""
import {order}
model = peft.AutoPeftModelForSequenceClassification.from_pretrained({str(tmp_path)!r}, num_labels={LABELS})
print(model.peft_config["default"].peft_type, peft.__spec__.loader.get_filename("peft") == peft.__file__)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["HADAMARD", "True"], done.stderr


def test_the_command_line_does_without_peft() -> None:
    script = "import hadamard_glue.cli, sys; print(sorted({'torch', 'peft', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("hidden", "layers", "found"), [(64, 2, "64, 2 layers"), (32, 3, "32, 3 layers"), (None, 2, "a bart")]
)
def test_an_adapter_of_another_backbone_is_refused_in_one_line(
    tiny_bert: Path, tiny_bart: Path, tmp_path: Path, hidden: int | None, layers: int, found: str
) -> None:
    adapted(tiny_bert).save_pretrained(tmp_path / "adapter")
    other = tiny_bart
    if hidden is not None:
        other = tiny.save_bert(tmp_path / "other", hidden=hidden, layers=layers)
    base = stock(other)
    names = set(base.state_dict())
    with pytest.raises(InputError, match="is for a bert of hidden size 32, 2 layers, the model given is") as caught:
        PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    assert found in str(caught.value)
    assert "\n" not in str(caught.value)
    assert set(base.state_dict()) == names


# Several adapters


def test_adapters_of_either_site_are_added_switched_disabled_and_deleted(tiny_bert: Path, tmp_path: Path) -> None:
    batch, base = batch_of(tiny_bert), stock(tiny_bert)
    before = logits(base, batch)
    model = adapted(tiny_bert)
    first = logits(model, batch)
    model.add_adapter("second", HadamardConfig(task_type="SEQ_CLS", site="projection", norm="ffn", layers=[1]))
    assert torch.equal(logits(model, batch), first)
    shake(model, "second", seed=5)
    model.set_adapter("second")
    second = logits(model, batch)
    assert not torch.equal(first, second)
    with model.disable_adapter():
        assert torch.equal(logits(model, batch), before)
    assert torch.equal(logits(model, batch), second)
    model.set_adapter("default")
    assert torch.equal(logits(model, batch), first)
    model.save_pretrained(tmp_path)  # the second into its own folder
    again = PeftModel.from_pretrained(stock(tiny_bert, seed=1), str(tmp_path))
    again.load_adapter(str(tmp_path / "second"), "other")
    again.set_adapter("other")
    assert torch.equal(logits(again, batch), second)
    with pytest.warns(UserWarning, match="Setting active adapter to second"):
        model.delete_adapter("default")
    model.set_adapter("second")
    assert torch.equal(logits(model, batch), second)
    assert not [name for name in model.state_dict() if "hadamard_" in name and "default" in name.split(".")]


# Merging


@on_every_backbone
@at_both_sites
def test_merge_and_unload_is_exact(tiny_models: dict[str, Path], kind: str, site: str) -> None:
    folder = tiny_models[kind]
    model, batch = adapted(folder, torch.float64, site=site, norm="both"), batch_of(folder)
    expected = logits(model, batch)
    plain = model.merge_and_unload(safe_merge=True)
    assert set(plain.state_dict()) == set(stock(folder).state_dict())
    assert (logits(plain, batch) - expected).abs().max() < 1e-12


@on_every_backbone
@at_both_sites
def test_unmerge_restores_every_tensor_bit_for_bit(tiny_models: dict[str, Path], kind: str, site: str) -> None:
    model = adapted(tiny_models[kind], site=site, norm="both")
    before = copy.deepcopy(model.state_dict())
    identities = {name: id(value) for name, value in model.named_parameters()}
    model.merge_adapter()
    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.unmerge_adapter()
    after = model.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert {name: id(value) for name, value in model.named_parameters()} == identities  # optimizers hold on to them
