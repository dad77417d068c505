"""Reading GLUE from the Hugging Face hub through ``datasets``, at one commit that is resolved and reported.

Without a hub (no network, or ``HF_HUB_OFFLINE=1``) the rows come from the cache of ``datasets``, where each
copy lies under the commit that it was made from, so the revision is exact there too.
"""

from __future__ import annotations

import logging
import re

import datasets
from datasets.packaged_modules.cache.cache import Cache
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hadamard_glue.errors import InputError
from hadamard_glue.glue.arrow import table_rows
from hadamard_glue.glue.rows import Rows
from hadamard_glue.glue.tasks import Task

logger = logging.getLogger(__name__)

REPOSITORY = "nyu-mll/glue"

_TIMEOUT_SECONDS = 10.0


def read_hub(task: Task, repository: str, revision: str | None) -> tuple[dict[str, Rows], str]:
    """Every split of a task, ``train`` first, and the commit that they were read at.

    Args:
        task: which config of the repository to read.
        repository: ``nyu-mll/glue``, or one of the same configs, splits and columns.
        revision: a branch, a tag or a commit; ``None`` is the newest commit, or without a hub the newest copy
            in the cache.

    Raises:
        InputError: repository or revision unknown, neither hub nor cache has the rows, or they are not the
            task's.
    """
    builder = _builder(task, repository, revision)
    where = f"{repository} at {builder.hash}, {task.hub_config}"
    rows = {}
    for split, hub_split in task.hub_splits.items():
        try:
            data = builder.as_dataset(split=hub_split)
        except Exception as error:  # whatever a damaged cache makes `datasets` raise
            raise InputError(f"{where}: cannot read split {hub_split} ({_first_line(error)})") from error
        names = getattr(data.features.get(task.hub.label), "names", None)
        if names is not None and tuple(names) != task.labels:
            raise InputError(f"{where}: labels in the order {', '.join(names)}, expected {', '.join(task.labels)}")
        rows[split] = table_rows(task, data.with_format("arrow")[:], split, f"{where}/{hub_split}")
        if not len(rows[split]):
            raise InputError(f"{where}/{hub_split}: no rows")
    return rows, str(builder.hash)


def _builder(task: Task, repository: str, revision: str | None) -> datasets.DatasetBuilder:
    """A prepared builder whose ``hash`` is the commit.

    The commit is asked for first: ``datasets`` alone would answer a failed request for one revision with any
    other one that it has cached, after half a minute of retries.
    """
    try:
        commit = HfApi().dataset_info(repository, revision=revision, timeout=_TIMEOUT_SECONDS).sha
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        at = f" at revision {revision}" if revision else ""
        raise InputError(f"{repository}{at}: not on the hub, or not open to you ({_first_line(error)})") from error
    except OfflineModeIsEnabled:
        return _cached_builder(task, repository, revision, "HF_HUB_OFFLINE is set")
    except Exception as error:  # no network, time-outs, a hub that is down: their types share no base class
        return _cached_builder(task, repository, revision, _first_line(error))
    try:
        builder = datasets.load_dataset_builder(repository, task.hub_config, revision=commit)
        builder.download_and_prepare()
    except Exception as error:
        raise InputError(f"{repository} at {commit}: cannot load {task.hub_config} ({_first_line(error)})") from error
    if builder.hash != commit:
        raise InputError(f"{repository}: the hub failed while {commit} was loaded; the cache only has {builder.hash}")
    return builder


def _cached_builder(task: Task, repository: str, revision: str | None, reason: str) -> datasets.DatasetBuilder:
    if revision is not None and not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise InputError(
            f"{repository}: the hub cannot be reached ({reason}), so revision {revision} cannot be resolved; "
            "give source.revision as a full commit, or use source=directory source.path=FOLDER"
        )
    name = repository.rpartition("/")[2]
    version, commit = ("auto", "auto") if revision is None else ("0.0.0", revision)
    try:
        builder = Cache(
            dataset_name=name, repo_id=repository, config_name=task.hub_config, version=version, hash=commit
        )
        builder.download_and_prepare()
    except Exception as error:
        wanted = f"{repository} {task.hub_config}" + (f" at {revision}" if revision else "")
        raise InputError(
            f"the hub cannot be reached ({reason}) and {wanted} is not in its cache; load it once with "
            "network (then HF_HUB_OFFLINE=1 works), or use source=directory source.path=FOLDER"
        ) from error
    logger.warning("%s: hub not reached (%s), using the copy cached at %s", repository, reason, builder.hash)
    return builder


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
