"""This project's arm: one process, one trunk, one run a seed, from an empty cache."""

from __future__ import annotations

import time
from typing import Any

from hadamard_glue.config import RunConfig
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.record import read
from hadamard_glue.runs.trunk import Trunk


def ours(config: RunConfig, seeds: list[int]) -> dict[str, Any]:
    """Execute the run with every seed, as ``run -m seed=...`` does.

    Returns:
        ``seconds`` from before anything is read until the last record is written; in ``runs``, by seed: ``ended`` (the
        seconds until its record was written), seconds by phase (``rest`` is all that no other holds: the model lent and
        given back, injection, the record), dev metrics by split, tokens; ``peak_memory``; ``cores``: CPU seconds of
        this process a second, fewer than its threads where other processes took their share.
    """
    start, busy = time.perf_counter(), time.process_time()
    trunk = Trunk(config)
    trunk.material  # noqa: B018 (loads weights and encodes rows, which the first run would do otherwise)
    before, runs = start, []
    load = time.perf_counter() - start
    for seed in seeds:
        record = read(execute(config.model_copy(update={"seed": seed}), trunk))
        ended = time.perf_counter()
        phases = {"load": load, **record["cost"]["seconds"]}
        del phases["total"]
        phases["rest"] = ended - before - sum(phases.values())
        before, load = ended, 0.0
        runs.append(
            {
                "seed": seed,
                "ended": ended - start,
                "phases": phases,
                "metrics": record["metrics"]["final"],
                "tokens": record["cost"]["tokens"],
                "rows": record["data"]["rows"],
                "peak_memory": record["cost"]["peak_memory"],
            }
        )
    seconds, cores = runs[-1]["ended"], (time.process_time() - busy) / runs[-1]["ended"]
    return {"seconds": seconds, "runs": runs, "peak_memory": runs[-1]["peak_memory"], "cores": cores}
