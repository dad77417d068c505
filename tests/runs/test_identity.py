"""A run's identity: what changes scores changes it, nothing else does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hadamard_glue.config import RunConfig
from hadamard_glue.runs.identity import digest_of, slug_of, spec_of
from hadamard_glue.runs.trunk import Trunk


def identity(config: Any) -> str:
    return digest_of(spec_of(config, Trunk(config)))


@pytest.fixture
def base(make_config: Callable[..., RunConfig], tmp_path: Path) -> Any:
    return lambda **overrides: make_config(**{"results_dir": str(tmp_path / "results"), **overrides})


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"stage2": {"epochs": 9, "lr": 0.01}},
        {"stage1": {"epochs": 1, "lr": 0.5, "features": "cached"}},
        {"stage1": {"epochs": 1, "lr": 0.01, "features": "live"}},
        {"batch_size": 7},
        {"max_length": 17},
        {"selection": "best_dev"},
        {"limit": {"train": 8}},
        {"method": {"name": "hadamard", "site": "projection", "norm": "attention"}},
        {"method": {"name": "hadamard", "site": "heads", "norm": "attention", "layers": [0]}},
    ],
)
def test_science_changes_the_digest(base: Any, change: dict[str, Any]) -> None:
    assert identity(base(**change)) != identity(base())


@pytest.mark.parametrize(
    "change",
    [
        {
            "hardware": {
                "device": "cpu",
                "precision": "bf16",
                "deterministic": True,
                "threads": 1,
                "workers": 2,
            }
        },
        {"tracking": {"mode": "offline", "project": "elsewhere"}},
        {"results_dir": "elsewhere"},
    ],
)
def test_where_and_how_it_runs_does_not(base: Any, change: dict[str, Any]) -> None:
    assert identity(base(**change)) == identity(base())


def test_settings_of_a_stage_that_does_not_run_do_not_act(base: Any) -> None:
    full = {"method": {"name": "full"}, "stages": "one"}
    other = {**full, "stage1": {"epochs": 3, "lr": 0.123, "features": "live"}}
    assert identity(base(**full)) == identity(base(**other))
    classifier = {"method": {"name": "classifier"}, "stages": "one"}
    assert identity(base(**classifier)) == identity(base(**classifier, stage2={"epochs": 77, "lr": 0.5}))


def test_a_copy_elsewhere_has_the_same_digest_and_a_changed_file_another(
    base: Any, tiny_bert: Path, tiny_glue: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere" / Path(tiny_bert).name
    shutil.copytree(tiny_bert, folder)
    rows = tmp_path / "rows"
    shutil.copytree(tiny_glue, rows)
    moved = {
        "backbone": folder,
        "source": {"kind": "directory", "path": str(rows)},
    }
    assert identity(base(**moved)) == identity(base())
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace("{", '{"note": 1,', 1))
    assert identity(base(**moved)) != identity(base())


def test_a_changed_row_changes_the_digest(base: Any, tiny_glue: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    shutil.copytree(tiny_glue, rows)
    train = rows / "SST-2" / "train.tsv"
    lines = train.read_text(encoding="utf-8").splitlines()
    lines[1] = "entirely other words\t" + lines[1].rpartition("\t")[2]
    train.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert identity(base(source={"kind": "directory", "path": str(rows)})) != identity(base())


def test_the_slug_names_backbone_task_method_seed(base: Any, tiny_bert: Path) -> None:
    config = base(seed=3)
    slug = slug_of(spec_of(config, Trunk(config)))
    assert slug.startswith(f"{Path(tiny_bert).name}-")
    assert slug.endswith("-sst2-hadamard-s3")
