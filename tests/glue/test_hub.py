"""The hub source, through the real ``datasets`` and ``huggingface_hub``, with a hub on localhost and without.

Each read is a process of its own, because both libraries read their settings when they are imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hadamard_glue.errors import InputError
from hadamard_glue.glue.sources import load_rows
from hadamard_glue.glue.tasks import TASKS

from . import fake_hub
from .glue_files import write_hub_parquet, write_task

TASK = TASKS["mnli"]

READ = """
import json, sys
from hadamard_glue.errors import InputError
from hadamard_glue.glue.sources import load_rows
from hadamard_glue.glue.tasks import TASKS
try:
    data = load_rows(TASKS["mnli"], "hub", None, None, 3, json.loads(sys.argv[1]))
    print(json.dumps({"fingerprint": data.fingerprint, "origin": data.origin}))
except InputError as error:
    print(json.dumps({"error": str(error)}))
"""


def read(home: Path, revision: str | None = None, **settings: str) -> dict[str, object]:
    """What a process that reads MNLI from the hub reports."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HF_") and not name.endswith("_OFFLINE")
    }
    environment = kept | {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"} | settings
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(revision)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The repository's files, in the layout of nyu-mll/glue."""
    folder = write_hub_parquet(tmp_path_factory.mktemp("repository"), TASK)
    listed = "".join(f"  - split: {name}\n    path: mnli/{name}-*\n" for name in TASK.hub_splits.values())
    card = f"---\nconfigs:\n- config_name: mnli\n  data_files:\n{listed}---\n"
    return {"README.md": card.encode()} | {f"mnli/{file.name}": file.read_bytes() for file in folder.iterdir()}


def test_reads_once_online_then_offline(files: dict[str, bytes], tmp_path: Path) -> None:
    write_task(tmp_path / "tsv", TASK)
    same = load_rows(TASK, "directory", str(tmp_path / "tsv"), None, 3).fingerprint
    expected = {
        "fingerprint": same,
        "origin": {"kind": "hub", "path": fake_hub.REPOSITORY, "revision": fake_hub.COMMIT},
    }
    home = tmp_path / "home"
    with fake_hub.serve(files) as endpoint:
        assert read(home, HF_ENDPOINT=endpoint) == expected
        assert read(home, "main", HF_ENDPOINT=endpoint) == expected
        unknown = read(home, "v9", HF_ENDPOINT=endpoint)
        assert "nyu-mll/glue at revision v9: not on the hub" in str(unknown["error"])
    gone = {"HF_ENDPOINT": endpoint}  # nobody listens there any more
    assert read(home, **gone) == expected
    assert read(home, HF_HUB_OFFLINE="1") == expected
    assert read(home, fake_hub.COMMIT, HF_HUB_OFFLINE="1") == expected
    # Another revision than the cached one is never answered with the cached one.
    other = read(home, "f" * 40, HF_HUB_OFFLINE="1")
    assert f"at {'f' * 40} is not in its cache" in str(other["error"])
    branch = read(home, "main", HF_HUB_OFFLINE="1")
    assert "revision main cannot be resolved" in str(branch["error"])


def test_unreachable_says_what_to_do(tmp_path: Path) -> None:
    for settings in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        message = str(read(tmp_path, **settings)["error"])
        assert "\n" not in message
        assert "the hub cannot be reached" in message
        assert "nyu-mll/glue mnli is not in its cache" in message
        assert "source=directory source.path=FOLDER" in message
        assert "HF_HUB_OFFLINE=1" in message


def test_a_name_that_is_no_repository() -> None:
    with pytest.raises(InputError, match="not on the hub"):
        load_rows(TASK, "hub", "/some/folder/of/mine", None, None)
