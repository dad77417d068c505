"""How far words alone go: logistic (for STS-B ridge) regression on bags of words, beside which results are read."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from hadamard_glue.glue.metrics import score
from hadamard_glue.glue.rows import Rows
from hadamard_glue.glue.tasks import Task


def shortcut_score(task: Task, train: Rows, dev: Rows) -> float:
    """The task's headline metric on ``dev`` of a linear model that sees words and no order.

    Its features are the words of each text, told apart by text, and for pairs the number of words that they share.
    """
    vectorizers = [CountVectorizer(binary=True, token_pattern=r"\S+").fit([*column]) for column in _columns(train)]
    model = Ridge() if task.regression else LogisticRegression(max_iter=2000)
    model.fit(_features(vectorizers, train), train.labels)
    predicted = model.predict(_features(vectorizers, dev))
    labels = dev.labels if task.regression else dev.labels.astype(np.int64)
    return score(task, predicted, labels)[task.headline]


def constant_score(task: Task, dev: Rows) -> float:
    """The headline metric of the best of all constant answers (for STS-B: 0)."""
    if task.regression:
        return 0.0
    labels = dev.labels.astype(np.int64)
    return max(score(task, np.full(len(dev), answer), labels)[task.headline] for answer in range(task.num_labels))


def _columns(rows: Rows) -> list[list[str]]:
    return [rows.first] if rows.second is None else [rows.first, rows.second]


def _features(vectorizers: list[CountVectorizer], rows: Rows) -> csr_matrix:
    blocks = [vectorizer.transform(column) for vectorizer, column in zip(vectorizers, _columns(rows), strict=True)]
    if rows.second is not None:
        both = blocks[0].multiply(vectorizers[0].transform(rows.second))
        blocks.append(csr_matrix(both.sum(axis=1)) / 10)
    return csr_matrix(hstack(blocks))
