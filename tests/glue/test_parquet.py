"""Parquet files are read as strictly as TSV files."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hadamard_glue.errors import InputError
from hadamard_glue.glue.sources import load_rows
from hadamard_glue.glue.tasks import TASKS, Task

from .glue_files import sample, table, write_hub_parquet


def folder_with(tmp_path: Path, task: Task, train: pa.Table) -> Path:
    """A task in the hub's layout whose train split is ``train``."""
    folder = write_hub_parquet(tmp_path, task)
    for file in folder.glob("train-*"):
        file.unlink()
    pq.write_table(train, folder / "train.parquet")
    return folder


def complaint(task: Task, path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_rows(task, "directory", str(path), None, None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"sentence": ["a"]}, "expected the columns sentence, label; it has sentence"),
        (
            {"sentence": ["a", "b"], "label": [1, -1]},
            "row 2: label -1, expected one of negative, positive or 0 to 1",
        ),
        ({"sentence": ["a", "b"], "label": [1, None]}, "row 2: label None"),
        ({"sentence": ["a"], "label": [0.5]}, "row 1: label 0.5"),
        ({"sentence": ["a"], "label": [[1]]}, "row 1: label [1]"),
        ({"sentence": ["a", None], "label": [1, 1]}, "row 2: sentence is empty, expected a text"),
        ({"sentence": [3], "label": [1]}, "column sentence holds int64, expected texts"),
        ({"sentence": pa.array([], pa.string()), "label": pa.array([], pa.int64())}, "no rows"),
    ],
)
def test_errors(columns: dict[str, list[object]], said: str, tmp_path: Path) -> None:
    folder = folder_with(tmp_path, TASKS["sst2"], pa.table(columns))
    message = complaint(TASKS["sst2"], tmp_path)
    assert message.startswith(str(folder / "train.parquet"))
    assert said in message


@pytest.mark.parametrize("score", [5.5, -1.0, float("nan"), None])
def test_score_out_of_range(score: float | None, tmp_path: Path) -> None:
    train = pa.table({"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [1.0, score]})
    folder_with(tmp_path, TASKS["stsb"], train)
    assert f"row 2: score {score!r}, expected a number from 0 to 5" in complaint(TASKS["stsb"], tmp_path)


def test_label_names_and_other_text_types(tmp_path: Path) -> None:
    task = TASKS["rte"]
    texts = pa.array(["a", "b"]).dictionary_encode()
    columns = {
        "sentence1": texts,
        "sentence2": pa.array(["c", "d"], pa.large_string()),
        "label": list(task.labels),
    }
    folder_with(tmp_path, task, pa.table(columns))
    train = load_rows(task, "directory", str(tmp_path), None, None).train
    assert (train.first, train.second, train.labels.tolist()) == (["a", "b"], ["c", "d"], [0, 1])


def test_qqp_null_question_is_empty(tmp_path: Path) -> None:
    train = pa.table({"question1": ["a"], "question2": pa.array([None], pa.string()), "label": [0]})
    folder_with(tmp_path, TASKS["qqp"], train)
    assert load_rows(TASKS["qqp"], "directory", str(tmp_path), None, None).train.second == [""]


@pytest.mark.parametrize("right", [True, False])
def test_label_order_that_datasets_wrote(right: bool, tmp_path: Path) -> None:
    task = TASKS["mnli"]
    names = list(task.labels) if right else ["contradiction", "entailment", "neutral"]
    info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    train = table(task, sample(task)).replace_schema_metadata({"huggingface": json.dumps(info)})
    folder_with(tmp_path, task, train)
    if right:
        assert len(load_rows(task, "directory", str(tmp_path), None, None).train) == 6
    else:
        assert "labels in the order contradiction, entailment, neutral, expected entailment" in complaint(
            task, tmp_path
        )


def test_damaged_file_and_missing_shard(tmp_path: Path) -> None:
    task = TASKS["rte"]
    folder = write_hub_parquet(tmp_path, task)
    (folder / "train-00001-of-00002.parquet").unlink()
    assert "expected all 2 parquet files of train; it has train-00000-of-00002" in complaint(task, tmp_path)
    (folder / "train.parquet").write_bytes(b"PAR1 but no more")
    assert "train.parquet: not a readable parquet file" in complaint(task, tmp_path)
