"""The demo world and its backbones are frozen: tables of two machines are tables of the same thing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import hadamard_glue.backbones.demo
from hadamard_glue.demo.files import WORLD, demo_folder, digest_of

SHIPPED = Path(hadamard_glue.backbones.demo.__file__).parent
FROZEN: dict[str, str] = json.loads((Path(__file__).parent / "frozen.json").read_text(encoding="utf-8"))


def test_the_world_is_the_frozen_one() -> None:
    assert digest_of(demo_folder()) == WORLD


@pytest.mark.parametrize("family", sorted(FROZEN))
def test_the_weights_are_the_frozen_ones(family: str) -> None:
    content = (SHIPPED / family / "model.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == FROZEN[family]
    assert len(content) < 4 * 2**20
    assert "demo, synthetic" in (SHIPPED / family / "README.md").read_text(encoding="utf-8")


def test_every_family_is_shipped() -> None:
    assert set(FROZEN) == {"bert", "roberta", "bart", "deberta", "electra"}
