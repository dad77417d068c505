"""Synthetic records: the shape that runs write, with scores that a test chooses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hadamard_glue.glue.tasks import TASKS

TOTALS = {"bert_base": 109_482_240, "bart_base": 139_420_416}
TRAINED = {"full": 109_482_240, "lora": 294_912, "bitfit": 102_912, "hadamard": 36_864, "classifier": 0}
_GROUPS = {"lora": "adapter", "bitfit": "bias", "full": "backbone"}


def record(
    score: float | None = 0.5,
    *,
    backbone: str = "bert_base",
    family: str | None = None,
    task: str = "sst2",
    method: str = "hadamard",
    seed: int = 1,
    error: str = "RuntimeError: loss is nan",
    flags: Iterable[str] = (),
    precision: str = "float32",
    data: Mapping[str, Any] | None = None,
    trained: int | None = None,
    spec: Mapping[str, Any] | None = None,
    others: Mapping[tuple[str, str], float] | None = None,
) -> dict[str, Any]:
    """A done record with ``score`` as headline, or a failed one when it is ``None``.

    Args:
        data: replaces parts of the record's ``data``.
        spec: replaces parts of the spec.
        others: scores by split and metric; half the headline where nothing is said.
    """
    facts = TASKS[task]
    fingerprint = f"{len(task):02x}" * 32
    whole = {
        "science_version": 1,
        "backbone": {"name": backbone, "family": family or backbone.partition("_")[0], "digest": "ab" * 32},
        "task": task,
        "data": {"fingerprint": fingerprint},
        "method": {"name": method, "layers": "all"},
        "stages": "two" if method == "hadamard" else "one",
        "stage1": {"epochs": 4, "lr": 0.001, "features": "cached"} if method in ("hadamard", "classifier") else None,
        "stage2": None if method == "classifier" else {"epochs": 4, "lr": 0.003},
        "batch_size": 32,
        "selection": "last",
        "seed": seed,
        **(spec or {}),
    }
    done = score is not None
    return {
        "schema_version": 1,
        "digest": hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16],
        "slug": f"{backbone}-{task}-{method}-s{seed}",
        "status": "done" if done else "failed",
        "error": None if done else error,
        "flags": list(flags),
        "spec": whole,
        "data": {"kind": "directory", "path": "/data/glue", "revision": None, "fingerprint": fingerprint,
                 "rows": {"train": 4000, "dev": 872}, **(data or {})},
        "metrics": {"final": _scores(task, score, others or {})} if score is not None else {},
        "headline": {"split": facts.headline_split, "metric": facts.headline, "value": score} if done else None,
        "parameters": _parameters(backbone, method, task, trained) if done else {},
        "environment": {"precision": precision, "device": "cpu"},
        "predictions": None,
    }  # fmt: skip


def write(folder: Path, records: Iterable[dict[str, Any]]) -> Path:
    """Write records as runs do, failed ones by attempt; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, content in enumerate(records):
        failed = f".failed-{index + 1}" if content["status"] == "failed" else ""
        (folder / f"{content['slug']}-{content['digest']}{failed}.json").write_text(json.dumps(content))
    return folder


def _scores(task: str, score: float, others: Mapping[tuple[str, str], float]) -> dict[str, dict[str, float]]:
    facts = TASKS[task]
    found = {
        split: {metric: others.get((split, metric), score / 2) for metric in facts.metrics} for split in facts.splits
    }
    found[facts.headline_split][facts.headline] = score
    return found


def _parameters(backbone: str, method: str, task: str, trained: int | None) -> dict[str, Any]:
    total = TOTALS.get(backbone, 4_369_408)
    trained = TRAINED.get(method, 1000) if trained is None else trained
    trained = min(trained, total)
    groups = {"adapter": 0, "norm": 0, "bias": 0, "backbone": 0}
    groups[_GROUPS.get(method, "adapter")] = trained
    if method == "hadamard":
        groups |= {"adapter": trained // 2, "norm": trained - trained // 2}
    head = 769 * TASKS[task].num_labels
    return {**groups, "head": head, "trained": trained, "backbone_total": total, "percent": 100 * trained / total}
