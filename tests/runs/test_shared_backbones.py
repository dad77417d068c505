"""Pretrained backbones of every family that is at hand, on real GLUE rows: each run ends in a record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hadamard_glue.config import RunConfig
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.record import read

LAYERS = {"bert-tiny": 2, "roberta-tiny": 2, "bart-tiny": 4, "electra-tiny": 2, "deberta-v2-tiny": 2}


@pytest.mark.parametrize("task", ["sst2", "mrpc"])
@pytest.mark.parametrize("name", LAYERS)
def test_hadamard_on_pretrained_weights(
    make_config: Callable[..., RunConfig],
    shared_models: Path,
    shared_glue: Path,
    tmp_path: Path,
    name: str,
    task: str,
) -> None:
    config = make_config(
        backbone=shared_models / name,
        source=shared_glue,
        task=task,
        method="hadamard",
        limit={"train": 32, "dev": 16},
        results_dir=str(tmp_path),
    )
    record = read(execute(config))
    width = 128
    assert record["status"] == "done"
    assert record["environment"]["precision"] == "float32"  # four of the five files hold float16
    assert record["parameters"]["adapter"] == record["parameters"]["norm"] == 2 * width * LAYERS[name]
    two_layers = 0 if name == "bert-tiny" else width * width + width
    pooler = width * width + width if name == "bert-tiny" else 0  # its checkpoint, a language model's, has none
    assert record["parameters"]["head"] == two_layers + pooler + 2 * width + 2
    assert 0 <= record["headline"]["value"] <= 1
