"""The eight tasks as rows: labels, texts and label balance of each, drawn until no row stands in two splits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hadamard_glue.demo.acceptability import VIOLATIONS, sentence, violation
from hadamard_glue.demo.draw import Draw
from hadamard_glue.demo.inference import answer, three_way, two_way
from hadamard_glue.demo.lexicon import SEA
from hadamard_glue.demo.pairs import paraphrase, question_pair, similarity
from hadamard_glue.demo.sentiment import review

#: A row: its texts and its label as the official files write it.
Row = tuple[tuple[str, ...], str]


@dataclass(frozen=True)
class DemoTask:
    """One task of the demo world.

    Attributes:
        row: draws a row with a label.
        labels: labels and their shares, those of the real GLUE task; empty where the row decides (STS-B).
    """

    train: int
    dev: int
    labels: tuple[tuple[str, float], ...]
    row: Callable[[Draw, str], Row]


def _cola(draw: Draw, label: str) -> Row:
    return (sentence(draw) if label == "1" else violation(draw, draw.one(VIOLATIONS)),), label


def _stsb(draw: Draw, _: str) -> Row:
    first, second, score = similarity(draw)
    return (first, second), f"{score:.3f}"


DEMO_TASKS = {
    "cola": DemoTask(1500, 500, (("1", 0.7), ("0", 0.3)), _cola),
    "sst2": DemoTask(
        1500, 500, (("1", 0.55), ("0", 0.45)),
        lambda draw, label: ((review(draw, label == "1"),), label),
    ),
    "mrpc": DemoTask(
        1500, 500, (("1", 0.68), ("0", 0.32)),
        lambda draw, label: (paraphrase(draw, label == "1"), label),
    ),
    "stsb": DemoTask(1500, 500, (), _stsb),
    "qqp": DemoTask(
        1500, 500, (("0", 0.63), ("1", 0.37)),
        lambda draw, label: (question_pair(draw, label == "1"), label),
    ),
    "mnli": DemoTask(
        1500, 500, (("entailment", 0.34), ("neutral", 0.33), ("contradiction", 0.33)),
        lambda draw, label: (three_way(draw, label), label),
    ),
    "qnli": DemoTask(
        1500, 500, (("entailment", 0.5), ("not_entailment", 0.5)),
        lambda draw, label: (answer(draw, label == "entailment"), label),
    ),
    "rte": DemoTask(
        1500, 500, (("entailment", 0.5), ("not_entailment", 0.5)),
        lambda draw, label: (two_way(draw, label == "entailment"), label),
    ),
}  # fmt: skip


def rows(task: str, seed: int) -> dict[str, list[Row]]:
    """Every split of a task by name (MNLI: ``dev_matched`` and ``dev_mismatched``, the latter about the sea)."""
    made, draw = DEMO_TASKS[task], Draw(seed * len(DEMO_TASKS) + list(DEMO_TASKS).index(task))
    seen: set[tuple[str, ...]] = set()
    if task != "mnli":
        return {"train": _distinct(draw, made.train, made, seen), "dev": _distinct(draw, made.dev, made, seen)}
    elsewhere = DemoTask(0, made.dev, made.labels, lambda draw, label: (three_way(draw, label, SEA), label))
    return {
        "train": _distinct(draw, made.train, made, seen),
        "dev_matched": _distinct(draw, made.dev, made, seen),
        "dev_mismatched": _distinct(draw, made.dev, elsewhere, seen),
    }


def _distinct(draw: Draw, count: int, task: DemoTask, seen: set[tuple[str, ...]]) -> list[Row]:
    """Rows whose texts stand nowhere else, in exact label shares and random order."""
    labels = [label for label, share in task.labels for _ in range(round(count * share))] or [""] * count
    found = []
    for label in draw.shuffled(labels[:count]):
        row = task.row(draw, label)
        while row[0] in seen:
            row = task.row(draw, label)
        seen.add(row[0])
        found.append(row)
    return found
