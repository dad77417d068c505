"""The matrix-multiply rate of the machine, at given shapes."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch

from hadamard_glue.training.device import Device
from hadamard_glue.training.packed import PackedWeight, multiply

_SAMPLES = 6  # row counts that stand for all of a layer's: batches differ in length by little beside that
_REPEATS = 9
_SHORTEST = 0.01  # seconds that one timing lasts at least


def ideal(products: Counter[tuple[int, int, int]], device: Device, packed: bool = False) -> dict[str, Any]:
    """Seconds that the products would take at the rate of ``torch.mm`` alone, each timed at (nearly) its own shape.

    Args:
        products: calls by (rows, inner, out).
        packed: with weights packed once (:mod:`hadamard_glue.training.packed`) instead of ``torch.mm``.

    Returns:
        ``operations``, ``seconds``, ``flops_per_second`` (the rates' mean weighted by operations), and the ``shapes``
        that were timed: rows, inner, out, the operations they stand for, flops_per_second.
    """
    layers: dict[tuple[int, int], Counter[int]] = {}
    for (rows, inner, out), calls in products.items():
        layers.setdefault((inner, out), Counter())[rows] += 2 * rows * inner * out * calls
    shapes = []
    for (inner, out), work in sorted(layers.items()):
        for rows, operations in _representatives(work).items():
            seconds = seconds_of(rows, inner, out, device, packed)
            rate = 2 * rows * inner * out / seconds
            shapes.append(
                {"rows": rows, "inner": inner, "out": out, "operations": operations, "flops_per_second": rate}
            )
    total = sum(shape["operations"] for shape in shapes)
    needed = sum(shape["operations"] / shape["flops_per_second"] for shape in shapes)
    return {"operations": total, "seconds": needed, "flops_per_second": total / needed, "shapes": shapes}


def seconds_of(rows: int, inner: int, out: int, device: Device, packed: bool = False) -> float:
    """Median seconds of one product of [rows, inner] by the transpose of [out, inner], as in ``nn.Linear``.

    Args:
        packed: as for :func:`ideal`.
    """
    dtype = torch.bfloat16 if device.precision == "bf16" else torch.float32
    left = torch.randn(rows, inner, device=device.torch_device, dtype=dtype)
    right = torch.randn(out, inner, device=device.torch_device, dtype=dtype)
    result = torch.empty(rows, out, device=device.torch_device, dtype=dtype)

    laid_out = PackedWeight(lambda: right).forth if packed else None

    def product() -> None:
        if laid_out is None:
            torch.mm(left, right.t(), out=result)
        else:
            multiply(left, laid_out)

    times, calls = 1, _timed(product, 1, device)  # the first call chooses a kernel: thrown away
    while (calls := _timed(product, times, device)) < _SHORTEST:
        times *= 2
    return statistics.median([calls, *(_timed(product, times, device) for _ in range(_REPEATS - 1))]) / times


def _timed(work: Callable[[], None], times: int, device: Device) -> float:
    _wait(device)
    start = time.perf_counter()
    for _ in range(times):
        work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: Device) -> None:
    if device.is_cuda:
        torch.cuda.synchronize(device.torch_device)


def _representatives(work: Counter[int]) -> dict[int, int]:
    """At most a few of the row counts, each with the operations of those it stands for: equal shares of the work."""
    total, running = sum(work.values()), 0
    shares: dict[int, list[tuple[int, int]]] = {}
    for rows in sorted(work):
        shares.setdefault(min(running * _SAMPLES // total, _SAMPLES - 1), []).append((rows, work[rows]))
        running += work[rows]
    found: Counter[int] = Counter()
    for members in shares.values():
        found[members[len(members) // 2][0]] += sum(operations for _, operations in members)
    return dict(found)
