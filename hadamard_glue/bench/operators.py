"""Where a run's time goes, by torch's operators: what an optimisation can still save."""

from __future__ import annotations

from typing import Any

from torch.profiler import ProfilerActivity, profile

from hadamard_glue.config import RunConfig
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.trunk import Trunk
from hadamard_glue.training.device import pick

_NAMED = 15  # operators that are named; the others are summed


def shares(config: RunConfig) -> dict[str, Any]:
    """Profile a run whose features lie in the cache, so nearly all of it is stage 2; another seed's run came before.

    Returns:
        ``operators``, the costliest first: ``name``, ``calls``, ``seconds`` of its own (on CUDA: of the GPU), without
        what it calls; ``others`` and ``total`` seconds.
    """
    trunk, on_cuda = Trunk(config), pick(config.hardware).is_cuda
    execute(config, trunk)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]
    with profile(activities=activities) as profiler:
        execute(config.model_copy(update={"seed": config.seed + 1}), trunk)
    found = [
        {
            "name": event.key,
            "calls": event.count,
            "seconds": (event.self_device_time_total if on_cuda else event.self_cpu_time_total) / 1e6,
        }
        for event in profiler.key_averages()
    ]
    found.sort(key=lambda operator: -operator["seconds"])
    total = sum(operator["seconds"] for operator in found)
    named = found[:_NAMED]
    return {"operators": named, "others": total - sum(operator["seconds"] for operator in named), "total": total}
