"""The frame of trained parameters, from records or from counts of configs, and how it is shown."""
# ruff: noqa: RUF001  (typographic characters are meant)

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.reporting.aggregate import Cell, method_place
from hadamard_glue.reporting.notes import method_title
from hadamard_glue.reporting.sheet import Block, Column, Row, Sheet, Shown, percent, span

_COUNTS = ("adapter", "norm", "bias", "head", "trained", "backbone_total")
COLUMNS = ("backbone", "method", *_COUNTS, "percent", "tasks")

_SHOWN = {"adapter": "Adapter", "norm": "Norm", "bias": "Bias", "head": "Head", "trained": "Trained"}


def parameters_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per backbone, method and distinct counts: backbones in the order given, methods in the main table's.

    Args:
        rows: each with ``backbone`` and ``method`` (names), the counts ``adapter``, ``norm``, ``bias``, ``head``,
            ``trained`` (head excluded) and ``backbone_total``, ``percent``, and optionally ``task``. The head depends
            on the task's number of labels, so rows of several tasks may differ in it.

    Returns:
        Columns as :data:`COLUMNS`; ``tasks`` lists the tasks with these counts, by name, empty when rows name none.

    Raises:
        TypeError: a row whose ``backbone`` is not a name.
    """
    rows = list(rows)
    backbones = list(dict.fromkeys(row["backbone"] for row in rows))
    tasks: dict[tuple[Any, ...], list[str]] = {}
    for row in sorted(rows, key=lambda row: (backbones.index(row["backbone"]), method_place(row["method"]))):
        if not isinstance(row["backbone"], str):
            raise TypeError(f"backbone must be the backbone's name, not {row['backbone']!r}")
        names = tasks.setdefault(tuple(row[column] for column in COLUMNS if column != "tasks"), [])
        if row.get("task"):
            names.append(row["task"])
    frame = pd.DataFrame(
        [(*key, " ".join(sorted(set(names), key=list(TASKS).index))) for key, names in tasks.items()],
        columns=list(COLUMNS),
    )
    return frame.astype({**dict.fromkeys(_COUNTS, "int64"), "percent": "float64"})


def rows_of(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """Rows for :func:`parameters_frame` from the done records of some cells."""
    return [
        {**record["parameters"], "backbone": cell.backbone, "method": cell.method, "task": cell.task.name}
        for cell in cells
        for record in cell.done.values()
    ]


def parameters_csv(frame: pd.DataFrame) -> str:
    """The frame as it is, plain numbers."""
    return frame.to_csv(index=False, lineterminator="\n")


def parameters_sheet(frame: pd.DataFrame, source: str = "") -> Sheet:
    """The frame as shown: a block per backbone with its size, heads that differ by task as a range.

    Args:
        source: where the rows behind the counts came from, where the caption must say it.
    """
    blocks = []
    for backbone in dict.fromkeys(frame["backbone"]):
        block = frame[frame["backbone"] == backbone]
        sizes = " or ".join(f"{size:,}" for size in sorted(set(block["backbone_total"])))
        blocks.append(Block(f"{backbone} ({sizes} parameters)", tuple(_rows(block))))
    notes = [("", "Trained excludes the head. Percent is of the backbone before anything is added, head excluded.")]
    if any("–" in row.cells[3].text for block in blocks for row in block.rows):
        notes.append(("", "The head's size depends on the number of labels, hence a range over tasks."))
    if (frame["trained"] > frame["adapter"] + frame["norm"] + frame["bias"]).any():
        notes.append(("", "Full fine-tuning trains the whole backbone."))
    columns = (*(Column(title) for title in _SHOWN.values()), Column("Percent"))
    caption = f"Trained parameters by method{f' ({source})' if source else ''}."
    return Sheet("glue-parameters", caption, "Method", columns, tuple(blocks), tuple(notes))


def _rows(block: pd.DataFrame) -> list[Row]:
    """Rows of one backbone; those that differ in nothing but the head are one."""
    rows = []
    for method in dict.fromkeys(block["method"]):
        of_method = block[block["method"] == method]
        alike = list(of_method.groupby([name for name in (*_COUNTS, "percent") if name != "head"], sort=False))
        for _, group in alike:
            label = method_title(method)
            if len(alike) > 1:
                names = " ".join(group["tasks"]).split()
                label += f" ({', '.join(TASKS[name].title for name in TASKS if name in names)})" if names else ""
            cells = [span(f"{group[name].min():,}", f"{group[name].max():,}") for name in _SHOWN]
            rows.append(Row(label, tuple(map(Shown, (*cells, percent(float(group["percent"].iloc[0])))))))
    return rows
