"""Records into cells: one cell of a table is a spec without its seed.

A cell's mean and sample standard deviation go over its seeds. Records that differ in anything but the seed never share
a cell: that is refused, with the keys that differ.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from hadamard_glue.errors import InputError
from hadamard_glue.glue.sources import source_title
from hadamard_glue.glue.tasks import TASKS, Task
from hadamard_glue.reporting.specs import differences
from hadamard_glue.runs.record import read

#: A run's record as read from its JSON file.
Record: TypeAlias = dict[str, Any]
#: Backbone, method and task: where a number stands in the main table.
Address: TypeAlias = tuple[str, str, str]

#: The order of a block's rows; methods that are not named here follow, by name.
METHOD_ORDER = ("full", "houlsby", "lora", "bitfit", "hadamard", "classifier")
_FAMILY_ORDER = ("bert", "roberta", "bart", "deberta", "deberta-v2", "electra")

_COLUMNS = {
    "backbone": "str", "method": "str", "task": "str", "split": "str", "metric": "str", "headline": "bool",
    "mean": "float64", "std": "float64", "n": "int64", "status": "str", "seeds": "str", "collapsed": "str",
    "failed": "str", "note": "str",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """The runs of one backbone, method and task that differ in their seed alone.

    Attributes:
        done: records with numbers, by seed.
        failed: the last failed record of every seed that has no done one, by seed.
    """

    backbone: str
    method: str
    task: Task
    done: dict[int, Record] = field(repr=False)
    failed: dict[int, Record] = field(repr=False)

    @property
    def address(self) -> Address:
        """Where the cell stands."""
        return self.backbone, self.method, self.task.name

    @property
    def collapsed(self) -> list[int]:
        """Seeds whose run predicts one class, or one score, for every row."""
        return [seed for seed, record in self.done.items() if "collapsed" in record["flags"]]

    @property
    def random(self) -> bool:
        """Whether its backbone had random weights."""
        return any(record["spec"]["backbone"].get("weights") == "random" for record in self._records)

    @property
    def sources(self) -> set[str]:
        """Where the rows came from: ``hub``, ``directory``, ``demo``."""
        return {str(record.get("data", {}).get("kind")) for record in self._records}

    @property
    def _records(self) -> list[Record]:
        return [*self.done.values(), *self.failed.values()]

    @property
    def spec(self) -> dict[str, Any]:
        """The spec that the done runs share, seed left out; empty when none is done."""
        return next((_seedless(record) for record in self.done.values()), {})

    def values(self, split: str, metric: str) -> list[float]:
        """One final score a seed, as fractions, of the runs that have it."""
        scores = (record["metrics"]["final"].get(split, {}).get(metric) for record in self.done.values())
        return [float(score) for score in scores if score is not None]

    def headline(self) -> list[float]:
        """The headline score of every done run.

        Raises:
            InputError: a done record without it.
        """
        values = self.values(self.task.headline_split, self.task.headline)
        if len(values) != len(self.done):
            raise InputError(
                f"a record of {_words(self.address)} lacks {self.task.headline} on {self.task.headline_split}"
            )
        return values


def read_records(folder: Path) -> list[Record]:
    """All records of a folder, done and failed, in the order of their names; attempts in the order they were made.

    What does not end in ``.json`` (predictions, unfinished temporary files) and hidden files are passed over.

    Raises:
        InputError: no such folder, or a file that cannot be read as a record of the known schema.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of records; run something with this results_dir first")
    paths = sorted((path for path in folder.glob("*.json") if not path.name.startswith(".")), key=_by_attempt)
    records = []
    for path in paths:
        record = read(path)
        problem = _incomplete(record)
        if problem:
            raise InputError(f"{path} is not a complete record: {problem}")
        records.append(record)
    return records


def gather(records: Iterable[Record]) -> list[Cell]:
    """Cells in the order of the main table: backbones by family and size, methods, tasks.

    Raises:
        InputError: one backbone, method and task with two specs, or the same run twice.
    """
    done: dict[Address, list[Record]] = {}
    failed: dict[Address, list[Record]] = {}
    for record in records:
        (done if record["status"] == "done" else failed).setdefault(_address(record), []).append(record)
    cells = [_cell(address, done.get(address, []), failed.get(address, [])) for address in {**done, **failed}]
    places = _backbone_places(cells)
    return sorted(cells, key=lambda cell: (places[cell.backbone], method_place(cell.method), _task_place(cell.task)))


def cells(records: Iterable[Record]) -> pd.DataFrame:
    """The tidy form: one row for every metric of every split of every cell, scores as fractions.

    Columns: backbone, method, task, split, metric, headline (bool), mean, std (sample, empty when n = 1), n, status
    (``done``, or ``failed`` where no seed succeeded), seeds (behind the mean), collapsed and failed (seeds), note (why
    they failed). Where any rows are of the demo world, ``source`` stands before them all.

    Raises:
        InputError: see :func:`gather`.
    """
    gathered = gather(records)
    rows = [{"source": sources_title([cell]), **row} for cell in gathered for row in _tidy(cell)]
    columns = {"source": "str", **_COLUMNS} if has_demo(gathered) else _COLUMNS
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def has_demo(cells: Iterable[Cell]) -> bool:
    """Whether any of the cells read the demo world, which every table must say."""
    return any("demo" in cell.sources for cell in cells)


