"""How the cost of a run grows with rows, length, layers and runs: a straight line fitted to each."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hadamard_glue.backbones.loading import Located
from hadamard_glue.bench.child import measure
from hadamard_glue.bench.settings import BenchSettings
from hadamard_glue.config import RunConfig

#: Settings of a backbone's config.json that say how many layers it has.
_LAYER_KEYS = ("num_hidden_layers", "encoder_layers", "decoder_layers")
_SHARES = (0.25, 0.5, 0.75, 1.0)
_LENGTH_SHARES = (0.125, 0.25, 0.375, 1.0)  # few rows are longer than half of the usual 128


def scaling(
    settings: BenchSettings, located: Located, rows: int, threads: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Seconds of whole runs (an empty cache, imports left out) against one thing at a time.

    Args:
        rows: training rows of the run at hand.

    Returns:
        For ``rows``, ``tokens`` (a row, mean without padding, set by ``max_length``), ``layers`` and ``runs``: the
        points with every round's seconds, and slope, intercept and R^2 of the least-squares line through their medians.
    """
    with tempfile.TemporaryDirectory(prefix="hadamard-glue-bench-") as folder:
        cases = _cases(settings.config, located, rows, Path(folder))
        rounds: list[list[tuple[float, float]]] = [[] for _ in cases]
        runs: list[list[float]] = []
        for number in range(1, settings.rounds + 1):
            for (axis, x, config), found in zip(cases, rounds, strict=True):
                answer = measure("ours", config, threads, seeds=[config.seed])
                run = answer["runs"][0]
                tokens = run["tokens"] / (run["rows"]["train"] * config.stage2.epochs)
                found.append((tokens if axis == "tokens" else x, answer["seconds"]))
                say(f"scaling, round {number}: {axis} {found[-1][0]:g}: {answer['seconds']:.2f} s")
            seeds = [settings.config.seed + index for index in range(settings.seeds)]
            several = measure("ours", settings.config, threads, seeds=seeds)
            runs.append([run["ended"] for run in several["runs"]])
            say(f"scaling, round {number}: runs {settings.seeds}: {runs[-1][-1]:.2f} s")
    axes: dict[str, list[dict[str, Any]]] = {}
    for (axis, _, _), found in zip(cases, rounds, strict=True):
        axes.setdefault(axis, []).append({"x": found[0][0], "seconds": [seconds for _, seconds in found]})
    axes["runs"] = [{"x": index + 1, "seconds": list(ended)} for index, ended in enumerate(zip(*runs, strict=True))]
    return {axis: line(points) for axis, points in axes.items()}


def line(points: list[dict[str, Any]]) -> dict[str, Any]:
    """The least-squares line through the medians of the points: ``slope``, ``intercept``, ``r2``, all ``None`` where
    fewer than three different x leave nothing to fit."""
    x = np.array([point["x"] for point in points], dtype=np.float64)
    y = np.array([statistics.median(point["seconds"]) for point in points], dtype=np.float64)
    if len(set(x.tolist())) < 3:
        return {"points": points, "slope": None, "intercept": None, "r2": None}
    slope, intercept = np.polyfit(x, y, 1)
    spread = float(((y - y.mean()) ** 2).sum())
    left = float(((y - slope * x - intercept) ** 2).sum())
    r2 = 1 - left / spread if spread > 0 else None
    return {"points": points, "slope": float(slope), "intercept": float(intercept), "r2": r2}


def _cases(config: RunConfig, located: Located, rows: int, folder: Path) -> list[tuple[str, float, RunConfig]]:
    """(axis, x, run); the x of ``tokens`` is found by the run itself."""
    cases: list[tuple[str, float, RunConfig]] = []
    for count in sorted({max(1, round(share * rows)) for share in _SHARES}):
        limit = config.limit.model_copy(update={"train": count})
        cases.append(("rows", count, config.model_copy(update={"limit": limit})))
    lengths = sorted({max(8, round(share * config.max_length)) for share in _LENGTH_SHARES})
    cases += [("tokens", length, config.model_copy(update={"max_length": length})) for length in lengths]
    layers = _layers(located)
    for count in sorted({max(1, round(share * layers)) for share in _SHARES}):
        cut = cut_to(located, count, folder / f"{count}-layers")
        backbone = config.backbone.model_copy(update={"name": "custom", "path": str(cut), "architecture": None})
        cases.append(("layers", count, config.model_copy(update={"backbone": backbone})))
    return cases


def _layers(located: Located) -> int:
    """Layers of the backbone, of each stack where there are two."""
    written = json.loads((located.folder / "config.json").read_text(encoding="utf-8"))
    return min(int(written[key]) for key in _LAYER_KEYS if key in written)


def cut_to(located: Located, layers: int, folder: Path) -> Path:
    """A folder with the same backbone of fewer layers: the same files, another number in config.json."""
    folder.mkdir(parents=True)
    for file in (*located.folder.iterdir(), *located.weights.iterdir()):
        if file.is_file() and file.name != "config.json" and not (folder / file.name).exists():
            (folder / file.name).symlink_to(file.resolve())
    written = json.loads((located.folder / "config.json").read_text(encoding="utf-8"))
    written.update({key: layers for key in _LAYER_KEYS if key in written})
    (folder / "config.json").write_text(json.dumps(written), encoding="utf-8")
    return folder
