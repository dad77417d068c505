"""Records into cells."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hadamard_glue.errors import InputError
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.reporting.aggregate import cells, gather, read_records

from .example import example
from .records import record, write

SCORES = st.lists(st.floats(-1, 1, allow_nan=False), min_size=1, max_size=6)


@given(SCORES, st.sampled_from(sorted(TASKS)), st.randoms(use_true_random=False))
def test_mean_and_sample_deviation_over_seeds(scores: list[float], task: str, shuffle: random.Random) -> None:
    records = [record(score, task=task, seed=seed) for seed, score in enumerate(scores)]
    shuffle.shuffle(records)
    frame = cells(records)
    headline = frame[frame["headline"]]
    assert len(headline) == 1
    row = headline.iloc[0]
    assert row["mean"] == pytest.approx(statistics.fmean(scores), abs=1e-12)
    assert row["n"] == len(scores)
    if len(scores) == 1:
        assert pd.isna(row["std"])
    else:
        assert row["std"] == pytest.approx(statistics.stdev(scores), abs=1e-12)


@given(st.randoms(use_true_random=False))
def test_order_of_records_does_not_matter(shuffle: random.Random) -> None:
    records = example()
    expected = cells(records)
    shuffle.shuffle(records)
    pd.testing.assert_frame_equal(cells(records), expected)


def test_every_metric_of_every_split_has_a_row() -> None:
    frame = cells([record(0.8, task="mnli", others={("dev_mismatched", "accuracy"): 0.7}), record(0.5, task="mrpc")])
    found = frame[["task", "split", "metric", "headline", "mean"]].values.tolist()
    assert found == [
        ["mrpc", "dev", "f1", True, 0.5],
        ["mrpc", "dev", "accuracy", False, 0.25],
        ["mnli", "dev_matched", "accuracy", True, 0.8],
        ["mnli", "dev_mismatched", "accuracy", False, 0.7],
    ]


def test_order_of_blocks_methods_and_tasks() -> None:
    backbones = [("electra_base", "electra"), ("bart_base", "bart"), ("zz-tiny-00", "bert"), ("bert_base", "bert")]
    records = [record(backbone=name, family=family) for name, family in backbones]
    records += [record(method=method) for method in ("vera", "classifier", "full", "lora", "houlsby", "ia3")]
    order = list(dict.fromkeys((cell.backbone, cell.method) for cell in gather(records)))
    assert order == [
        ("zz-tiny-00", "hadamard"),
        *(("bert_base", method) for method in ("full", "houlsby", "lora", "hadamard", "classifier", "ia3", "vera")),
        ("bart_base", "hadamard"),
        ("electra_base", "hadamard"),
    ]


def test_two_specs_of_one_cell_are_refused_with_what_differs() -> None:
    first = record(seed=1)
    second = record(
        seed=2,
        spec={
            "batch_size": 16,
            "stage1": None,
            "stage2": {"epochs": 4, "lr": 0.001},
            "data": {"fingerprint": "cd" * 32},
        },
    )
    with pytest.raises(InputError) as caught:
        cells([first, second])
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("backbone=bert_base method=hadamard task=sst2: ")
    assert "batch_size is 32 or 16" in message
    assert "stage2.lr is 0.003 or 0.001" in message
    assert "stage1.lr is 0.001 or absent" in message
    assert "data.fingerprint is 040404040404... or cdcdcdcdcdcd..." in message
    assert "seed" not in message
    assert "epochs is 4 or 4" not in message


def test_same_spec_and_seed_twice_is_refused() -> None:
    with pytest.raises(InputError, match="two records of seed 3"):
        cells([record(0.1, seed=3), record(0.2, seed=3)])


def test_failed_counts_only_where_nothing_is_done() -> None:
    (cell,) = gather([record(None, seed=1), record(0.5, seed=1), record(None, seed=2, error="first"),
                      record(None, seed=2, error="last")])  # fmt: skip
    assert list(cell.done) == [1]
    assert [attempt["error"] for attempt in cell.failed.values()] == ["last"]


def test_failed_attempt_under_other_settings_is_superseded() -> None:
    (cell,) = gather([record(None, seed=2, spec={"batch_size": 999}), record(0.5, seed=1)])
    assert not cell.failed


def test_failed_cell_has_rows_without_numbers() -> None:
    frame = cells([record(None, task="stsb", error="RuntimeError:\n loss is nan")])
    assert frame["status"].tolist() == ["failed", "failed"]
    assert frame["n"].tolist() == [0, 0]
    assert frame["mean"].isna().all()
    assert set(frame["note"]) == {"RuntimeError: loss is nan"}


def test_no_records_make_an_empty_frame() -> None:
    assert len(cells([])) == 0


class TestReading:
    def test_temporary_and_other_files_are_passed_over(self, tmp_path: Path) -> None:
        write(tmp_path, [record(0.5)])
        for name in ("tmpx.tmp", "a.json.tmp", ".hidden.json", "a.predictions.safetensors"):
            (tmp_path / name).write_text("{")
        assert [found["status"] for found in read_records(tmp_path)] == ["done"]

    def test_attempts_come_in_the_order_they_were_made(self, tmp_path: Path) -> None:
        for attempt in (10, 2, 1):
            content = write(tmp_path / str(attempt), [record(None, error=str(attempt))])
            next(content.glob("*.json")).rename(tmp_path / f"slug-00.failed-{attempt}.json")
        assert [found["error"] for found in read_records(tmp_path)] == ["1", "2", "10"]

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("{", "cannot be read"),
            ("[]", "not a record"),
            ('{"schema_version": 99}', "not a record of schema version 1"),
            ('{"schema_version": 1}', "not a complete record: it lacks 'spec'"),
            ('{"schema_version": 1, "spec": []}', "wrong type"),
        ],
    )
    def test_bad_file_is_named_in_one_line(self, tmp_path: Path, content: str, expected: str) -> None:
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(InputError, match=expected) as caught:
            read_records(tmp_path)
        assert "bad.json" in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(("key", "value"), [("status", "odd"), ("task", "wnli")])
    def test_unknown_status_and_task(self, tmp_path: Path, key: str, value: str) -> None:
        content = record(0.5)
        (content if key == "status" else content["spec"])[key] = value
        write(tmp_path, [content])
        with pytest.raises(InputError, match=value):
            read_records(tmp_path)

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="not a folder of records"):
            read_records(tmp_path / "none")

    def test_done_record_without_its_headline(self) -> None:
        content = record(0.5)
        content["metrics"]["final"] = {"dev": {}}
        with pytest.raises(InputError, match="lacks accuracy on dev"):
            cells([content])
