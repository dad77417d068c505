"""What cannot be exported or opened says so in one line, and nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from export.conftest import Call, Runs
from hadamard_glue.config import RunConfig
from hadamard_glue.errors import InputError, RunFailed
from hadamard_glue.export.folders import export
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.record import read


def copied(path: Path, to: Path) -> Path:
    """A record with its files, to do harm to."""
    record = read(path)
    to.mkdir()
    for name in (path.name, record["predictions"], record["checkpoint"]):
        shutil.copy(path.parent / name, to / name)
    return to / path.name


def refused(call: Call, *arguments: object) -> str:
    code, out, err = call(*arguments)
    assert (code, out) == (2, [])
    assert len(err) == 1, err
    return err[0]


@pytest.mark.parametrize("what", ["folder", "empty folder", "file", "dangling link"])
@pytest.mark.parametrize("form", ["merged", "peft"])
def test_what_exists_is_never_written_over(call: Call, runs: Runs, tmp_path: Path, what: str, form: str) -> None:
    to = tmp_path / "out"
    if what == "file":
        to.write_text("mine")
    elif what == "dangling link":
        to.symlink_to(tmp_path / "nowhere")
    else:
        to.mkdir()
        if what == "folder":
            (to / "mine").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    line = refused(call, "export", f"record={runs('bert', 'hadamard')}", f"to={to}", f"format={form}")
    assert line.endswith("out exists already; export writes a new folder")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_damaged_or_absent_checkpoint(call: Call, runs: Runs, tmp_path: Path) -> None:
    path = copied(runs("bert", "hadamard"), tmp_path / "records")
    file = path.parent / str(read(path)["checkpoint"])
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-4] + b"\0\0\0\1", b""):
        file.write_bytes(damaged)
        assert "is damaged" in refused(call, "export", f"record={path}", f"to={tmp_path / 'out'}")
    file.unlink()
    assert "cannot be read" in refused(call, "export", f"record={path}", f"to={tmp_path / 'out'}")
    assert [entry.name for entry in tmp_path.iterdir()] == ["records"]


def test_records_that_hold_no_model(
    call: Call,
    make_config: Callable[..., RunConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = execute(make_config(results_dir=str(tmp_path)))
    line = refused(call, "export", f"record={path}", f"to={tmp_path / 'out'}")
    assert "has no checkpoint; checkpoint=true with another results_dir" in line
    monkeypatch.setattr("hadamard_glue.runs.execute.run_stages", lambda *_, **__: 1 / 0)
    with pytest.raises(RunFailed):
        execute(make_config(results_dir=str(tmp_path), seed=9))
    (failed,) = (tmp_path / "records").glob("*.failed-1.json")
    assert "a run that failed: ZeroDivisionError" in refused(call, "export", f"record={failed}", f"to={tmp_path / 'x'}")
    assert "cannot be read as a record" in refused(call, "export", f"record={tmp_path / 'no'}", f"to={tmp_path / 'x'}")


def test_another_backbone_is_noticed_and_a_moved_one_is_found(
    call: Call, runs: Runs, tiny_bert: Path, tmp_path: Path
) -> None:
    path = runs("bert", "lora")
    wide = tiny.save_bert(tmp_path / "wide", hidden=64)
    same_shape = tiny.save_bert(tmp_path / "same", seed=7)
    moved = shutil.copytree(tiny_bert, tmp_path / "moved")
    for form in ("merged", "peft"):
        for other in (wide, same_shape):
            keys = (f"record={path}", f"to={tmp_path / 'out'}", f"format={form}", f"backbone.path={other}")
            assert "is not the backbone of this run" in refused(call, "export", *keys)
    folder = export(path, tmp_path / "out", "peft", str(moved))
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(moved)
    rows = tmp_path / "rows.tsv"
    rows.write_text("a great movie\n")
    for other in (wide, same_shape):
        line = refused(call, "predict", f"model={folder}", f"input={rows}", f"backbone.path={other}")
        assert "is not the backbone of this run" in line
    shutil.rmtree(moved)
    assert "no such folder" in refused(call, "predict", f"model={folder}", f"input={rows}")
    code, out, _ = call("predict", f"model={folder}", f"input={rows}", f"backbone.path={tiny_bert}")
    assert (code, len(out)) == (0, 2)


@pytest.mark.parametrize("form", ["merged", "peft"])
def test_damaged_folders(call: Call, runs: Runs, tmp_path: Path, form: str) -> None:
    folder = export(runs("bert", "hadamard"), tmp_path / "out", form)
    rows = tmp_path / "rows.tsv"
    rows.write_text("a great movie\n")
    weights = folder / ("model.safetensors" if form == "merged" else "adapter_model.safetensors")
    content = weights.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-4] + b"\0\0\0\1"):
        weights.write_bytes(damaged)
        assert "is damaged" in refused(call, "predict", f"model={folder}", f"input={rows}")
    weights.unlink()
    assert "cannot be read" in refused(call, "predict", f"model={folder}", f"input={rows}")
    weights.write_bytes(content)
    (folder / "tokenizer.json").write_text("{")
    assert "tokenizer" in refused(call, "predict", f"model={folder}", f"input={rows}")
    (folder / "hadamard_glue.json").write_text('{"schema_version": 99}')
    assert "is not of schema version 1" in refused(call, "predict", f"model={folder}", f"input={rows}")
    (folder / "hadamard_glue.json").unlink()
    assert "was not written by export" in refused(call, "predict", f"model={folder}", f"input={rows}")
    assert "no such folder" in refused(call, "predict", "model=/nowhere", f"input={rows}")


def test_wrong_keys(call: Call, tmp_path: Path) -> None:
    for arguments, expected in (
        (["export"], "export needs record=... to=...; record is missing"),
        (["export", "recrd=x"], "export has no key 'recrd' (did you mean 'record'?)"),
        (["export", "record=", "to=x"], "record has no value"),
        (["export", "record=x", f"to={tmp_path / 'x'}", "format=pefl"], "format=pefl is not valid"),
        (["predict", "model=x"], "input is missing"),
        (["predict", "model=x", "input=-", "batch_size=0"], "batch_size=0 is not valid"),
        (["predict", "model=x", "input=-", "header=yes"], "header=yes is not valid"),
        (["predict", "model=x", "input=-", "device=tpu"], "device=tpu is not valid"),
        (["predict", "model=x", "input=-", "to=/nowhere/x"], "no such folder /nowhere"),
    ):
        assert expected in refused(call, *arguments)


def test_a_corrupted_backbone(
    call: Call, make_config: Callable[..., RunConfig], tiny_bert: Path, tmp_path: Path
) -> None:
    backbone = shutil.copytree(tiny_bert, tmp_path / "backbone")
    path = execute(make_config(backbone=backbone, results_dir=str(tmp_path / "results"), checkpoint=True))
    weights = backbone / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert "is not the backbone of this run" in refused(call, "export", f"record={path}", f"to={tmp_path / 'out'}")
    with pytest.raises(InputError, match="cannot be loaded"):
        execute(make_config(backbone=backbone, results_dir=str(tmp_path / "again")))
    assert not (tmp_path / "again").exists()
