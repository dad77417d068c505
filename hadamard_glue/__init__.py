"""How much of full fine-tuning does a parameter-efficient method keep on GLUE, and with how many trained parameters?

``import hadamard_glue`` makes the Hadamard adapter known to PEFT, whichever of the two is imported first. PEFT takes
seconds to import and most verbs of the command line do without, so nothing heavy is imported here: ``HadamardConfig``
is loaded when it is asked for, and the registration waits until somebody imports PEFT.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hadamard_glue.methods.hadamard_config import HadamardConfig

__all__ = ["HadamardConfig"]

_TUNER = "hadamard_glue.methods.hadamard_tuner"


class _AfterPeft(MetaPathFinder):
    """Finds PEFT as everybody else does, and has the tuner registered once PEFT's own code has run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "peft":
            return None
        others = (finder for finder in sys.meta_path if not isinstance(finder, _AfterPeft))
        spec = next((found for finder in others if (found := finder.find_spec(fullname, path, target))), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                importlib.import_module(_TUNER)

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def __getattr__(name: str) -> Any:
    if name == "HadamardConfig":
        return importlib.import_module(_TUNER).HadamardConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if "peft" in sys.modules:
    importlib.import_module(_TUNER)
elif not any(isinstance(finder, _AfterPeft) for finder in sys.meta_path):
    sys.meta_path.insert(0, _AfterPeft())
