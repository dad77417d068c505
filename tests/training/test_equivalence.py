"""Every fast path against the plain one: the stock model's own forward, each batch padded to the full length, stage 1
computed in every step, a model of its own, every product by ``nn.Linear``. Without dropout and
in the same order every batch has the same loss."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from hadamard_glue.config import RunConfig
from hadamard_glue.runs.trunk import Trunk
from hadamard_glue.training import features, loop, packed, stages
from hadamard_glue.training.device import Device
from hadamard_glue.training.stages import Result, run_stages

FULL_LENGTH = 40


def padded(batch: dict[str, Tensor], pad_token_id: int) -> dict[str, Tensor]:
    fills = {"input_ids": pad_token_id, "attention_mask": 0, "token_type_ids": 0}
    more = FULL_LENGTH - batch["input_ids"].shape[1]
    return {
        name: torch.nn.functional.pad(value, (0, more), value=fills[name]) if name in fills else value
        for name, value in batch.items()
    }


def plain_logits(run: Any, batch: dict[str, Tensor]) -> Tensor:
    return run.model(**{name: value for name, value in batch.items() if name != "labels"}).logits


def with_losses(patch: pytest.MonkeyPatch, config: RunConfig, device: Device) -> tuple[list[float], Result]:
    losses: list[float] = []
    plain: Any = vars(loop)["loss_of"]

    def watch(*arguments: Any) -> Tensor:
        loss: Tensor = plain(*arguments)
        losses.append(float(loss.detach()))
        return loss

    patch.setattr(loop, "loss_of", watch)
    return losses, run_stages(config, Trunk(config).material, device)


@pytest.mark.parametrize("task", ["mrpc", "stsb"])
@pytest.mark.parametrize("method", ["hadamard", "full", "lora", "bitfit"])
@pytest.mark.parametrize("kind", tiny.BUILDERS)
def test_the_fast_path_is_the_plain_one(
    make_config: Callable[..., RunConfig], tmp_path: Path, cpu: Device, kind: str, method: str, task: str
) -> None:
    build: Callable[..., Path] = tiny.save_bert if kind == "bert_without_pooler" else tiny.BUILDERS[kind]
    more = {"pooler": False} if kind == "bert_without_pooler" else {}
    folder = build(tmp_path / "model", dropout=0.0, **more)
    settings: dict[str, Any] = {
        "backbone": folder, "task": task, "method": method, "max_length": FULL_LENGTH, "stage1__lr": 1e-3,
        "stage2__lr": 1e-3,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "_SMALLEST", 0)  # the tiny weights too
        fast, result = with_losses(patch, make_config(**settings), cpu)
    with pytest.MonkeyPatch.context() as patch:
        batches = features.TextRows.batches

        def full_length(self: Any, batch_size: int, rng: Any) -> Any:
            return ((indices, padded(batch, self.pad_token_id)) for indices, batch in batches(self, batch_size, rng))

        patch.setattr(features.TextRows, "batches", full_length)
        patch.setattr(stages._Run, "_logits", plain_logits)
        for fast_path in ("frozen_packed", "fused_layers"):
            patch.setattr(stages, fast_path, lambda *_: contextlib.nullcontext())
        plain, expected = with_losses(patch, make_config(**settings, stage1__features="live"), cpu)
    assert len(fast) == len(plain) == (12 if method == "hadamard" else 6)
    assert max(abs(one - two) for one, two in zip(fast, plain, strict=True)) < 1e-5
    torch.testing.assert_close(
        torch.from_numpy(result.logits["dev"]), torch.from_numpy(expected.logits["dev"]), rtol=1e-3, atol=1e-4
    )
