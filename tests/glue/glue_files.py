"""Small GLUE files, written by the tests themselves."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hadamard_glue.glue.tasks import Task

_PARSES = ["sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse", "sentence2_parse"]
MNLI_TRAIN = [
    "index",
    "promptID",
    "pairID",
    "genre",
    *_PARSES,
    "sentence1",
    "sentence2",
    "label1",
    "gold_label",
]
MNLI_DEV = [*MNLI_TRAIN[:-1], "label2", "label3", "label4", "label5", "gold_label"]

HEADERS: dict[str, list[str]] = {
    "cola": ["source", "label", "mark", "sentence"],
    "sst2": ["sentence", "label"],
    "mrpc": ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"],
    "stsb": [
        "index",
        "genre",
        "filename",
        "year",
        "old_index",
        "source1",
        "source2",
        "sentence1",
        "sentence2",
        "score",
    ],
    "qqp": ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"],
    "mnli": MNLI_TRAIN,
    "qnli": ["index", "question", "sentence", "label"],
    "rte": ["index", "sentence1", "sentence2", "label"],
}

Row = tuple[str, str | None, str]


def sample(task: Task, rows: int = 6) -> list[Row]:
    """Rows (first, second, label as the TSV writes it) with every label, quotes and odd spaces."""
    labels = task.file_labels or ("0.000", "5.000", "2.5", "3.800")
    return [
        (
            f"a \"quoted text {i} , it 's ",
            None if task.tsv.second is None else f"second\u2028 text {i}é",
            labels[i % len(labels)],
        )
        for i in range(rows)
    ]


def tsv(task: Task, rows: list[Row], header: list[str] | None = None) -> str:
    """Rows as an official file."""
    header = header or HEADERS[task.name]
    lines = [] if task.name == "cola" else ["\t".join(header)]
    for first, second, label in rows:
        fields = dict.fromkeys(header, "none") | {task.tsv.first: first, task.tsv.label: label}
        if task.tsv.second is not None:
            fields[task.tsv.second] = second or ""
        lines.append("\t".join(fields[name] for name in header))
    return "\n".join(lines) + "\n"


def write_task(root: Path, task: Task, rows: int = 6) -> Path:
    """An official folder of a task; gives the folder."""
    folder = root / task.folder
    folder.mkdir(parents=True)
    (folder / "train.tsv").write_bytes(tsv(task, sample(task, rows)).encode())
    for stem in task.splits.values():
        header = MNLI_DEV if task.name == "mnli" else None
        (folder / f"{stem}.tsv").write_bytes(tsv(task, sample(task, 4), header).encode())
    return folder


def table(task: Task, rows: list[Row]) -> pa.Table:
    """Rows with the hub's columns and ids."""
    columns: dict[str, list[object]] = {task.hub.first: [row[0] for row in rows]}
    if task.hub.second is not None:
        columns[task.hub.second] = [row[1] for row in rows]
    columns[task.hub.label] = [float(row[2]) if task.regression else task.file_labels.index(row[2]) for row in rows]
    return pa.table(columns)


def write_hub_parquet(root: Path, task: Task, rows: int = 6) -> Path:
    """The hub's layout of a task, train in two shards; gives the folder."""
    folder = root / task.hub_config
    folder.mkdir(parents=True)
    for split, name in task.hub_splits.items():
        whole = table(task, sample(task, rows if split == "train" else 4))
        shards = [whole.slice(0, 2), whole.slice(2)] if split == "train" else [whole]
        for index, shard in enumerate(shards):
            pq.write_table(shard, folder / f"{name}-{index:05d}-of-{len(shards):05d}.parquet")
    return folder
