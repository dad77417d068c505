"""Records on disk: one immutable JSON a run, written to a temporary name and linked in place last."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from hadamard_glue.errors import InputError

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Place:
    """Where a run's files go."""

    folder: Path
    stem: str

    @property
    def record(self) -> Path:
        """The record of the run, there once it is done."""
        return self.folder / f"{self.stem}.json"

    def failures(self) -> list[Path]:
        """Records of attempts that failed, oldest first."""
        return sorted(
            self.folder.glob(f"{self.stem}.failed-*.json"), key=lambda path: int(path.stem.rpartition("-")[2])
        )


def place_of(results_dir: str | Path, slug: str, digest: str) -> Place:
    """The place of a run below a results folder."""
    return Place(Path(results_dir) / "records", f"{slug}-{digest}")


def prepare(results_dir: str | Path) -> Path:
    """Make the records folder and see that it can be written, before anything is computed.

    Raises:
        InputError: a folder that cannot be made or written.
    """
    folder = Path(results_dir) / "records"
    make_writable(folder, f"results_dir={results_dir}")
    return folder


def make_writable(folder: Path, said: str) -> None:
    """Make a folder and write into it; ``said`` is the setting that names it.

    Raises:
        InputError: a folder that cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".tmp"):
            pass
    except OSError as error:
        raise InputError(f"{said} cannot be written: {error.strerror or error}") from error


def write_done(
    place: Place,
    record: dict[str, Any],
    logits: Mapping[str, NDArray[np.float32]],
    tensors: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write the final logits [rows, labels] by split, the checkpoint if there is one, then the record that names them.

    A record that another process wrote meanwhile stays as it is, and so do its own files: their digest is in their
    names.
    """
    payload = save({split: np.ascontiguousarray(values) for split, values in logits.items()})
    names: dict[str, str | None] = {"predictions": _beside(place, "predictions", payload), "checkpoint": None}
    if tensors is not None:
        names["checkpoint"] = _beside(place, "checkpoint", save_tensors(dict(tensors)))
    _link(place.record, _json({**record, **names}))
    return place.record


def read_checkpoint(path: Path, record: Mapping[str, Any]) -> dict[str, Tensor]:
    """The trained tensors of the record at ``path``, by name.

    Raises:
        InputError: a record without a checkpoint, or a checkpoint file that is absent or damaged.
    """
    if record.get("checkpoint") is None:
        raise InputError(f"{path} has no checkpoint; checkpoint=true with another results_dir runs it again with one")
    file = path.parent / str(record["checkpoint"])
    try:
        payload = file.read_bytes()
    except OSError as error:
        raise InputError(f"the checkpoint of {path} cannot be read: {file}: {error.strerror or error}") from error
    if hashlib.sha256(payload).hexdigest()[:8] not in file.name.split("."):
        raise InputError(f"the checkpoint {file} is damaged: it does not match the digest in its name")
    return load_tensors(payload)


def _beside(place: Place, kind: str, payload: bytes) -> str:
    """Write a safetensors file beside the record; its name, which holds a digest of its content."""
    name = f"{place.stem}.{hashlib.sha256(payload).hexdigest()[:8]}.{kind}.safetensors"
    _link(place.folder / name, payload)
    return name


def write_failed(place: Place, record: dict[str, Any]) -> Path:
    """Write the record of a failed attempt beside those of earlier ones."""
    number = 1 + max((int(path.stem.rpartition("-")[2]) for path in place.failures()), default=0)
    while not _link(path := place.folder / f"{place.stem}.failed-{number}.json", _json(record)):
        number += 1
    return path


def read(path: Path) -> dict[str, Any]:
    """A record as written.

    Raises:
        InputError: a file that is no record of this schema.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read as a record: {error}") from error
    if not isinstance(record, dict) or record.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{path} is not a record of schema version {SCHEMA_VERSION}")
    return record


def _json(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()


def _link(path: Path, payload: bytes) -> bool:
    """Put a complete file in place unless one is there; a reader never sees half of it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as stream:
        stream.write(payload)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.chmod(stream.name, 0o644)
        os.link(stream.name, path)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(stream.name)
    return True
