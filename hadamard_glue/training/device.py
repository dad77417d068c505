"""Which device and precision a run uses, and how it is timed and made repeatable."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from hadamard_glue.config import HardwareConfig
from hadamard_glue.errors import InputError


@dataclass(frozen=True)
class Device:
    """A device with the precision its matrix products run in; parameters are float32 in either precision."""

    torch_device: torch.device
    precision: str

    @property
    def is_cuda(self) -> bool:
        """Whether this is a CUDA GPU."""
        return self.torch_device.type == "cuda"

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """bf16 autocast, or nothing in float32."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.torch_device.type, dtype=torch.bfloat16)


def pick(hardware: HardwareConfig) -> Device:
    """The device that the hardware config asks for, with torch set up for it.

    Raises:
        InputError: CUDA asked for where there is none, or a GPU without bf16.
    """
    if hardware.device == "cuda" and not torch.cuda.is_available():
        raise InputError("hardware.device=cuda: this machine shows no CUDA device (hardware=cpu runs without one)")
    kind = hardware.device if hardware.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    precision = hardware.precision if hardware.precision != "auto" else ("bf16" if kind == "cuda" else "float32")
    if kind == "cuda" and precision == "bf16" and not torch.cuda.is_bf16_supported():
        raise InputError("hardware.precision=bf16: this GPU has no bf16; use hardware.precision=float32")
    if hardware.threads is not None:
        torch.set_num_threads(hardware.threads)
    if hardware.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(hardware.deterministic)
    return Device(torch.device(kind), precision)


def derived_seed(seed: int, purpose: str) -> int:
    """A seed for one purpose (head, adapter, order, dropout), so that methods share the draws of what they share."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{purpose}".encode()).digest()[:4], "big")


@contextlib.contextmanager
def randomness(seed: int, purpose: str) -> Iterator[None]:
    """Torch's global random state set for one purpose, and put back afterwards."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derived_seed(seed, purpose))
        yield


def peak_memory(device: Device) -> dict[str, int]:
    """Peak bytes so far: of this process on the host, and of torch's allocator on the GPU."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"host_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if device.is_cuda:
        peak["cuda_bytes"] = torch.cuda.max_memory_allocated(device.torch_device)
    return peak
