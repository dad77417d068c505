"""A grid of runs: what is done, what is missing, what it will cost; the missing trunk by trunk in worker processes."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from hadamard_glue.config import RunConfig
from hadamard_glue.errors import InputError, RunFailed, Unsupported
from hadamard_glue.runs.execute import done, execute, record_refusal
from hadamard_glue.runs.identity import digest_of, slug_of, spec_of
from hadamard_glue.runs.record import place_of, read
from hadamard_glue.runs.trunk import Trunk, trunk_key

#: Training rows of GLUE, for the cost of a run whose rows are not at hand yet.
_GLUE_ROWS = {
    "cola": 8551, "sst2": 67349, "mrpc": 3668, "stsb": 5749, "qqp": 363846, "mnli": 392702, "qnli": 104743, "rte": 2490,
}  # fmt: skip


@dataclass(frozen=True)
class Planned:
    """One run of a grid.

    Attributes:
        stem: its record's name, by which runs are told apart.
        done: its record, where there is one.
        unreadable: why its identity cannot be known on this machine.
        row_visits: training rows x epochs.
        seconds: estimate for a missing run, where a like one is done.
    """

    config: RunConfig
    stem: str
    done: Path | None
    unreadable: str | None
    row_visits: int
    seconds: float | None

    @property
    def missing(self) -> bool:
        """Whether it remains to be run."""
        return self.done is None


def plan(configs: Iterable[RunConfig]) -> list[Planned]:
    """Look up every run of a grid; runs of one trunk come together, in the order of their first.

    Nothing is trained, loaded or downloaded beyond what identity needs (files of the backbone, rows of the task).
    """
    trunks: dict[str, list[RunConfig]] = {}
    for config in configs:
        trunks.setdefault(trunk_key(config), []).append(config)
    planned: list[Planned] = []
    for members in trunks.values():
        try:
            trunk: Trunk | None = Trunk(members[0])
            reason = None
        except InputError as error:
            trunk, reason = None, str(error)
        planned += [_look_up(config, trunk, reason) for config in members]
    return _with_estimates(_distinct(planned))


def execute_missing(planned: list[Planned], workers: int, say: Callable[[str], None]) -> list[str]:
    """Execute what is missing, ``workers`` trunks at a time, in processes that live until all is done.

    Args:
        say: told one line for every run that ends.

    Returns:
        The runs that failed, one line each; the others go on.

    Raises:
        InputError: a run whose backbone or rows cannot be read.
    """
    unreadable = next((run for run in planned if run.unreadable is not None), None)
    if unreadable is not None:
        raise InputError(str(unreadable.unreadable))
    trunks: dict[str, list[RunConfig]] = {}
    for run in planned:
        if run.missing:
            trunks.setdefault(trunk_key(run.config), []).append(run.config)
    total = sum(len(members) for members in trunks.values())
    if not total:
        return []
    progress = _Progress(total, say)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        told = manager.Queue()
        listener = threading.Thread(target=progress.listen, args=(told,), daemon=True)
        listener.start()
        count = min(workers, len(trunks))
        with ProcessPoolExecutor(count, context, initializer=_start, initargs=(count, os.getpid())) as pool:
            futures = [pool.submit(_execute_trunk, members, told) for members in trunks.values()]
            try:
                failures = [line for future in as_completed(futures) for line in future.result()]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        told.put(None)
        listener.join()
    return failures


class _Progress:
    """Counts the runs that ended and says what time is left, from the mean so far."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self.total, self.say = total, say
        self.start = time.monotonic()

    def listen(self, told) -> None:  # type: ignore[no-untyped-def]  # a manager's queue proxy
        for ended, line in enumerate(iter(told.get, None), start=1):
            spent = time.monotonic() - self.start
            left = duration(spent / ended * (self.total - ended))
            self.say(f"[{ended}/{self.total}] {line}, {duration(spent)} spent, about {left} left")


def _start(workers: int, parent: int) -> None:
    """Set a worker process up; ``hardware.threads`` of a run goes before the share of the cores that it gets here."""
    _end_with(parent)
    gc.freeze()  # what was imported stays; the collection after every trunk need not walk over it
    if workers > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))  # or they would wait for each other's cores


