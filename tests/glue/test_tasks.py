"""The tasks' data agree with the paper, the hub and each other."""

from __future__ import annotations

import pickle

from hadamard_glue.glue.metrics import METRICS
from hadamard_glue.glue.tasks import TASKS, Task


def test_the_eight_tasks_in_glues_order() -> None:
    assert [task.title for task in TASKS.values()] == [
        "CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI", "QNLI", "RTE",
    ]  # fmt: skip
    assert [task.headline for task in TASKS.values()] == [
        "matthews", "accuracy", "f1", "pearson", "f1", "accuracy", "accuracy", "accuracy",
    ]  # fmt: skip
    assert [task.num_labels for task in TASKS.values()] == [2, 2, 2, 1, 2, 3, 2, 2]


def test_label_order_is_the_hubs() -> None:
    assert TASKS["mnli"].labels == ("entailment", "neutral", "contradiction")
    assert TASKS["rte"].labels == TASKS["qnli"].labels == ("entailment", "not_entailment")


def test_parts_of_a_task_agree(task: Task) -> None:
    assert TASKS[task.name] is task
    assert task.headline in task.metrics
    assert set(task.metrics) <= set(METRICS)
    assert task.headline_split in task.splits
    assert list(task.hub_splits) == ["train", *task.splits]
    assert len(task.file_labels) == len(task.labels)
    assert (task.tsv.second is None) == (task.hub.second is None)
    assert pickle.loads(pickle.dumps(task)) == task  # launchers carry tasks to other processes
    assert hash(task) == hash(TASKS[task.name])
