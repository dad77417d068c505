"""Stage-1 features: the cache gives what computing gives, and training on them is training on the text."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hadamard_glue.backbones.head import pooled
from hadamard_glue.config import RunConfig
from hadamard_glue.errors import InputError
from hadamard_glue.training import features as features_module
from hadamard_glue.training import matrix_file
from hadamard_glue.training.device import Device
from hadamard_glue.training.features import FeatureRows, backbone_features
from hadamard_glue.training.loop import TrainingError
from hadamard_glue.training.stages import Material, run_stages

MakeConfig = Callable[..., RunConfig]
MaterialOf = Callable[..., Material]


def compute(material: Material, folder: Path, device: Device, content: str = "x", batch_size: int = 16) -> np.ndarray:
    return backbone_features(material.backbone, material.train, content, folder, batch_size, device)


@pytest.fixture
def no_forward(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and from then on computing features fails: what comes must come from the cache."""

    def forbid() -> None:
        def fail(*arguments: object) -> None:
            raise AssertionError("computed, although cached")

        monkeypatch.setattr(features_module, "predict", fail)

    return forbid


@pytest.mark.parametrize("kind", ["bert", "bert_without_pooler", "bart"])
def test_features_are_the_pooled_rows_in_their_order(
    material_of: MaterialOf, cpu: Device, tmp_path: Path, kind: str
) -> None:
    material = material_of(kind)
    found = compute(material, tmp_path, cpu)
    assert found.shape == (96, 32)
    assert found.dtype == np.float32
    for row, (indices, batch) in zip(range(96), material.train.batches(1, None), strict=True):
        if row % 8:
            continue
        with torch.inference_mode():
            expected = pooled(material.backbone.model, material.backbone.anatomy, batch)[0].numpy()
        np.testing.assert_allclose(found[indices[0]], expected, rtol=1e-4, atol=1e-5)


def test_a_hit_equals_a_miss(
    material_of: MaterialOf, cpu: Device, tmp_path: Path, no_forward: Callable[[], None]
) -> None:
    missed = compute(material_of(), tmp_path, cpu)
    no_forward()
    assert np.array_equal(compute(material_of(), tmp_path, cpu), missed)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == ["", ".npy"]  # locks, and no temporary file


@pytest.mark.parametrize("keep", [0, 1, 40, 0.5, 0.999])
def test_a_file_cut_short_is_made_again(material_of: MaterialOf, cpu: Device, tmp_path: Path, keep: float) -> None:
    expected = np.array(compute(material_of(), tmp_path, cpu))
    (file,) = tmp_path.glob("*.npy")
    content = file.read_bytes()
    file.write_bytes(content[: int(keep if keep >= 1 or keep == 0 else keep * len(content))])
    assert np.array_equal(compute(material_of(), tmp_path, cpu), expected)
    assert file.read_bytes() == content


def test_a_file_that_is_something_else_is_made_again(material_of: MaterialOf, cpu: Device, tmp_path: Path) -> None:
    expected = np.array(compute(material_of(), tmp_path, cpu))
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(b"no array at all, but long enough to hold a header of one " * 40)
    assert np.array_equal(compute(material_of(), tmp_path, cpu), expected)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed_and_the_file_made_again(
    material_of: MaterialOf, cpu: Device, tmp_path: Path, where: float, bit: int
) -> None:
    expected = np.array(compute(material_of(), tmp_path, cpu))
    (file,) = tmp_path.glob("*.npy")
    content = bytearray(file.read_bytes())
    good = bytes(content)
    content[int(where * len(content))] ^= 1 << bit
    file.write_bytes(content)
    assert np.array_equal(compute(material_of(), tmp_path, cpu), expected)
    assert file.read_bytes() == good


