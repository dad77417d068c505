"""Weights & Biases: off, offline or online; one W&B run for each of ours, finished when ours ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from hadamard_glue.errors import InputError


class Tracker(Protocol):
    """What a run reports to."""

    def log(self, values: dict[str, Any]) -> None:
        """Add one step of numbers."""


class _Nothing:
    def log(self, values: dict[str, Any]) -> None:
        """Tracking is off."""


class _WandbTracker:
    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, values: dict[str, Any]) -> None:
        self._run.log(values)


@contextlib.contextmanager
def track(
    mode: str, project: str, name: str, config: dict[str, Any], folder: Path, tags: Sequence[str] = ()
) -> Iterator[Tracker]:
    """Report a run to W&B for as long as the context is open.

    Args:
        mode: ``none``, ``offline`` or ``online``.
        config: the run's spec; it goes through ``init``, so that it is there from the first step.
        tags: of the W&B run.
        folder: results folder; W&B writes below ``folder/wandb`` and nowhere else.

    Raises:
        InputError: W&B cannot be reached or refuses the login.
    """
    if mode == "none":
        yield _Nothing()
        return
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    # code, git state, machine and console stay here: the record has what is needed, and no more leaves the machine
    settings = wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        disable_job_creation=True,
        save_code=False,
        x_save_requirements=False,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        init_timeout=30.0,
    )
    try:
        run = wandb.init(
            project=project,
            name=name,
            config=config,
            tags=list(tags),
            dir=str(folder),
            mode="offline" if mode == "offline" else "online",
            reinit="create_new",
            settings=settings,
        )
    except wandb.Error as error:
        line = " ".join(str(error).split())
        raise InputError(f"W&B cannot be used: {line}; tracking=wandb_offline needs no network") from error
    try:
        yield _WandbTracker(run)
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish()
