"""Reading a directory of official GLUE folders, or of parquet files.

``source.path`` holds one folder per task, by its official name or by the hub's: ``SST-2`` or ``sst2``. In it,
the first of these is read for each split (shown for SST-2's dev split; ``dev_matched`` and
``validation_matched`` for MNLI):

    dev.tsv                                 official file
    dev.parquet, validation.parquet         one parquet file with the hub's columns
    validation-00000-of-00001.parquet       the hub's own files; all the shards must be there

TSV is UTF-8, tab separated, and has no quoting: a quote character is text. A byte order mark, Windows line
ends and empty lines at the end are tolerated. Nothing else is: every row has as many fields as line 1, a
known label and texts that are not empty, or an error names the file, the line and what was expected. The one
exception is QQP, see ``Task.broken_rows``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hadamard_glue.errors import InputError
from hadamard_glue.glue.arrow import read_parquet
from hadamard_glue.glue.rows import Rows
from hadamard_glue.glue.tasks import Task

logger = logging.getLogger(__name__)

_BOM = b"\xef\xbb\xbf"


def read_directory(task: Task, path: str) -> dict[str, Rows]:
    """Every split of a task, ``train`` first.

    Raises:
        InputError: a folder or file is missing, or a file is not what the task's files are.
    """
    folder = _task_folder(task, Path(path).expanduser())
    rows = {}
    for split, hub_split in task.hub_splits.items():
        files = _split_files(folder, task.splits.get(split, split), hub_split)
        if files[0].suffix == ".tsv":
            rows[split] = read_tsv(task, files[0], split)
        else:
            rows[split] = read_parquet(task, files, split)
    return rows


def _task_folder(task: Task, root: Path) -> Path:
    if not root.is_dir():
        raise InputError(f"{root}: no such folder (source.path; it should hold {task.folder}, ...)")
    # Some file systems ignore case, so names are compared with what the folder lists, not probed one by one.
    here = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    for name in (task.folder, task.hub_config):
        if name in here:
            return root / name
    if root.name in (task.folder, task.hub_config):
        raise InputError(f"{root}: source.path is the folder above, the one that holds {root.name}")
    raise InputError(f"{root}: no folder {task.folder} or {task.hub_config}; it has {_some(here)}")


def _split_files(folder: Path, stem: str, hub_split: str) -> list[Path]:
    for name in (f"{stem}.tsv", f"{stem}.parquet", f"{hub_split}.parquet"):
        if (folder / name).is_file():
            return [folder / name]
    shards = sorted(folder.glob(f"{hub_split}-*-of-*.parquet"))
    if not shards:
        files = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
        raise InputError(
            f"{folder / stem}.tsv: no such file, nor {stem}.parquet, {hub_split}.parquet or "
            f"{hub_split}-00000-of-*.parquet; the folder has {_some(files)}"
        )
    total = shards[0].stem.rpartition("-")[2]
    count = int(total) if total.isdecimal() else len(shards)
    if [shard.name for shard in shards] != [f"{hub_split}-{i:05d}-of-{total}.parquet" for i in range(count)]:
        found = _some([shard.name for shard in shards])
        raise InputError(f"{folder}: expected all {count} parquet files of {hub_split}; it has {found}")
    return shards


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:8]) or "nothing"
    return f"{shown}, and {len(names) - 8} more" if len(names) > 8 else shown


def read_tsv(task: Task, file: Path, split: str) -> Rows:
    """One official TSV file.

    Raises:
        InputError: with the file, the line and what was expected there.
    """
    lines = _lines(file)
    header = list(task.tsv_header) if task.tsv_header else lines[0].split("\t")
    first_at, second_at, label_at = _positions(task, file, header)
    ids = {label: index for index, label in enumerate(task.file_labels)}
    first: list[str] = []
    second: list[str] = []
    labels: list[float] = []
    for number, fields in _records(task, file, lines, header):
        for position in (first_at, second_at):
            if position is not None and not task.broken_rows and not fields[position].strip():
                raise InputError(f"{file}, line {number}: {header[position]} is empty, expected a text")
        labels.append(_label(task, ids, fields[label_at], file, number))
        first.append(fields[first_at])
        if second_at is not None:
            second.append(fields[second_at])
    if not first:
        raise InputError(f"{file}: no rows")
    dtype = np.float32 if task.regression else np.int64
    return Rows(split, first, second if second_at is not None else None, np.asarray(labels, dtype=dtype))


def _records(task: Task, file: Path, lines: list[str], header: list[str]) -> Iterator[tuple[int, list[str]]]:
    """The fields of every row, with its line number."""
    short: list[int] = []
    start = 0 if task.tsv_header else 1
    for number, line in enumerate(lines[start:], start + 1):
        fields = line.split("\t")
        if len(fields) == len(header):
            yield number, fields
        elif len(fields) < len(header) and task.broken_rows:
            short.append(number)
        else:
            raise InputError(f"{file}, line {number}: {len(fields)} tab-separated fields, expected {len(header)}")
    if short:
        logger.warning("%s: %d short rows skipped, the first at line %d", file, len(short), short[0])


def _lines(file: Path) -> list[str]:
    try:
        # Trailing line ends go first, so that a file may end in empty lines.
        raw = file.read_bytes().removeprefix(_BOM).rstrip(b"\r\n")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    if not raw:
        raise InputError(f"{file}: the file is empty")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        number = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"{file}, line {number}: not UTF-8 text") from error
    # Not splitlines(): texts may hold U+2028, U+0085 and their like.
    return [line.removesuffix("\r") for line in text.split("\n")]


def _positions(task: Task, file: Path, header: list[str]) -> tuple[int, int | None, int]:
    wanted = [name for name in (task.tsv.first, task.tsv.second, task.tsv.label) if name is not None]
    for name in wanted:
        if header.count(name) != 1:
            found = ", ".join(name[:30] for name in header[:16])
            raise InputError(f"{file}, line 1: expected a header with the columns {', '.join(wanted)}; it has {found}")
    second = None if task.tsv.second is None else header.index(task.tsv.second)
    return header.index(task.tsv.first), second, header.index(task.tsv.label)


def _label(task: Task, ids: dict[str, int], text: str, file: Path, number: int) -> float:
    if not task.regression:
        if text not in ids:
            raise InputError(f"{file}, line {number}: label {text[:40]!r}, expected one of {', '.join(ids)}")
        return ids[text]
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 5:
        raise InputError(f"{file}, line {number}: score {text[:40]!r}, expected a number from 0 to 5")
    return value
