"""Where, when and by which command something was measured. No host names, no users, no variables."""

from __future__ import annotations

import datetime
import platform
from pathlib import Path
from typing import Any

import torch

from hadamard_glue.runs.environment import capture
from hadamard_glue.training.device import Device


def stamp(device: Device, threads: int, command: str) -> dict[str, Any]:
    """Date, command, processor, threads of every child, and a record's environment (versions, commit, device)."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "cpu": cpu_model(),
        "environment": {**capture(device), "threads": threads},
        "not_measured": not_measured(device),
    }


def cpu_model() -> str:
    """The processor's name, as the kernel gives it on Linux, and the instructions torch uses: names may be vague."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{named or platform.processor() or platform.machine()} ({torch.backends.cpu.get_cpu_capability()})"


def not_measured(device: Device) -> dict[str, str]:
    """What this machine cannot show, and why."""
    if device.is_cuda:
        return {}
    if torch.cuda.is_available():
        return {"cuda": "hardware.device is cpu", "model-FLOP utilisation": "it is defined for a GPU's peak rate"}
    return {
        "cuda": "torch sees no CUDA device on this machine",
        "model-FLOP utilisation": "it is defined for a GPU's peak rate",
    }
