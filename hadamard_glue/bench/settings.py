"""What ``hadamard-glue bench`` was asked for: its own keys, and the run that it measures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hadamard_glue.compose import run_config
from hadamard_glue.config import HadamardMethod, RunConfig, nearest
from hadamard_glue.errors import InputError
from hadamard_glue.glue.tasks import TASKS

PARTS = ("trainer", "rate", "memory", "scaling", "operators")
#: Order of the first round; ``*_seeds`` are several seeds of one trunk.
ARMS = ("ours", "tuned", "defaults", "ours_seeds", "tuned_seeds")

_OWN = {
    "part": "all",
    "to": "results/bench",
    "rounds": "3",
    "seeds": "5",
    "arms": ",".join(ARMS),
    "weights": "pretrained",
}
#: What is measured where the command line does not say otherwise: the two stages of a small two-stage run.
_RUN = {
    "method": "hadamard",
    "stage1.epochs": "3",
    "stage2.epochs": "2",
    "batch_size": "32",
    "limit.train": "1000",
}


@dataclass(frozen=True)
class BenchSettings:
    """One call of the bench.

    Attributes:
        parts: which of :data:`PARTS`.
        to: the folder of the JSON files and of the table.
        name: what the JSON files are called beside their part; ``None`` takes task and backbone.
        rounds: how often everything is measured, arm by arm in turn.
        seeds: runs of one trunk in the arms of several seeds, and the largest number of runs in ``scaling``.
        metric: the dev metric that is compared with the majority class; ``None`` is the task's headline.
        random_weights: the backbone's architecture with random weights, for a machine without its files.
        config: the run that is measured.
    """

    parts: tuple[str, ...]
    to: Path
    name: str | None
    rounds: int
    seeds: int
    arms: tuple[str, ...]
    metric: str | None
    random_weights: bool
    config: RunConfig


def parse(arguments: Sequence[str]) -> BenchSettings:
    """Split the bench's own keys from the overrides of the run, and check both.

    Raises:
        InputError: an unknown part, arm, metric or number, or a run that the bench cannot measure.
    """
    own, overrides = _split(arguments)
    part = own["part"]
    if part not in (*PARTS, "all"):
        raise InputError(f"part={part} is not valid{nearest(part, (*PARTS, 'all', 'table'))}")
    arms = tuple(own["arms"].split(","))
    for arm in arms:
        if arm not in ARMS:
            raise InputError(f"arms={own['arms']}: {arm!r} is no arm{nearest(arm, ARMS)}")
    if own["weights"] not in ("pretrained", "random"):
        raise InputError(f"weights={own['weights']} is not valid: it must be pretrained or random")
    name = own.get("name")
    if name is not None and not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise InputError(f"name={name} is not valid: letters, digits, '.', '_' and '-' alone")
    given = {override.lstrip("+").partition("=")[0] for override in overrides}
    config = run_config([*(f"{key}={value}" for key, value in _RUN.items() if key not in given), *overrides])
    _check_run(config, own.get("metric"))
    return BenchSettings(
        parts=PARTS if part == "all" else (part,),
        to=Path(own["to"]),
        name=name,
        rounds=_number("rounds", own["rounds"]),
        seeds=_number("seeds", own["seeds"]),
        arms=arms,
        metric=own.get("metric"),
        random_weights=own["weights"] == "random",
        config=config,
    )


def table_only(arguments: Sequence[str]) -> Path | None:
    """The folder of ``part=table``, which composes no run; ``None`` for every other part."""
    own, overrides = _split(arguments)
    if own["part"] != "table":
        return None
    if overrides:
        raise InputError(f"part=table measures nothing and takes to=FOLDER alone, not {overrides[0]}")
    return Path(own["to"])


def _split(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    own, overrides = dict(_OWN), []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key in (*_OWN, "name", "metric"):
            if not equals or not value:
                raise InputError(f"bench: {key} has no value; give {key}=VALUE")
            own[key] = value
        else:
            overrides.append(argument)
    return own, overrides


def _number(key: str, value: str) -> int:
    if not value.isdecimal() or int(value) == 0:
        raise InputError(f"{key}={value} is not valid: it must be a whole number greater than 0")
    return int(value)


def _check_run(config: RunConfig, metric: str | None) -> None:
    """The arms compare one thing: two stages, the head first, the last epoch reported."""
    if not isinstance(config.method, HadamardMethod) or config.stages != "two" or config.method.train_head:
        raise InputError("bench measures the two-stage run: method=hadamard stages=two method.train_head=false")
    if config.stage1.features != "cached":
        raise InputError("bench needs stage1.features=cached: with live ones there is no features pass to measure")
    if config.selection != "last":
        raise InputError(
            f"selection={config.selection}: bench needs selection=last, for the Trainer's arms know no other"
        )
    metrics = TASKS[config.task.name].metrics
    if metric is not None and metric not in metrics:
        raise InputError(f"metric={metric}: {config.task.name} has {', '.join(metrics)}")
