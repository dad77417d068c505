"""Which epoch of a stage counts: the last, or the best by a rule that is recorded with the score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hadamard_glue.errors import InputError
from hadamard_glue.glue.metrics import score
from hadamard_glue.glue.tasks import Task

#: The half of the dev rows that chooses is drawn with this seed, the same for every run.
_HALF_SEED = 0


def halves(rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row indices of the half that chooses and of the half that is reported (``heldout_half``)."""
    order = np.random.default_rng(_HALF_SEED).permutation(rows)
    return np.sort(order[: rows // 2]), np.sort(order[rows // 2 :])


def predictions_of(task: Task, logits: NDArray[np.float32]) -> NDArray[Any]:
    """Class ids [rows] int64, or scores [rows] float32 for STS-B."""
    return logits[:, 0] if task.regression else logits.argmax(axis=1)


class Selection:
    """Follows one stage and keeps the trained values of the epoch that the rule chooses."""

    def __init__(
        self, rule: str, task: Task, labels: Mapping[str, NDArray[Any]], trained: Mapping[str, Tensor]
    ) -> None:
        if rule == "heldout_half" and len(labels[task.headline_split]) < 2:
            raise InputError("selection=heldout_half needs two dev rows or more")
        self.rule = rule
        self.task = task
        self.labels = labels
        self.trained = trained
        self.epoch: int | None = None
        self._best = -np.inf
        self._values: dict[str, Tensor] = {}

    def after_epoch(self, epoch: int, logits_of: Callable[[str], NDArray[np.float32]]) -> dict[str, Any]:
        """Score the epoch where the rule needs it.

        Args:
            logits_of: dev split -> logits [rows, labels].

        Returns:
            What joins the history entry: the metrics of the choosing rows, or nothing.
        """
        if self.rule == "last":
            self.epoch = epoch
            return {}
        split = self.task.headline_split
        predictions, labels = predictions_of(self.task, logits_of(split)), self.labels[split]
        if self.rule == "heldout_half":
            chosen, _ = halves(len(labels))
            predictions, labels = predictions[chosen], labels[chosen]
        metrics = score(self.task, predictions, labels)
        if metrics[self.task.headline] > self._best:
            self._best, self.epoch = metrics[self.task.headline], epoch
            self._values = {name: value.detach().clone() for name, value in self.trained.items()}
        return {"selection": {split: metrics}}

    def restore(self) -> None:
        """Put the chosen epoch's values back into the model."""
        with torch.no_grad():
            for name, value in self._values.items():
                self.trained[name].copy_(value)

    def metrics(self, logits: Mapping[str, NDArray[np.float32]]) -> dict[str, dict[str, float]]:
        """Every metric of every split; under ``heldout_half`` the headline split's reported half alone."""
        found = {}
        for split, values in logits.items():
            predictions, labels = predictions_of(self.task, values), self.labels[split]
            if self.rule == "heldout_half" and split == self.task.headline_split:
                _, reported = halves(len(labels))
                predictions, labels = predictions[reported], labels[reported]
            found[split] = score(self.task, predictions, labels)
        return found
