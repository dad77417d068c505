"""Where everything is kept that can be made again: encoded data, features, converted weights."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock


def cache_folder() -> Path:
    """``HADAMARD_GLUE_CACHE``, or the user's cache folder."""
    given = os.environ.get("HADAMARD_GLUE_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hadamard_glue"


@contextlib.contextmanager
def making(file: Path) -> Iterator[None]:
    """Hold a file of the cache while it is made: of several processes one computes, and the others wait for it.

    The lock is the operating system's and ends with its process, however that ends; look for the file again inside.

    Raises:
        OSError: a folder that cannot be written.
    """
    folder = file.parent / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{file.name}.lock"):
        yield
