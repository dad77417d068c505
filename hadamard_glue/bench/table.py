"""The bench's table: a pure function of the JSON files of a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hadamard_glue.errors import InputError
from hadamard_glue.reporting.markdown import escape

NAME = "bench.md"
_MIB = 1 << 20
#: Of every JSON file; raised when what they hold changes.
FORMAT = 2
#: Columns of the table of phases, and the arms' phases that go into each.
_PHASES = {
    "load, encode": ("load", "encode"),
    "stage 1": ("features", "stage1"),
    "stage 2": ("stage2",),
    "evaluation": ("dev_features", "evaluation", "predict"),
    "all else": ("rest",),
}
_UNITS = {"rows": "a training row", "tokens": "a token of mean length", "layers": "a layer", "runs": "a run"}


def write_table(folder: Path) -> Path:
    """Render every JSON file of ``folder`` to ``bench.md`` there.

    Raises:
        InputError: no such files, or one that is not of the bench.
    """
    measured = [_read(path) for path in sorted(folder.glob("*.json"))]
    if not measured:
        raise InputError(f"{folder} holds no measurements (expected *.json of hadamard-glue bench)")
    path = folder / NAME
    path.write_text(render(measured), encoding="utf-8")
    return path


def render(measured: list[dict[str, Any]]) -> str:
    """Markdown: a section a part, a table of all its files, and how each file was measured. Measures nothing."""
    sections: list[tuple[str, str, Callable[[dict[str, Any]], list[str]]]] = [
        ("trainer", "Against the transformers Trainer", _trainer),
        ("rate", "FLOP/s of each phase against the matrix-multiply rate of the same shapes", _rate),
        ("memory", "Peak memory", _memory),
        ("scaling", "Cost as a straight line", _scaling),
        ("operators", "Seconds of each operator", _operators),
    ]
    lines = ["# Measured speed", "", "Made by `hadamard-glue bench part=table` from the JSON files beside it."]
    for part, title, lines_of in sections:
        files = [one for one in measured if one["part"] == part]
        if files:
            lines += ["", f"## {title}"]
        for one in files:
            lines += ["", f"### {_title(one)}", "", *lines_of(one), "", *_origin(one)]
    return "\n".join(lines) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read as a measurement: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT or "part" not in found:
        raise InputError(f"{path} is not a measurement of format {FORMAT}")
    return found


def _title(one: dict[str, Any]) -> str:
    environment = one["environment"]
    where = environment["device"] if environment["device_type"] == "cuda" else f"{environment['threads']} CPU threads"
    weights = ", random weights" if one["backbone"]["random_weights"] else ""
    return escape(f"{one['task']}, {one['backbone']['name']}{weights}, {one['rows']['train']} rows, {where}")


def _trainer(one: dict[str, Any]) -> list[str]:
    found = one["found"]
    scores = found["scores"]
    guess = scores["majority"][scores["metric"]]
    rows = []
    for arm in found["arms"]:
        score = scores["arms"][arm]
        shown = f"{100 * score['lowest']:.1f} to {100 * score['highest']:.1f}"
        above = f"{100 * (score['lowest'] - guess):+.1f}"
        peak = max(measured[arm]["peak_memory"]["host_bytes"] for measured in found["rounds"])
        cores = min(measured[arm]["cores"] for measured in found["rounds"])
        rows.append([arm, _spread(found["seconds"][arm]), shown, above, f"{peak / _MIB:,.0f}", f"{cores:.2f}"])
    header = ["arm", "seconds a run", f"dev {scores['metric']}", "above majority", "peak MiB", "cores busy"]
    ratios = [
        [name, _spread(ratio), _spread(found["training_ratios"][name])] for name, ratio in found["ratios"].items()
    ]
    counts = (
        f"Every run lies at least {100 * scores['margin']:.0f} points above the majority class ({100 * guess:.1f})."
        if found["counts"]
        else f"**Does not count**: not every run lies {100 * scores['margin']:.0f} points above the majority class "
        f"({100 * guess:.1f})."
    )
    phases = [[arm, *_phases(arm, found["rounds"])] for arm in found["arms"]]
    notes = "; ".join(found["notes"])
    parts = [
        _table(header, rows),
        _table(["ratio", "times", "training alone"], ratios) if ratios else [],
        _table(["seconds a run", *_PHASES], phases),
        [counts],
        [escape(f"{notes}.")],
    ]
    return [line for part in parts if part for line in (*part, "")][:-1]


def _phases(arm: str, rounds: list[dict[str, Any]]) -> list[str]:
    """The mean seconds of an arm's runs in each column of :data:`_PHASES`."""
    found = [run["phases"] for measured in rounds for run in measured[arm]["runs"]]
    sums = [sum(phases.get(name, 0.0) for phases in found for name in names) for names in _PHASES.values()]
    return [f"{seconds / len(found):.3g}" for seconds in sums]


