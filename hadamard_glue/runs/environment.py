"""What a run was executed on: package versions, commit, device. No host names, no users, no variables."""

from __future__ import annotations

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from hadamard_glue.training.device import Device

_PACKAGES = ("hadamard-glue", "torch", "transformers", "peft", "datasets", "evaluate", "tokenizers", "numpy")


def capture(device: Device) -> dict[str, Any]:
    """The environment as it goes into a record."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()}-{platform.machine()}",
        "packages": dict(_versions()),
        "commit": _commit(),
        "device": torch.cuda.get_device_name(device.torch_device) if device.is_cuda else "cpu",
        "device_type": device.torch_device.type,
        "precision": device.precision,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
    }


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((name, metadata.version(name)) for name in _PACKAGES)


@functools.cache
def _commit() -> str | None:
    """The commit of the checkout this package runs from, with a mark if it has changes; None when installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        changes = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("-dirty" if changes.stdout.strip() else "")
