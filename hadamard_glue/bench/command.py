"""The verb: measure the parts that were asked for, write their JSON, make the table."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hadamard_glue.backbones.loading import Located, locate
from hadamard_glue.bench.child import measure
from hadamard_glue.bench.operations import FORMULA
from hadamard_glue.bench.random_weights import save_random
from hadamard_glue.bench.scaling import scaling
from hadamard_glue.bench.settings import BenchSettings, parse, table_only
from hadamard_glue.bench.stamp import stamp
from hadamard_glue.bench.table import FORMAT, write_table
from hadamard_glue.bench.versus import spread, versus
from hadamard_glue.glue.sources import TaskData, load_rows
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.runs.record import make_writable
from hadamard_glue.training.device import pick

_ONCE = ("memory", "operators")  # parts that are measured in one round
Say = Callable[[str], None]


def bench(overrides: Sequence[str], arguments: Sequence[str], say: Say) -> list[Path]:
    """Measure, write ``<to>/<part>-<name>.json`` as soon as each part is done, and make the table of that folder.

    Args:
        overrides: the bench's own keys and the overrides of the run.
        arguments: the command line, for the JSON.
        say: told a line for everything that was measured.

    Returns:
        The files written, the table last.

    Raises:
        InputError: rows or a backbone that cannot be read, or a folder that cannot be written.
        RunFailed: a measurement failed.
    """
    folder = table_only(overrides)
    if folder is not None:
        return [write_table(folder)]
    settings = parse(overrides)
    return [*_measured(settings, arguments, say), write_table(settings.to)]


def _measured(settings: BenchSettings, arguments: Sequence[str], say: Say) -> list[Path]:
    make_writable(settings.to, f"to={settings.to}")
    config = settings.config
    task, source, limit = TASKS[config.task.name], config.source, config.limit
    data = load_rows(task, source.kind, source.path, limit.train, limit.dev, source.revision)
    with tempfile.TemporaryDirectory(prefix="hadamard-glue-bench-") as folder:
        if settings.random_weights:
            backbone = save_random(config.backbone, data.train, Path(folder) / "backbone")
            config = config.model_copy(update={"backbone": backbone})
            settings = replace(settings, config=config)
        located = locate(config.backbone)  # reads the weights once, so that no arm finds them cold
        return [_part(part, settings, located, data, arguments, say) for part in settings.parts]


def _part(
    part: str, settings: BenchSettings, located: Located, data: TaskData, arguments: Sequence[str], say: Say
) -> Path:
    config = settings.config
    device = pick(config.hardware)
    threads = config.hardware.threads or torch.get_num_threads()
    stem = settings.name or "-".join([config.task.name, located.name, *(["cuda"] if device.is_cuda else [])])
    rows = {"train": len(data.train), **{split: len(split_rows) for split, split_rows in data.dev.items()}}
    if part == "trainer":
        found = versus(settings, data, threads, say)
    elif part == "rate":
        found = _rate(settings, threads, say)
    elif part in _ONCE:
        found = measure(part, config, threads)
        say(f"{part}: done")
    else:
        found = scaling(settings, located, rows["train"], threads, say)
    science = {**config.science(), "limit": config.limit.model_dump()}
    measured = {
        "format": FORMAT,
        "part": part,
        **stamp(device, threads, f"hadamard-glue bench {shlex.join(arguments)}"),
        "backbone": {"name": located.name, "family": located.family, "random_weights": settings.random_weights},
        "task": config.task.name,
        "rows": rows,
        "settings": science,
        "rounds": 1 if part in _ONCE else settings.rounds,
        "found": found,
    }
    return _write(settings.to / f"{part}-{stem}.json", measured)


def _rate(settings: BenchSettings, threads: int, say: Say) -> dict[str, Any]:
    """Every round a run of its own and its matrix products right after it; at last the count, checked on a few rows."""
    config = settings.config
    counted = measure("operations", config, threads)
    rounds = []
    for number in range(1, settings.rounds + 1):
        rounds.append(measure("rate", config, threads, counted=counted))
        fractions = {name: f"{phase['fraction']:.2f}" for name, phase in rounds[-1]["phases"].items()}
        say(f"rate, round {number}: fraction of the matrix-multiply rate {fractions}")
    few = config.limit.model_copy(update={"train": 2 * config.batch_size, "dev": config.batch_size})
    checked = measure("operations_check", config.model_copy(update={"limit": few}), threads)
    say(f"rate: formula / torch's own count of linear layers {checked['ratio']:.4f}")
    keys = (
        "seconds",
        "flops_per_second",
        "matmul_flops_per_second",
        "fraction",
        "packed_flops_per_second",
        "fraction_of_packed",
        "share_of_large_product",
        "share_of_data_sheet",
    )
    phases = {
        name: {key: spread([answer["phases"][name][key] for answer in rounds]) for key in keys if key in first}
        | {"operations": first["operations"]}
        for name, first in rounds[0]["phases"].items()
    }
    return {"formula": FORMULA, "phases": phases, "check": checked, "rounds": rounds}


def _write(path: Path, measured: dict[str, Any]) -> Path:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(measured, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path
