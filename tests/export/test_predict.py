"""`predict`: rows in, labels and probabilities out, in order."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from export.conftest import Call, Runs
from export.test_bad_input import refused
from hadamard_glue.export.folders import export
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.runs.record import read


@pytest.fixture(scope="session")
def sst2(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A merged model for single sentences."""
    return export(runs("bert", "hadamard"), tmp_path_factory.mktemp("exported") / "sst2", "merged")


@pytest.fixture(scope="session")
def mnli(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEFT adapter for pairs."""
    return export(runs("bart", "hadamard", "mnli"), tmp_path_factory.mktemp("exported") / "mnli", "peft")


@pytest.mark.parametrize(("form", "kind"), [("merged", "bert"), ("peft", "bart")])
def test_the_official_files_give_the_recorded_predictions(
    call: Call, runs: Runs, tiny_glue: Path, tmp_path: Path, form: str, kind: str
) -> None:
    path = runs(kind, "lora", "mnli")
    folder = export(path, tmp_path / "out", form)
    source = tiny_glue / "MNLI" / "dev_matched.tsv"
    code, out, err = call("predict", f"model={folder}", f"input={source}", "first=sentence1", "second=sentence2")
    assert (code, err) == (0, [])
    labels = TASKS["mnli"].labels
    assert out[0].split("\t") == ["label", *labels]
    logits = load_file(path.parent / read(path)["predictions"])["dev_matched"]
    cells = [line.split("\t") for line in out[1:]]
    assert [row[0] for row in cells] == [labels[index] for index in logits.argmax(axis=1)]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.array([row[1:] for row in cells], dtype=float), shares, atol=1e-4)


def test_regression_gives_scores(call: Call, runs: Runs, tiny_glue: Path, tmp_path: Path) -> None:
    path = runs("bert", "hadamard", "stsb")
    folder = export(path, tmp_path / "out", "merged")
    source = tiny_glue / "STS-B" / "dev.tsv"
    keys = ("first=8", "second=9", "header=true", f"to={tmp_path / 'scores.tsv'}")
    code, out, _ = call("predict", f"model={folder}", f"input={source}", *keys)
    assert (code, out) == (0, [])
    lines = (tmp_path / "scores.tsv").read_text().splitlines()
    assert lines[0] == "score"
    expected = load_file(path.parent / read(path)["predictions"])["dev"][:, 0]
    np.testing.assert_allclose(np.array(lines[1:], dtype=float), expected, atol=1e-4)
    assert "exists already" in refused(call, "predict", f"model={folder}", f"input={source}", *keys)


def test_standard_input_in_the_order_it_came(call: Call, sst2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["a great movie that runs over the river and the house", "awful", "", 'a "quoted great film']

    def feed(content: bytes) -> Any:
        return io.TextIOWrapper(io.BytesIO(content))

    lines = []
    for separator, start in (("\n", b""), ("\r\n", b"\xef\xbb\xbf")):
        monkeypatch.setattr(sys, "stdin", feed(start + (separator.join(texts) + separator).encode()))
        code, out, err = call("predict", f"model={sst2}", "input=-", "batch_size=2")
        assert (code, err) == (0, [])
        lines.append(out)
    assert lines[0] == lines[1]
    assert len(lines[0]) == 1 + len(texts)
    for text, line in zip(texts, lines[0][1:], strict=True):
        monkeypatch.setattr(sys, "stdin", feed(f"{text}\n".encode()))
        alone = call("predict", f"model={sst2}", "input=-")[1][1].split("\t")
        assert alone[0] == line.split("\t")[0]
        assert float(alone[1]) == pytest.approx(float(line.split("\t")[1]), abs=1e-5)


@pytest.mark.parametrize(
    ("content", "keys", "expected"),
    [
        ("a\tb\nc\n", [], "rows.tsv, line 2: expected 2 columns or more, found 1"),
        ("x\ty\na\tb\nc\n", ["first=x", "second=y"], "rows.tsv, line 3: expected 2 columns or more, found 1"),
        ("x\ty\na\tb\n", ["first=x", "second=why"], "has no column 'why'"),
        ("x\ty\n", ["first=x", "second=y"], "has a header and no rows"),
        ("x\ty\n", ["first=x"], "give both as names or both as positions"),
        ("x\ty\na\tb\n", ["first=x", "second=y", "header=false"], "header=false says that there are none"),
        ("x\ty\n", ["first=0", "second=1"], "positions of columns count from 1"),
        ("", [], "is empty"),
    ],
)
def test_rows_that_do_not_fit(
    call: Call, mnli: Path, tmp_path: Path, content: str, keys: list[str], expected: str
) -> None:
    rows = tmp_path / "rows.tsv"
    rows.write_text(content)
    assert expected in refused(call, "predict", f"model={mnli}", f"input={rows}", *keys, f"to={tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()


def test_other_files_that_do_not_fit(call: Call, sst2: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.tsv"
    rows.write_bytes(b"fine\n\xff\xfe\n")
    assert "rows.tsv, line 2: not UTF-8" in refused(call, "predict", f"model={sst2}", f"input={rows}")
    assert "cannot be read: No such file" in refused(call, "predict", f"model={sst2}", "input=/nowhere.tsv")
    rows.write_text("one\n")
    assert "has one text a row" in refused(call, "predict", f"model={sst2}", f"input={rows}", "second=2")
