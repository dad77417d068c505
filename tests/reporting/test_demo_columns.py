"""Tables of the demo world and of random weights: golden files, and the two columns that only they have.

After a wanted change: ``HADAMARD_GLUE_UPDATE_GOLDEN=1 pytest tests/reporting``, then read the diff.
"""
# ruff: noqa: RUF001  (typographic characters are meant)

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.reporting import shortcuts
from hadamard_glue.reporting.aggregate import cells
from hadamard_glue.reporting.tables import main_csv, main_sheet, main_table, write_tables

from .records import record, write

GOLDEN = Path(__file__).parent / "golden" / "demo"
LEVELS = {"full": 0.9, "lora": 0.85, "hadamard": 0.75, "classifier": 0.6}
RANDOM = {"full": 0.7, "classifier": 0.55}
DEMO = {"kind": "demo", "path": None, "revision": None, "rows": {"train": 1500, "dev": 500}}


def block(backbone: str, levels: dict[str, float], weights: str | None = None, **more: Any) -> list[dict[str, Any]]:
    """Records of every task for one backbone; ``weights="random"`` names and marks it as runs do."""
    family = "bert" if "bert" in backbone else "bart"
    name = f"{backbone}-random" if weights else backbone
    marked: dict[str, Any] = {"weights": weights} if weights else {}
    described = {"name": name, "family": family, "digest": "cd" * 32 if weights else "ab" * 32, **marked}
    settings: dict[str, Any] = {"data": DEMO, "spec": {"backbone": described}, **more}
    return [
        record(level, backbone=name, family=family, method=method, task=task, **settings)
        for method, level in levels.items()
        for task in TASKS
    ]


def example() -> list[dict[str, Any]]:
    """Two demo backbones, one with controls; full fine-tuning of the other does not beat its classifier."""
    collapsed = block("demo_bert", {"classifier": 0.55}, "random")
    collapsed[0]["flags"] = ["collapsed"]
    return [
        *block("demo_bert", LEVELS),
        *block("demo_bert", {"full": 0.7}, "random"),
        *collapsed,
        *block("demo_bart", {"full": 0.5, "hadamard": 0.55, "classifier": 0.6}),
    ]


def plain(level: float = 0.0) -> list[dict[str, Any]]:
    """Real rows, pretrained weights."""
    return [record(score + level, method=method, task=task) for method, score in LEVELS.items() for task in TASKS]


def notes_of(records: list[dict[str, Any]]) -> str:
    return " ".join(text for _, text in main_sheet(main_table(records)).notes)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    write(results / "records", example())
    write_tables(results)
    return results / "tables"


@pytest.mark.parametrize("name", ["main.txt", "main.csv", "main.md", "main.tex", "parameters.csv", "parameters.md"])
def test_file_is_the_golden_one(tables: Path, name: str) -> None:
    written = (tables / name).read_bytes()
    if os.environ.get("HADAMARD_GLUE_UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / name).write_bytes(written)
    assert written.decode() == (GOLDEN / name).read_bytes().decode()


def test_every_file_says_demo_synthetic(tables: Path) -> None:
    for path in tables.iterdir():
        assert "demo, synthetic" in path.read_text(encoding="utf-8").splitlines()[
            1 if path.suffix == ".csv" else 0
        ] or (path.suffix == ".tex" and "(demo, synthetic)" in path.read_text(encoding="utf-8")), path


def test_what_words_alone_reach_stands_beside(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.read_csv(tables / "shortcuts.csv").set_index("answer")
    assert list(frame.columns) == ["source", *TASKS]
    scores: dict[Any, dict[str, Any]] = frame.T.to_dict()
    constant, words = scores["best constant answer"], scores["bag of words"]
    assert constant["mrpc"] > 75  # F1 of "yes" to everything
    assert constant["cola"] == constant["stsb"] == 0
    assert words["rte"] > constant["rte"]

    def again(*arguments: object) -> None:
        raise AssertionError("measured, although kept")

    monkeypatch.setattr(shortcuts, "shortcut_score", again)
    assert_frame_equal(shortcuts.shortcuts_frame().set_index("answer"), frame)


def test_the_columns_of_a_block() -> None:
    frame = main_table(example()).frame.set_index(["backbone", "method"])
    bert, bart = frame.loc["demo_bert"], frame.loc["demo_bart"]
    assert bert["average"].to_dict() == {"full": 90.0, "lora": 85.0, "hadamard": 75.0, "classifier": 60.0}
    assert bert["random_average"].dropna().to_dict() == {"full": 70.0, "classifier": 55.0}
    assert bert["gap_closed"].to_dict() == {
        "full": 100.0, "lora": pytest.approx(83.3333), "hadamard": 50.0, "classifier": 0.0,
    }  # fmt: skip
    assert bart[["random_average", "gap_closed"]].isna().all().all()
    assert list(frame.index.get_level_values("backbone").unique()) == ["demo_bert", "demo_bart"]


def test_notes_say_what_the_columns_are() -> None:
    notes = notes_of(example())
    assert "Random weights: the same method's average over the same tasks on the same architecture" in notes
    assert "before pretraining (seed 1), where all eight are there. Predicting one class or score for" in notes
    assert "every row: 1 of these 16 runs." in notes
    assert "Gap closed: (method - classifier only) / (full fine-tuning - classifier only)" in notes
    assert "Blank in demo_bart, where full fine-tuning is not above the classifier." in notes
    assert "Collapsed" not in notes  # of a control: counted in its own note


def test_controls_under_other_settings_are_told() -> None:
    controls = block("demo_bert", RANDOM, "random")
    for control in controls:
        control["spec"]["batch_size"] = 8
    assert "They differ from the row beside them in batch_size, too." in notes_of(
        [*block("demo_bert", LEVELS), *controls]
    )
    assert "They differ" not in notes_of(example())


def test_a_column_waits_until_it_can_be_filled() -> None:
    fewer = [entry for entry in block("demo_bert", RANDOM, "random") if entry["spec"]["task"] != "rte"]
    table = main_table([*block("demo_bert", {"hadamard": 0.7, "classifier": 0.6}), *fewer])
    assert not {"random_average", "gap_closed"} & set(table.frame)
    assert not [note for note in table.notes if note.text.startswith(("Random", "Gap"))]


def test_random_weights_alone_are_a_block() -> None:
    table = main_table(block("demo_bert", RANDOM, "random"))
    assert table.frame["backbone"].unique().tolist() == ["demo_bert-random"]
    assert "random_average" not in table.frame


def test_real_rows_have_the_gap_beside_random_weights_alone() -> None:
    table = main_table(plain())
    assert table.caption == "GLUE development scores × 100 by backbone and method."
    assert not {"source", "random_average", "gap_closed"} & set(table.frame)
    control = block("bert_base", RANDOM, "random", data=None)
    with_control = main_table([*plain(), *control])
    assert with_control.frame["gap_closed"].notna().all()
    assert "source" not in with_control.frame
    rest = with_control.frame.drop(columns=["random_average", "gap_closed"])
    assert_frame_equal(rest, table.frame)


def test_real_and_demo_rows_in_one_folder() -> None:
    table = main_table([*plain(), *example()])
    assert table.caption.startswith("GLUE and demo tasks (demo, synthetic): ")
    assert table.frame.groupby("backbone")["source"].unique().map(list).to_dict() == {
        "bert_base": ["directory"], "demo_bert": ["demo, synthetic"], "demo_bart": ["demo, synthetic"],
    }  # fmt: skip
    assert "Data source: demo, synthetic; directory." in notes_of([*plain(), *example()])


def test_the_tidy_form_keeps_every_backbone() -> None:
    frame = cells(example())
    assert frame.columns[0] == "source"
    assert set(frame["source"]) == {"demo, synthetic"}
    assert set(frame["backbone"]) == {"demo_bert", "demo_bert-random", "demo_bart"}
    assert cells(plain()).columns[0] == "backbone"


def test_csv_reads_back() -> None:
    frame = pd.read_csv(io.StringIO(main_csv(main_table(example()))))
    assert frame["source"].unique().tolist() == ["demo, synthetic"]
    names = list(frame.columns)
    start = names.index("average")
    assert names[start : start + 4] == ["average", "random_average", "gap_closed", "trained"]
