"""The subjects of the battery, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest

from methods.battery import Subject


@pytest.fixture(scope="session")
def subjects(tiny_models: dict[str, Path]) -> dict[str, Subject]:
    """A loaded backbone with a batch, by kind."""
    return {kind: Subject(folder) for kind, folder in tiny_models.items()}