#: Columns of a phase: heading -> key of the finding, scale. Which a machine has is for the finding to say.
_SPEEDS = {
    "seconds": ("seconds", 1.0),
    "GFLOP/s": ("flops_per_second", 1e-9),
    "torch.mm GFLOP/s": ("matmul_flops_per_second", 1e-9),
    "fraction": ("fraction", 1.0),
    "packed GFLOP/s": ("packed_flops_per_second", 1e-9),
    "fraction of packed": ("fraction_of_packed", 1.0),
    "share of large product": ("share_of_large_product", 1.0),
    "share of data sheet": ("share_of_data_sheet", 1.0),
}


def _rate(one: dict[str, Any]) -> list[str]:
    found = one["found"]
    columns = {title: column for title, column in _SPEEDS.items() if column[0] in found["phases"]["stage2"]}
    rows = [
        [name, f"{phase['operations']:.3g}", *(_spread(phase[key], scale) for key, scale in columns.values())]
        for name, phase in found["phases"].items()
    ]
    cores = min(answer["cores"] for answer in found["rounds"])
    check = (
        f"Operations by formula ({found['formula']}); on a few rows {found['check']['ratio']:.3f} of torch's count. "
        f"At least {cores:.2f} cores were busy with each run."
    )
    return [*_table(["phase", "operations", *columns], rows), "", escape(check)]


def _memory(one: dict[str, Any]) -> list[str]:
    found = one["found"]
    if "not_measured" in found:
        return [escape(f"Not measured: {found['not_measured']}")]
    keys = [key for key in ("peak_bytes", "resident_bytes", "cuda_peak_bytes") if key in found["phases"]["imported"]]
    names = {"peak_bytes": "peak MiB", "resident_bytes": "resident at its end, MiB", "cuda_peak_bytes": "CUDA peak MiB"}
    rows = [[phase, *(f"{marks[key] / _MIB:,.0f}" for key in keys)] for phase, marks in found["phases"].items()]
    return [
        *_table(["phase", *(names[key] for key in keys)], rows),
        "",
        f"The weights alone are {found['weights_bytes'] / _MIB:,.0f} MiB.",
    ]


def _scaling(one: dict[str, Any]) -> list[str]:
    rows = []
    for axis, fit in one["found"].items():
        reach = f"{fit['points'][0]['x']:.4g} to {fit['points'][-1]['x']:.4g} ({len(fit['points'])})"
        if fit["slope"] is None:
            rows.append([axis, reach, "too few points", "", ""])
            continue
        r2 = "" if fit["r2"] is None else f"{fit['r2']:.4f}"
        rows.append([axis, reach, f"{fit['slope']:.3g} for {_UNITS[axis]}", f"{fit['intercept']:.3g}", r2])
    return _table(["cost against", "from, to (points)", "seconds", "at zero", "R²"], rows)


def _operators(one: dict[str, Any]) -> list[str]:
    found = one["found"]
    shown = [(operator["name"], str(operator["calls"]), operator["seconds"]) for operator in found["operators"]]
    rows = [
        [name, calls, f"{seconds:.3g}", f"{seconds / found['total']:.1%}"]
        for name, calls, seconds in [*shown, ("all others", "", found["others"])]
    ]
    note = (
        "By torch.profiler, which slows it a little: a run whose features lay in the cache, so stage 2 and evaluation."
    )
    return [*_table(["operator", "calls", "seconds of its own", "share"], rows), "", note]


def _origin(one: dict[str, Any]) -> list[str]:
    environment = one["environment"]
    packages = ", ".join(f"{name} {environment['packages'][name]}" for name in ("torch", "transformers", "peft"))
    plural = "" if one["rounds"] == 1 else "s"
    commit = (environment["commit"] or "no checkout")[:10] + (
        "-dirty" if str(environment["commit"]).endswith("-dirty") else ""
    )
    lines = [
        f"{one['date']}, {escape(one['cpu'])}, {environment['threads']} threads, {environment['precision']}, "
        f"{packages}, {commit}, {one['rounds']} round{plural} (median, smallest to largest): `{one['command']}`",
    ]
    missing = "; ".join(f"{name} ({reason})" for name, reason in one["not_measured"].items())
    return [*lines, "", escape(f"Not measured: {missing}.")] if missing else lines


def _spread(found: dict[str, Any], factor: float = 1.0) -> str:
    median, low, high = (f"{factor * found[key]:.3g}" for key in ("median", "min", "max"))
    return median if low == high else f"{median} ({low} to {high})"


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    cells = [[escape(cell) for cell in row] for row in [header, *rows]]
    widths = [max(4, *(len(row[index]) for row in cells)) for index in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in cells
    ]
    return [f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]]]
