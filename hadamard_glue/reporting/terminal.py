"""A sheet as plain aligned text: no colours, no escape codes, so that it reads the same in a log or a mail."""

from __future__ import annotations

import textwrap

from hadamard_glue.reporting.sheet import Block, Sheet, Shown

_RANKS = {"": "", "best": "*", "second": "'"}
_GAP = "  "


def terminal(sheet: Sheet) -> str:
    """The whole table, ending in a newline. Columns have the same width in every block."""
    layouts = [[_column(block, index) for index in range(len(sheet.columns))] for block in sheet.blocks]
    widths = [
        max([len(column.title), len(column.detail), *(len(text) for layout in layouts for text in layout[index])])
        for index, column in enumerate(sheet.columns)
    ]
    stub = max([len(sheet.stub), *(len(row.label) for block in sheet.blocks for row in block.rows)])
    total = stub + sum(len(_GAP) + width for width in widths)
    lines = [sheet.caption, ""]
    for block, layout in zip(sheet.blocks, layouts, strict=True):
        lines += [block.title] if block.title else []
        lines += ["-" * total, _line(sheet.stub, [column.title for column in sheet.columns], stub, widths)]
        if any(column.detail for column in sheet.columns):
            lines.append(_line("", [column.detail for column in sheet.columns], stub, widths))
        lines.append("-" * total)
        for index, row in enumerate(block.rows):
            lines.append(_line(row.label, [column[index] for column in layout], stub, widths))
        lines += ["-" * total, ""]
    notes = list(sheet.notes)
    if sheet.ranked:
        notes.insert(0, ("", "In each block and column: * best, ' second best."))
    for mark, text in notes:
        head = f"{_mark(mark)} " if mark else ""
        lines += textwrap.wrap(head + text, max(total, 60), subsequent_indent="   ", break_long_words=False)
    return "\n".join(line.rstrip() for line in lines).rstrip("\n") + "\n"


def _column(block: Block, index: int) -> list[str]:
    """The cells of one column of one block, each number's own marks to its right so that the numbers stay aligned."""
    cells = [row.cells[index] for row in block.rows]
    tails = [_RANKS[cell.rank] + "".join(map(_mark, cell.marks)) for cell in cells]
    room = max(map(len, tails), default=0)
    return [_body(cell) + tail.ljust(room) for cell, tail in zip(cells, tails, strict=True)]


def _mark(mark: str) -> str:
    """A letter needs brackets where nothing can be raised."""
    return f"[{mark}]" if mark.isalpha() else mark


def _body(cell: Shown) -> str:
    spread = f"±{cell.spread}" if cell.spread else ""
    count = f" ({cell.count})" if cell.count else ""
    return cell.text + spread + count


def _line(label: str, cells: list[str], stub: int, widths: list[int]) -> str:
    padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return _GAP.join([label.ljust(stub), *padded])
