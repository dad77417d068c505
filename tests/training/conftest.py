"""Loaded weights and rows for the stages, one per backbone and task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch

from hadamard_glue.config import RunConfig
from hadamard_glue.runs.trunk import Trunk
from hadamard_glue.training.device import Device
from hadamard_glue.training.stages import Material

CPU = Device(torch.device("cpu"), "float32")


@pytest.fixture(scope="session")
def cpu() -> Device:
    """The CPU in float32."""
    return CPU


@pytest.fixture(scope="session")
def tiny_bert_without_dropout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BERT, its dropout off."""
    return tiny.save_bert(tmp_path_factory.mktemp("models") / "tiny-bert-calm", dropout=0.0)


@pytest.fixture(scope="session")
def material_of(
    make_config: Callable[..., RunConfig], tiny_models: dict[str, Path], tiny_bert_without_dropout: Path
) -> Callable[..., Material]:
    """``material_of("bert", "sst2")``; kinds are those of tiny_models, and ``bert_without_dropout``."""
    folders = {**tiny_models, "bert_without_dropout": tiny_bert_without_dropout}
    made: dict[tuple[str, str], Material] = {}

    def material(kind: str = "bert", task: str = "sst2") -> Material:
        if (kind, task) not in made:
            made[kind, task] = Trunk(make_config(backbone=folders[kind], task=task)).material
        return made[kind, task]

    return material
