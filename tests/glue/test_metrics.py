"""Metrics against cases worked by hand, and against scikit-learn and scipy."""

from __future__ import annotations

import math

import evaluate
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from hadamard_glue.glue.metrics import GlueMetric, collapsed, score
from hadamard_glue.glue.tasks import TASKS, Task

pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)
grades = st.floats(0, 5, width=32).map(lambda value: round(value, 2))
scored = st.lists(st.tuples(grades, grades), min_size=2, max_size=40)


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def floats(values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_by_hand() -> None:
    # 2 true positives, 1 false positive, 1 false negative, 1 true negative.
    predicted, true = ids(1, 1, 1, 0, 0), ids(1, 1, 0, 1, 0)
    assert score(TASKS["mrpc"], predicted, true) == pytest.approx({"f1": 2 / 3, "accuracy": 3 / 5})
    matthews = (2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2)
    assert score(TASKS["cola"], predicted, true) == pytest.approx({"matthews": matthews, "accuracy": 3 / 5})
    assert score(TASKS["mnli"], ids(0, 1, 2, 2), ids(0, 1, 2, 0)) == {"accuracy": 0.75}


def test_correlations_by_hand() -> None:
    predicted, true = floats([0, 1, 2, 9]), floats([0, 1, 2, 3])
    result = score(TASKS["stsb"], predicted, true)
    assert result["spearman"] == pytest.approx(1.0)
    assert result["pearson"] == pytest.approx(14 / math.sqrt(50 * 5))


def test_majority_of_mrpc_dev() -> None:
    # The well-known scores of a collapsed run: accuracy 0.684, F1 0.812 (279 of 408 rows are paraphrases).
    true = ids(*[1] * 279, *[0] * 129)
    result = score(TASKS["mrpc"], np.ones_like(true), true)
    assert result == pytest.approx({"accuracy": 0.684, "f1": 0.812}, abs=5e-4)
    assert collapsed(TASKS["mrpc"], np.ones_like(true))


@pytest.mark.filterwarnings("ignore:A single label was found")  # of the call below, not of ours
@given(pairs)
def test_classes_equal_scikit_learn(rows: list[tuple[int, int]]) -> None:
    predicted, true = ids(*[row[0] for row in rows]), ids(*[row[1] for row in rows])
    cola, mrpc = score(TASKS["cola"], predicted, true), score(TASKS["mrpc"], predicted, true)
    assert cola["matthews"] == sklearn_metrics.matthews_corrcoef(true, predicted)
    assert mrpc["f1"] == sklearn_metrics.f1_score(true, predicted, zero_division=0)
    assert cola["accuracy"] == mrpc["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(true, predicted))
    assert all(type(value) is float for value in [*cola.values(), *mrpc.values()])


@given(scored)
def test_scores_equal_scipy(rows: list[tuple[float, float]]) -> None:
    predicted, true = floats([row[0] for row in rows]), floats([row[1] for row in rows])
    result = score(TASKS["stsb"], predicted, true)
    if np.ptp(predicted) == 0 or np.ptp(true) == 0:
        assert result == {"pearson": 0.0, "spearman": 0.0}
    else:
        wide = predicted.astype(np.float64), true.astype(np.float64)
        assert result["pearson"] == pytest.approx(stats.pearsonr(*wide).statistic)
        assert result["spearman"] == pytest.approx(stats.spearmanr(*wide).statistic)


@pytest.mark.filterwarnings("error")
def test_constant_predictions_score_zero_without_a_warning() -> None:
    true = floats([0, 2.5, 5])
    assert score(TASKS["stsb"], np.full_like(true, 2.7), true) == {"pearson": 0.0, "spearman": 0.0}
    assert score(TASKS["cola"], ids(1, 1, 1), ids(1, 0, 1))["matthews"] == 0.0
    assert score(TASKS["cola"], ids(0, 0), ids(0, 0)) == {"matthews": 0.0, "accuracy": 1.0}
    assert score(TASKS["mrpc"], ids(0, 0), ids(0, 0)) == {"f1": 0.0, "accuracy": 1.0}


@pytest.mark.parametrize(
    ("name", "predicted", "true", "said"),
    [
        ("stsb", floats([1, np.nan]), floats([1, 2]), "not finite"),
        ("stsb", floats([1, np.inf]), floats([1, 2]), "not finite"),
        ("sst2", ids(0, 1), ids(0, 1, 1), "2 predictions for 3 references"),
        ("sst2", ids(), ids(), "one value a row"),
        ("sst2", floats([0.5]), ids(0), "class ids"),
        ("sst2", ids(2), ids(0), "outside 0..1"),
        ("mnli", ids(-1), ids(0), "outside 0..2"),
        ("sst2", np.zeros((2, 2), dtype=np.int64), ids(0, 1), "one value a row"),
    ],
)
def test_no_score_is_made_up(name: str, predicted: np.ndarray, true: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        score(TASKS[name], predicted, true)


def test_collapsed() -> None:
    assert collapsed(TASKS["mnli"], ids(2, 2, 2))
    assert not collapsed(TASKS["mnli"], ids(2, 2, 1))
    assert collapsed(TASKS["stsb"], floats([2.7, 2.7000005]))
    assert not collapsed(TASKS["stsb"], floats([2.7, 2.8]))


def test_evaluate_interface_gives_the_same(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    rng = np.random.default_rng(0)
    if task.regression:
        predicted, true = rng.uniform(0, 5, (2, 50)).astype(np.float32)
    else:
        predicted, true = rng.integers(0, task.num_labels, (2, 50))
    metric = GlueMetric(task)
    assert isinstance(metric, evaluate.Metric)
    expected = score(task, predicted, true)
    assert metric.compute(predictions=predicted, references=true) == pytest.approx(expected)
    for half in (slice(0, 20), slice(20, 50)):
        metric.add_batch(predictions=predicted[half], references=true[half])
    assert metric.compute() == pytest.approx(expected)
