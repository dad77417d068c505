"""The main table and the table of parameters."""
# ruff: noqa: RUF001  (typographic characters are meant)

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hadamard_glue.errors import InputError
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.reporting.latex import latex
from hadamard_glue.reporting.markdown import markdown
from hadamard_glue.reporting.parameters import parameters_frame, parameters_sheet
from hadamard_glue.reporting.sheet import Block, Column, Row, Sheet, Shown, percent, tenths, with_ranks
from hadamard_glue.reporting.tables import main_csv, main_sheet, main_table, write_parameters, write_tables
from hadamard_glue.reporting.terminal import terminal

from .example import example
from .records import record, write


def rows_of(records: list[dict[str, Any]]) -> dict[str, Row]:
    """The shown rows of a table of one backbone, by label."""
    (block,) = main_sheet(main_table(records)).blocks
    return {row.label: row for row in block.rows}


def notes_of(records: list[dict[str, Any]]) -> dict[str, str]:
    """Marked notes by mark; those on the whole table together under the empty mark."""
    notes: dict[str, str] = {}
    for mark, text in main_sheet(main_table(records)).notes:
        notes[mark] = f"{notes[mark]} {text}" if mark in notes else text
    return notes


def sst2(row: Row) -> Shown:
    return row.cells[list(TASKS).index("sst2")]


class TestRanks:
    @given(st.lists(st.none() | st.floats(-100, 100), max_size=8))
    def test_marks_are_those_of_the_printed_numbers(self, numbers: list[float | None]) -> None:
        column = [Shown("-" if number is None else tenths(number)) for number in numbers]
        shown = with_ranks(column, numbers)
        printed = sorted({float(cell.text) for cell in column if cell.text != "-"}, reverse=True)
        for cell in shown:
            if cell.text == "-" or sum(number is not None for number in numbers) < 2:
                assert cell.rank == ""
            else:
                place = printed.index(float(cell.text))
                assert cell.rank == ("best", "second", *[""] * 8)[place]

    def test_ties_share_the_mark(self) -> None:
        rows = rows_of([record(0.5001, method="full"), record(0.4999, method="lora"), record(0.4, method="bitfit")])
        assert [sst2(row).rank for row in rows.values()] == ["best", "best", "second"]

    def test_blocks_are_compared_apart(self) -> None:
        records = [record(score, backbone=backbone, method=method)
                   for backbone, level in (("bert_base", 0.2), ("bart_base", 0.8))
                   for method, score in (("full", level), ("lora", level - 0.1))]  # fmt: skip
        ranks = [[sst2(row).rank for row in block.rows] for block in main_sheet(main_table(records)).blocks]
        assert ranks == [["best", "second"]] * 2


class TestCells:
    def test_average_needs_all_eight(self) -> None:
        records = [record(0.1 * (index + 1), task=task) for index, task in enumerate(TASKS)]
        assert main_table(records).frame["average"].tolist() == [pytest.approx(45.0)]
        assert main_table(records[:-1]).frame["average"].isna().all()
        failed = [*records[:-1], record(None, task="rte")]
        assert main_table(failed).frame["average"].isna().all()

    def test_average_takes_mnli_matched(self) -> None:
        records = [record(0.5, task=task, others={("dev_mismatched", "accuracy"): 0.0}) for task in TASKS]
        assert main_table(records).frame["average"].tolist() == [50.0]

    def test_empty_cells_say_why(self) -> None:
        records = [record(0.5, task="cola"), record(None, error="RuntimeError: loss is nan")]
        (row,) = rows_of(records).values()
        assert sst2(row) == Shown("failed", marks=("a",))
        assert row.cells[-4].text == "—"
        notes = notes_of(records)
        assert notes["a"] == "Failed: bert_base Hadamard adapter SST-2 seed 1: RuntimeError: loss is nan"
        assert "A dash marks what was not run." in notes[""]

    def test_one_reason_is_told_once(self) -> None:
        records = [record(None, task=task, seed=seed, error=f"E{seed}") for task in TASKS for seed in (1, 2)]
        notes = notes_of(records)
        assert sorted(notes) == ["", "a", "b"]
        assert {cell.marks for cell in rows_of(records)["Hadamard adapter"].cells[:8]} == {("a", "b")}

    def test_partly_failed_keeps_its_number_and_says_so(self) -> None:
        records = [record(0.5, seed=1), record(0.7, seed=2), record(None, seed=3)]
        (row,) = rows_of(records).values()
        assert sst2(row) == Shown("60.0", "14.1", marks=("a",))
        assert main_table(records).frame["sst2_status"].tolist() == ["done; failed (seed 3)"]

    def test_n_is_shown_where_it_is_unusual(self) -> None:
        records = [record(0.5, task=task, seed=seed) for task in ("cola", "sst2", "rte") for seed in (1, 2)]
        (row,) = rows_of(records[:-1]).values()
        assert [cell.count for cell in row.cells[:8]] == ["", "", "", "", "", "", "", "1"]
        assert "n = 2 seeds, or as many as stand in brackets" in notes_of(records[:-1])[""]
        assert "n = 2 seeds (1, 2)." in notes_of(records)[""]
        assert "One seed (1), so no standard deviation." in notes_of(records[:1])[""]

    def test_collapsed_is_marked_beside_its_number(self) -> None:
        records = [record(0.5, seed=1), record(0.5, seed=2, flags=["collapsed"])]
        (row,) = rows_of(records).values()
        assert sst2(row) == Shown("50.0", "0.0", marks=("†",))
        assert notes_of(records)["†"].endswith("bert_base Hadamard adapter SST-2 seed 2.")

    def test_negative_zero_is_zero(self) -> None:
        (row,) = rows_of([record(-0.0001, task="cola")]).values()
        assert row.cells[0].text == "0.0"

    def test_range_of_trained_parameters(self) -> None:
        records = [record(0.5, task="cola", trained=24_576), record(0.5, task="rte")]
        (row,) = rows_of(records).values()
        assert [cell.text for cell in row.cells[-2:]] == ["24,576–36,864", "0.022–0.034"]


class TestNotes:
    def test_best_dev_is_called_optimistic(self) -> None:
        some = [record(0.5, task="cola", spec={"selection": "best_dev"}), record(0.5)]
        assert notes_of(some)["§"].startswith("Optimistic")
        (row,) = rows_of(some).values()
        assert row.cells[0].marks == ("§",)
        assert sst2(row).marks == ()
        everywhere = notes_of(some[:1])
        assert "§" not in everywhere
        assert "Optimistic" in everywhere[""]

    def test_mixed_precision_is_marked_on_the_fewer(self) -> None:
        records = [record(0.5, task=task, precision="bf16" if task == "rte" else "float32") for task in TASKS]
        assert notes_of(records)["‡"] == "Computed in bf16, the other cells in float32."
        (row,) = rows_of(records).values()
        assert [cell.marks for cell in row.cells[6:8]] == [(), ("‡",)]
        assert "‡" not in notes_of(records[:-1])

    def test_sources_and_rows(self) -> None:
        hub = {"kind": "hub", "revision": "0123456789abcdef", "rows": {"train": 2490}}
        records = [record(0.5, task="cola"), record(0.5, task="rte", data=hub)]
        text = notes_of(records)[""]
        assert "Data source: directory; hub at revision 01234567. Training rows: CoLA 4,000, RTE 2,490." in text
        assert "Data source: demo, synthetic." in notes_of([record(0.5, data={"kind": "demo"})])[""]

    def test_what_is_not_comparable_is_said(self) -> None:
        other = {
            "data": {"fingerprint": "cd" * 32},
            "backbone": {"name": "bert_base", "family": "bert", "digest": "ef" * 32},
        }
        records = [
            record(0.5, task="cola"),
            record(0.5, task="rte", spec={"method": {"name": "hadamard", "layers": [0, 1]}}),
            record(0.5, method="full"),
            record(0.5, method="lora", spec=other),
        ]
        text = notes_of(records)[""]
        assert "Hadamard adapter differs between cells in method.layers ('all', [0, 1])." in text
        assert "Not all cells read the same rows in SST-2" in text
        assert "Not all cells start from the same weights in bert_base." in text


class TestFormats:
    def test_csv_has_plain_numbers(self) -> None:
        frame = pd.read_csv(io.StringIO(main_csv(main_table([record(0.5, seed=1), record(0.7, seed=2)]))))
        row = frame.iloc[0]
        assert (row["sst2_accuracy"], row["sst2_n"], row["trained"], row["percent"]) == (60.0, 2, 36864, 0.033671)
        assert row["sst2_std"] == pytest.approx(14.1421)
        assert row["rte_status"] == "not run"

    @given(st.text(st.characters(codec="utf-8"), max_size=30), st.text(st.characters(codec="utf-8"), max_size=30))
    def test_any_name_and_error_keeps_the_shape(self, backbone: str, error: str) -> None:
        records = [record(0.5, backbone=backbone), record(None, backbone=backbone, task="rte", error=error)]
        sheet = main_sheet(main_table(records))
        tex = latex(sheet)
        assert tex.isascii()
        assert tex.count("\\\\\n") == 3 + bool(backbone)
        rows = [line for line in markdown(sheet).splitlines() if line.startswith("| Hadamard")]
        assert len(rows) == 1
        assert rows[0].count(" | ") == 11

    @given(st.lists(st.integers(1, 50), min_size=1, max_size=15))
    def test_latex_splits_what_no_page_holds_between_blocks(self, sizes: list[int]) -> None:
        row = Row("method", (Shown("1"),))
        blocks = tuple(Block(f"backbone{index}.", (row,) * size) for index, size in enumerate(sizes))
        tex = latex(Sheet("name", "Caption.", "Method", (Column("Score"),), blocks))
        floats = tex.split(r"\begin{table*}")[1:]
        held = [[index for index in range(len(sizes)) if f"backbone{index}." in part] for part in floats]
        assert [index for part in held for index in part] == list(range(len(sizes)))
        for part in held:
            assert len(part) == 1 or sum(sizes[index] + 2 for index in part) <= 40
        labels = [part.partition(r"\label{")[2].partition("}")[0] for part in floats]
        assert labels == ["tab:name", *(f"tab:name-{number}" for number in range(2, len(floats) + 1))]

    def test_terminal_lines_are_aligned(self) -> None:
        lines = terminal(main_sheet(main_table(example()))).splitlines()
        rules = {len(line) for line in lines if line.startswith("---")}
        assert len(rules) == 1
        titles = {line for line in lines if line.startswith("Method")}
        assert len(titles) == 1

    @pytest.mark.parametrize(
        ("value", "expected"), [(0, "0"), (100, "100"), (0.0336712, "0.034"), (0.000123, "0.00012"), (2.1732, "2.173")]
    )
    def test_percent(self, value: float, expected: str) -> None:
        assert percent(value) == expected


class TestParameters:
    ROW: ClassVar[dict[str, Any]] = {
        "backbone": "bert_base",
        "method": "hadamard",
        "adapter": 18432,
        "norm": 18432,
        "bias": 0,
        "head": 1538,
        "trained": 36864,
        "backbone_total": 109482240,
        "percent": 100 * 36864 / 109482240,
    }

    def test_from_configs(self, tmp_path: Path) -> None:
        paths = write_parameters([self.ROW], tmp_path)
        assert [path.name for path in paths] == ["parameters.csv", "parameters.md", "parameters.tex"]
        frame = pd.read_csv(paths[0])
        assert frame.columns.tolist() == [
            "backbone", "method", "adapter", "norm", "bias", "head", "trained", "backbone_total", "percent", "tasks",
        ]  # fmt: skip
        assert frame["trained"].tolist() == [36864]

    def test_backbones_as_given_and_methods_in_table_order(self) -> None:
        names = [("z", "lora"), ("z", "zero"), ("a", "hadamard"), ("a", "full"), ("z", "full")]
        frame = parameters_frame([{**self.ROW, "backbone": backbone, "method": method} for backbone, method in names])
        assert [f"{row.backbone} {row.method}" for row in frame.itertuples()] == [
            "z full", "z lora", "z zero", "a full", "a hadamard",
        ]  # fmt: skip

    def test_heads_of_several_tasks_are_one_row(self) -> None:
        rows = [{**self.ROW, "task": "sst2"}, {**self.ROW, "task": "stsb", "head": 769}, {**self.ROW, "task": "cola"}]
        frame = parameters_frame(rows)
        assert frame["tasks"].tolist() == ["cola sst2", "stsb"]
        ((row,),) = (block.rows for block in parameters_sheet(frame).blocks)
        assert [cell.text for cell in row.cells] == ["18,432", "18,432", "0", "769–1,538", "36,864", "0.034"]

    def test_tasks_that_train_otherwise_have_rows_of_their_own(self) -> None:
        fewer = {**self.ROW, "trained": 24576, "adapter": 12288, "norm": 12288, "percent": 0.02245}
        sheet = parameters_sheet(parameters_frame([{**self.ROW, "task": "sst2"}, {**fewer, "task": "rte"}]))
        assert [row.label for row in sheet.blocks[0].rows] == ["Hadamard adapter (SST-2)", "Hadamard adapter (RTE)"]

    def test_a_count_in_place_of_the_name_is_refused(self) -> None:
        with pytest.raises(TypeError, match="backbone's name"):
            parameters_frame([{**self.ROW, "backbone": 0}])


class TestWriting:
    def test_refused_records_leave_the_old_tables(self, tmp_path: Path) -> None:
        write(tmp_path / "records", [record(0.5)])
        before = {path: path.read_bytes() for path in write_tables(tmp_path)}
        write(tmp_path / "records", [record(0.5, seed=2, spec={"batch_size": 1})])
        with pytest.raises(InputError, match="batch_size is"):
            write_tables(tmp_path)
        assert {path: path.read_bytes() for path in (tmp_path / "tables").iterdir()} == before

    def test_nothing_but_the_tables_is_left(self, tmp_path: Path) -> None:
        write(tmp_path / "records", [record(None)])
        for _ in range(2):
            paths = write_tables(tmp_path)
        assert sorted((tmp_path / "tables").iterdir()) == sorted(paths)
        assert {path.stat().st_mode & 0o777 for path in paths} == {0o644}

    def test_a_rename_that_fails_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path / "records", [record(0.5)])
        before = {path: path.read_bytes() for path in write_tables(tmp_path)}
        write(tmp_path / "records", [record(0.6, seed=2)])

        def refuse(source: object, target: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "replace", refuse)
        with pytest.raises(InputError, match="cannot be written: Permission denied"):
            write_tables(tmp_path)
        assert {path: path.read_bytes() for path in (tmp_path / "tables").iterdir()} == before

    def test_no_records(self, tmp_path: Path) -> None:
        (tmp_path / "records").mkdir()
        with pytest.raises(InputError, match="holds no records"):
            write_tables(tmp_path)

    def test_folder_that_is_a_file(self, tmp_path: Path) -> None:
        write(tmp_path / "records", [record(0.5)])
        (tmp_path / "tables").write_text("")
        with pytest.raises(InputError, match="cannot be written"):
            write_tables(tmp_path)
