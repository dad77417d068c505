"""The two-stage run of this project against the transformers ``Trainer``, arm by arm in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hadamard_glue.bench.child import measure
from hadamard_glue.bench.settings import BenchSettings
from hadamard_glue.glue.metrics import score
from hadamard_glue.glue.sources import TaskData
from hadamard_glue.glue.tasks import Task

#: How far above the majority class a score must lie for its arm's time to count.
MARGIN = 0.05
#: name -> (arm above, arm below): how many times as long the first takes; per run where both have several seeds.
_RATIOS = {
    "defaults / ours": ("defaults", "ours"),
    "tuned / ours": ("tuned", "ours"),
    "tuned / ours, several seeds": ("tuned_seeds", "ours_seeds"),
}
#: The phases of either arm that train: without loading, encoding, evaluation and the record.
_TRAINING = ("features", "stage1", "stage2")
NOTES = (
    "each arm in a process of its own with the same CPU threads; imports come before the clock in every arm",
    "this project starts from an empty cache, evaluates after either stage, and ends with a written record",
    "the Trainer reads, tokenizes (Dataset.map) and loads anew for every seed; it neither logs, saves nor reports, and "
    "evaluates once, after stage 2; digests of the weights are outside its clock",
    "stage 1 of the Trainer runs the frozen backbone with dropout, this project's features are made without",
)


def versus(settings: BenchSettings, data: TaskData, threads: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure every arm ``settings.rounds`` times, each round starting with another arm.

    Returns:
        ``rounds`` with every arm's answer, ``seconds`` by arm (per run), ``ratios``, ``training_ratios`` (of the two
        stages alone), ``scores`` beside the majority class, and ``counts``: whether every run of every arm lies
        :data:`MARGIN` above it.
    """
    rounds: list[dict[str, Any]] = []
    for number in range(settings.rounds):
        turn = number % len(settings.arms)
        measured = {}
        for arm in (*settings.arms[turn:], *settings.arms[:turn]):
            measured[arm] = _arm(arm, settings, threads)
            say(f"trainer, round {number + 1}: {arm} {measured[arm]['seconds']:.2f} s")
        rounds.append(measured)
    per_run = {arm: [_per_run(measured[arm]) for measured in rounds] for arm in settings.arms}
    training = {arm: [_training(measured[arm]) for measured in rounds] for arm in settings.arms}
    pairs = {name: pair for name, pair in _RATIOS.items() if set(pair) <= set(per_run)}
    scores = _scores(settings, data, rounds)
    return {
        "notes": list(NOTES),
        "arms": list(settings.arms),
        "seconds": {arm: spread(found) for arm, found in per_run.items()},
        "ratios": _ratios(pairs, per_run),
        "training_ratios": _ratios(pairs, training),
        "scores": scores,
        "counts": all(arm["beats"] for arm in scores["arms"].values()),
        "rounds": rounds,
    }


def spread(values: list[float]) -> dict[str, Any]:
    """Median, smallest and largest, and the values themselves."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": values}


def majority(task: Task, train: np.ndarray, dev: np.ndarray) -> dict[str, float]:
    """Every metric of the guess that knows the training labels alone: their commonest class, or their mean."""
    if task.regression:
        guess = np.full(len(dev), train.mean(), dtype=np.float32)
    else:
        guess = np.full(len(dev), np.bincount(train).argmax(), dtype=np.int64)
    return score(task, guess, dev)


def _arm(arm: str, settings: BenchSettings, threads: int) -> dict[str, Any]:
    count = settings.seeds if arm.endswith("_seeds") else 1
    seeds = [settings.config.seed + index for index in range(count)]
    if arm.startswith("ours"):
        return measure("ours", settings.config, threads, seeds=seeds)
    return measure("trainer", settings.config, threads, seeds=seeds, tuned=arm.startswith("tuned"))


def _per_run(answer: Mapping[str, Any]) -> float:
    return float(answer["seconds"] / len(answer["runs"]))


def _training(answer: Mapping[str, Any]) -> float:
    """Seconds a run of the phases that train."""
    return sum(run["phases"].get(name, 0.0) for run in answer["runs"] for name in _TRAINING) / len(answer["runs"])


def _ratios(pairs: Mapping[str, tuple[str, str]], seconds: Mapping[str, list[float]]) -> dict[str, Any]:
    return {
        name: spread([above / below for above, below in zip(seconds[first], seconds[second], strict=True)])
        for name, (first, second) in pairs.items()
    }


def _scores(settings: BenchSettings, data: TaskData, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    task = data.task
    metric, split = settings.metric or task.headline, task.headline_split
    guess = majority(task, data.train.labels, data.dev[split].labels)
    arms = {}
    for arm in settings.arms:
        found = [run["metrics"][split][metric] for measured in rounds for run in measured[arm]["runs"]]
        arms[arm] = {"lowest": min(found), "highest": max(found), "beats": min(found) >= guess[metric] + MARGIN}
    return {"metric": metric, "split": split, "margin": MARGIN, "majority": guess, "arms": arms}
