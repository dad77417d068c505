"""The records behind the golden files: two backbones, five methods, two seeds, and most of what can go wrong."""

from __future__ import annotations

from typing import Any

from hadamard_glue.glue.tasks import TASKS

from .records import record

_LEVELS = {"full": 0.86, "lora": 0.85, "bitfit": 0.83, "hadamard": 0.82, "classifier": 0.65}
_TINY = "bert-tiny-1a2b3c4d"
_HOSTILE = r"OutOfMemoryError: 100% of CUDA_0 & #1 {x} \cmd $5 ~/a|b <c> `d` *e* --f 模 é " + "/a/long/path" * 9


def example() -> list[dict[str, Any]]:
    """Records of a table with missing, failed, partly failed and collapsed cells, in two precisions."""
    return [
        _run(backbone, method, task, seed)
        for backbone in ("bert_base", _TINY)
        for method in _LEVELS
        for task in TASKS
        for seed in (1, 2)
        if backbone == "bert_base" or task not in ("qqp", "mnli", "qnli")
    ]


def _run(backbone: str, method: str, task: str, seed: int) -> dict[str, Any]:
    named: dict[str, Any] = {"backbone": backbone, "family": "bert", "method": method, "task": task, "seed": seed}
    match backbone, method, task, seed:
        case ("bert_base", "lora", "cola", 2) | ("bert-tiny-1a2b3c4d", "classifier", "cola", _):
            return record(0.0, flags=["collapsed"], **named)
        case "bert_base", "bitfit", "rte", _:
            return record(None, **named)
        case "bert_base", "full", "stsb", 2:
            return record(None, error=_HOSTILE, **named)
        case "bert_base", "full", "mnli", _:
            named["precision"] = "bf16"
    # spread over seeds, tasks and backbones by a fixed rule
    place = list(TASKS).index(task) * 7 + list(_LEVELS).index(method) * 5 + seed * 3 + len(backbone)
    return record(_LEVELS[method] + 0.001 * (place * 11 % 37), **named)
