"""The demo world on disk: the official GLUE folders and files, which ``glue/directory.py`` reads like the real ones."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from hadamard_glue.cache import cache_folder
from hadamard_glue.demo.tasks import DEMO_TASKS, Row, rows
from hadamard_glue.errors import InputError
from hadamard_glue.glue.tasks import TASKS

#: The world that ``source=demo`` reads.
SEED = 2023
#: sha256 over names and bytes of its files, see :func:`digest_of`; a change of the grammar makes another world.
WORLD = "407d96bdf795a683ce0535326a0794b85d477de4aa84f4826ee0b135b06b14d6"

_HEADERS = {
    "sst2": ("sentence", "label"),
    "mrpc": ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
    "stsb": (
        "index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1", "sentence2", "score",
    ),
    "qqp": ("id", "qid1", "qid2", "question1", "question2", "is_duplicate"),
    "mnli": ("index", "sentence1", "sentence2", "gold_label"),
    "qnli": ("index", "question", "sentence", "label"),
    "rte": ("index", "sentence1", "sentence2", "label"),
}  # fmt: skip


@functools.cache
def demo_folder() -> Path:
    """The folder of the demo world in the user's cache, written when it is not there.

    Raises:
        InputError: the cache cannot be written.
    """
    folder = cache_folder() / "demo" / WORLD[:16]
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
        try:
            write_demo(made)
            os.rename(made, folder)
        except OSError:
            if not folder.is_dir():  # else another process made the same folder first
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"{folder.parent}: the demo world cannot be written ({error}); set HADAMARD_GLUE_CACHE to a folder that can"
        ) from error
    return folder


def write_demo(folder: Path, seed: int = SEED) -> None:
    """Write the eight tasks below ``folder``: UTF-8, Unix line ends, the same bytes for a seed on any machine."""
    for name in DEMO_TASKS:
        task = TASKS[name]
        (folder / task.folder).mkdir(parents=True, exist_ok=True)
        for split, found in rows(name, seed).items():
            lines = [_HEADERS[name]] if name in _HEADERS else []
            lines += [_fields(name, number, row) for number, row in enumerate(found)]
            text = "".join("\t".join(line) + "\n" for line in lines)
            (folder / task.folder / f"{task.splits.get(split, split)}.tsv").write_bytes(text.encode())


def digest_of(folder: Path) -> str:
    """sha256 (hex) over the relative names and the bytes of every file below ``folder``."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.tsv")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _fields(name: str, number: int, row: Row) -> tuple[str, ...]:
    """One line as the official file has it; columns that nobody reads say ``demo``."""
    texts, label = row
    index = str(number)
    return {
        "cola": lambda: ("demo", label, "" if label == "1" else "*", *texts),
        "sst2": lambda: (*texts, label),
        "mrpc": lambda: (label, f"{index}a", f"{index}b", *texts),
        "stsb": lambda: (index, "demo", "demo", "demo", index, "demo", "demo", *texts, label),
        "qqp": lambda: (index, f"{index}a", f"{index}b", *texts, label),
    }.get(name, lambda: (index, *texts, label))()
