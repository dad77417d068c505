"""Finding, digesting and loading backbones, and what is said when one cannot be used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from hadamard_glue.backbones.loading import Located, load, load_tokenizer, locate
from hadamard_glue.config import BackboneConfig
from hadamard_glue.errors import InputError


def custom(folder: Path | str, **more: Any) -> BackboneConfig:
    return BackboneConfig(**{"name": "custom", "path": str(folder), **more})


def find(folder: Path | str, **more: Any) -> Located:
    return locate(custom(folder, **more))


def copied(source: Path, to: Path) -> Path:
    return Path(shutil.copytree(source, to))


def rewrite(folder: Path, change: Any) -> None:
    """Change the tensors of a checkpoint."""
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", metadata={"format": "pt"})


def configure(folder: Path, **settings: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **settings}))


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# Names and digests


def test_a_custom_backbone_is_named_by_folder_and_content(tiny_bert: Path) -> None:
    located = find(tiny_bert)
    assert located.name == f"tiny-bert-{located.digest[:8]}"
    assert located.family == "bert"
    assert located.revision is None
    assert len(located.digest) == 64


def test_the_digest_follows_the_content_not_the_place(tiny_bert: Path, tmp_path: Path) -> None:
    moved = find(copied(tiny_bert, tmp_path / "elsewhere"))
    assert moved.digest == find(tiny_bert).digest
    assert moved.tokenizer_digest == find(tiny_bert).tokenizer_digest
    assert moved.name == f"elsewhere-{moved.digest[:8]}"


def test_files_that_are_no_part_of_a_backbone_do_not_count(tiny_bert: Path, tmp_path: Path) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    (folder / "README.md").write_text("notes")
    (folder / "training_args.bin").write_bytes(b"1234")
    assert find(folder).digest == find(tiny_bert).digest


@pytest.mark.parametrize("part", ["weights", "config", "tokenizer"])
def test_the_digest_changes_with_weights_config_and_tokenizer(tiny_bert: Path, tmp_path: Path, part: str) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    before = find(folder)
    if part == "weights":  # one bit of one weight, the file's length unchanged
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (folder / "model.safetensors").write_bytes(content)
    elif part == "config":
        configure(folder, layer_norm_eps=1e-5)
    else:
        (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text().replace('"movie"', '"pictures"'))
    after = find(folder)
    assert after.digest != before.digest
    assert (after.tokenizer_digest == before.tokenizer_digest) == (part == "weights")


def test_a_named_backbone_keeps_its_name(tiny_bert: Path) -> None:
    assert find(tiny_bert, name="bert_base").name == "bert_base"


# What cannot be used


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find(tmp_path / "nothing")
    assert one_line(caught) == f"backbone.path={tmp_path / 'nothing'}: no such folder"


def test_a_hub_id_that_is_not_cached_says_what_to_do() -> None:
    with pytest.raises(InputError) as caught:
        find("nobody/no-such-backbone-here")
    assert "backbone.path=FOLDER" in one_line(caught)
    assert "nobody/no-such-backbone-here" in one_line(caught)


def test_neither_a_folder_nor_a_hub_id() -> None:
    with pytest.raises(InputError) as caught:
        find("no such thing!")
    assert "no such thing!" in one_line(caught)


@pytest.mark.parametrize(
    ("files", "expected"),
    [(["config.json"], "no config.json"), (["model.safetensors"], "no weights"), (["tokenizer.json"], "no tokenizer")],
)
def test_a_folder_that_lacks_a_file(tiny_bert: Path, tmp_path: Path, files: list[str], expected: str) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    for file in files:
        (folder / file).unlink()
    with pytest.raises(InputError) as caught:
        find(folder)
    assert expected in one_line(caught)
    assert str(folder) in one_line(caught)


def test_an_unsupported_family(tiny_bert: Path, tmp_path: Path) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    configure(folder, model_type="gpt2")
    with pytest.raises(InputError) as caught:
        find(folder)
    assert "'gpt2'" in one_line(caught)
    assert "bert" in one_line(caught)


@pytest.mark.parametrize("content", ["{", "[]", "{}", b"\xff\xfe\x00"])
def test_a_config_that_is_none(tiny_bert: Path, tmp_path: Path, content: str | bytes) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    (folder / "config.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        find(folder)
    assert "config.json" in one_line(caught)


def test_weights_cut_short(tiny_bert: Path, tmp_path: Path) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError) as caught:
        load(find(folder), 2)
    assert f"{folder} cannot be loaded" in one_line(caught)


def test_weights_that_are_no_safetensors(tiny_bert: Path, tmp_path: Path) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(InputError) as caught:
        load(find(folder), 2)
    assert "cannot be loaded" in one_line(caught)


def test_weights_that_lack_a_layer(tiny_bert: Path, tmp_path: Path) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    rewrite(folder, lambda tensors: {name: value for name, value in tensors.items() if "layer.1." not in name})
    with pytest.raises(InputError) as caught:
        load(find(folder), 2)
    assert "'bert.encoder.layer.1." in one_line(caught)
    assert "16 in all" in one_line(caught)


def test_weights_of_another_shape(tiny_bert: Path, tmp_path: Path) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    configure(folder, intermediate_size=48)
    with pytest.raises(InputError) as caught:
        load(find(folder), 2)
    assert "intermediate.dense" in one_line(caught)


def test_weights_of_other_layers_than_the_config(tiny_bert: Path, tmp_path: Path) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    configure(folder, num_hidden_layers=3)
    with pytest.raises(InputError) as caught:
        load(find(folder), 2)
    assert "'bert.encoder.layer.2." in one_line(caught)


def test_a_missing_shard(tiny_bert: Path, tmp_path: Path) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"pooler.dense.weight": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError) as caught:
        find(folder)
    assert "lacks the weight file model-00001-of-00001.safetensors" in one_line(caught)


@pytest.mark.parametrize("content", ["{", "{}", '{"weight_map": 3}'])
def test_a_damaged_index_of_shards(tiny_bert: Path, tmp_path: Path, content: str) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(InputError) as caught:
        find(folder)
    assert "model.safetensors.index.json" in one_line(caught)


def test_a_named_backbone_of_another_family(tiny_bart: Path) -> None:
    with pytest.raises(InputError) as caught:
        find(tiny_bart, name="bert_base", family="bert")
    assert "backbone=bert_base is of family bert" in one_line(caught)
    assert "'bart'" in one_line(caught)


def test_a_named_backbone_of_another_architecture(tiny_bert: Path) -> None:
    with pytest.raises(InputError) as caught:
        find(tiny_bert, name="bert_base", family="bert", architecture={"hidden_size": 768})
    assert "backbone=bert_base has hidden_size 768" in one_line(caught)
    assert "32" in one_line(caught)
    assert "backbone=custom" in one_line(caught)


def test_a_damaged_tokenizer(tiny_bert: Path, tmp_path: Path) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(InputError) as caught:
        load_tokenizer(find(folder))
    assert f"tokenizer in {folder} cannot be loaded" in one_line(caught)


@pytest.mark.parametrize("written", ["c2p|p2c", "p2c|c2p", ["p2c", "c2p"]])
def test_a_set_is_compared_as_a_set(tmp_path: Path, written: Any) -> None:
    """DeBERTa's kinds of positions: a text on the hub, a list where transformers saved the config."""
    folder = tiny.save_deberta(tmp_path / "deberta")
    configure(folder, pos_att_type=written)
    assert find(folder, name="deberta_base", family="deberta", architecture={"pos_att_type": "c2p|p2c"})
    with pytest.raises(InputError, match="deberta_base has pos_att_type c2p, but"):
        find(folder, name="deberta_base", family="deberta", architecture={"pos_att_type": "c2p"})


