"""Records on disk: complete or absent, and never overwritten."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from hadamard_glue.errors import InputError
from hadamard_glue.runs.record import place_of, prepare, read, write_done, write_failed

LOGITS = {"dev": np.arange(6, dtype=np.float32).reshape(3, 2)}


def record(**more: Any) -> dict[str, Any]:
    return {"schema_version": 1, "status": "done", "value": 1.5, **more}


def test_round_trip(tmp_path: Path) -> None:
    prepare(tmp_path)
    place = place_of(tmp_path, "slug", "0123")
    path = write_done(place, record(), LOGITS)
    assert path == tmp_path / "records" / "slug-0123.json"
    found = read(path)
    assert found["value"] == 1.5
    np.testing.assert_array_equal(load_file(path.parent / found["predictions"])["dev"], LOGITS["dev"])
    assert not list(path.parent.glob("*.tmp"))


def test_the_first_record_stays(tmp_path: Path) -> None:
    prepare(tmp_path)
    place = place_of(tmp_path, "slug", "0123")
    first = write_done(place, record(value=1), LOGITS).read_bytes()
    write_done(place, record(value=2), {"dev": LOGITS["dev"] + 1})
    assert place.record.read_bytes() == first
    np.testing.assert_array_equal(load_file(place.folder / read(place.record)["predictions"])["dev"], LOGITS["dev"])


def _write(folder: Path, value: int) -> None:
    write_done(place_of(folder, "slug", "0123"), record(value=value), {"dev": LOGITS["dev"] + value})


def test_two_processes_leave_one_whole_record(tmp_path: Path) -> None:
    prepare(tmp_path)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_write, args=(tmp_path, value)) for value in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    found = read(place_of(tmp_path, "slug", "0123").record)
    logits = load_file(tmp_path / "records" / found["predictions"])["dev"]
    np.testing.assert_array_equal(logits, LOGITS["dev"] + found["value"])


def test_failures_are_kept_side_by_side_and_do_not_stand_in_the_way(tmp_path: Path) -> None:
    prepare(tmp_path)
    place = place_of(tmp_path, "slug", "0123")
    write_failed(place, record(status="failed", error="first"))
    write_failed(place, record(status="failed", error="second"))
    write_done(place, record(), LOGITS)
    assert [read(path)["error"] for path in place.failures()] == ["first", "second"]
    assert read(place.record)["status"] == "done"


def test_a_record_holds_no_nan(tmp_path: Path) -> None:
    prepare(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_done(place_of(tmp_path, "slug", "0"), record(value=float("nan")), LOGITS)
    assert not list((tmp_path / "records").glob("*.json"))


def test_unwritable_results_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"results_dir=.*cannot be written"):
        prepare(tmp_path / "file" / "results")


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"schema_version": 99})])
def test_what_is_no_record_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"x\.json"):
        read(path)
