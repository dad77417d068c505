"""The training loop, and the losses on held-out documents."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from hadamard_glue.errors import InputError
from pretraining.objectives import Objective
from pretraining.text import Batch, Text

WARMUP = 0.06  # of the steps
WEIGHT_DECAY = 0.01
CLIP = 1.0
_REPORT = 50  # steps between two readings of the loss, which wait for the device


@dataclass(frozen=True)
class Course:
    """What a training took: ``loss`` is the mean of the last steps."""

    steps: int
    tokens: int
    seconds: float
    loss: float


@dataclass(frozen=True)
class HeldOut:
    """A mean loss in nats over ``predictions`` on held-out documents, and what a reader of frequencies alone gets."""

    name: str
    loss: float
    baseline: float
    predictions: int


def train(objective: Objective, batches: Iterator[Batch], steps: int, lr: float, label: str) -> Course:
    """AdamW with linear warm-up and decay. Dropout is off: so small a model does not overfit, it only learns slower.

    Raises:
        InputError: a loss that is no number any more.
    """
    objective.trained.eval()
    parameters = [parameter for parameter in objective.trained.parameters() if parameter.requires_grad]
    optimizer = _optimizer(parameters, lr)
    warmup = max(1, round(WARMUP * steps))
    start, tokens, mean = time.perf_counter(), 0, math.nan
    recent: list[Tensor] = []
    with tqdm(total=steps, desc=label, unit="step", dynamic_ncols=True) as bar:
        for step in range(steps):
            batch = next(batches)
            for group in optimizer.param_groups:
                group["lr"] = lr * min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
            loss = objective.loss(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            tokens += batch.ids.numel()
            recent.append(loss.detach())
            if len(recent) == _REPORT or step == steps - 1:
                mean = _mean(recent, label, step)
                rate = tokens / (time.perf_counter() - start)
                bar.set_postfix_str(f"loss {mean:.3f}, {rate / 1000:.1f}k tokens/s", refresh=False)
            bar.update()
    return Course(steps, tokens, time.perf_counter() - start, mean)


def evaluate(objective: Objective, text: Text, unigram: Tensor, device: torch.device, seed: int) -> list[HeldOut]:
    """Losses on held-out documents beside the baseline: unigram frequencies, or the rate of replaced tokens."""
    objective.trained.eval()
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
    with torch.no_grad():
        for batch in text.batches(256, seed, 0, device):
            for name, (losses, targets) in objective.measure(batch).items():
                parts.setdefault(name, []).append((losses.cpu(), targets.cpu()))
    found = []
    for name, pairs in parts.items():
        losses, targets = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
        found.append(HeldOut(name, losses.double().mean().item(), _baseline(targets, unigram), len(losses)))
    return found


def _optimizer(parameters: list[Any], lr: float) -> torch.optim.Optimizer:
    groups = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [parameter for parameter in parameters if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), eps=1e-6, fused=True)


def _mean(recent: list[Tensor], label: str, step: int) -> float:
    mean = torch.stack(recent).mean().item()
    recent.clear()
    if not math.isfinite(mean):
        raise InputError(f"{label}: the loss is {mean} at step {step + 1}; give a lower --lr")
    return mean


def _baseline(targets: Tensor, unigram: Tensor) -> float:
    if targets.dtype == torch.bool:
        rate = targets.double().mean().clamp(1e-12, 1 - 1e-12)
        return -(rate * rate.log() + (1 - rate) * (1 - rate).log()).item()
    return -unigram[targets].log().double().mean().item()