def test_a_config_with_a_value_of_the_wrong_kind(tiny_bert: Path, tmp_path: Path) -> None:
    folder = copied(tiny_bert, tmp_path / "copy")
    configure(folder, hidden_size="wide")
    with pytest.raises(InputError) as caught:
        load(find(folder), 2)
    assert "hidden_size" in one_line(caught)


# What is loaded


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "save",
    [
        tiny.save_bert, tiny.save_roberta, tiny.save_bart, tiny.save_electra, tiny.save_deberta, tiny.save_deberta_v2,
    ],
)  # fmt: skip
def test_a_half_precision_checkpoint_loads_as_float32(tmp_path: Path, dtype: str, save: Any) -> None:
    folder = save(tmp_path / "half", dtype=dtype)
    stored = load_file(folder / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {getattr(torch, dtype)}
    backbone = load(find(folder), 2)
    assert {parameter.dtype for parameter in backbone.model.parameters()} == {torch.float32}
    loaded = backbone.model.base_model.state_dict()
    # a RoBERTa for classification has no pooler, whatever its checkpoint holds
    assert {name for name in stored if name not in loaded} <= {"pooler.dense.weight", "pooler.dense.bias"}
    for name in set(stored) & set(loaded):
        assert torch.equal(loaded[name], stored[name].float()), name
    assert {name for name, _ in backbone.model.base_model.named_parameters()} <= set(stored)


def test_a_loaded_backbone_is_frozen_and_in_eval_mode(tiny_models: dict[str, Path]) -> None:
    for folder in tiny_models.values():
        model = load(find(folder), 3).model
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
        assert model.config.num_labels == 3


def test_a_pooler_that_the_checkpoint_lacks_belongs_to_the_head(tiny_models: dict[str, Path]) -> None:
    width = 32
    with_pooler = load(find(tiny_models["bert"]), 2).anatomy
    without = load(find(tiny_models["bert_without_pooler"]), 2).anatomy
    assert not with_pooler.pooler_is_new
    assert without.pooler_is_new
    assert set(without.head) - set(with_pooler.head) == {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert with_pooler.backbone_total - without.backbone_total == width * width + width
    assert "bert.pooler.dense.bias" not in without.biases


@pytest.mark.parametrize("labels", [1, 2, 3])
def test_a_checkpoint_with_a_head_of_another_width_gets_a_new_one(tmp_path: Path, labels: int) -> None:
    folder = tiny.save_bert(tmp_path / "tuned", head_labels=5)
    backbone = load(find(folder), labels)
    assert backbone.model.get_parameter("classifier.weight").shape == (labels, 32)
    stored = load_file(folder / "model.safetensors")
    loaded = backbone.model.state_dict()
    for name in backbone.anatomy.backbone:
        assert torch.equal(loaded[name], stored[name]), name


def test_old_names_of_norms_are_understood(tiny_bert: Path, tmp_path: Path) -> None:
    """BERT's first checkpoints, bert-base-uncased among them, call a norm's values gamma and beta."""
    folder = copied(tiny_bert, tmp_path / "old")

    def old(name: str) -> str:
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    rewrite(folder, lambda tensors: {old(name): value for name, value in tensors.items()})
    assert any(name.endswith("gamma") for name in load_file(folder / "model.safetensors"))
    expected, found = (load(find(path), 2).model.base_model.state_dict() for path in (tiny_bert, folder))
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.parametrize(
    ("name", "family", "layers"),
    [
        ("bert-tiny", "bert", 2),
        ("roberta-tiny", "roberta", 2),
        ("bart-tiny", "bart", 4),
        ("electra-tiny", "electra", 2),
        ("deberta-v2-tiny", "deberta-v2", 2),
    ],
)
def test_the_shared_pretrained_backbones_load(shared_models: Path, name: str, family: str, layers: int) -> None:
    located = find(shared_models / name)
    backbone = load(located, 2)
    assert located.family == family
    assert len(backbone.anatomy.layers) == layers
    assert {parameter.dtype for parameter in backbone.model.parameters()} == {torch.float32}
    assert load_tokenizer(located).is_fast
