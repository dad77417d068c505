"""The floor below every score on the demo world: what a constant answer and the words alone reach."""

# ruff: noqa: RUF001  (typographic characters are meant)

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import pandas as pd

from hadamard_glue.cache import cache_folder, making
from hadamard_glue.demo.files import WORLD, demo_folder
from hadamard_glue.demo.shortcuts import constant_score, shortcut_score
from hadamard_glue.errors import InputError
from hadamard_glue.glue.directory import read_directory
from hadamard_glue.glue.sources import source_title
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.reporting.latex import latex
from hadamard_glue.reporting.markdown import markdown
from hadamard_glue.reporting.sheet import Block, Column, Row, Sheet, Shown, tenths
from hadamard_glue.reporting.terminal import terminal

#: Of the file in the cache; raised when what is measured changes.
_VERSION = 1
_CONSTANT, _WORDS = "best constant answer", "bag of words"
_NOTE = (
    "Bag of words: logistic (STS-B: ridge) regression on which words each text holds and how many the two share, "
    "trained and scored on the same rows as every method. Best constant answer: chosen on the dev rows."
)


def shortcuts_frame() -> pd.DataFrame:
    """Headline scores x 100, one row an answer and one column a task, measured once and kept in the cache.

    Raises:
        InputError: the cache cannot be written.
    """
    path = cache_folder() / "demo" / f"shortcuts-{_VERSION}-{WORLD[:16]}.json"
    try:
        with making(path):
            if not path.is_file():
                text = json.dumps(_measured())
                temporary = path.with_suffix(".tmp")
                temporary.write_text(text, encoding="utf-8")
                os.replace(temporary, path)
            scores: Mapping[str, Mapping[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path.parent}: the cache cannot be written ({error}); set HADAMARD_GLUE_CACHE") from error
    rows = [{"source": source_title("demo"), "answer": answer, **found} for answer, found in scores.items()]
    return pd.DataFrame(rows)


def shortcut_files() -> dict[str, str]:
    """``shortcuts.{txt,csv,md,tex}``.

    Raises:
        InputError: as :func:`shortcuts_frame`.
    """
    frame = shortcuts_frame()
    columns = tuple(Column(task.title, task.headline) for task in TASKS.values())
    rows = tuple(
        Row(str(row["answer"]), tuple(Shown(tenths(row[task])) for task in TASKS)) for row in frame.to_dict("records")
    )
    caption = f"Scores × 100 that need no backbone ({source_title('demo')})."
    sheet = Sheet("demo-shortcuts", caption, "Answer", columns, (Block("", rows),), (("", _NOTE),))
    return {
        "shortcuts.txt": terminal(sheet),
        "shortcuts.csv": frame.to_csv(index=False, lineterminator="\n"),
        "shortcuts.md": markdown(sheet),
        "shortcuts.tex": latex(sheet),
    }


def _measured() -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {_CONSTANT: {}, _WORDS: {}}
    for name, task in TASKS.items():
        rows = read_directory(task, str(demo_folder()))
        dev = rows[task.headline_split]
        found[_CONSTANT][name] = round(100 * constant_score(task, dev), 4)
        found[_WORDS][name] = round(100 * shortcut_score(task, rows["train"], dev), 4)
    return found
