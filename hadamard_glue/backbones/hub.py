"""Backbones from the Hugging Face hub: the files that are used and no others, or its local cache.

``HF_TOKEN`` and the other settings of ``huggingface_hub`` are its own affair: nothing here reads, prints or records
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

from hadamard_glue.errors import InputError

SAFETENSORS = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"
PICKLE = "pytorch_model.bin"


def snapshot(repository: str, revision: str | None, others: Sequence[str]) -> Path:
    """The folder of one commit in the hub's cache, named by the commit; what it lacks is downloaded.

    Args:
        repository: hub id.
        revision: branch, tag or commit; ``None`` is the newest.
        others: names of the files wanted beside weights and config.

    Raises:
        InputError: no such repository or revision, or a hub that cannot be reached and no copy in the cache.
    """
    folder = _download(
        repository, revision, ["config.json", SAFETENSORS, "model-*.safetensors", SAFETENSORS_INDEX, *others]
    )
    if not (folder / SAFETENSORS).is_file() and not (folder / SAFETENSORS_INDEX).is_file():
        _download(repository, folder.name, [PICKLE])  # of the same commit, and only where there is nothing better
    return folder


def _download(repository: str, revision: str | None, patterns: list[str]) -> Path:
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except HFValidationError as error:
        raise InputError(f"backbone.path={repository}: neither a folder nor a hub id") from error
    except RevisionNotFoundError as error:
        raise InputError(f"backbone {repository!r} has no revision {revision!r} on the hub") from error
    except RepositoryNotFoundError as error:  # gated ones included
        raise InputError(
            f"backbone {repository!r} is not on the hub, or not open to you (HF_TOKEN opens private and gated ones)"
        ) from error
    except Exception as error:  # no network, time-outs, proxies, a hub that is down: their types share no base class
        raise InputError(
            f"backbone {repository!r} is not in the local cache and the hub cannot be reached; connect once "
            "(HF_HUB_OFFLINE unset), or give a folder: backbone=custom backbone.path=FOLDER"
        ) from error
