"""A sheet as GitHub's Markdown: a heading and a table a block, notes as a list; readable unrendered too."""

from __future__ import annotations

import re

from hadamard_glue.reporting.sheet import Block, Sheet, Shown

#: GitHub's sanitizer lets <ins> through and not <u>; it is shown underlined.
_RANKS = {"": "{}", "best": "**{}**", "second": "<ins>{}</ins>"}


def markdown(sheet: Sheet) -> str:
    """The whole table, ending in a newline."""
    parts = [f"**{escape(sheet.caption)}**", *(_block(sheet, block) for block in sheet.blocks)]
    lines = [f"- {f'<sup>{escape(mark)}</sup> ' if mark else ''}{escape(text)}" for mark, text in sheet.notes]
    if sheet.ranked:
        lines.insert(0, "- In each block and column the best is **bold**, the second best <ins>underlined</ins>.")
    if lines:
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is; underscores inside words need nothing and stay readable."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"([\\`*\[\]<>|~$])", r"\\\1", text).replace("&", "&amp;")
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def _block(sheet: Sheet, block: Block) -> str:
    header = [escape(sheet.stub), *(_header(column.title, column.detail) for column in sheet.columns)]
    rows = [[escape(row.label), *map(_cell, row.cells)] for row in block.rows]
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]
    widths = [max(width, 4) for width in widths]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    body = [_line(header, widths), _line(rule, widths), *(_line(row, widths) for row in rows)]
    heading = [f"### {escape(block.title)}", ""] if block.title else []
    return "\n".join([*heading, *body])


def _header(title: str, detail: str) -> str:
    return escape(title) + (f"<br>{escape(detail)}" if detail else "")


def _cell(cell: Shown) -> str:
    marks = f"<sup>{escape(','.join(cell.marks))}</sup>" if cell.marks else ""
    spread = f" ± {cell.spread}" if cell.spread else ""
    count = f" ({cell.count})" if cell.count else ""
    return _RANKS[cell.rank].format(escape(cell.text)) + spread + count + marks


def _line(cells: list[str], widths: list[int]) -> str:
    first, *others = (cell.ljust(width) if index == 0 else cell.rjust(width)
                      for index, (cell, width) in enumerate(zip(cells, widths, strict=True)))  # fmt: skip
    return f"| {' | '.join([first, *others])} |"
