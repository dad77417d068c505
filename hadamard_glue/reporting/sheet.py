"""A table as it is shown, before any markup: what Markdown, LaTeX and terminal have in common."""
# ruff: noqa: RUF001  (typographic characters are meant)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Rank = Literal["", "best", "second"]


@dataclass(frozen=True)
class Shown:
    """One cell.

    Attributes:
        text: the number as printed, or the word for an empty cell; no markup, not escaped.
        spread: the standard deviation, or empty.
        count: the number of seeds where it must be said, or empty.
        rank: best or second best of its block and column.
        marks: of the notes that it carries.
    """

    text: str
    spread: str = ""
    count: str = ""
    rank: Rank = ""
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """A column of numbers: its title and a smaller line below it, such as the metric."""

    title: str
    detail: str = ""


@dataclass(frozen=True)
class Row:
    """A row: its label and one cell a column."""

    label: str
    cells: tuple[Shown, ...]


@dataclass(frozen=True)
class Block:
    """Rows under one heading, such as the methods of one backbone."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Sheet:
    """A whole table.

    Attributes:
        name: for LaTeX's label, ``tab:<name>``.
        stub: the heading above the rows' labels.
        notes: mark (or empty) and text of every line below the table.
        ranked: whether best and second best are marked, which every format explains in its own way.
    """

    name: str
    caption: str
    stub: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    notes: tuple[tuple[str, str], ...] = ()
    ranked: bool = False


def tenths(value: float) -> str:
    """One decimal, without a negative zero."""
    return f"{round(value, 1) + 0.0:.1f}"


def percent(value: float) -> str:
    """A percentage of parameters: three decimals, two significant digits below 0.001, and plain 0 and 100."""
    if value in (0, 100):
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) >= 0.0005 else f"{value:.2g}"


def span(least: str, most: str) -> str:
    """A range, or the one value that both ends are."""
    return least if least == most else f"{least}–{most}"


def with_ranks(column: Sequence[Shown], numbers: Sequence[float | None]) -> list[Shown]:
    """Mark the best and the second best of a column's cells.

    They are compared as printed: numbers that look the same to the reader share the mark. The second best is the next
    smaller printed number. A single number is not marked, for it was compared with nothing.

    Args:
        numbers: the number of each cell, ``None`` where it has none.
    """
    printed = [None if number is None else float(tenths(number)) for number in numbers]
    there = [number for number in printed if number is not None]
    order = sorted(set(there), reverse=True)
    if len(there) < 2:
        return list(column)
    ranks: dict[float, Rank] = {order[0]: "best"}
    if len(order) > 1:
        ranks[order[1]] = "second"
    return [
        cell if number is None else replace(cell, rank=ranks.get(number, ""))
        for cell, number in zip(column, printed, strict=True)
    ]
