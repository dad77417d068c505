"""Official folders and parquet files: what is read, what is tolerated, and what each error says."""

from __future__ import annotations

import codecs
import logging
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hadamard_glue.errors import InputError
from hadamard_glue.glue.sources import TaskData, load_rows
from hadamard_glue.glue.tasks import TASKS, Task

from .glue_files import HEADERS, Row, sample, table, tsv, write_hub_parquet, write_task


def load(task: Task, path: Path, **options: int | None) -> TaskData:
    return load_rows(task, "directory", str(path), options.get("limit_train"), options.get("limit_dev"))


def complaint(task: Task, path: Path) -> str:
    """The error of a read, checked to be one line."""
    with pytest.raises(InputError) as caught:
        load(task, path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_reads_exactly_what_the_file_holds(task: Task, tmp_path: Path) -> None:
    write_task(tmp_path, task)
    data = load(task, tmp_path)
    rows = sample(task)
    assert data.train.first == [row[0] for row in rows]
    assert data.train.second == (None if task.tsv.second is None else [row[1] for row in rows])
    if task.regression:
        assert data.train.labels.dtype == np.float32
        np.testing.assert_array_equal(data.train.labels, np.array([row[2] for row in rows], dtype=np.float32))
    else:
        assert data.train.labels.dtype == np.int64
        assert [task.file_labels[label] for label in data.train.labels] == [row[2] for row in rows]
    assert list(data.dev) == list(task.splits)
    assert all(len(rows) == 4 and rows.split == split for split, rows in data.dev.items())
    assert data.origin == {"kind": "directory", "path": str(tmp_path), "revision": None}


def test_byte_order_mark_windows_ends_and_last_empty_lines(task: Task, tmp_path: Path) -> None:
    plain, other = tmp_path / "plain", tmp_path / "other"
    write_task(plain, task)
    for file in write_task(other, task).iterdir():
        file.write_bytes(codecs.BOM_UTF8 + file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\n")
    assert load(task, other).fingerprint == load(task, plain).fingerprint


def test_parquet_equals_tsv(task: Task, tmp_path: Path) -> None:
    folder = write_task(tmp_path / "tsv", task)
    expected = load(task, tmp_path / "tsv")
    write_hub_parquet(tmp_path / "hub", task)
    other = tmp_path / "named" / task.folder
    other.mkdir(parents=True)
    for split in ("train", *task.splits):
        stem = task.splits.get(split, split)
        pq.write_table(table(task, sample(task, 6 if split == "train" else 4)), other / f"{stem}.parquet")
    for path in (tmp_path / "hub", tmp_path / "named"):
        data = load(task, path)
        assert (data.train.first, data.train.second) == (expected.train.first, expected.train.second)
        assert data.fingerprint == expected.fingerprint
    assert folder.is_dir()


def test_fingerprint_follows_every_text_and_label(tmp_path: Path) -> None:
    task = TASKS["rte"]
    rows: list[Row] = [("a b", "c", "entailment"), ("d", "e", "not_entailment")]
    variants: list[list[Row]] = [
        rows,
        [("a", "b c", "entailment"), rows[1]],
        [("a b", "c", "not_entailment"), rows[1]],
        rows[:1],
        rows[::-1],
    ]
    seen = set()
    for index, variant in enumerate(variants):
        folder = write_task(tmp_path / str(index), task)
        (folder / "train.tsv").write_text(tsv(task, variant))
        seen.add(load(task, tmp_path / str(index)).fingerprint)
    assert len(seen) == len(variants)


def test_limits_take_a_fixed_sample_in_file_order(tmp_path: Path) -> None:
    task = TASKS["sst2"]
    folder = write_task(tmp_path, task)
    (folder / "train.tsv").write_text(tsv(task, [(f"row {i:03d}", None, str(i % 2)) for i in range(200)]))
    small, large = load(task, tmp_path, limit_train=20, limit_dev=3), load(task, tmp_path, limit_train=90)
    assert (len(small.train), len(small.dev["dev"])) == (20, 3)
    assert small.train.first == sorted(small.train.first)
    assert set(small.train.first) < set(large.train.first)
    assert small.train.first[-1] > "row 100"  # not merely the first rows
    assert load(task, tmp_path, limit_train=20, limit_dev=3).fingerprint == small.fingerprint
    for text, label in zip(small.train.first, small.train.labels, strict=True):
        assert int(text[-3:]) % 2 == label
    assert len(load(task, tmp_path, limit_train=500).train) == 200


def test_qqp_keeps_empty_questions_and_skips_short_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = TASKS["qqp"]
    folder = write_task(tmp_path, task)
    text = tsv(task, [("How?", "", "0"), ("Why?", "Where?", "1")])
    (folder / "train.tsv").write_text(text + "7\t8\t9\ta question that\nbroke?\t0\n" + "1\t2\t3\tx\ty\t1\n")
    with caplog.at_level(logging.WARNING):
        train = load(task, tmp_path).train
    assert (train.first, train.second) == (["How?", "Why?", "x"], ["", "Where?", "y"])
    assert "2 short rows skipped, the first at line 4" in caplog.text


@pytest.mark.parametrize("name", [name for name in TASKS if name != "qqp"])
def test_empty_text_is_an_error(name: str, tmp_path: Path) -> None:
    task = TASKS[name]
    folder = write_task(tmp_path, task)
    rows = sample(task)
    rows[2] = (" ", rows[2][1], rows[2][2])
    (folder / "train.tsv").write_text(tsv(task, rows))
    line = 3 if name == "cola" else 4
    assert complaint(task, tmp_path).startswith(f"{folder / 'train.tsv'}, line {line}: {task.tsv.first} is empty")


@pytest.mark.parametrize("name", [name for name in TASKS if name != "qqp"])
def test_short_row(name: str, tmp_path: Path) -> None:
    task = TASKS[name]
    folder = write_task(tmp_path, task)
    with (folder / "train.tsv").open("a") as file:
        file.write("only\n")
    line = 7 if name == "cola" else 8
    expected = f"line {line}: 1 tab-separated fields, expected {len(HEADERS[name])}"
    assert expected in complaint(task, tmp_path)


def test_long_row(task: Task, tmp_path: Path) -> None:
    folder = write_task(tmp_path, task)
    with (folder / "train.tsv").open("a") as file:
        file.write("\t".join(["1"] * 20) + "\n")
    assert f"20 tab-separated fields, expected {len(HEADERS[task.name])}" in complaint(task, tmp_path)


def test_empty_line_inside(tmp_path: Path) -> None:
    folder = write_task(tmp_path, TASKS["sst2"])
    (folder / "train.tsv").write_text("sentence\tlabel\na\t1\n\nb\t0\n")
    assert "train.tsv, line 3: 1 tab-separated fields, expected 2" in complaint(TASKS["sst2"], tmp_path)


def test_unknown_label(task: Task, tmp_path: Path) -> None:
    folder = write_task(tmp_path, task)
    first, second, _ = sample(task)[0]
    (folder / "train.tsv").write_text(tsv(task, [*sample(task), (first, second, "-")]))
    message = complaint(task, tmp_path)
    line = 7 if task.name == "cola" else 8
    assert f"train.tsv, line {line}: " in message
    assert "'-', expected" in message
    for label in task.file_labels or ("0 to 5",):
        assert label in message


@pytest.mark.parametrize("score", ["5.001", "-0.5", "nan", "inf", "", "four"])
def test_score_out_of_range(score: str, tmp_path: Path) -> None:
    task = TASKS["stsb"]
    folder = write_task(tmp_path, task)
    (folder / "dev.tsv").write_text(tsv(task, [("a", "b", score)]))
    assert f"dev.tsv, line 2: score {score!r}, expected a number from 0 to 5" in complaint(task, tmp_path)


def test_bad_header(task: Task, tmp_path: Path) -> None:
    folder = write_task(tmp_path, task)
    lines = (folder / "train.tsv").read_text().split("\n")
    bad = ["sentence\tlabel"] if task.name == "cola" else ["index\ttext\tanswer"]
    (folder / "train.tsv").write_text("\n".join(bad + lines))
    message = complaint(task, tmp_path)
    assert "train.tsv, line 1: " in message
    if task.name != "cola":
        assert "index, text, answer" in message
        assert task.tsv.label in message


@pytest.mark.parametrize("content", ["", "\ufeff", "\n\n"])
def test_empty_file(task: Task, content: str, tmp_path: Path) -> None:
    folder = write_task(tmp_path, task)
    (folder / "train.tsv").write_text(content)
    assert complaint(task, tmp_path) == f"{folder / 'train.tsv'}: the file is empty"


def test_no_rows(tmp_path: Path) -> None:
    task = TASKS["qqp"]
    folder = write_task(tmp_path, task)
    header = "\t".join(HEADERS["qqp"])
    for content in (header + "\n", header + "\nshort\n"):
        (folder / "train.tsv").write_text(content)
        assert complaint(task, tmp_path) == f"{folder / 'train.tsv'}: no rows"


def test_not_utf8(tmp_path: Path) -> None:
    folder = write_task(tmp_path, TASKS["sst2"])
    (folder / "train.tsv").write_bytes("sentence\tlabel\nfine\t1\ncafé\t1\n".encode("latin-1"))
    assert complaint(TASKS["sst2"], tmp_path) == f"{folder / 'train.tsv'}, line 3: not UTF-8 text"


def test_missing_folders_and_files(tmp_path: Path) -> None:
    task = TASKS["sst2"]
    assert f"{tmp_path / 'no'}: no such folder" in complaint(task, tmp_path / "no")
    assert "no folder SST-2 or sst2; it has nothing" in complaint(task, tmp_path)
    for other in ("cola", "rte"):
        write_task(tmp_path, TASKS[other])
    assert "no folder SST-2 or sst2; it has CoLA, RTE" in complaint(task, tmp_path)
    folder = write_task(tmp_path, task)
    assert "source.path is the folder above" in complaint(task, folder)
    (folder / "dev.tsv").unlink()
    message = complaint(task, tmp_path)
    assert message.startswith(f"{folder / 'dev.tsv'}: no such file")
    assert "the folder has train.tsv" in message
    (folder / "dev.tsv").mkdir()
    assert "dev.tsv: no such file" in complaint(task, tmp_path)


def test_unknown_kind_and_no_path() -> None:
    with pytest.raises(InputError, match="expected hub, directory or demo"):
        load_rows(TASKS["rte"], "ftp", "x", None, None)
    with pytest.raises(InputError, match=r"needs source\.path"):
        load_rows(TASKS["rte"], "directory", None, None, None)
