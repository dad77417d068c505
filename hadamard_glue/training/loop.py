"""The training loop of one stage: AdamW, linear warm-up and decay, clipping, every row once an epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm
from transformers import get_linear_schedule_with_warmup

from hadamard_glue.training.device import Device

Batch = dict[str, Tensor]

#: Batches whose logits stay on the device before they are read, which waits for a GPU.
_WAITING = 64


class TrainingError(RuntimeError):
    """Training went wrong (a loss that is not finite); the run is recorded as failed."""


class Rows(Protocol):
    """What a stage trains on: encoded text, or features of it."""

    def __len__(self) -> int: ...

    def batches(self, batch_size: int, rng: np.random.Generator | None) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """Row indices and tensors of each batch; each row once; in random order, or by length when ``rng`` is None."""


@dataclass(frozen=True)
class StageSettings:
    """The settings of one stage; ``regression`` chooses the squared error (STS-B) over cross-entropy."""

    name: str
    epochs: int
    lr: float
    batch_size: int
    warmup: float
    weight_decay: float
    max_grad_norm: float
    regression: bool


@dataclass
class Outcome:
    """What a stage leaves behind: one history entry an epoch, optimizer steps, and tokens seen (padding excluded)."""

    history: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0


def train(
    settings: StageSettings,
    forward: Callable[[Batch], Tensor],
    rows: Rows,
    trained: Mapping[str, Tensor],
    decayed: frozenset[str],
    device: Device,
    rng: np.random.Generator,
    after_epoch: Callable[[int], dict[str, Any]],
    on_start: Callable[[int], None] | None = None,
    extra_loss: Callable[[], Tensor] | None = None,
    after_step: Callable[[int], None] | None = None,
    after_log: Callable[[dict[str, Any]], None] | None = None,
) -> Outcome:
    """Train for ``settings.epochs`` epochs.

    Args:
        forward: batch -> logits [batch, labels], in the mode the caller has set.
        trained: the trained parameters by name; ``decayed`` names those on which weight decay acts.
        after_epoch: evaluates where the selection rule asks for it; what it returns joins the epoch's history entry.
        on_start, extra_loss, after_step: what the method's plan asks for. The history's loss is without the extra one.
        after_log: sees each history entry as it is made.

    Raises:
        TrainingError: the mean loss of an epoch is not finite.
    """
    steps_per_epoch = -(-len(rows) // settings.batch_size)
    total = settings.epochs * steps_per_epoch
    optimizer = _optimizer(settings, trained, decayed, device)
    schedule = get_linear_schedule_with_warmup(optimizer, _ramp(total, settings.warmup), total)
    parameters = list(trained.values())
    outcome = Outcome()
    if on_start is not None:
        on_start(total)
    with tqdm(total=total, desc=settings.name, unit="step", leave=False, disable=None) as bar:
        for epoch in range(1, settings.epochs + 1):
            start, losses = time.perf_counter(), torch.zeros((), device=device.torch_device)
            for indices, batch in rows.batches(settings.batch_size, rng):
                outcome.tokens += int(batch["attention_mask"].sum()) if "attention_mask" in batch else 0
                batch = to_device(batch, device)
                with device.autocast():
                    loss = loss_of(forward(batch), batch["labels"], settings.regression)
                optimizer.zero_grad(set_to_none=True)
                (loss if extra_loss is None else loss + extra_loss()).backward()
                nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
                optimizer.step()
                schedule.step()
                outcome.steps += 1
                if after_step is not None:
                    after_step(outcome.steps)
                losses += loss.detach() * len(indices)  # summed on the device: reading it here would wait for the GPU
                bar.update()
            loss_of_epoch = float(losses) / len(rows)
            if not math.isfinite(loss_of_epoch):
                raise TrainingError(f"{settings.name}: the loss of epoch {epoch} is not finite (lr {settings.lr})")
            seconds = time.perf_counter() - start
            entry = {"stage": settings.name, "epoch": epoch, "loss": loss_of_epoch, "seconds": seconds}
            entry.update(after_epoch(epoch))
            outcome.history.append(entry)
            if after_log is not None:
                after_log(entry)
    optimizer.zero_grad(set_to_none=True)  # what the next stage freezes must hold no gradient
    return outcome


def predict(
    forward: Callable[[Batch], Tensor],
    rows: Rows,
    batch_size: int,
    device: Device,
    filled: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Logits of every row, [rows, labels] float32, in the order of the rows; the caller has set eval mode.

    Args:
        filled: takes them, such as an array that lies in a file; made when absent.

    Raises:
        TrainingError: a logit that is not finite, which argmax would take for a class.
    """
    found = filled
    waiting: list[tuple[NDArray[np.int64], Tensor]] = []

    def drain() -> None:
        nonlocal found
        for indices, values in waiting:
            logits = values.cpu().numpy()
            if not np.isfinite(logits).all():
                raise TrainingError("the model gives values that are not finite")
            if found is None:
                found = np.empty((len(rows), logits.shape[1]), dtype=np.float32)
            found[indices] = logits
        waiting.clear()

    with torch.inference_mode(), device.autocast():
        for indices, batch in rows.batches(batch_size, None):
            waiting.append((indices, forward(to_device(batch, device)).float()))
            if len(waiting) == _WAITING:
                drain()
        drain()
    assert found is not None, "no rows"
    return found


def loss_of(logits: Tensor, labels: Tensor, regression: bool) -> Tensor:
    """Mean cross-entropy, or mean squared error for [batch, 1] logits and float labels; always in float32."""
    if regression:
        return nn.functional.mse_loss(logits.float().squeeze(1), labels)
    return nn.functional.cross_entropy(logits.float(), labels)


def to_device(batch: Batch, device: Device) -> Batch:
    """The batch on the device; on CUDA through pinned memory, without waiting."""
    if not device.is_cuda:
        return batch
    return {name: value.pin_memory().to(device.torch_device, non_blocking=True) for name, value in batch.items()}


def _optimizer(
    settings: StageSettings, trained: Mapping[str, Tensor], decayed: frozenset[str], device: Device
) -> torch.optim.AdamW:
    groups = [
        {
            "params": [value for name, value in trained.items() if name in decayed],
            "weight_decay": settings.weight_decay,
        },
        {"params": [value for name, value in trained.items() if name not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.lr, fused=True)


def _ramp(total: int, warmup: float) -> int:
    """Warm-up steps, rounded up; never all of them, for the first has a rate of 0 and would be the only one."""
    return min(math.ceil(total * warmup), total - 1)
