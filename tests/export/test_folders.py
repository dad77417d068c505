"""Exported folders give the recorded logits back: with our package, with PEFT, and with neither."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from methods.battery import KINDS
from omegaconf import OmegaConf
from safetensors.numpy import load_file

from export.conftest import Runs
from hadamard_glue.compose import composed
from hadamard_glue.errors import InputError
from hadamard_glue.export.exported import open_exported
from hadamard_glue.export.finished import logits_of
from hadamard_glue.export.folders import export
from hadamard_glue.glue.sources import load_rows
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.runs.record import read

MERGED = ("full", "bitfit", "classifier", "lora", "hadamard")
PROJECTION = {"name": "hadamard", "site": "projection", "norm": "both", "layers": [1], "train_head": True}


def dev_rows(glue: Path, record: dict[str, Any]) -> tuple[list[str], list[str] | None]:
    task = TASKS[record["spec"]["task"]]
    rows = load_rows(task, "directory", str(glue), None, None).dev[task.headline_split]
    return rows.first, rows.second


def recorded(path: Path) -> Any:
    record = read(path)
    return load_file(path.parent / record["predictions"])[record["headline"]["split"]]


_STOCK = """
import json, sys
sys.modules["hadamard_glue"] = sys.modules["peft"] = None  # neither can be imported
import numpy, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

for job in json.load(open(sys.argv[1])):
    model = AutoModelForSequenceClassification.from_pretrained(job["folder"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(job["folder"])
    texts = [job["first"]] if job["second"] is None else [job["first"], job["second"]]
    batch = tokenizer(*texts, padding=True, truncation=True, max_length=32, return_tensors="pt")
    with torch.inference_mode():
        numpy.save(job["folder"] + ".npy", model(**batch).logits.numpy())
    json.dump(model.config.id2label, open(job["folder"] + ".labels", "w"))
"""


def test_stock_transformers_loads_merged_checkpoints_and_gives_the_recorded_logits(
    runs: Runs, tiny_glue: Path, tmp_path: Path
) -> None:
    paths = [runs(kind, "hadamard", "mnli") for kind in KINDS]
    paths += [runs(kind, PROJECTION, "stsb", stages="two") for kind in KINDS]
    paths += [runs("bert", method) for method in MERGED]
    jobs = []
    for number, path in enumerate(paths):
        folder = export(path, tmp_path / str(number), "merged")
        first, second = dev_rows(tiny_glue, read(path))
        jobs.append({"folder": str(folder), "first": first, "second": second})
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, "-c", _STOCK, str(tmp_path / "jobs.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for number, path in enumerate(paths):
        expected = recorded(path)
        found = np.load(tmp_path / f"{number}.npy")
        assert np.abs(found - expected).max() < 1e-4 * max(1, np.abs(expected).max()), path.name
        labels = TASKS[read(path)["spec"]["task"]].labels or ("score",)
        assert list(json.loads((tmp_path / f"{number}.labels").read_text()).values()) == list(labels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["lora", "hadamard"])
@pytest.mark.parametrize("form", ["peft", "merged"])
def test_an_exported_folder_gives_the_recorded_logits(
    runs: Runs, tiny_glue: Path, tmp_path: Path, kind: str, method: str, form: str
) -> None:
    path = runs(kind, method, "mnli")
    exported = open_exported(export(path, tmp_path / "out", form))
    found = logits_of(exported.model, exported.tokenizer, *dev_rows(tiny_glue, read(path)), exported.max_length)
    expected = recorded(path)
    assert np.abs(found - expected).max() < (1e-6 if form == "peft" else 1e-4) * max(1, np.abs(expected).max())


@pytest.mark.parametrize(("form", "task"), [("peft", "mnli"), ("peft", "stsb"), ("merged", "mnli")])
def test_the_cards_own_lines_load_the_model(runs: Runs, tiny_glue: Path, tmp_path: Path, form: str, task: str) -> None:
    path = runs("bert_without_pooler", "hadamard", task)
    folder = export(path, tmp_path / "out", form)
    snippets = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(snippets) == 1
    loaded: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        exec(snippets[0].replace("FOLDER", str(folder)), loaded)
    found = logits_of(loaded["model"].eval(), loaded["tokenizer"], *dev_rows(tiny_glue, read(path)), 32)
    assert np.abs(found - recorded(path)).max() < 1e-4


def test_the_card_says_scores_data_counts_and_limits(runs: Runs, tmp_path: Path) -> None:
    path = runs("bert", "hadamard", selection="best_dev")
    record = read(path)
    card = (export(path, tmp_path / "out", "peft") / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlanguage:")
    for said in (
        f"{100 * record['headline']['value']:.1f}",
        record["digest"],
        record["data"]["fingerprint"][:16],
        f"{record['parameters']['trained']:,}",
        f"{record['parameters']['head']:,}",
        "train 96, dev 48",
        "optimistic",
        record["backbone"]["path"],
    ):
        assert said in card


def test_nothing_private_and_no_half_written_file_stays(runs: Runs, tmp_path: Path) -> None:
    folder = export(runs("bert", "hadamard"), tmp_path / "deep" / "er" / "out", "merged")
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["out"]
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in folder.iterdir())
    config = (folder / "config.json").read_text()
    assert str(tmp_path.parent) not in config
    assert json.loads(config)["dtype"] == "float32"


@pytest.mark.parametrize("name", ["adalora", "dora", "ia3", "ln_tuning", "oft", "vera"])
@pytest.mark.parametrize("kind", ["bert", "bart"])
def test_methods_of_the_library_are_exported_exactly(
    runs: Runs, tiny_glue: Path, tmp_path: Path, kind: str, name: str
) -> None:
    method = OmegaConf.to_container(composed([f"method={name}"]).method)
    path = runs(kind, method, "mnli", stage2={"epochs": 2, "lr": 0.05})
    for form in ("peft", "merged"):
        exported = open_exported(export(path, tmp_path / form, form))
        found = logits_of(exported.model, exported.tokenizer, *dev_rows(tiny_glue, read(path)), exported.max_length)
        expected = recorded(path)
        assert np.abs(found - expected).max() < 2e-4 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("method", ["houlsby", "pfeiffer"])
def test_bottlenecks_stay_in_the_network(runs: Runs, tmp_path: Path, method: str) -> None:
    path = runs("bert", method)
    with pytest.raises(InputError, match=f"method={method} adds modules that no plain weight can hold"):
        export(path, tmp_path / "out", "merged")
    with pytest.raises(InputError, match=f"method={method} is no PEFT adapter .*, nor can it be merged"):
        export(path, tmp_path / "out", "peft")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["full", "bitfit", "classifier"])
def test_a_method_without_an_adapter_has_no_peft_folder(runs: Runs, tmp_path: Path, method: str) -> None:
    with pytest.raises(InputError, match=f"method={method} is no PEFT adapter .* use format=merged"):
        export(runs("bert", method), tmp_path / "out", "peft")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_give_the_logits_back_is_not_left_behind(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hadamard_glue.methods.hadamard_tuner import HadamardNorm

    monkeypatch.setattr(HadamardNorm, "merge", lambda *_, **__: None)  # a merge that forgets the norms
    path = runs("bert", "hadamard", stage2={"epochs": 2, "lr": 0.1})
    with pytest.raises(InputError, match="does not give this run's logits back"):
        export(path, tmp_path / "new" / "out", "merged")
    assert list(tmp_path.iterdir()) == []
