"""From a checked config to a record: the one way in which a run is executed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from hadamard_glue.config import RunConfig
from hadamard_glue.errors import InputError, RunFailed, Unsupported
from hadamard_glue.glue.metrics import collapsed
from hadamard_glue.glue.sources import source_title
from hadamard_glue.methods.registry import check_method
from hadamard_glue.runs import environment
from hadamard_glue.runs.identity import digest_of, slug_of, spec_of
from hadamard_glue.runs.record import SCHEMA_VERSION, Place, place_of, prepare, read, write_done, write_failed
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
    if done(config, place):
        return place.record
    device = pick(config.hardware)
    material = trunk.material
    check_method(material.backbone.anatomy, config.method)  # refuses before anything is written
    prepare(config.results_dir)
    record = _opening(config, trunk, spec)
    start = time.perf_counter()
    try:
        with track(
            config.tracking.mode, config.tracking.project, place.stem, spec, Path(config.results_dir), _tags(config)
        ) as tracker:
            result = run_stages(config, material, device, lambda entry: tracker.log(_flat(entry)))
            closing = _closing(trunk, result, device, time.perf_counter() - start)
            tracker.log(_flat(closing["metrics"]["final"], "final/"))
    except InputError:
        raise
    except Exception as error:
        raise RunFailed(_fail(place, record, error, device)) from error
    return write_done(place, {**record, **closing}, result.logits, result.tensors)


def done(config: RunConfig, place: Place) -> bool:
    """Whether the run is recorded.

    Raises:
        InputError: it is, without the checkpoint that is asked for; a record is never written again.
    """
    if not place.record.is_file():
        return False
    if config.checkpoint and read(place.record).get("checkpoint") is None:
        raise InputError(
            f"{place.record} is done without a checkpoint and is never written again; with another results_dir "
            "checkpoint=true runs it again"
        )
    return True


def record_refusal(config: RunConfig, trunk: Trunk, reason: Unsupported) -> str:
    """Record that the backbone cannot take the method, once: a grid's tables say it in the cell.

    Returns:
        The run and the reason, in one line.
    """
    spec = spec_of(config, trunk)
    place = place_of(config.results_dir, slug_of(spec), digest_of(spec))
    prepare(config.results_dir)
    line = " ".join(str(reason).split())
    if not any(read(path)["error"] == line for path in place.failures()):
        captured = environment.capture(pick(config.hardware))
        write_failed(place, {**_opening(config, trunk, spec), "error": line, "environment": captured})
    return f"{slug_of(spec)}: {line}"


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
        "backbone": {
            "path": config.backbone.path,
            "revision": trunk.located.revision,
            "converted": trunk.located.pickle is not None,  # weights that no safetensors held
        },
        "data": {**data.origin, "fingerprint": data.fingerprint, "rows": rows},
        "metrics": {},
        "headline": None,
        "parameters": {},
        "history": [],
        "training": {},
        "cost": {},
        "environment": {},
        "predictions": None,
        "checkpoint": None,
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


def _tags(config: RunConfig) -> list[str]:
    """For W&B, where a run stands among others: a demo run must not be taken for one on GLUE."""
    return [source_title(config.source.kind)] if config.source.kind == "demo" else []


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
