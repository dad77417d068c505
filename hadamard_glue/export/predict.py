"""Predictions of an exported model on rows of text."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hadamard_glue.config import HardwareConfig, nearest
from hadamard_glue.errors import InputError
from hadamard_glue.export.exported import open_exported
from hadamard_glue.export.finished import logits_of
from hadamard_glue.glue.tasks import Task
from hadamard_glue.training.device import pick


@dataclass(frozen=True)
class Columns:
    """Where the texts are.

    Attributes:
        first: a name of the header line, or a position from 1; ``None`` takes position 1.
        second: the same for tasks of pairs; ``None`` takes position 2.
        header: whether line 1 is a header; ``None``: where columns are given by name.
    """

    first: str | None = None
    second: str | None = None
    header: bool | None = None


def predict_rows(
    folder: Path,
    source: str,
    columns: Columns,
    backbone: str | None = None,
    device: str = "auto",
    batch_size: int = 32,
) -> str:
    """Predict every row of a TSV file.

    Args:
        source: a file, or ``-`` for standard input.
        backbone: for a PEFT folder, where its backbone is, if no longer at the recorded place.

    Returns:
        A TSV with one line a row, in their order, below a header: ``label`` and a probability for every class, or
        ``score`` alone (STS-B).

    Raises:
        InputError: rows, folder or backbone that cannot be used.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device={device} is not valid{nearest(device, ('auto', 'cpu', 'cuda'))}")
    kind: Any = device
    chosen = pick(HardwareConfig(device=kind, precision="float32", deterministic=False, threads=None, workers=1))
    lines = _lines(source)
    exported = open_exported(folder, backbone)
    first, second = _texts(source, lines, columns, exported.task)
    model = exported.model.to(chosen.torch_device)
    logits = logits_of(model, exported.tokenizer, first, second, exported.max_length, chosen, batch_size)
    return _table(exported.task, logits)


def write(text: str, to: Path | None) -> None:
    """To standard output, or to a file that does not exist yet.

    Raises:
        InputError: a file that exists or cannot be written.
    """
    if to is None:
        sys.stdout.write(text)
        return
    check_new(to)
    temporary = to.with_name(f".{to.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.rename(to)
    except OSError as error:
        raise InputError(f"to={to} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_new(to: Path) -> None:
    """Refuse a file that exists, or whose folder does not.

    Raises:
        InputError: either.
    """
    if os.path.lexists(to):
        raise InputError(f"to={to} exists already")
    if not to.parent.is_dir():
        raise InputError(f"to={to}: no such folder {to.parent}")


def _lines(source: str) -> list[str]:
    name = "standard input" if source == "-" else source
    try:
        content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"input={source} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{name}, line {line}: not UTF-8") from error
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if lines[-1] == "":
        lines.pop()
    if not lines:
        raise InputError(f"{name} is empty")
    return lines


def _texts(source: str, lines: list[str], columns: Columns, task: Task) -> tuple[list[str], list[str] | None]:
    """The texts of every row, empty ones too; no quoting, as in GLUE's own files."""
    name = "standard input" if source == "-" else source
    pairs = task.tsv.second is not None
    if columns.second is not None and not pairs:
        raise InputError(f"second={columns.second}: {task.title} has one text a row")
    wanted = [columns.first or "1", *([columns.second or "2"] if pairs else [])]
    named = [not column.isdigit() for column in wanted]
    if any(named) and not all(named):
        raise InputError(f"first={wanted[0]} second={wanted[-1]}: give both as names or both as positions")
    if named[0] and columns.header is False:
        raise InputError(f"first={wanted[0]} is a name, and header=false says that there are none")
    rows, start = (lines[1:], 2) if named[0] or columns.header else (lines, 1)
    if not rows:
        raise InputError(f"{name} has a header and no rows")
    places = _named(name, lines[0], wanted) if named[0] else _positions(wanted)
    found: list[list[str]] = []
    for number, row in enumerate(rows, start):
        fields = row.split("\t")
        if len(fields) <= max(places):
            raise InputError(f"{name}, line {number}: expected {max(places) + 1} columns or more, found {len(fields)}")
        found.append([fields[place] for place in places])
    first = [texts[0] for texts in found]
    return first, [texts[1] for texts in found] if pairs else None


def _named(name: str, header: str, wanted: list[str]) -> list[int]:
    names = header.split("\t")
    for column in wanted:
        if column not in names:
            raise InputError(f"{name} has no column {column!r}{nearest(column, names)}")
    return [names.index(column) for column in wanted]


def _positions(wanted: list[str]) -> list[int]:
    if "0" in wanted:
        raise InputError("positions of columns count from 1")
    return [int(column) - 1 for column in wanted]


def _table(task: Task, logits: NDArray[np.float32]) -> str:
    if task.regression:
        return "\n".join(["score", *(f"{value:.6g}" for value in logits[:, 0].tolist())]) + "\n"
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    shares = (shifted / shifted.sum(axis=1, keepdims=True)).tolist()
    chosen = logits.argmax(axis=1).tolist()
    rows = [
        "\t".join([task.labels[label], *(f"{share:.6f}" for share in row)])
        for label, row in zip(chosen, shares, strict=True)
    ]
    return "\n".join(["\t".join(["label", *task.labels]), *rows]) + "\n"
