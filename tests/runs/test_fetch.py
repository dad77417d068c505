"""``hadamard-glue fetch``, through the real hub clients, with a hub on localhost that then goes away.

Each call is a process of its own, because the clients read their settings when they are imported.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from glue import fake_hub
from glue.glue_files import write_hub_parquet
from safetensors.torch import load_file

from hadamard_glue.glue.tasks import TASKS

PLAIN, PICKLED, PRIVATE = "someone/tiny-electra", "someone/tiny-deberta", "someone/tiny-private"
TOKEN = "hf_thisIsNoRealTokenAtAll"
SMALL = ["limit.train=16", "limit.dev=8", "max_length=16", "stage1.epochs=1", "stage2.epochs=1", "hardware=cpu"]


def call(home: Path, *arguments: str, **settings: str) -> tuple[int, str, str]:
    """Exit code, output and errors of ``hadamard-glue`` with a cache of its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HF_") and not name.endswith("_OFFLINE")
    }
    environment = kept | {
        "HF_HOME": str(home / "hub"),
        "HADAMARD_GLUE_CACHE": str(home / "ours"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "hadamard_glue", *arguments],
        env=environment | settings, capture_output=True, text=True, timeout=180, check=False, cwd=home,
    )  # fmt: skip
    for text in (done.stdout, done.stderr):
        assert TOKEN not in text
        assert "Traceback" not in text
    return done.returncode, done.stdout, done.stderr


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """nyu-mll/glue with SST-2 alone."""
    task = TASKS["sst2"]
    folder = write_hub_parquet(tmp_path_factory.mktemp("repository"), task)
    listed = "".join(f"  - split: {name}\n    path: sst2/{name}-*\n" for name in task.hub_splits.values())
    card = f"---\nconfigs:\n- config_name: sst2\n  data_files:\n{listed}---\n"
    return {"README.md": card.encode()} | {f"sst2/{file.name}": file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def models(tiny_models: dict[str, Path]) -> dict[str, dict[str, bytes]]:
    """Repositories with the clutter of real ones."""
    buffer = io.BytesIO()
    torch.save(load_file(tiny_models["deberta_v2"] / "model.safetensors"), buffer)
    others = {
        "README.md": b"a card",
        "tf_model.h5": b"0" * 99,
        "onnx/model.safetensors": b"0",
        "training_args.bin": b"0",
    }
    electra, deberta = content(tiny_models["electra"]), content(tiny_models["deberta_v2"])
    del deberta["model.safetensors"]
    return {
        PLAIN: {**electra, **others, "pytorch_model.bin": b"older"},
        PICKLED: {**deberta, **others, "pytorch_model.bin": buffer.getvalue()},
        PRIVATE: electra,
    }


def test_what_is_fetched_is_run_without_network(
    files: dict[str, bytes], models: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    both = ["backbone=custom", f"backbone.path={PLAIN},{PICKLED}", "task=sst2", "seed=1,2"]
    asked: list[str] = []
    with fake_hub.serve(files, models, asked=asked) as endpoint:
        code, output, errors = call(tmp_path, "fetch", *both, HF_ENDPOINT=endpoint, HF_TOKEN=TOKEN)
        assert (code, errors) == (0, "")
        first = list(asked)
        assert call(tmp_path, "fetch", *both, HF_ENDPOINT=endpoint) == (0, output, "")
        assert asked == first  # nothing is downloaded twice
    lines = output.splitlines()
    assert len(lines) == 4  # each model and each task once, whatever the seeds
    assert lines[0].startswith("backbone tiny-electra-")
    assert f"{PLAIN} at {fake_hub.COMMIT}" in lines[0]
    assert "converted" not in lines[0]
    assert f"weights converted to {tmp_path / 'ours' / 'converted'}" in lines[1]
    assert lines[2] == f"task sst2: nyu-mll/glue at {fake_hub.COMMIT}, rows: 6 train + 4 dev"
    assert "HF_HUB_OFFLINE=1" in lines[3]
    # of all the forms of the weights one is downloaded, and no clutter
    taken = {path.rpartition(f"/{fake_hub.COMMIT}/")[2] for path in asked if path.startswith((PLAIN, PICKLED))}
    assert taken == {"config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json", "tokenizer_config.json"}
    assert f"{PLAIN}/resolve/{fake_hub.COMMIT}/pytorch_model.bin" not in asked
    gone = {"HF_ENDPOINT": endpoint}  # nobody listens there any more
    run = ["run", f"backbone.path={PICKLED}", "backbone=custom", "task=sst2", "method=hadamard", *SMALL]
    code, output, _ = call(tmp_path, *run, HF_HUB_OFFLINE="1", HF_TOKEN=TOKEN)
    assert code == 0
    record = Path(tmp_path / output.splitlines()[-1]).read_text()
    assert TOKEN not in record
    assert f'"revision": "{fake_hub.COMMIT}"' in record
    assert '"converted": true' in record
    assert call(tmp_path, "fetch", *both, **gone)[0] == 0


def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    code, output, errors = call(
        tmp_path, "fetch", "backbone=roberta_base", "task=sst2", HF_ENDPOINT="http://127.0.0.1:9", HF_TOKEN=TOKEN
    )
    assert (code, output) == (2, "")
    assert errors.count("\n") == 1
    assert "'FacebookAI/roberta-base' is not in the local cache and the hub cannot be reached" in errors


def test_a_token_opens_what_is_private(
    files: dict[str, bytes], models: dict[str, dict[str, bytes]], tmp_path: Path, tiny_glue: Path
) -> None:
    wanted = ["fetch", "backbone=custom", f"backbone.path={PRIVATE}", "source=directory", f"source.path={tiny_glue}"]
    with fake_hub.serve(files, models, private={PRIVATE: TOKEN}) as endpoint:
        code, output, errors = call(tmp_path, *wanted, "task=rte", HF_ENDPOINT=endpoint)
        assert (code, output) == (2, "")
        assert errors == (
            f"hadamard-glue: backbone '{PRIVATE}' is not on the hub, or not open to you "
            "(HF_TOKEN opens private and gated ones)\n"
        )
        code, output, errors = call(tmp_path, *wanted, "task=rte,mrpc", HF_ENDPOINT=endpoint, HF_TOKEN=TOKEN)
        assert (code, errors) == (0, "")
        assert output.splitlines()[1:3] == [
            f"task {task}: {tiny_glue}, rows: 96 train + 48 dev" for task in ("rte", "mrpc")
        ]
        unknown = [*wanted, "backbone.revision=v9"]
        _, _, errors = call(tmp_path, *unknown, "task=rte", HF_ENDPOINT=endpoint, HF_TOKEN=TOKEN)
        assert errors == f"hadamard-glue: backbone '{PRIVATE}' has no revision 'v9' on the hub\n"
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]


def test_a_grid_is_fetched_from_folders(tiny_bert: Path, tiny_glue: Path, tmp_path: Path) -> None:
    """``experiment=`` names the tasks; a folder is checked, not copied."""
    source = ["source=directory", f"source.path={tiny_glue}"]
    wanted = ["fetch", "experiment=main_table", "backbone=custom", f"backbone.path={tiny_bert}", *source]
    code, output, errors = call(tmp_path, *wanted, HF_HUB_OFFLINE="1")
    assert (code, errors) == (0, "")
    assert [line.split()[:2] for line in output.splitlines()[1:-1]] == [
        ["task", f"{task}:"] for task in ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte")
    ]
    assert str(tiny_bert) in output.splitlines()[0]
    broken = Path(shutil.copytree(tiny_glue, tmp_path / "glue"))
    (broken / "QQP" / "dev.tsv").unlink()
    code, _, errors = call(tmp_path, *wanted[:-1], f"source.path={broken}", HF_HUB_OFFLINE="1")
    assert code == 2
    assert "QQP" in errors
    assert errors.count("\n") == 1
