"""Peak memory of each phase of a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from hadamard_glue.config import ClassifierMethod, RunConfig
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.trunk import Trunk
from hadamard_glue.training.device import Device, pick

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peaks(config: RunConfig) -> dict[str, Any]:
    """Peak resident bytes of this process in each phase, set back between them (Linux; elsewhere not measured).

    ``imported``: libraries alone; ``loaded``: weights, rows, encoding; ``stage1``: features pass and head; ``stage2``:
    the whole two-stage run with its features found in the cache.

    Returns:
        ``phases``, in order, each with ``peak_bytes`` and ``resident_bytes`` at its end, on CUDA ``cuda_peak_bytes``;
        ``weights_bytes`` of the model; or ``not_measured`` with the reason.
    """
    device = pick(config.hardware)
    if not _RESET.exists():
        return {"not_measured": f"peak memory of a phase needs Linux's {_RESET}"}
    found = {"imported": _mark(device)}
    trunk = Trunk(config)
    model = trunk.material.backbone.model
    found["loaded"] = _mark(device)
    execute(config.model_copy(update={"method": ClassifierMethod(name="classifier")}), trunk)
    found["stage1"] = _mark(device)
    execute(config, trunk)
    found["stage2"] = _mark(device)
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    return {"phases": found, "weights_bytes": weights, "rows": len(trunk.data.train)}


def _mark(device: Device) -> dict[str, int]:
    """The peak since the last mark; the next one starts from here."""
    status = _STATUS.read_text(encoding="ascii", errors="replace")
    found = {"peak_bytes": _bytes(status, "VmHWM"), "resident_bytes": _bytes(status, "VmRSS")}
    _RESET.write_text("5", encoding="ascii")  # sets VmHWM back to VmRSS (proc(5))
    if device.is_cuda:
        found["cuda_peak_bytes"] = torch.cuda.max_memory_allocated(device.torch_device)
        torch.cuda.reset_peak_memory_stats(device.torch_device)
    return found


def _bytes(status: str, key: str) -> int:
    match = re.search(rf"^{key}:\s+(\d+) kB$", status, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"{_STATUS} has no {key}")
    return int(match[1]) * 1024
