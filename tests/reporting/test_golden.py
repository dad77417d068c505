"""What is written, to the byte.

After a wanted change: ``HADAMARD_GLUE_UPDATE_GOLDEN=1 pytest tests/reporting``, then read the diff.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hadamard_glue.reporting.tables import write_tables

from .example import example
from .records import write

GOLDEN = Path(__file__).parent / "golden"
NAMES = [
    "main.txt",
    "main.csv",
    "main.md",
    "main.tex",
    "cells.csv",
    "parameters.csv",
    "parameters.md",
    "parameters.tex",
]
DOCUMENT = r"""\documentclass[10pt]{article}
\usepackage[a4paper,margin=2.5cm,%(orientation)s]{geometry}
\usepackage{booktabs}%(packages)s
\begin{document}
See Tables~\ref{tab:glue-main} and~\ref{tab:glue-parameters}.
\input{main.tex}
\input{parameters.tex}
\end{document}
"""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tables made from the example."""
    results = tmp_path_factory.mktemp("results")
    write(results / "records", example())
    paths = write_tables(results)
    assert [path.name for path in paths] == NAMES
    return results / "tables"


@pytest.mark.parametrize("name", NAMES)
def test_file_is_the_golden_one(tables: Path, name: str) -> None:
    written = (tables / name).read_bytes()
    if os.environ.get("HADAMARD_GLUE_UPDATE_GOLDEN"):
        (GOLDEN / name).write_bytes(written)
    assert written.decode() == (GOLDEN / name).read_bytes().decode()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize(
    ("orientation", "packages"),
    [("portrait", r"\usepackage{graphicx}"), ("landscape", ""), ("portrait", r"\usepackage[T1]{fontenc}")],
)
def test_latex_compiles(tables: Path, tmp_path: Path, orientation: str, packages: str) -> None:
    for name in ("main.tex", "parameters.tex"):
        shutil.copy(tables / name, tmp_path)
    (tmp_path / "paper.tex").write_text(DOCUMENT % {"orientation": orientation, "packages": packages})
    for _ in range(2):
        log = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
            cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        assert log.returncode == 0, log.stdout[-3000:]
    assert "Overfull" not in log.stdout
    assert "undefined" not in log.stdout
    assert (tmp_path / "paper.pdf").stat().st_size > 0


def test_latex_is_ascii(tables: Path) -> None:
    assert (tables / "main.tex").read_bytes().isascii()
