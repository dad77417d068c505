"""W&B offline: what a run wrote is read back from its file."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hadamard_glue.config import RunConfig
from hadamard_glue.errors import InputError
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.record import read
from hadamard_glue.tracking import track

_BLOCK = 32768


def payloads(path: Path) -> Iterator[bytes]:
    """The records of a ``.wandb`` file: LevelDB's log format behind a header of seven bytes."""
    data, position, pending = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        pending += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # full, or the last of several
            yield pending
            pending = b""


def read_back(folder: Path) -> tuple[dict[str, object], list[dict[str, object]], list[int]]:
    """Config, logged steps and exit codes of the one offline run below a folder.

    W&B's own process writes the file, on a busy machine some time after the run was finished here.
    """
    deadline = time.monotonic() + 60
    while not (found := _read_now(folder))[2] and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _read_now(folder: Path) -> tuple[dict[str, object], list[dict[str, object]], list[int]]:
    from wandb.proto import wandb_internal_pb2

    proto: Any = wandb_internal_pb2

    (path,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    config, steps, codes = {}, [], []
    for payload in payloads(path):
        record = proto.Record.FromString(payload)
        if record.WhichOneof("record_type") == "run":
            config.update({item.key: json.loads(item.value_json) for item in record.run.config.update})
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            steps.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
        if record.WhichOneof("record_type") == "exit":
            codes.append(record.exit.exit_code)
    return config, steps, codes


def test_an_offline_run_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with track("offline", "project", "name", {"seed": 3, "method": {"name": "lora"}}, tmp_path / "results") as tracker:
        tracker.log({"stage2/loss": 0.5})
        tracker.log({"stage2/loss": 0.25})
    config, steps, codes = read_back(tmp_path / "results")
    assert config["seed"] == 3
    assert config["method"] == {"name": "lora"}
    assert [step["stage2/loss"] for step in steps] == [0.5, 0.25]
    assert codes == [0]
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_a_run_that_fails_is_finished_as_failed(tmp_path: Path) -> None:
    def broken() -> None:
        with track("offline", "project", "name", {}, tmp_path) as tracker:
            tracker.log({"loss": 1.0})
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        broken()
    assert read_back(tmp_path)[2] == [1]


def test_a_whole_run_reports_its_spec_and_losses(make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    config = make_config(results_dir=str(tmp_path), tracking={"mode": "offline", "project": "tests"})
    record = read(execute(config))
    spec, steps, codes = read_back(tmp_path)
    assert {key: spec[key] for key in record["spec"]} == record["spec"]
    losses = [value for step in steps for key, value in step.items() if key.endswith("/loss")]
    assert losses == [entry["loss"] for entry in record["history"]]
    assert codes == [0]


def test_online_without_a_login_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="W&B cannot be used") as caught, track("online", "p", "n", {}, tmp_path / "r"):
        pytest.fail("there is no server")
    assert "\n" not in str(caught.value)


def test_none_does_nothing(tmp_path: Path) -> None:
    with track("none", "p", "n", {}, tmp_path / "results") as tracker:
        tracker.log({"loss": 1.0})
    assert not (tmp_path / "results").exists()
