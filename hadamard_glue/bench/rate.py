"""How near each phase comes to the machine's own matrix-multiply rate."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from hadamard_glue.bench.matmul import ideal, seconds_of
from hadamard_glue.bench.operations import PhaseOperations, Tally
from hadamard_glue.config import RunConfig
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.record import read
from hadamard_glue.runs.trunk import Trunk
from hadamard_glue.training.device import Device, pick
from hadamard_glue.training.packed import can_pack

#: Dense bf16 operations a second by data sheet, for the model-FLOP utilisation.
_DATA_SHEET = {"H200": 989e12, "H100 80GB HBM3": 989e12, "A100": 312e12}
_SQUARE = 8192  # a product large enough for the card's best rate


def operations(config: RunConfig) -> dict[str, Any]:
    """One run with its operations counted, untimed: the counting is no part of what is measured.

    Returns:
        For ``features``, ``stage2`` and ``evaluation`` what :meth:`PhaseOperations.plain` gives.
    """
    trunk, tally = Trunk(config), Tally()
    tally.watch(trunk.material.backbone)
    execute(config, trunk)
    return {name: counted.plain() for name, counted in tally.phases.items()}


def phases(config: RunConfig, counted: dict[str, Any]) -> dict[str, Any]:
    """The same run timed, and the matrix products of the same shapes alone before and after it, in one process.

    Args:
        counted: what :func:`operations` returned for this run.

    Returns:
        For ``features`` (with writing them) and ``stage2`` (without evaluation): operations, seconds, FLOP/s, the
        matrix-multiply rate of its shapes (mean of the two), and the fraction of it that was reached; where weights
        are packed, both once more against packed products (timed after it only); on CUDA the utilisation; ``cores`` as
        in :func:`hadamard_glue.bench.arms.ours`.
    """
    device = pick(config.hardware)
    operations_of = {name: PhaseOperations.from_plain(counted[name]) for name in ("features", "stage2")}
    before = {name: ideal(found.products, device) for name, found in operations_of.items()}
    start, busy = time.perf_counter(), time.process_time()
    record = read(execute(config))
    cores = (time.process_time() - busy) / (time.perf_counter() - start)
    stage2 = sum(entry["seconds"] for entry in record["history"] if entry["stage"] == "stage2")
    spent = record["cost"]["seconds"]
    seconds = {"features": spent["features"] + spent["dev_features"], "stage2": stage2}
    found = {}
    for name, counts in operations_of.items():
        found[name] = _rated(counts, seconds[name], before[name], ideal(counts.products, device))
        if can_pack(device):
            packed = ideal(counts.products, device, packed=True)["flops_per_second"]
            found[name] |= {
                "packed_flops_per_second": packed,
                "fraction_of_packed": found[name]["flops_per_second"] / packed,
            }
    answer: dict[str, Any] = {"phases": found, "tokens": record["cost"]["tokens"], "cores": cores}
    if device.is_cuda:
        answer["peak"] = _peak(device)
        for phase in found.values():
            for name, peak in answer["peak"].items():
                phase[f"share_of_{name}"] = phase["flops_per_second"] / peak
    return answer


def check(config: RunConfig) -> dict[str, Any]:
    """A small run counted twice: by formula, and by torch's own counter of matrix products (attention apart).

    Returns:
        ``formula`` and ``torch`` operations of the linear layers in all phases, and their ratio. Torch's count holds
        the head too.
    """
    trunk, tally = Trunk(config), Tally()
    tally.watch(trunk.material.backbone)
    with FlopCounterMode(
        display=False, custom_mapping={torch.ops.mkldnn._linear_pointwise: _packed_product}
    ) as counter:
        execute(config, trunk)
    by_operator = {str(name): int(count) for name, count in counter.get_flop_counts()["Global"].items()}
    plain = sum(by_operator.get(name, 0) for name in ("aten.mm", "aten.addmm", "mkldnn._linear_pointwise"))
    formula = sum(phase.linear for phase in tally.phases.values())
    return {"formula": formula, "torch": plain, "ratio": formula / plain, "torch_by_operator": by_operator}


def _packed_product(rows: list[int], weight: list[int], *others: object, **more: object) -> int:
    """Operations of one product with a packed weight [out, in], which torch's counter does not know."""
    return 2 * rows[0] * weight[0] * weight[1]


def _rated(counted: PhaseOperations, seconds: float, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    rate = counted.total / seconds
    best = 2 * counted.linear / (before["seconds"] + after["seconds"])
    return {
        "operations": counted.total,
        "linear_operations": counted.linear,
        "attention_operations": counted.attention,
        "seconds": seconds,
        "flops_per_second": rate,
        # attention's few operations are held to the same rate as the linear layers'
        "matmul_flops_per_second": best,
        "fraction": rate / best,
        "shapes": {"before": before["shapes"], "after": after["shapes"]},
    }


def _peak(device: Device) -> dict[str, float]:
    """Operations a second: of one large matrix product, and of the data sheet where it is known."""
    found = {"large_product": 2 * _SQUARE**3 / seconds_of(_SQUARE, _SQUARE, _SQUARE, device)}
    name = torch.cuda.get_device_name(device.torch_device)
    sheet = next((rate for known, rate in _DATA_SHEET.items() if known in name), None)
    if sheet is not None and device.precision == "bf16":
        found["data_sheet"] = sheet
    return found
