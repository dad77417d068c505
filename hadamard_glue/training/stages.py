"""The recipe of stages: stage 1 trains the head on the frozen backbone, stage 2 what the method's plan names (Fig. 3).

``hadamard`` goes through both, its head frozen in the second; the other methods go through the second alone with the
head beside them, as they were published; ``classifier`` stops after the first.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hadamard_glue.backbones.head import head, initialise_head, pooled
from hadamard_glue.backbones.loading import Backbone
from hadamard_glue.backbones.prefix import prefix_layers, starting_behind
from hadamard_glue.config import RunConfig, Stage1Config, Stage2Config
from hadamard_glue.glue.tasks import Task
from hadamard_glue.methods.plan import DECAYED, Group, Plan, count, train_exactly
from hadamard_glue.methods.registry import apply
from hadamard_glue.training.checkpoint import collect, storages
from hadamard_glue.training.device import Device, derived_seed, randomness
from hadamard_glue.training.dropout import Masks, dropout_of
from hadamard_glue.training.features import FeatureRows, TextRows, backbone_features
from hadamard_glue.training.fused_layer import fused_layers
from hadamard_glue.training.lending import Loan, SharedBackbone
from hadamard_glue.training.loop import Batch, Rows, StageSettings, predict, train
from hadamard_glue.training.packed import frozen_packed
from hadamard_glue.training.prefix import prefix_rows
from hadamard_glue.training.selection import Selection

Log = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Material:
    """What the runs of a trunk share, as the stages need it.

    Attributes:
        shared: the model, which each run borrows and gives back as it was.
        train: training rows; ``dev`` the dev rows by split.
        content: digest of weights, rows and encoding, for the feature cache in ``feature_folder``.
    """

    task: Task
    shared: SharedBackbone
    train: TextRows
    dev: dict[str, TextRows]
    content: str
    feature_folder: Path

    @property
    def backbone(self) -> Backbone:
        """The model between runs, to be read only."""
        return self.shared.backbone


@dataclass
class Result:
    """What a run's stages leave behind, for the record."""

    parameters: dict[str, int | float]
    metrics: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    logits: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    selected: dict[str, int | None] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    tensors: dict[str, Tensor] | None = None  # where config.checkpoint asks for them


def run_stages(config: RunConfig, material: Material, device: Device, log: Log | None = None) -> Result:
    """Take a run through its stages.

    Args:
        log: sees every history entry as it is made.

    Raises:
        InputError: a method setting that the backbone cannot take.
        TrainingError: a loss that is not finite.
    """
    with material.shared.lent(device.torch_device) as loan:
        return _Run(config, material, device, log, loan).go()


@dataclass(frozen=True)
class _Stage:
    """One stage: what goes through which forward, and what trains."""

    name: str
    epochs: int
    lr: float
    forward: Callable[[Batch], Tensor]
    rows: Rows
    dev: Mapping[str, Rows]
    trained: Mapping[str, Tensor]
    decayed: frozenset[str]
    plan: Plan
    masks: Masks


