"""Arrow tables (parquet files, ``datasets``) to rows, with the same strictness as the TSV files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hadamard_glue.errors import InputError
from hadamard_glue.glue.rows import Rows
from hadamard_glue.glue.tasks import Task


def read_parquet(task: Task, files: list[Path], split: str) -> Rows:
    """One split from its parquet files, in order.

    Raises:
        InputError: a file is damaged, or holds other columns, labels or empty fields than the task's; with
            file and row.
    """
    parts = []
    for file in files:
        try:
            table = pq.read_table(file)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{file}: not a readable parquet file ({str(error).splitlines()[0][:120]})") from error
        parts.append(table_rows(task, table, split, str(file)))
    if not any(len(part) for part in parts):
        raise InputError(f"{files[0]}: no rows")
    second = None if task.hub.second is None else [text for part in parts for text in part.second or ()]
    labels = np.concatenate([part.labels for part in parts])
    return Rows(split, [text for part in parts for text in part.first], second, labels)


def table_rows(task: Task, table: pa.Table, split: str, where: str) -> Rows:
    """The rows of an Arrow table with the hub's columns; ``where`` names it in errors.

    Labels are the hub's ids, or strings (label names, or what the official files write).

    Raises:
        InputError: with ``where``, the row (counted from 1) and what was expected.
    """
    wanted = [name for name in (task.hub.first, task.hub.second, task.hub.label) if name is not None]
    for name in wanted:
        if table.column_names.count(name) != 1:
            found = ", ".join(table.column_names[:16])
            raise InputError(f"{where}: expected the columns {', '.join(wanted)}; it has {found or 'none'}")
    _check_label_names(task, table, where)
    first = _texts(task, table, task.hub.first, where)
    second = None if task.hub.second is None else _texts(task, table, task.hub.second, where)
    return Rows(split, first, second, _labels(task, table.column(task.hub.label), where))


def _check_label_names(task: Task, table: pa.Table, where: str) -> None:
    """Files written by ``datasets`` name their labels; another order would silently exchange classes."""
    try:
        features = json.loads((table.schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[task.hub.label].get("names")
    except (KeyError, TypeError, AttributeError, ValueError):
        return  # not written by datasets, or without names: the ids are all there is
    if names is not None and task.labels and tuple(names) != task.labels:
        raise InputError(f"{where}: labels in the order {', '.join(names)}, expected {', '.join(task.labels)}")


def _texts(task: Task, table: pa.Table, name: str, where: str) -> list[str]:
    column = table.column(name)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise InputError(f"{where}: column {name} holds {kind}, expected texts")
    texts: list[str | None] = column.to_pylist()
    if not task.broken_rows:
        for row, text in enumerate(texts, 1):
            if text is None or not text.strip():
                raise InputError(f"{where}, row {row}: {name} is empty, expected a text")
    return [text or "" for text in texts]


def _labels(task: Task, column: pa.ChunkedArray, where: str) -> np.ndarray:
    values = column.to_pylist()
    if task.regression:
        for row, value in enumerate(values, 1):
            if not isinstance(value, int | float) or not 0 <= value <= 5:
                raise InputError(f"{where}, row {row}: score {value!r}, expected a number from 0 to 5")
        return np.asarray(values, dtype=np.float32)
    ids: dict[object, int] = {index: index for index in range(task.num_labels)}
    for names in (task.labels, task.file_labels):
        ids.update({name: index for index, name in enumerate(names)})
    for row, value in enumerate(values, 1):
        if not isinstance(value, int | str) or value not in ids:
            raise InputError(f"{where}, row {row}: label {value!r}, expected one of {', '.join(task.labels)} "
                             f"or 0 to {task.num_labels - 1}")  # fmt: skip
    return np.asarray([ids[value] for value in values], dtype=np.int64)