def test_the_checksum_is_compared_once_a_process(
    material_of: MaterialOf, cpu: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = compute(material_of(), tmp_path, cpu)
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    monkeypatch.setattr("hashlib.sha256", lambda: pytest.fail("read again"))
    (file,) = tmp_path.glob("*.npy")
    assert np.array_equal(matrix_file.read_matrix(file, 96), found)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_of_features_that_could_not_be_made(
    material_of: MaterialOf, cpu: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(features_module, "predict", fail)
    with pytest.raises((InputError, KeyboardInterrupt)) as raised:
        compute(material_of(), tmp_path, cpu)
    assert isinstance(raised.value, KeyboardInterrupt) or "No space left" in str(raised.value)
    assert [file.name for file in tmp_path.iterdir()] == ["locks"]


def test_features_that_are_not_finite_are_not_kept(
    material_of: MaterialOf, cpu: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features_module, "pooled", lambda *_: torch.full((1, 4), float("nan")))
    with pytest.raises(TrainingError, match="not finite"):
        compute(material_of(), tmp_path, cpu, batch_size=1)
    assert not list(tmp_path.glob("*.*"))


def test_of_several_at_once_one_computes(
    material_of: MaterialOf, cpu: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads here, each with a lock of its own, as processes have."""
    material, computed = material_of(), []
    plain: Any = vars(features_module)["predict"]

    def slow(*arguments: Any) -> Any:
        computed.append(1)
        time.sleep(0.2)
        return plain(*arguments)

    monkeypatch.setattr(features_module, "predict", slow)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: compute(material, tmp_path, cpu), range(4)))
    assert len(computed) == 1
    assert all(np.array_equal(one, found[0]) for one in found)


def test_a_process_that_died_while_making_holds_no_one_up(material_of: MaterialOf, cpu: Device, tmp_path: Path) -> None:
    expected = np.array(compute(material_of(), tmp_path / "other", cpu))
    key = next((tmp_path / "other").glob("*.npy")).name
    code = (
        "import os, sys; from pathlib import Path; from hadamard_glue.cache import making\n"
        f"with making(Path({str(tmp_path / key)!r})): os._exit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 1
    assert np.array_equal(compute(material_of(), tmp_path, cpu), expected)


def test_other_content_precision_or_batch_size_has_a_file_of_its_own(
    material_of: MaterialOf, cpu: Device, tmp_path: Path
) -> None:
    compute(material_of(), tmp_path, cpu)
    compute(material_of(), tmp_path, cpu, content="y")
    compute(material_of(), tmp_path, cpu, batch_size=8)
    compute(material_of(), tmp_path, Device(torch.device("cpu"), "bf16"))
    assert len(list(tmp_path.glob("*.npy"))) == 4


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch_size=st.integers(1, 120), seed=st.one_of(st.none(), st.integers(0, 2**32)))
def test_features_come_in_the_order_of_the_text(material_of: MaterialOf, batch_size: int, seed: int | None) -> None:
    text = material_of().train
    values = np.arange(96, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    rows = FeatureRows(text.encoded, values)

    def order(rng: np.random.Generator | None) -> tuple[list[Any], list[Any]]:
        return list(text.batches(batch_size, rng)), list(
            rows.batches(batch_size, None if seed is None else np.random.default_rng(seed))
        )

    of_text, of_features = order(None if seed is None else np.random.default_rng(seed))
    assert len(rows) == len(text) == 96
    assert len(of_text) == len(of_features)
    for (one, batch), (two, features) in zip(of_text, of_features, strict=True):
        assert np.array_equal(one, two)
        assert torch.equal(batch["labels"], features["labels"])
        assert features["features"][:, 0].tolist() == two.tolist()
    assert sorted(np.concatenate([indices for indices, _ in of_features])) == list(range(96))


@pytest.mark.parametrize("task", ["sst2", "stsb"])
def test_cached_and_live_stage_1_are_the_same_without_dropout(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, task: str
) -> None:
    material = material_of("bert_without_dropout", task)
    cached, live = (
        run_stages(
            make_config(task=task, method="classifier", stage1__epochs=3, stage1__features=features), material, cpu
        )
        for features in ("cached", "live")
    )
    for one, two in zip(cached.history, live.history, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], abs=1e-5)
    np.testing.assert_allclose(cached.logits["dev"], live.logits["dev"], atol=1e-4)


def test_live_features_see_dropout(make_config: MakeConfig, material_of: MaterialOf, cpu: Device) -> None:
    cached, live = (
        run_stages(make_config(method="classifier", stage1__features=features), material_of(), cpu).history[0]["loss"]
        for features in ("cached", "live")
    )
    assert abs(cached - live) > 1e-6


def test_live_features_need_no_cache(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, tmp_path: Path
) -> None:
    material = dataclasses.replace(material_of(), feature_folder=tmp_path / "features")
    run_stages(make_config(method="classifier", stage1__features="live"), material, cpu)
    assert not material.feature_folder.exists()
    run_stages(make_config(method="classifier"), material, cpu)
    assert len(list(material.feature_folder.glob("*.npy"))) == 2  # train and dev