class _Run:
    """One run: the model lent to it, and the result as it grows."""

    def __init__(self, config: RunConfig, material: Material, device: Device, log: Log | None, loan: Loan) -> None:
        self.config, self.material, self.device, self.log = config, material, device, log
        self.loan = loan
        self.model, self.anatomy = loan.backbone.model, loan.backbone.anatomy
        loan.keep(self.model.get_parameter(name) for name in self.anatomy.head)
        initialise_head(self.model, self.anatomy, derived_seed(config.seed, "head"))
        self.result = Result(parameters={})

    def go(self) -> Result:
        stages = self.config.stage_names
        if "stage1" in stages:
            self._stage1(self.config.stage1)
        before = storages(self.model)
        with randomness(self.config.seed, "adapter"):
            plan = apply(self.model, self.anatomy, self.config.method)
        self.result.parameters = count(plan, self.anatomy)
        if "stage2" in stages:
            self._stage2(self.config.stage2, plan)
        if self.config.checkpoint:
            self.result.tensors = collect(self.model, [*plan.names, *self.anatomy.head], before)
        return self.result

    def _stage1(self, settings: Stage1Config) -> None:
        trained = train_exactly(self.model, self.anatomy.head)
        decayed = _decayed(trained, {})
        plan = Plan(self.model, {})
        with self._shortened("stage1") as masks:
            rows, dev, forward = self._from_features() if settings.features == "cached" else self._live()
            self._run_stage(
                _Stage("stage1", settings.epochs, settings.lr, forward, rows, dev, trained, decayed, plan, masks)
            )
        self.result.metrics["stage1"] = self.result.metrics["final"]

    def _stage2(self, settings: Stage2Config, plan: Plan) -> None:
        with_head = getattr(self.config.method, "train_head", True)
        trained = train_exactly(self.model, [*plan.names, *(self.anatomy.head if with_head else ())])
        self.loan.keep(trained.values())
        decayed = _decayed(trained, {name: group for group, names in plan.groups.items() for name in names})
        with self._shortened("stage2") as masks:
            rows, dev, forward = self._behind_prefix(plan) if settings.prefix == "eval_cached" else self._live()
            self._run_stage(
                _Stage("stage2", settings.epochs, settings.lr, forward, rows, dev, trained, decayed, plan, masks)
            )

    @contextlib.contextmanager
    def _shortened(self, stage: str) -> Iterator[Masks]:
        """While open, the frozen model computes the same with less work; yields the stage's dropout masks."""
        masks = Masks(derived_seed(self.config.seed, f"{stage} dropout"))
        with frozen_packed(self.model, self.device), fused_layers(self.model, self.anatomy, self.device, masks):
            yield masks

    def _from_features(self) -> tuple[Rows, Mapping[str, Rows], Callable[[Batch], Tensor]]:
        start = time.perf_counter()
        rows = self._features(self.material.train)
        self.result.seconds["features"] = time.perf_counter() - start
        start = time.perf_counter()
        dev = {split: self._features(dev_rows) for split, dev_rows in self.material.dev.items()}
        self.result.seconds["dev_features"] = time.perf_counter() - start
        return rows, dev, self._head_logits

    def _live(self) -> tuple[Rows, Mapping[str, Rows], Callable[[Batch], Tensor]]:
        return self.material.train, self.material.dev, self._logits

    def _behind_prefix(self, plan: Plan) -> tuple[Rows, Mapping[str, Rows], Callable[[Batch], Tensor]]:
        """Rows with their states behind the frozen layers, and the forward that goes on from there."""
        start, material = time.perf_counter(), self.material
        layers = prefix_layers(self.model, self.anatomy, plan.names)

        def behind(rows: TextRows) -> Rows:
            folder, size = material.feature_folder, self.config.batch_size
            return prefix_rows(self.loan.backbone, rows, layers, material.content, folder, size, self.device)

        def forward(batch: Batch) -> Tensor:
            with starting_behind(self.model, self.anatomy, layers, batch["states"]):
                return self._logits(batch)

        rows, dev = behind(material.train), {split: behind(dev_rows) for split, dev_rows in material.dev.items()}
        self.result.seconds["prefix"] = time.perf_counter() - start
        return rows, dev, forward

    def _run_stage(self, stage: _Stage) -> None:
        """Train, go back to the epoch that the selection rule chose, and score every dev split."""
        config, result = self.config, self.result
        labels = {split: rows.encoded.labels for split, rows in self.material.dev.items()}
        selection = Selection(config.selection, self.material.task, labels, stage.trained)

        def logits_of(split: str) -> NDArray[np.float32]:
            self.model.eval()
            logits = predict(stage.forward, stage.dev[split], config.batch_size, self.device)
            self.model.train()
            return logits

        start = time.perf_counter()
        with randomness(config.seed, f"{stage.name} dropout"), dropout_of(self.model, self.device, stage.masks):
            self.model.train()
            outcome = train(
                self._settings(stage),
                stage.forward,
                stage.rows,
                stage.trained,
                stage.decayed,
                self.device,
                np.random.default_rng(derived_seed(config.seed, f"{stage.name} order")),
                after_epoch=lambda epoch: selection.after_epoch(epoch, logits_of),
                on_start=stage.plan.on_start,
                extra_loss=stage.plan.extra_loss,
                after_step=stage.plan.after_step,
                after_log=self.log,
            )
        selection.restore()
        result.seconds[stage.name] = time.perf_counter() - start
        result.history += outcome.history
        result.steps[stage.name] = outcome.steps
        result.tokens += outcome.tokens
        result.selected[stage.name] = selection.epoch
        start = time.perf_counter()
        result.logits = {split: logits_of(split) for split in stage.dev}
        result.metrics["final"] = selection.metrics(result.logits)
        result.seconds["evaluation"] = result.seconds.get("evaluation", 0.0) + time.perf_counter() - start

    def _settings(self, stage: _Stage) -> StageSettings:
        return StageSettings(
            name=stage.name,
            epochs=stage.epochs,
            lr=stage.lr,
            batch_size=self.config.batch_size,
            warmup=self.config.warmup,
            weight_decay=self.config.weight_decay,
            max_grad_norm=self.config.max_grad_norm,
            regression=self.material.task.regression,
        )

    def _features(self, rows: TextRows) -> FeatureRows:
        material = self.material
        features = backbone_features(
            self.loan.backbone, rows, material.content, material.feature_folder, self.config.batch_size, self.device
        )
        return FeatureRows(rows.encoded, features)

    def _logits(self, batch: Batch) -> Tensor:
        return head(self.model, self.anatomy, pooled(self.model, self.anatomy, batch))

    def _head_logits(self, batch: Batch) -> Tensor:
        return head(self.model, self.anatomy, batch["features"])


def _decayed(trained: Mapping[str, Tensor], groups: Mapping[str, Group]) -> frozenset[str]:
    """Where weight decay acts: matrices of head and backbone; vectors are norms and biases, whatever their group."""
    return frozenset(name for name, value in trained.items() if value.ndim > 1 and groups.get(name, "head") in DECAYED)
