"""The eight GLUE tasks as data: names, labels, metrics, splits, and where each file keeps its columns.

Sources: the official GLUE files (gluebenchmark.com) for folders, stems and columns; the data set card of
``nyu-mll/glue`` for label order and hub columns. WNLI is left out, as in the papers that this project
compares with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Columns:
    """Which columns hold the first text, the second text (``None``: single sentences) and the label."""

    first: str
    second: str | None
    label: str


@dataclass(frozen=True)
class Task:
    """One GLUE task.

    Attributes:
        name: our name, also the hub's config name (``"sst2"``).
        title: the name as papers print it (``"SST-2"``).
        folder: the official folder (``"SST-2"``).
        labels: label names in the hub's order, so that ``labels[i]`` has id ``i``; empty for regression
            (STS-B).
        file_labels: the same labels as the official TSV files write them.
        metrics: every metric that is recorded.
        headline: the metric that stands for the task in a table.
        tsv: column names in the official TSV files.
        hub: column names on the hub, and in parquet files.
        tsv_header: the columns of files that have no header line (CoLA); ``None`` where line 1 names them.
        splits: our name of each evaluation split -> the stem of its official file.
        hub_splits: our name of each split, ``train`` included -> its name on the hub.
        headline_split: the evaluation split that the headline is read from.
        broken_rows: the released files are known to hold short rows and empty texts (QQP). Short rows are
            skipped and empty texts kept, which is what the hub's own copy and the original ``run_glue``
            processors do; in every other task both are errors.
    """

    name: str
    title: str
    folder: str
    labels: tuple[str, ...]
    file_labels: tuple[str, ...]
    metrics: tuple[str, ...]
    headline: str
    tsv: Columns
    hub: Columns
    tsv_header: tuple[str, ...] | None = None
    splits: Mapping[str, str] = field(default_factory=lambda: {"dev": "dev"}, hash=False)
    hub_splits: Mapping[str, str] = field(default_factory=lambda: {"train": "train", "dev": "validation"}, hash=False)
    headline_split: str = "dev"
    broken_rows: bool = False

    @property
    def hub_config(self) -> str:
        """The config of ``nyu-mll/glue``."""
        return self.name

    @property
    def regression(self) -> bool:
        """Whether the label is a score (float32 in [0, 5]) instead of a class."""
        return not self.labels

    @property
    def num_labels(self) -> int:
        """Number of outputs of the head: the classes, or 1 for regression."""
        return len(self.labels) or 1


_BINARY = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
# The hub's order; the old run_glue processors had contradiction first.
_NLI = ("entailment", "neutral", "contradiction")
_PAIR = Columns("sentence1", "sentence2", "label")
_SINGLE = Columns("sentence", None, "label")

_ALL = (
    Task(
        name="cola", title="CoLA", folder="CoLA",
        labels=("unacceptable", "acceptable"), file_labels=_BINARY,
        metrics=("matthews", "accuracy"), headline="matthews",
        tsv=_SINGLE, hub=_SINGLE, tsv_header=("source", "label", "mark", "sentence"),
    ),
    Task(
        name="sst2", title="SST-2", folder="SST-2",
        labels=("negative", "positive"), file_labels=_BINARY,
        metrics=("accuracy",), headline="accuracy",
        tsv=_SINGLE, hub=_SINGLE,
    ),
    Task(
        name="mrpc", title="MRPC", folder="MRPC",
        labels=("not_equivalent", "equivalent"), file_labels=_BINARY,
        metrics=("f1", "accuracy"), headline="f1",
        tsv=Columns("#1 String", "#2 String", "Quality"), hub=_PAIR,
    ),
    Task(
        name="stsb", title="STS-B", folder="STS-B",
        labels=(), file_labels=(),
        metrics=("pearson", "spearman"), headline="pearson",
        tsv=Columns("sentence1", "sentence2", "score"), hub=_PAIR,
    ),
    Task(
        name="qqp", title="QQP", folder="QQP",
        labels=("not_duplicate", "duplicate"), file_labels=_BINARY,
        metrics=("f1", "accuracy"), headline="f1",
        tsv=Columns("question1", "question2", "is_duplicate"), hub=Columns("question1", "question2", "label"),
        broken_rows=True,
    ),
    Task(
        name="mnli", title="MNLI", folder="MNLI",
        labels=_NLI, file_labels=_NLI,
        metrics=("accuracy",), headline="accuracy",
        tsv=Columns("sentence1", "sentence2", "gold_label"), hub=Columns("premise", "hypothesis", "label"),
        splits={"dev_matched": "dev_matched", "dev_mismatched": "dev_mismatched"},
        hub_splits={
            "train": "train", "dev_matched": "validation_matched", "dev_mismatched": "validation_mismatched",
        },
        headline_split="dev_matched",
    ),
    Task(
        name="qnli", title="QNLI", folder="QNLI",
        labels=_ENTAILMENT, file_labels=_ENTAILMENT,
        metrics=("accuracy",), headline="accuracy",
        tsv=Columns("question", "sentence", "label"), hub=Columns("question", "sentence", "label"),
    ),
    Task(
        name="rte", title="RTE", folder="RTE",
        labels=_ENTAILMENT, file_labels=_ENTAILMENT,
        metrics=("accuracy",), headline="accuracy",
        tsv=_PAIR, hub=_PAIR,
    ),
)  # fmt: skip

TASKS: dict[str, Task] = {task.name: task for task in _ALL}
"""Every task by name, in GLUE's order."""
