"""The demo world's files: every label by an independent checker, bytes, splits, balance, domains and shortcuts."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hadamard_glue.demo.acceptability import VIOLATIONS, sentence, violation
from hadamard_glue.demo.draw import Draw
from hadamard_glue.demo.files import SEED, digest_of, write_demo
from hadamard_glue.demo.shortcuts import shortcut_score
from hadamard_glue.demo.tasks import DEMO_TASKS, Row, rows
from hadamard_glue.glue.directory import read_directory
from hadamard_glue.glue.metrics import score
from hadamard_glue.glue.tasks import TASKS

from .judge import label
from .reader import KINDS_OF_VIOLATION, domains, is_acceptable, violations

SEEDS = (SEED, 1, 77)
#: The first line of every official file; CoLA has none.
HEADERS = {
    "sst2": "sentence label", "mrpc": "Quality, #1 ID, #2 ID, #1 String, #2 String",
    "stsb": "index genre filename year old_index source1 source2 sentence1 sentence2 score",
    "qqp": "id qid1 qid2 question1 question2 is_duplicate", "mnli": "index sentence1 sentence2 gold_label",
    "qnli": "index question sentence label", "rte": "index sentence1 sentence2 label",
}  # fmt: skip

rows_of = functools.cache(rows)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The frozen world, written anew."""
    folder = tmp_path_factory.mktemp("world")
    write_demo(folder)
    return folder


@pytest.fixture(params=list(DEMO_TASKS))
def name(request: pytest.FixtureRequest) -> str:
    """Every task in turn."""
    return str(request.param)


def all_rows(name: str, seed: int) -> list[Row]:
    return [row for split in rows_of(name, seed).values() for row in split]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_label_is_the_checkers(name: str, seed: int) -> None:
    wrong = [(texts, given, label(name, texts)) for texts, given in all_rows(name, seed) if label(name, texts) != given]
    assert wrong == []


@pytest.mark.parametrize("seed", SEEDS)
def test_every_unacceptable_sentence_breaks_one_rule(seed: int) -> None:
    kinds = [violations(texts[0]) for texts, given in all_rows("cola", seed) if given == "0"]
    assert {len(found) for found in kinds} == {1}
    assert {kind for found in kinds for kind in found} == set(VIOLATIONS)


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_a_violation_breaks_the_rule_it_is_named_after(kind: str) -> None:
    draw = Draw(5)
    assert kind in KINDS_OF_VIOLATION
    for _ in range(400):
        text = violation(draw, kind)
        assert not is_acceptable(text), text
        assert violations(text) == [kind], text


def test_a_sentence_breaks_no_rule() -> None:
    draw = Draw(6)
    assert all(is_acceptable(sentence(draw)) for _ in range(1000))


def test_mismatched_rows_are_about_the_sea() -> None:
    splits = rows_of("mnli", SEED)
    for split, own in (("train", "land"), ("dev_matched", "land"), ("dev_mismatched", "sea")):
        about = [set.union(*map(domains, texts)) for texts, _ in splits[split]]
        assert set.union(*about) == {own}
        assert sum(found == {own} for found in about) > 0.9 * len(about)  # the others name kinds alone


def test_no_row_stands_in_two_splits_or_twice(name: str) -> None:
    for seed in SEEDS:
        texts = [texts for texts, _ in all_rows(name, seed)]
        assert len(set(texts)) == len(texts)


def test_sizes_and_label_shares(name: str) -> None:
    made, splits = DEMO_TASKS[name], rows_of(name, SEED)
    assert list(splits) == ["train", *TASKS[name].splits]
    for split, found in splits.items():
        wanted = made.train if split == "train" else made.dev
        assert len(found) == wanted
        assert 1000 <= wanted <= 2000 if split == "train" else 450 <= wanted <= 550
        for given, share in made.labels:
            assert abs(sum(row[1] == given for row in found) - share * wanted) <= 1
    assert sum(share for _, share in made.labels) == pytest.approx(0 if TASKS[name].regression else 1)


def test_similarities_fill_the_scale() -> None:
    scores = np.array([float(given) for _, given in rows_of("stsb", SEED)["train"]])
    assert (scores.min(), scores.max()) == (0, 5)
    assert scores.std() > 1


def test_the_directory_reads_the_files_as_rows(name: str, world: Path) -> None:
    task = TASKS[name]
    read = read_directory(task, str(world))
    for split, expected in rows_of(name, SEED).items():
        found = read[split]
        columns = [found.first] if found.second is None else [found.first, found.second]
        assert [*zip(*columns, strict=True)] == [texts for texts, _ in expected]
        if task.regression:
            np.testing.assert_allclose(found.labels, [float(given) for _, given in expected])
        else:
            assert [task.file_labels[index] for index in found.labels] == [given for _, given in expected]


def test_files_have_the_official_columns(name: str, world: Path) -> None:
    paths = sorted((world / TASKS[name].folder).iterdir())
    assert [path.name for path in paths] == sorted(f"{stem}.tsv" for stem in ("train", *TASKS[name].splits.values()))
    for path in paths:
        content = path.read_bytes()
        lines = content.decode("ascii").removesuffix("\n").split("\n")
        assert b"\r" not in content
        if name != "cola":
            header = HEADERS[name].split(", " if name == "mrpc" else " ")
            assert lines[0].split("\t") == header
        assert {line.count("\t") for line in lines} == {3 if name == "cola" else len(header) - 1}


def test_a_seed_is_a_world(world: Path, tmp_path: Path) -> None:
    for folder, seed in (("again", SEED), ("other", SEED + 1)):
        write_demo(tmp_path / folder, seed)
    assert digest_of(tmp_path / "again") == digest_of(world)
    for path in sorted(world.rglob("*.tsv")):
        place = path.relative_to(world)
        assert (tmp_path / "again" / place).read_bytes() == path.read_bytes()
        assert (tmp_path / "other" / place).read_bytes() != path.read_bytes()


def test_hash_randomisation_changes_nothing(world: Path, tmp_path: Path) -> None:
    code = "import sys, pathlib; from hadamard_glue.demo.files import write_demo; write_demo(pathlib.Path(sys.argv[1]))"
    for hash_seed in ("1", "2"):
        folder = tmp_path / hash_seed
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run([sys.executable, "-c", code, str(folder)], env=environment, check=True)
        assert digest_of(folder) == digest_of(world)


def test_words_alone_do_not_solve_a_task(name: str, world: Path) -> None:
    task = TASKS[name]
    splits = read_directory(task, str(world))
    for split in task.splits:
        found = shortcut_score(task, splits["train"], splits[split])
        if task.regression:
            assert found < 0.65
            continue
        labels = splits[split].labels
        constant = max(
            score(task, np.full(len(labels), given), labels)[task.headline] for given in set(labels.tolist())
        )
        assert found < constant + (0.1 if task.headline == "f1" else 0.2)
