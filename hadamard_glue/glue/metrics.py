"""GLUE's metrics as pure functions, and the same behind ``evaluate``'s interface without its hub.

All are fractions (accuracy and F1 in 0..1, the correlations in -1..1), never percent, and higher is better
for every one. Where a correlation is undefined because one side is constant, the value is 0.0: that is what
Matthews gives by convention, and a table needs a number; :func:`collapsed` tells that it happened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datasets
import evaluate
import numpy as np
from scipy import stats
from sklearn import metrics as sklearn_metrics

from hadamard_glue.glue.tasks import Task


def accuracy(predictions: np.ndarray, references: np.ndarray) -> float:
    """Share of the rows whose class is right."""
    return float(np.mean(predictions == references))


def f1(predictions: np.ndarray, references: np.ndarray) -> float:
    """F1 of class 1; 0.0 where class 1 is neither predicted nor present."""
    return float(sklearn_metrics.f1_score(references, predictions, pos_label=1, zero_division=0))


def matthews(predictions: np.ndarray, references: np.ndarray) -> float:
    """Matthews correlation; 0.0 where one side is constant."""
    if np.ptp(predictions) == 0 or np.ptp(references) == 0:
        return 0.0  # scikit-learn gives the same, with a warning
    return float(sklearn_metrics.matthews_corrcoef(references, predictions))


def pearson(predictions: np.ndarray, references: np.ndarray) -> float:
    """Pearson correlation; 0.0 where one side is constant."""
    return _correlation(stats.pearsonr, predictions, references)


def spearman(predictions: np.ndarray, references: np.ndarray) -> float:
    """Spearman rank correlation (ties share their mean rank); 0.0 where one side is constant."""
    return _correlation(stats.spearmanr, predictions, references)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}
"""Every metric by the name that tasks and records use."""


def score(task: Task, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
    """Every metric of a task.

    Args:
        task: the task; its ``metrics`` are computed, in that order.
        predictions: int class ids, or float scores for STS-B; shape [rows].
        references: the true labels, same kind and shape.

    Raises:
        ValueError: no rows, shapes that differ, scores that are not finite, or class ids that the task does
            not have. A made-up number is never returned in their place.
    """
    predictions, references = (
        _checked(task, predictions, "predictions"),
        _checked(task, references, "references"),
    )
    if predictions.shape != references.shape:
        raise ValueError(f"{task.title}: {predictions.size} predictions for {references.size} references")
    return {name: METRICS[name](predictions, references) for name in task.metrics}


def collapsed(task: Task, predictions: np.ndarray) -> bool:
    """Whether the predictions carry nothing: one class for all rows, or (STS-B) all scores within a
    thousandth of a point.

    The tolerance is there because padding changes the last bits of a constant score.
    """
    predictions = _checked(task, predictions, "predictions")
    return bool(np.ptp(predictions) <= (1e-3 if task.regression else 0))


class GlueMetric(evaluate.Metric):
    """A task's metrics behind ``evaluate``'s interface: ``GlueMetric(task).compute(predictions=...,
    references=...)``.

    Unlike ``evaluate.load("glue", ...)`` it needs no hub, and it keeps everything in memory, so that
    processes that run at once share no cache file.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        super().__init__(config_name=task.name, keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value("float32" if self.task.regression else "int64")
        return evaluate.MetricInfo(
            description=f"The metrics of {self.task.title}: {', '.join(self.task.metrics)}, as fractions.",
            citation="Wang et al. 2019, GLUE: A Multi-Task Benchmark and Analysis Platform for NLU",
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _compute(self, *, predictions: Any, references: Any) -> dict[str, float]:
        return score(self.task, np.asarray(predictions), np.asarray(references))


def _correlation(function: Callable[..., Any], predictions: np.ndarray, references: np.ndarray) -> float:
    if np.ptp(predictions) == 0 or np.ptp(references) == 0:
        return 0.0
    value = float(function(predictions.astype(np.float64), references.astype(np.float64)).statistic)
    return value if np.isfinite(value) else 0.0


def _checked(task: Task, values: np.ndarray, what: str) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{task.title}: {what} must be one value a row, got shape {values.shape}")
    if task.regression:
        if not np.isfinite(values).all():
            raise ValueError(f"{task.title}: {what} hold a value that is not finite")
    elif not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{task.title}: {what} must be class ids, got {values.dtype}")
    elif values.min() < 0 or values.max() >= task.num_labels:
        raise ValueError(f"{task.title}: {what} hold a class id outside 0..{task.num_labels - 1}")
    return values
