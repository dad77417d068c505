"""Weights that exist as a pickle alone: converted once, never executed."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import BUILDERS, save_deberta_v2

from hadamard_glue.backbones.loading import Located, load, locate
from hadamard_glue.config import BackboneConfig, RunConfig
from hadamard_glue.errors import InputError
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.record import read


def find(folder: Path) -> Located:
    return locate(BackboneConfig(name="custom", path=str(folder)))


def pickled(
    source: Path, folder: Path, change: Callable[[dict[str, Any]], Any] = lambda found: found, **how: Any
) -> Path:
    """A copy of a backbone whose weights are a pickle."""
    shutil.copytree(source, folder)
    torch.save(change(load_file(folder / "model.safetensors")), folder / "pytorch_model.bin", **how)
    (folder / "model.safetensors").unlink()
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(find(folder), 2)
    assert "\n" not in str(caught.value)
    assert str(folder / "pytorch_model.bin") in str(caught.value)
    return str(caught.value)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HADAMARD_GLUE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_pickle_gives_the_same_model(tiny_models: dict[str, Path], tmp_path: Path, cache: Path, kind: str) -> None:
    located = find(pickled(tiny_models[kind], tmp_path / "copy"))
    assert located.pickle == located.folder / "pytorch_model.bin"
    found, expected = load(located, 3), load(find(tiny_models[kind]), 3)
    assert found.anatomy == expected.anatomy
    assert found.model.config.num_labels == 3
    values = dict(found.model.named_parameters())
    for name in expected.anatomy.backbone:
        assert torch.equal(values[name], expected.model.get_parameter(name)), name
    assert sorted(file.name for file in located.folder.iterdir() if "model." in file.name) == ["pytorch_model.bin"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_kept_in_the_cache_and_loaded_as_float32(tmp_path: Path, cache: Path, dtype: str) -> None:
    located = find(pickled(save_deberta_v2(tmp_path / "half", dtype=dtype), tmp_path / "copy"))
    assert {parameter.dtype for parameter in load(located, 2).model.parameters()} == {torch.float32}
    stored = load_file(located.weights / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {getattr(torch, dtype)}


def test_the_format_of_2020_is_read(tiny_bert: Path, tmp_path: Path, cache: Path) -> None:
    folder = pickled(tiny_bert, tmp_path / "old", _use_new_zipfile_serialization=False)
    expected = load(find(tiny_bert), 2).model.get_parameter("bert.encoder.layer.1.output.dense.weight")
    assert torch.equal(load(find(folder), 2).model.get_parameter("bert.encoder.layer.1.output.dense.weight"), expected)


def test_tied_and_sliced_tensors(tiny_bert: Path, tmp_path: Path, cache: Path) -> None:
    """Old checkpoints name the embeddings twice; a slice of a larger memory is stored as what it is."""

    def tie(tensors: dict[str, Any]) -> dict[str, Any]:
        words = tensors["embeddings.word_embeddings.weight"]
        wide = torch.stack([tensors["pooler.dense.weight"], words[: words.shape[1]]], dim=-1)
        return {**tensors, "cls.predictions.decoder.weight": words, "pooler.dense.weight": wide[..., 0]}

    found = load(find(pickled(tiny_bert, tmp_path / "tied", tie)), 2).model
    for name, value in load(find(tiny_bert), 2).model.base_model.state_dict().items():
        assert torch.equal(found.base_model.state_dict()[name], value), name


def test_it_is_converted_once_for_all_its_copies(tiny_bert: Path, tmp_path: Path, cache: Path) -> None:
    first = find(pickled(tiny_bert, tmp_path / "one"))
    weights = first.weights / "model.safetensors"
    assert weights.is_relative_to(cache / "converted")
    written = weights.stat().st_mtime_ns
    second = find(Path(shutil.copytree(tmp_path / "one", tmp_path / "two")))
    assert second.digest == first.digest
    assert second.weights == first.weights
    assert weights.stat().st_mtime_ns == written
    assert not [file for file in weights.parent.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("damage", ["bit", "cut", "gone", "no checksum"])
def test_damaged_converted_weights_are_made_anew(tiny_bert: Path, tmp_path: Path, cache: Path, damage: str) -> None:
    located = find(pickled(tiny_bert, tmp_path / "copy"))
    weights = located.weights / "model.safetensors"
    content = weights.read_bytes()
    if damage == "bit":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "cut":
        weights.write_bytes(content[:-100])
    elif damage == "gone":
        weights.unlink()
    else:
        (weights.parent / "model.safetensors.sha256").unlink()
    assert (located.weights / "model.safetensors").read_bytes() == content


def test_safetensors_are_preferred_and_the_digest_is_of_what_is_used(tiny_bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "both"))
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    located = find(folder)
    assert located.pickle is None
    assert located.digest == find(tiny_bert).digest
    assert located.weights == folder
    other = pickled(tiny_bert, tmp_path / "one")
    before = find(other).digest
    torch.save({"x": torch.zeros(1)}, other / "pytorch_model.bin")
    assert find(other).digest != before


def test_the_record_says_that_weights_were_converted(
    make_config: Callable[..., RunConfig], tiny_models: dict[str, Path], tmp_path: Path, cache: Path
) -> None:
    plain, other = tiny_models["deberta_v2"], pickled(tiny_models["deberta_v2"], tmp_path / "copy")
    records = [
        read(execute(make_config(backbone=folder, method="classifier", results_dir=str(tmp_path / folder.name))))
        for folder in (plain, other)
    ]
    assert [record["backbone"]["converted"] for record in records] == [False, True]
    assert records[0]["metrics"] == records[1]["metrics"]


# What cannot be used


class Trap:
    """Unpickled, it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_code_in_a_pickle_is_never_run(tiny_bert: Path, tmp_path: Path, cache: Path) -> None:
    sprung = tmp_path / "sprung"
    folder = pickled(tiny_bert, tmp_path / "trap", lambda tensors: {**tensors, "trap": Trap(sprung)})
    assert "holds pickled code, which is never run" in refusal(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(sprung)))
    assert "holds pickled code, which is never run" in refusal(folder)
    assert not sprung.exists()
    assert not (cache / "converted").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b"PK\x03\x04 no archive", b"\x80\x04N."],
)
def test_what_is_no_pickle_of_tensors(tiny_bert: Path, tmp_path: Path, cache: Path, content: bytes) -> None:
    folder = pickled(tiny_bert, tmp_path / "copy")
    (folder / "pytorch_model.bin").write_bytes(content)
    refusal(folder)


