"""What a number is worth: the same method on random weights, and how much of full fine-tuning's gain it keeps."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from hadamard_glue.reporting.aggregate import Cell, average, has_demo, listed
from hadamard_glue.reporting.notes import Note
from hadamard_glue.reporting.specs import flat

_SUFFIX = "-random"


def split_controls(cells: list[Cell]) -> tuple[list[Cell], list[Cell]]:
    """The cells that have a place in the main table, and those on random weights that are a column of it.

    A backbone of which there are only runs on random weights keeps a block of its own.
    """
    pretrained = {cell.backbone for cell in cells if not cell.random}
    controls = [cell for cell in cells if cell.random and _base(cell) in pretrained]
    kept = {id(cell) for cell in controls}
    return [cell for cell in cells if id(cell) not in kept], controls


def with_controls(frame: pd.DataFrame, shown: list[Cell], controls: list[Cell]) -> tuple[pd.DataFrame, list[Note]]:
    """The main table's frame with ``random_average`` and ``gap_closed`` behind ``average``, and what they mean.

    ``gap_closed`` is 100 x (method - classifier) / (full - classifier) of a block's averages. It is there for the demo
    world and beside random weights alone: where full fine-tuning is hardly above the frozen backbone, as on some real
    tasks with few rows, it divides noise by noise. A column that no row can fill is left out.
    """
    extra, notes = {}, []
    random = _random_averages(frame, controls)
    if random.notna().any():
        extra["random_average"] = random
        notes += _notes_on_random(shown, controls)
    if controls or has_demo(shown):
        gaps, without = _gaps_closed(frame)
        if gaps.notna().any():
            extra["gap_closed"] = gaps
            notes += _notes_on_gaps(without)
    frame = frame.copy()
    for place, (name, column) in enumerate(extra.items(), start=list(frame.columns).index("average") + 1):
        frame.insert(place, name, column)
    return frame, notes


def _base(cell: Cell) -> str:
    return cell.backbone.removesuffix(_SUFFIX)


def _random_averages(frame: pd.DataFrame, controls: list[Cell]) -> pd.Series[float]:
    found: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in controls:
        found.setdefault((_base(cell), cell.method), {})[cell.task.name] = cell
    places = zip(frame["backbone"], frame["method"], strict=True)
    return pd.Series([average(found.get(place, {})) for place in places], index=frame.index, dtype="float64")


def _gaps_closed(frame: pd.DataFrame) -> tuple[pd.Series[float], list[str]]:
    """The column, and the backbones where full fine-tuning is not above the classifier."""
    gaps = pd.Series(float("nan"), index=frame.index, dtype="float64")
    without = []
    for backbone in dict.fromkeys(frame["backbone"]):
        block = frame[frame["backbone"] == backbone]
        averages = dict(zip(block["method"], block["average"], strict=True))
        floor, ceiling = averages.get("classifier", float("nan")), averages.get("full", float("nan"))
        if ceiling > floor:
            gaps[block.index] = (100 * (block["average"] - floor) / (ceiling - floor)).round(4)
        elif ceiling <= floor:
            without.append(backbone)
    return gaps, without


def _notes_on_random(shown: list[Cell], controls: list[Cell]) -> list[Note]:
    runs = sum(len(cell.done) for cell in controls)
    seeds = listed(sorted({seed for cell in controls for seed in cell.done}))
    text = (
        "Random weights: the same method's average over the same tasks on the same architecture before pretraining "
        f"(seed {seeds}), where all eight are there."
    )
    collapsed = sum(len(cell.collapsed) for cell in controls)
    failed = sum(len(cell.failed) for cell in controls)
    text += f" Predicting one class or score for every row: {collapsed} of these {runs} runs." if collapsed else ""
    text += f" {failed} failed, see cells.csv." if failed else ""
    differing = _differing(shown, controls)
    if differing:
        text += f" They differ from the row beside them in {', '.join(differing)}, too."
    return [Note("", text)]


def _differing(shown: list[Cell], controls: list[Cell]) -> list[str]:
    """Settings beside the weights in which a control is not what it is compared with."""
    specs = {cell.address: _settings(cell) for cell in shown if cell.done}
    keys: set[str] = set()
    for cell in controls:
        beside = specs.get((_base(cell), cell.method, cell.task.name))
        if beside is not None and cell.done:
            own = _settings(cell)
            keys |= {key for key in {*own, *beside} if own.get(key) != beside.get(key)}
    return sorted(keys)


def _settings(cell: Cell) -> dict[str, object]:
    return {key: value for key, value in flat(cell.spec).items() if not key.startswith("backbone.")}


def _notes_on_gaps(without: Iterable[str]) -> list[Note]:
    text = (
        "Gap closed: (method - classifier only) / (full fine-tuning - classifier only), of the averages of a block, "
        "in percent."
    )
    without = list(without)
    if without:
        text += f" Blank in {', '.join(without)}, where full fine-tuning is not above the classifier."
    return [Note("", text)]
