"""A sheet as a LaTeX table, to ``\\input`` into a document that loads booktabs. All text is escaped, the file ASCII."""
# ruff: noqa: RUF001  (typographic characters are meant)

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

from hadamard_glue.reporting.sheet import Block, Sheet, Shown

_CHARACTERS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_\allowbreak{}",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    # OT1, the default encoding, has other glyphs in the places of these; straight quotes print as curly ones
    "<": r"\ensuremath{<}", ">": r"\ensuremath{>}", "|": r"\ensuremath{|}", '"': "''", "`": "'",
    "/": r"/\allowbreak{}",
    "±": r"\ensuremath{\pm}", "×": r"\ensuremath{\times}", "†": r"\ensuremath{\dagger}",
    "‡": r"\ensuremath{\ddagger}", "§": r"\S{}", "‖": r"\ensuremath{\|}", "–": "--", "—": "---", "…": r"\dots{}",
    "‘": "`", "’": "'", "“": "``", "”": "''",
    "\x00": "{}",  # set by escape() between hyphens, which would join to a dash
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0308": '"', "\u030a": "r",
    "\u030c": "v", "\u0327": "c",
}  # fmt: skip
_RANKS = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}

_HEAD = r"""% Written by hadamard-glue; do not edit. Needs \usepackage{booktabs}.
% With \usepackage{graphicx} a table wider than the text is scaled down to it.
\begin{table*}[tbp]
\centering
\setlength{\belowcaptionskip}{5pt}
\caption{<caption>}
\label{tab:<name>}
\footnotesize
\setlength{\tabcolsep}{4.5pt}
\renewcommand{\arraystretch}{1.06}
\sbox2{%
\begin{tabular}{@{}l*{<columns>}{r}@{}}
\toprule"""

_TAIL = r"""\bottomrule
\end{tabular}}%
\ifdim\wd2>\textwidth
  \ifdefined\resizebox \resizebox{\textwidth}{!}{\usebox2}\else \makebox[\textwidth]{\usebox2}\fi
\else \usebox2\fi"""


#: Lines of one float, a block's heading counted as two: what fits a page, a landscape one too.
_LINES = 40


def latex(sheet: Sheet) -> str:
    """The table as a float, ending in a newline; one that no page holds as several, whole blocks together.

    The floats after the first are captioned as continued, and labelled ``tab:<name>-2`` and so on.
    """
    return "\n".join(_float(page) for page in _pages(sheet))


def _pages(sheet: Sheet) -> list[Sheet]:
    pages: list[list[Block]] = [[]]
    for block in sheet.blocks:
        if pages[-1] and sum(len(other.rows) + 2 for other in [*pages[-1], block]) > _LINES:
            pages.append([])
        pages[-1].append(block)
    return [
        replace(
            sheet,
            blocks=tuple(blocks),
            name=sheet.name if number == 1 else f"{sheet.name}-{number}",
            caption=sheet.caption if number == 1 else f"{sheet.caption.rstrip('.')}, continued.",
        )
        for number, blocks in enumerate(pages, start=1)
    ]


def _float(sheet: Sheet) -> str:
    lines = [_head(sheet), *_header(sheet)]
    for index, block in enumerate(sheet.blocks):
        lines += _block(block, len(sheet.columns) + 1, first=index == 0)
    lines += [_TAIL, *_notes(sheet), r"\end{table*}"]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it is, in ASCII; a character beyond its fonts is named, as [U+4E2D]."""
    text = re.sub(r"-(?=-)", "-\x00", re.sub(r"\s+", " ", text.replace("\x00", " ")))
    return "".join(_character(character) for character in text)


def _character(character: str) -> str:
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    if " " <= character <= "~":
        return character
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        base = {"i": r"\i", "j": r"\j"}.get(parts[0], parts[0])
        return rf"\{_ACCENTS[parts[1]]}{{{base}}}"
    return f"[U+{ord(character):04X}]"


def _head(sheet: Sheet) -> str:
    named = _HEAD.replace("<name>", sheet.name).replace("<columns>", str(len(sheet.columns)))
    return named.replace("<caption>", escape(sheet.caption))


def _header(sheet: Sheet) -> list[str]:
    lines = [_line([escape(sheet.stub), *(escape(column.title) for column in sheet.columns)])]
    if any(column.detail for column in sheet.columns):
        details = (escape(column.detail) for column in sheet.columns)
        lines.append(_line(["", *(rf"{{\scriptsize {detail}}}" if detail else "" for detail in details)]))
    return lines


def _block(block: Block, columns: int, first: bool) -> list[str]:
    lines = [r"\midrule"]
    if block.title:
        lines += [rf"\multicolumn{{{columns}}}{{@{{}}l}}{{\textit{{{escape(block.title)}}}}} \\", r"\addlinespace[2pt]"]
    return lines + [_line([escape(row.label), *map(_cell, row.cells)]) for row in block.rows]


def _cell(cell: Shown) -> str:
    number = re.fullmatch(r"-?[\d.,]+", cell.text)
    text = cell.text.replace("-", "$-$") if number else escape(cell.text)
    small = (rf"\pm{cell.spread}" if cell.spread else "") + (rf"\,({cell.count})" if cell.count else "")
    # marks hang over into the gap between columns, so that the numbers stay in line
    marks = rf"\rlap{{\textsuperscript{{{escape(','.join(cell.marks))}}}}}" if cell.marks else ""
    return _RANKS[cell.rank].format(text) + (f"$_{{{small}}}$" if small else "") + marks


def _notes(sheet: Sheet) -> list[str]:
    """Running text for the notes without marks, then a line for every mark."""
    plain = [escape(text) for mark, text in sheet.notes if not mark]
    if sheet.ranked:
        plain.insert(0, r"In each block and column the best is \textbf{bold}, the second best \underline{underlined}.")
    marked = [rf"\textsuperscript{{{escape(mark)}}} {escape(text)}" for mark, text in sheet.notes if mark]
    body = "\\par\n".join([*([" ".join(plain)] if plain else []), *marked])
    if not body:
        return []
    width = r"\ifdim\wd2>\textwidth\textwidth\else\wd2\fi"
    return [r"\par\vspace{4pt}", rf"\parbox{{{width}}}{{\raggedright\scriptsize {body}\par}}"]


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