def test_a_pickle_cut_short(tiny_bert: Path, tmp_path: Path, cache: Path) -> None:
    folder = pickled(tiny_bert, tmp_path / "copy")
    content = (folder / "pytorch_model.bin").read_bytes()
    for length in (10, len(content) // 2, len(content) - 1):
        (folder / "pytorch_model.bin").write_bytes(content[:length])
        assert "damaged" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda tensors: list(tensors.values()), "expected tensors by name"),
        (lambda _: {}, "expected tensors by name"),
        (lambda tensors: {"state_dict": tensors}, "'state_dict' is no dense tensor"),
        (lambda tensors: {**tensors, "epoch": 3}, "'epoch' is no dense tensor"),
        (lambda tensors: {**tensors, "thin": torch.eye(3).to_sparse()}, "'thin' is no dense tensor"),
    ],
    ids=["list", "empty", "nested", "number", "sparse"],
)
def test_a_pickle_of_something_else(
    tiny_bert: Path, tmp_path: Path, cache: Path, change: Callable[[dict[str, Any]], Any], expected: str
) -> None:
    assert expected in refusal(pickled(tiny_bert, tmp_path / "copy", change))


def test_a_pickle_that_lacks_a_layer(tiny_bert: Path, tmp_path: Path, cache: Path) -> None:
    def cut(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in tensors.items() if "layer.1." not in name}

    with pytest.raises(InputError, match=r"its weights lack 'bert\.encoder\.layer\.1\..*\(16 in all\)"):
        load(find(pickled(tiny_bert, tmp_path / "copy", cut)), 2)


def test_a_cache_that_cannot_be_written(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HADAMARD_GLUE_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="set HADAMARD_GLUE_CACHE to a folder that can"):
        load(find(pickled(tiny_bert, tmp_path / "copy")), 2)
