"""Importing torch and transformers while the garbage collector rests: it took a third of the time till a run began."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def first_imports() -> Iterator[None]:
    """Imports in here are walked over neither now, for half a million new objects start many a collection, nor later.

    Once in a process: what lives when it closes the first time is never collected.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
