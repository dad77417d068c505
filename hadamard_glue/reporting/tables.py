"""The main table: one frame, and the files that are made from it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hadamard_glue.errors import InputError
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.reporting.aggregate import (
    Cell,
    Record,
    average,
    cells,
    gather,
    has_demo,
    listed,
    mean_std,
    read_records,
    sources_title,
)
from hadamard_glue.reporting.controls import split_controls, with_controls
from hadamard_glue.reporting.latex import latex
from hadamard_glue.reporting.markdown import markdown
from hadamard_glue.reporting.notes import Note, main_caption, method_title, notes_on, usual_n
from hadamard_glue.reporting.parameters import parameters_csv, parameters_frame, parameters_sheet, rows_of
from hadamard_glue.reporting.sheet import Block, Column, Row, Sheet, Shown, percent, span, tenths, with_ranks
from hadamard_glue.reporting.shortcuts import shortcut_files
from hadamard_glue.reporting.terminal import terminal

_METRIC_TITLES = {"matthews": "Matthews", "accuracy": "Acc.", "f1": "F1", "pearson": "Pearson", "spearman": "Spearman"}
#: Columns that are there only where something can be said, see controls.py.
_EXTRA = {"random_average": Column("Random", "weights"), "gap_closed": Column("Gap", "closed %")}
_NOT_RUN = "not run"


@dataclass(frozen=True)
class MainTable:
    """The main table.

    Attributes:
        frame: one row per backbone and method, in table order. Columns: ``backbone``, ``method``; for each task
            ``<task>_<metric>`` (mean over seeds x 100), ``<task>_std``, ``<task>_n``, ``<task>_status`` (``done``,
            ``not run``, ``failed``, with the seeds that collapsed or failed); ``average`` (of the eight, else empty);
            ``trained`` and ``percent`` (head excluded; the largest over tasks), ``trained_min`` and ``percent_min``.
            Where they can be filled, ``random_average`` and ``gap_closed`` stand behind ``average`` (controls.py);
            where any rows are of the demo world, ``source`` stands first.
        notes: what stands below it.
    """

    frame: pd.DataFrame
    notes: tuple[Note, ...]
    caption: str


def main_table(records: Iterable[Record]) -> MainTable:
    """The main table of some records: pure, nothing is read or written.

    Raises:
        InputError: records that one table cannot hold, see :func:`~hadamard_glue.reporting.aggregate.gather`.
    """
    shown, controls = split_controls(gather(records))
    rows: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in shown:
        rows.setdefault((cell.backbone, cell.method), {})[cell.task.name] = cell
    frame = pd.DataFrame([_row(*names, found) for names, found in rows.items()], columns=_columns())
    whole = ["trained", "trained_min", *(f"{task}_n" for task in TASKS)]
    frame, explained = with_controls(frame.astype(dict.fromkeys(whole, "Int64")), shown, controls)
    if has_demo(shown):
        frame.insert(0, "source", [sources_title(found.values()) for found in rows.values()])
    return MainTable(frame, (*notes_on(shown), *explained), main_caption(shown))


def main_csv(table: MainTable) -> str:
    """The frame as it is: plain numbers, empty where there is none."""
    return table.frame.to_csv(index=False, lineterminator="\n")


def main_sheet(table: MainTable) -> Sheet:
    """The frame as shown, for :func:`markdown`, :func:`latex` and :func:`terminal`."""
    columns = [Column(task.title, _METRIC_TITLES.get(task.headline, task.headline)) for task in TASKS.values()]
    extra = {name: column for name, column in _EXTRA.items() if name in table.frame}
    columns += [Column("Average"), *extra.values(), Column("Trained", "params"), Column("Percent", "of backbone")]
    usual = usual_n(int(n) for task in TASKS for n in table.frame[f"{task}_n"])
    blocks = []
    for backbone in dict.fromkeys(table.frame["backbone"]):
        rows = table.frame[table.frame["backbone"] == backbone].to_dict("records")
        scores = [_task_column(rows, task, table.notes, usual) for task in TASKS]
        shown = [*scores, _average_column(rows), *(_plain_column(rows, name) for name in extra)]
        shown += _parameter_columns(rows)
        lines = zip(rows, zip(*shown, strict=True), strict=True)
        blocks.append(Block(backbone, tuple(Row(method_title(row["method"]), line) for row, line in lines)))
    notes = tuple(_lines(table))
    return Sheet("glue-main", table.caption, "Method", tuple(columns), tuple(blocks), notes, ranked=True)


def write_tables(results_dir: Path) -> list[Path]:
    """Make ``tables/main.{txt,csv,md,tex}``, ``cells.csv`` and ``parameters.{csv,md,tex}`` of a results folder.

    Where there are runs on the demo world, ``shortcuts.{txt,csv,md,tex}`` too.

    Every file is complete or the one before: written to a temporary name, then renamed. When the records are refused no
    file is touched.

    Returns:
        The paths written.

    Raises:
        InputError: no records, records that one table cannot hold, or a folder that cannot be written.
    """
    records = read_records(Path(results_dir) / "records")
    if not records:
        raise InputError(f"{Path(results_dir) / 'records'} holds no records; run something with this results_dir first")
    table = main_table(records)
    sheet = main_sheet(table)
    shown, _ = split_controls(gather(records))
    files = {
        "main.txt": terminal(sheet),
        "main.csv": main_csv(table),
        "main.md": markdown(sheet),
        "main.tex": latex(sheet),
        "cells.csv": cells(records).to_csv(index=False, lineterminator="\n"),
        **_parameter_files(rows_of(shown), sources_title(shown) if has_demo(shown) else ""),
        **(shortcut_files() if has_demo(shown) else {}),
    }
    return _write(Path(results_dir) / "tables", files)


def write_parameters(rows: Iterable[Mapping[str, Any]], results_dir: Path) -> list[Path]:
    """Make ``tables/parameters.{csv,md,tex}`` of a results folder from counts alone.

    Args:
        rows: see :func:`~hadamard_glue.reporting.parameters.parameters_frame`.

    Raises:
        InputError: a folder that cannot be written.
    """
    return _write(Path(results_dir) / "tables", _parameter_files(rows))


def _parameter_files(rows: Iterable[Mapping[str, Any]], source: str = "") -> dict[str, str]:
    frame = parameters_frame(rows)
    sheet = parameters_sheet(frame, source)
    if source:
        frame.insert(0, "source", source)
    return {
        "parameters.csv": parameters_csv(frame),
        "parameters.md": markdown(sheet),
        "parameters.tex": latex(sheet),
    }


def _write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            _replace(folder / name, text)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from error
    return [folder / name for name in files]


def _replace(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False, encoding="utf-8", newline="\n"
    ) as stream:
        stream.write(text)
    temporary = Path(stream.name)
    try:
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def _columns() -> list[str]:
    by_task = [name for task in TASKS for name in (_value(task), f"{task}_std", f"{task}_n", f"{task}_status")]
    return ["backbone", "method", *by_task, "average", "trained", "percent", "trained_min", "percent_min"]


def _value(task: str) -> str:
    return f"{task}_{TASKS[task].headline}"


def _row(backbone: str, method: str, found: Mapping[str, Cell]) -> dict[str, Any]:
    row: dict[str, Any] = {"backbone": backbone, "method": method}
    for task in TASKS:
        cell = found.get(task)
        mean, std = mean_std([100 * value for value in cell.headline()]) if cell else (float("nan"), float("nan"))
        row |= {_value(task): round(mean, 4), f"{task}_std": round(std, 4), f"{task}_n": len(cell.done) if cell else 0}
        row[f"{task}_status"] = _status(cell)
    parameters = [record["parameters"] for cell in found.values() for record in cell.done.values()]
    trained = [counts["trained"] for counts in parameters] or [None]
    shares = [counts["percent"] for counts in parameters] or [float("nan")]
    row["average"] = average(found)  # NaN, and so empty, unless all eight are there
    row |= {"trained": max(trained), "percent": round(max(shares), 6)}
    return row | {"trained_min": min(trained), "percent_min": round(min(shares), 6)}


def _status(cell: Cell | None) -> str:
    if cell is None:
        return _NOT_RUN
    parts = ["done"] if cell.done else []
    parts += [f"collapsed (seed {listed(cell.collapsed)})"] if cell.collapsed else []
    parts += [f"failed (seed {listed(cell.failed)})"] if cell.failed else []
    return "; ".join(parts)


def _task_column(rows: list[dict[Any, Any]], task: str, notes: Iterable[Note], usual: int) -> list[Shown]:
    column = []
    for row in rows:
        marks = tuple(note.mark for note in notes if note.mark and (row["backbone"], row["method"], task) in note.cells)
        mean, std, n = row[_value(task)], row[f"{task}_std"], row[f"{task}_n"]
        if pd.isna(mean):
            column.append(Shown("—" if row[f"{task}_status"] == _NOT_RUN else "failed", marks=marks))
        else:
            spread = "" if pd.isna(std) else tenths(std)
            column.append(Shown(tenths(mean), spread, "" if n == usual else str(n), marks=marks))
    return with_ranks(column, [_number(row[_value(task)]) for row in rows])


def _average_column(rows: list[dict[Any, Any]]) -> list[Shown]:
    numbers = [_number(row["average"]) for row in rows]
    return with_ranks([Shown("" if number is None else tenths(number)) for number in numbers], numbers)


def _plain_column(rows: list[dict[Any, Any]], name: str) -> list[Shown]:
    numbers = [_number(row[name]) for row in rows]
    return [Shown("" if number is None else tenths(number)) for number in numbers]


def _parameter_columns(rows: list[dict[Any, Any]]) -> list[list[Shown]]:
    trained, shares = [], []
    for row in rows:
        known = not pd.isna(row["trained"])
        trained.append(Shown(span(f"{row['trained_min']:,}", f"{row['trained']:,}") if known else ""))
        shares.append(Shown(span(percent(row["percent_min"]), percent(row["percent"])) if known else ""))
    return [trained, shares]


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _lines(table: MainTable) -> list[tuple[str, str]]:
    """The notes as printed, with what explains the columns that are no scores and the cells that are empty."""
    statuses = {status for task in TASKS for status in table.frame[f"{task}_status"]}
    lines = [(note.mark, note.text) for note in table.notes]
    plain = [line for line in lines if not line[0]]
    plain.append(
        ("", "Average of the eight scores, where all are there; MNLI is matched. Trained parameters exclude the head.")
    )
    if _NOT_RUN in statuses:
        plain.append(("", "A dash marks what was not run."))
    return [*plain, *(line for line in lines if line[0])]
