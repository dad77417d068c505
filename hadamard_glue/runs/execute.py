"""From a checked config to a record: the one way in which a run is executed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from hadamard_glue.config import RunConfig
from hadamard_glue.errors import InputError, RunFailed
from hadamard_glue.glue.metrics import collapsed
from hadamard_glue.runs import environment
from hadamard_glue.runs.identity import digest_of, slug_of, spec_of
from hadamard_glue.runs.record import SCHEMA_VERSION, Place, place_of, prepare, write_done, write_failed
from hadamard_glue.runs.trunk import Trunk
from hadamard_glue.tracking import track
from hadamard_glue.training.device import Device, peak_memory, pick
from hadamard_glue.training.selection import predictions_of
from hadamard_glue.training.stages import Result, run_stages


def execute(config: RunConfig, trunk: Trunk | None = None) -> Path:
    """Execute a run, unless its record is there already.

    Args:
        trunk: the run's trunk when the caller holds it, so that weights and data are shared.

    Returns:
        The path of the run's record.

    Raises:
        InputError: bad input; nothing was written.
        RunFailed: training failed; a failed record was written.
    """
    trunk = trunk or Trunk(config)
    spec = spec_of(config, trunk)
    place = place_of(config.results_dir, slug_of(spec), digest_of(spec))
    if place.record.is_file():
        return place.record
    device = pick(config.hardware)
    material = trunk.material
    material.backbone.anatomy.chosen(getattr(config.method, "layers", "all"))  # refuses before anything is written
    prepare(config.results_dir)
    record = _opening(config, trunk, spec)
    start = time.perf_counter()
    try:
        with track(
            config.tracking.mode, config.tracking.project, place.stem, spec, Path(config.results_dir)
        ) as tracker:
            result = run_stages(config, material, device, lambda entry: tracker.log(_flat(entry)))
            closing = _closing(trunk, result, device, time.perf_counter() - start)
            tracker.log(_flat(closing["metrics"]["final"], "final/"))
    except InputError:
        raise
    except Exception as error:
        raise RunFailed(_fail(place, record, error, device)) from error
    return write_done(place, {**record, **closing}, result.logits)


def _opening(config: RunConfig, trunk: Trunk, spec: dict[str, Any]) -> dict[str, Any]:
    """What is known before training."""
    data = trunk.data
    rows = {"train": len(data.train.labels), **{split: len(part.labels) for split, part in data.dev.items()}}
    return {
        "schema_version": SCHEMA_VERSION,
        "digest": digest_of(spec),
        "slug": slug_of(spec),
        "status": "failed",
        "error": None,
        "flags": [],
        "spec": spec,
        "backbone": {"path": config.backbone.path, "revision": trunk.located.revision},
        "data": {**data.origin, "fingerprint": data.fingerprint, "rows": rows},
        "metrics": {},
        "headline": None,
        "parameters": {},
        "history": [],
        "training": {},
        "cost": {},
        "environment": {},
        "predictions": None,
    }


def _closing(trunk: Trunk, result: Result, device: Device, seconds: float) -> dict[str, Any]:
    """What training adds."""
    task = trunk.task
    headline = result.metrics["final"][task.headline_split][task.headline]
    flags = [] if not _is_collapsed(trunk, result) else ["collapsed"]
    return {
        "status": "done",
        "flags": flags,
        "metrics": result.metrics,
        "headline": {"split": task.headline_split, "metric": task.headline, "value": headline},
        "parameters": result.parameters,
        "history": result.history,
        "training": {"steps": result.steps, "selected_epoch": result.selected},
        "cost": {
            "seconds": {**result.seconds, "total": seconds},
            "tokens": result.tokens,
            "peak_memory": peak_memory(device),
        },
        "environment": environment.capture(device),
    }


def _is_collapsed(trunk: Trunk, result: Result) -> bool:
    task = trunk.task
    return collapsed(task, predictions_of(task, result.logits[task.headline_split]))


def _fail(place: Place, record: dict[str, Any], error: Exception, device: Device) -> str:
    line = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    path = write_failed(place, {**record, "error": line, "environment": environment.capture(device)})
    return f"{record['slug']} failed: {line} (recorded in {path})"


def _flat(entry: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as W&B shows them: ``stage2/loss``."""
    if not prefix and "stage" in entry:
        return _flat({key: value for key, value in entry.items() if key != "stage"}, f"{entry['stage']}/")
    flat: dict[str, Any] = {}
    for key, value in entry.items():
        flat.update(_flat(value, f"{prefix}{key}/") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat
