"""Fixtures that every test may use; the builders behind them are in tiny.py."""

from __future__ import annotations

import os

# Read by libraries when they are imported, so set before any of them is. No test reaches the network.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    WANDB_MODE="offline",
    WANDB_SILENT="true",
    TOKENIZERS_PARALLELISM="false",
)
# The models here are so small that more threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import tiny

from hadamard_glue.config import RunConfig

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("untimed")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test touches the user's cache; the tests of one session share one that starts empty."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HADAMARD_GLUE_CACHE", str(folder))
        patch.setenv("WANDB_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-layer BERT, pooler included, and its tokenizer."""
    return tiny.save_bert(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="session")
def tiny_bert_without_pooler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same BERT as a masked language model's checkpoint: no pooler, a language head instead."""
    return tiny.save_bert(tmp_path_factory.mktemp("models") / "tiny-bert-mlm", pooler=False)


@pytest.fixture(scope="session")
def tiny_bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random BART of two encoder and two decoder layers, and its tokenizer."""
    return tiny.save_bart(tmp_path_factory.mktemp("models") / "tiny-bart")


@pytest.fixture(scope="session")
def tiny_models(
    tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, tiny_bert_without_pooler: Path, tiny_bart: Path
) -> dict[str, Path]:
    """The tiny backbones by kind, one of each anatomy: the keys of :data:`tiny.BUILDERS`."""
    made = {"bert": tiny_bert, "bert_without_pooler": tiny_bert_without_pooler, "bart": tiny_bart}
    folder = tmp_path_factory.mktemp("models")
    return {kind: made.get(kind) or build(folder / f"tiny-{kind}") for kind, build in tiny.BUILDERS.items()}


@pytest.fixture(scope="session")
def tiny_glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GLUE directory of all eight tasks in the official files, 96 training and 48 dev rows each."""
    return tiny.write_glue(tmp_path_factory.mktemp("glue"))


@pytest.fixture(scope="session")
def make_config(tiny_bert: Path, tiny_glue: Path) -> Callable[..., RunConfig]:
    """``make_config(method="lora", stage2__lr=1e-2, ...)``: a checked config, see :func:`tiny.plain_config`."""
    from hadamard_glue.config import check

    def make(**overrides: Any) -> RunConfig:
        return check(tiny.plain_config(**{"backbone": tiny_bert, "source": tiny_glue, **overrides}))

    return make


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of small pretrained backbones (``bert-tiny``, ...): HADAMARD_GLUE_MODELS, else ../shared/models."""
    return _shared("HADAMARD_GLUE_MODELS", "models")


@pytest.fixture(scope="session")
def shared_glue() -> Path:
    """The folder of real GLUE rows: HADAMARD_GLUE_DATA, else ../shared/glue."""
    return _shared("HADAMARD_GLUE_DATA", "glue")


def _shared(variable: str, name: str) -> Path:
    folder = Path(os.environ.get(variable) or SHARED / name)
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent ({variable} may name another)")
    return folder