def mean_std(values: list[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (ddof = 1); NaN where there is none."""
    mean = statistics.fmean(values) if values else float("nan")
    return mean, statistics.stdev(values) if len(values) > 1 else float("nan")


def average(found: Mapping[str, Cell]) -> float:
    """The mean over the eight tasks of the mean headline over seeds, x 100; NaN where one is missing.

    Args:
        found: the cells of one backbone and method, by task.
    """
    means = [100 * mean_std(found[task].headline())[0] if task in found else float("nan") for task in TASKS]
    return round(statistics.fmean(means), 4)  # fmean rounds once, so the last digit is the same on every Python


def sources_title(cells: Iterable[Cell]) -> str:
    """Where the rows of some cells came from, for people."""
    return "; ".join(sorted({source_title(kind) for cell in cells for kind in cell.sources}))


def reason(record: Record) -> str:
    """Why a run failed, in one line."""
    return " ".join(str(record.get("error") or "no reason was recorded").split())


def _tidy(cell: Cell) -> Iterator[dict[str, Any]]:
    shared = {
        "backbone": cell.backbone,
        "method": cell.method,
        "task": cell.task.name,
        "status": "done" if cell.done else "failed",
        "seeds": listed(cell.done),
        "collapsed": listed(cell.collapsed),
        "failed": listed(cell.failed),
        "note": "; ".join(dict.fromkeys(map(reason, cell.failed.values()))),
    }
    cell.headline()
    for split in cell.task.splits:
        for metric in cell.task.metrics:
            values = cell.values(split, metric)
            mean, std = mean_std(values)
            headline = split == cell.task.headline_split and metric == cell.task.headline
            yield {**shared, "split": split, "metric": metric, "headline": headline, "mean": mean, "std": std,
                   "n": len(values)}  # fmt: skip


def listed(seeds: Iterable[int]) -> str:
    """Seeds for people: ``"1, 2"``."""
    return ", ".join(map(str, seeds))


def _cell(address: Address, done: list[Record], failed: list[Record]) -> Cell:
    specs = {json.dumps(_seedless(record), sort_keys=True): _seedless(record) for record in done}
    if len(specs) > 1:
        raise InputError(
            f"{_words(address)}: records of {len(specs)} different specs, which one cell cannot mix: "
            f"{'; '.join(differences(list(specs.values())))}; keep them in different results_dir"
        )
    by_seed: dict[int, Record] = {}
    for record in sorted(done, key=lambda record: record["spec"]["seed"]):
        seed = record["spec"]["seed"]
        if seed in by_seed:
            raise InputError(f"{_words(address)}: two records of seed {seed}, {record['slug']}")
        by_seed[seed] = record
    # a failed attempt under other settings was superseded by the runs that worked
    wanted = [record for record in failed if not specs or json.dumps(_seedless(record), sort_keys=True) in specs]
    attempts = {record["spec"]["seed"]: record for record in wanted if record["spec"]["seed"] not in by_seed}
    return Cell(address[0], address[1], TASKS[address[2]], by_seed, dict(sorted(attempts.items())))


def _seedless(record: Record) -> dict[str, Any]:
    return {key: value for key, value in record["spec"].items() if key != "seed"}


def _words(address: Address) -> str:
    return f"backbone={address[0]} method={address[1]} task={address[2]}"


def _address(record: Record) -> Address:
    spec = record["spec"]
    return spec["backbone"]["name"], spec["method"]["name"], spec["task"]


def _by_attempt(path: Path) -> tuple[str, int]:
    stem, _, attempt = path.stem.rpartition(".failed-")
    return (stem, int(attempt)) if attempt.isdigit() and stem else (path.stem, 0)


def _incomplete(record: Record) -> str | None:
    """What a table needs and a record lacks; ``None`` when it is all there."""
    try:
        _, _, task = _address(record)
        names = [record["slug"], record["flags"], record["spec"]["seed"], record["spec"]["backbone"]["family"]]
        if record["status"] == "done":
            names += [record["metrics"]["final"], record["parameters"]["trained"], record["environment"]["precision"]]
    except (KeyError, TypeError) as error:
        return f"it lacks {error}" if isinstance(error, KeyError) else "a part of it has the wrong type"
    if record["status"] not in ("done", "failed"):
        return f"status {record['status']!r} is neither done nor failed"
    return None if task in TASKS else f"unknown task {task!r} (one of {', '.join(TASKS)})"


def _backbone_places(cells: list[Cell]) -> dict[str, tuple[int, float, str]]:
    """Blocks stand by family in the design's order, small before large, then by name."""
    places: dict[str, tuple[int, float, str]] = {}
    for cell in cells:
        for record in (*cell.done.values(), *cell.failed.values()):
            family = record["spec"]["backbone"]["family"]
            rank = _FAMILY_ORDER.index(family) if family in _FAMILY_ORDER else len(_FAMILY_ORDER)
            size = float(record["parameters"].get("backbone_total", float("inf")))
            place = rank, size, cell.backbone
            places[cell.backbone] = min(place, places.get(cell.backbone, place))
    return places


def method_place(method: str) -> tuple[int, str]:
    """Sort key of a method among the rows of a block."""
    return (METHOD_ORDER.index(method) if method in METHOD_ORDER else len(METHOD_ORDER)), method


def _task_place(task: Task) -> int:
    return list(TASKS).index(task.name)
