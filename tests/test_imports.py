"""The collector rests during the first imports, and only then."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest
import torch  # noqa: F401 (imported already, in the tests' process)

from hadamard_glue.imports import first_imports

FRESH = """
import gc
from hadamard_glue.imports import first_imports
try:
    with first_imports():
        assert not gc.isenabled()
        {body}
except ImportError:
    print("no such module")
print(gc.isenabled(), gc.get_freeze_count() > 1000)
"""


@pytest.mark.parametrize(
    ("body", "printed"), [("import torch", "True True"), ("import nothing_of_this_name", "no such module\nTrue True")]
)
def test_first_imports_stay_out_of_collections(body: str, printed: str) -> None:
    script = FRESH.format(body=body)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == printed


def test_later_imports_are_as_ever() -> None:
    frozen = gc.get_freeze_count()
    with first_imports():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