def _execute_trunk(configs: list[RunConfig], told) -> list[str]:  # type: ignore[no-untyped-def]
    """All runs of one trunk in this process; the lines of those that failed."""
    threads = torch.get_num_threads()
    try:
        return _execute_all(configs, Trunk(configs[0]), told)
    finally:
        torch.set_num_threads(threads)
        gc.collect()  # weights and data of this trunk go before those of the next are loaded
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _execute_all(configs: list[RunConfig], trunk: Trunk, told) -> list[str]:  # type: ignore[no-untyped-def]
    failures = []
    for config in configs:
        try:
            record = read(execute(config, trunk))
            headline = record["headline"]
            told.put(f"{record['slug']}: {headline['metric']} {100 * headline['value']:.1f}")
        except Unsupported as error:
            line = record_refusal(config, trunk, error)
            failures.append(line)
            told.put(line)
        except RunFailed as error:
            failures.append(str(error))
            told.put(str(error))
    return failures


def _end_with(parent: int) -> None:
    """End this process when the grid that started it is gone: a killed sweep must not go on in the background."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _look_up(config: RunConfig, trunk: Trunk | None, reason: str | None) -> Planned:
    stages = [getattr(config, name) for name in config.stage_names]
    rows = len(trunk.data.train.labels) if trunk else min(_GLUE_ROWS[config.task.name], config.limit.train or 10**9)
    visits = rows * sum(stage.epochs for stage in stages)
    if trunk is None:
        return Planned(config, config.model_dump_json(), None, reason, visits, None)
    spec = spec_of(config, trunk)
    place = place_of(config.results_dir, slug_of(spec), digest_of(spec))
    return Planned(config, place.stem, place.record if done(config, place) else None, None, visits, None)


def _distinct(planned: list[Planned]) -> list[Planned]:
    """A grid may name one run twice (``classifier`` under two settings that do not act on it); it runs once."""
    return list({run.stem: run for run in reversed(planned)}.values())[::-1]


def _with_estimates(planned: list[Planned]) -> list[Planned]:
    """Seconds of each missing run, from the rate of done runs of the same task and method, where there is one."""
    rates: dict[tuple[str, str, str], list[float]] = {}
    for run in planned:
        if run.done is not None:
            seconds = read(run.done)["cost"]["seconds"]["total"]
            rates.setdefault(_kind(run), []).append(seconds / run.row_visits)
    estimated = []
    for run in planned:
        rate = rates.get(_kind(run))
        seconds = None if rate is None or not run.missing else run.row_visits * sum(rate) / len(rate)
        estimated.append(replace(run, seconds=seconds))
    return estimated


def _kind(run: Planned) -> tuple[str, str, str]:
    return run.config.backbone.path, run.config.task.name, run.config.method.name


def describe(planned: list[Planned]) -> str:
    """The plan for people: a line a task and method, or a backbone where there are several; the sum comes last."""
    several = len({_backbone_of(run) for run in planned}) > 1
    lines = []
    groups: dict[str, list[Planned]] = {}
    for run in planned:
        kind = _kind(run)
        groups.setdefault(f"{_backbone_of(run):19}" if several else f"{kind[1]:5} {kind[2]:11}", []).append(run)
    for title, runs in groups.items():
        missing = [run for run in runs if run.missing]
        done = len(runs) - len(missing)
        lines.append(f"{title} done {done}, missing {len(missing)}{_cost(missing)}")
    lines += dict.fromkeys(f"not here: {run.unreadable}" for run in planned if run.unreadable is not None)
    missing = [run for run in planned if run.missing]
    lines.append(f"{len(planned)} runs, {len(planned) - len(missing)} done, {len(missing)} missing{_cost(missing)}")
    return "\n".join(lines)


def _backbone_of(run: Planned) -> str:
    backbone = run.config.backbone
    name = backbone.path if backbone.name == "custom" else backbone.name
    return f"{name}-random" if backbone.weights == "random" else name


def _cost(missing: list[Planned]) -> str:
    if not missing:
        return ""
    known = [run.seconds for run in missing if run.seconds is not None]
    seconds = f", about {duration(sum(known))}" if len(known) == len(missing) else ", time unknown until one has run"
    return f": {sum(run.row_visits for run in missing):,} training rows to go through{seconds}"


def duration(seconds: float) -> str:
    """``75`` -> ``1 min 15 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
