"""The pretraining script at width 16: what it writes is a backbone, and the same seed writes it again."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hadamard_glue.backbones.loading import Located, load, load_tokenizer, locate
from hadamard_glue.config import BackboneConfig
from hadamard_glue.demo.corpus import documents

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
FAMILIES = ("bert", "roberta", "bart", "deberta", "electra")
SMALL = ("--steps", "3", "--width", "16", "--layers", "2", "--batch", "16", "--documents", "400")


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        patch.setattr(torch, "set_num_threads", lambda threads: None)  # the suite has set it already
        yield importlib.import_module("pretrain_demo")
        for name in [name for name in sys.modules if name.partition(".")[0] in ("pretrain_demo", "pretraining")]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def made(script: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all five families."""
    folder = tmp_path_factory.mktemp("demo")
    assert script.main([*SMALL, "--to", str(folder)]) == 0
    return folder


def located(folder: Path) -> Located:
    return locate(BackboneConfig(name="custom", path=str(folder)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_a_whole_backbone_with_a_card(made: Path, family: str) -> None:
    found = located(made / family)
    assert found.family == family
    backbone = load(found, num_labels=3)
    assert len(backbone.anatomy.layers) == 2
    assert not [name for name in backbone.anatomy.backbone if "lm_head" in name or "cls.predictions" in name]
    card = (made / family / "README.md").read_text(encoding="utf-8")
    assert "demo, synthetic" in card
    assert "--steps 3 --seed 1 --threads 1 --width 16" in card
    assert sorted(path.name for path in made.iterdir()) == sorted(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_single_tokens_wherever_they_stand(made: Path, family: str) -> None:
    tokenizer = load_tokenizer(located(made / family))
    words = sorted({word for pair in documents(1, 400) for text in pair if text for word in text.split()})
    assert len(words) > 300
    assert [word for word in words if len(tokenizer.tokenize(word)) != 1] == []
    first, second = " ".join(words[-4:]), " ".join(words[-9:-6])
    separators = 4 if family in ("roberta", "bart") else 3
    ids = tokenizer(first, second)["input_ids"]
    assert len(ids) == len(first.split()) + len(second.split()) + separators
    assert ids[1:5] == tokenizer(f"{words[-5]} {first}")["input_ids"][2:6]


def test_the_same_seed_writes_the_same_weights_and_another_seed_others(script: Any, made: Path, tmp_path: Path) -> None:
    for seed in ("1", "2"):
        assert script.main([*SMALL, "--to", str(tmp_path / seed), "--seed", seed]) == 0
    for family in FAMILIES:
        weights, *others = ((folder / family) for folder in (made, tmp_path / "1", tmp_path / "2"))
        for name in ("model.safetensors", "tokenizer.json", "config.json"):
            assert (weights / name).read_bytes() == (others[0] / name).read_bytes(), (family, name)
        assert (weights / "model.safetensors").read_bytes() != (others[1] / "model.safetensors").read_bytes()


def test_a_family_that_exists_is_replaced(script: Any, tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "left.txt").touch()
    assert script.main([*SMALL, "bert", "--to", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["bert"]
    assert not (tmp_path / "bert" / "left.txt").exists()


@pytest.mark.parametrize("wrong", [["gpt"], ["--width", "20"], ["--steps", "0"], ["--lr", "-1"]])
def test_wrong_options_are_refused(script: Any, wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        script.main(wrong)
    assert wrong[-1] in capsys.readouterr().err or wrong[0].startswith("--")


def batch_of(ids: list[list[int]], first: int = 0, visit: int = 0) -> Any:
    from pretraining.text import Batch  # type: ignore[import-not-found,unused-ignore]

    return Batch(torch.tensor(ids), None, np.arange(first, first + len(ids)), visit)


#: Every word of 100 follows every other one as often.
NEIGHBOURS = torch.ones(100, 100)


def test_masks_follow_document_and_visit(script: Any) -> None:
    objectives = importlib.import_module("pretraining.objectives")
    text = [[0, *range(10, 40), 2]] * 400
    masked, shown = objectives.masked_ids(batch_of(text), 4, NEIGHBOURS, seed=1, visit=0)
    alone, _ = objectives.masked_ids(batch_of(text[:1], first=7), 4, NEIGHBOURS, seed=1, visit=0)
    later, _ = objectives.masked_ids(batch_of(text), 4, NEIGHBOURS, seed=1, visit=1)
    assert torch.equal(alone[0], masked[7])
    assert not torch.equal(later, masked)
    assert not masked[:, [0, -1]].any()
    assert abs(masked[:, 1:-1].float().mean().item() - objectives.MASKED) < 0.01
    assert abs((shown == 4).sum() / masked.sum() - objectives.HIDDEN).item() < 0.03
    wrong = (shown != batch_of(text).ids) & (shown != 4)
    assert abs(wrong.sum() / masked.sum() - objectives.REPLACED).item() < 0.03
    assert torch.equal(shown[~masked], batch_of(text).ids[~masked])


def test_infilling_puts_one_mask_for_a_span(script: Any) -> None:
    objectives = importlib.import_module("pretraining.objectives")
    batch = batch_of([[0, *range(10, 40), 2]] * 400)
    covered, shown, wrong = objectives.infilled_ids(batch, 4, 1, NEIGHBOURS, seed=1, visit=0)
    assert abs(covered[:, 1:-1].float().mean().item() - objectives.INFILLED) < 0.02
    empty = 0
    lists = (batch.ids.tolist(), covered.tolist(), shown.tolist(), wrong.tolist())
    for row, hidden, given, replaced in zip(*lists, strict=True):
        kept = [(token, other) for token, other in zip(given, replaced, strict=True) if token not in (1, 4)]
        left = [token for token, gone in zip(row, hidden, strict=True) if not gone]
        assert [token != own for (token, _), own in zip(kept, left, strict=True)] == [other for _, other in kept]
        spans = sum(gone and not before for gone, before in zip(hidden, [False, *hidden], strict=False))
        assert given.count(4) >= spans
        empty += given.count(4) - spans
    assert 0 < empty < 400
