"""Where the rows of a run come from, and the fingerprint of what was actually read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from hadamard_glue.errors import InputError
from hadamard_glue.glue.directory import read_directory
from hadamard_glue.glue.rows import Rows
from hadamard_glue.glue.tasks import Task

__all__ = ["Rows", "TaskData", "load_rows", "source_title"]

_SAMPLE_SEED = 20230701  # any constant; changing it changes every limited run


@dataclass(frozen=True)
class TaskData:
    """All the rows of a run.

    Attributes:
        task: the task.
        train: the training rows.
        dev: the evaluation splits by name (MNLI has two).
        fingerprint: sha256 (hex) of texts and labels by split, after limits: the same rows give the same
            fingerprint whether they came from TSV, parquet or the hub.
        origin: ``kind``, ``path`` (the directory or the hub repository) and ``revision`` (the hub commit,
            else ``None``).
    """

    task: Task
    train: Rows
    dev: dict[str, Rows]
    fingerprint: str
    origin: dict[str, str | None]


def source_title(kind: str) -> str:
    """A kind of source as every output names it."""
    return "demo, synthetic" if kind == "demo" else kind


def load_rows(
    task: Task,
    kind: str,
    path: str | None,
    limit_train: int | None,
    limit_dev: int | None,
    revision: str | None = None,
) -> TaskData:
    """Read a task's rows.

    Args:
        task: which task.
        kind: ``"hub"``, ``"directory"`` or ``"demo"``.
        path: the directory (see ``directory``), or the hub repository, ``nyu-mll/glue`` where ``None``; none for the
            demo world, whose files lie in the cache.
        limit_train: at most this many training rows; ``None`` reads all. A limited split is a random sample
            that depends on nothing but the sizes, never on a run's seed, so that all runs see the same rows;
            it keeps the file's order, and a smaller sample is part of a larger one.
        limit_dev: the same for each evaluation split.
        revision: the hub's branch, tag or commit.

    Raises:
        InputError: one line that says what is missing or wrong, where, and what was expected.
    """
    commit: str | None = None
    if kind == "hub":
        # `datasets` is slow to import, and a directory does not need it.
        from hadamard_glue.glue.hub import REPOSITORY, read_hub

        path = path or REPOSITORY
        rows, commit = read_hub(task, path, revision)
    elif kind == "directory":
        if not path:
            raise InputError("source=directory needs source.path=FOLDER, the folder that holds CoLA, SST-2, ...")
        rows = read_directory(task, path)
    elif kind == "demo":
        if path:
            raise InputError("source=demo makes its rows itself and takes no source.path")
        from hadamard_glue.demo.files import demo_folder

        rows = read_directory(task, str(demo_folder()))
    else:
        raise InputError(f"source kind {kind!r} is unknown, expected hub, directory or demo")
    rows = {split: _limited(part, limit_train if split == "train" else limit_dev) for split, part in rows.items()}
    return TaskData(
        task=task,
        train=rows["train"],
        dev={split: rows[split] for split in task.splits},
        fingerprint=_fingerprint(rows),
        origin={"kind": kind, "path": path, "revision": commit},
    )


def _limited(rows: Rows, limit: int | None) -> Rows:
    if limit is None or limit >= len(rows):
        return rows
    if limit < 1:
        raise InputError(f"limit of {limit} rows: must be at least 1")
    # RandomState, because numpy promises that its streams never change; Generator's may between versions.
    order = np.random.RandomState(_SAMPLE_SEED).permutation(len(rows))
    return rows.take(np.sort(order[:limit]))


def _fingerprint(rows: dict[str, Rows]) -> str:
    digest = hashlib.sha256()
    for split, part in rows.items():
        digest.update(f"{split} ".encode())
        for chunk in part.text_bytes():
            digest.update(chunk)
        digest.update(part.label_bytes())
    return digest.hexdigest()
