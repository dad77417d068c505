"""Where everything is kept that can be made again: encoded data, features, converted weights."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``HADAMARD_GLUE_CACHE``, or the user's cache folder."""
    given = os.environ.get("HADAMARD_GLUE_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hadamard_glue"
