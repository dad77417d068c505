"""What a reader must know about the cells of the main table: notes, each with its mark and the cells that carry it."""

# ruff: noqa: RUF001  (typographic characters are meant)

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from hadamard_glue.glue.sources import source_title
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.reporting.aggregate import Address, Cell, has_demo, listed, reason
from hadamard_glue.reporting.specs import flat

#: Method names as a reader knows them; others are shown as they are.
METHOD_TITLES = {
    "full": "Full fine-tuning",
    "houlsby": "Houlsby adapter",
    "pfeiffer": "Pfeiffer adapter",
    "lora": "LoRA",
    "dora": "DoRA",
    "adalora": "AdaLoRA",
    "vera": "VeRA",
    "oft": "OFT",
    "ia3": "IA3",
    "bitfit": "BitFit",
    "ln_tuning": "LayerNorm tuning",
    "hadamard": "Hadamard adapter",
    "classifier": "Classifier only",
}
_LONGEST_REASON = 160
_MOST_NAMED = 8


@dataclass(frozen=True)
class Note:
    """One line below a table.

    Attributes:
        mark: what stands in the cells and before the text; empty for a note on the whole table.
        cells: where the mark stands.
    """

    mark: str
    text: str
    cells: frozenset[Address] = field(default=frozenset())


def notes_on(cells: list[Cell]) -> list[Note]:
    """All notes: on the whole table first, then those with marks, then the reasons of failures as a, b, c."""
    done = [cell for cell in cells if cell.done]
    return [
        *_seeds(done),
        *_data(done),
        *_mixed_settings(done),
        *_collapsed(done),
        *_precision(done),
        *_selection(done),
        *_failures(cells),
    ]


def main_caption(cells: list[Cell]) -> str:
    """What the main table holds; nobody may take demo scores for scores on GLUE."""
    if not has_demo(cells):
        return "GLUE development scores × 100 by backbone and method."
    tasks = "GLUE-shaped demo tasks" if all(cell.sources == {"demo"} for cell in cells) else "GLUE and demo tasks"
    return f"{tasks} (demo, synthetic): development scores × 100 by backbone and method."


def method_title(method: str) -> str:
    """A method's name as it is shown."""
    return METHOD_TITLES.get(method, method)


def usual_n(counts: Iterable[int]) -> int:
    """The number of seeds that most cells have, the larger of two that are as frequent; 0 where none has a number."""
    frequent = Counter(count for count in counts if count)
    return max(frequent, key=lambda count: (frequent[count], count), default=0)


def _seeds(done: list[Cell]) -> list[Note]:
    if not done:
        return []
    n = usual_n(len(cell.done) for cell in done)
    seeds = {tuple(cell.done) for cell in done}
    named = f" ({listed(next(iter(seeds)))})" if len(seeds) == 1 else ""
    if {len(some) for some in seeds} == {1}:
        return [Note("", f"One seed{named or ' a cell, not always the same'}, so no standard deviation.")]
    text = f"Mean ± sample standard deviation over n = {n} seeds{named}"
    if any(len(some) != n for some in seeds):
        text += ", or as many as stand in brackets"
    elif len(seeds) > 1:
        text += ", not the same ones in every cell"
    return [Note("", f"{text}.")]


def _data(done: list[Cell]) -> list[Note]:
    """Where the rows came from and how many trained; a warning where one column read different rows."""
    sources: set[str] = set()
    rows: dict[str, set[int]] = {}
    fingerprints: dict[str, set[str]] = {}
    for cell in done:
        for record in cell.done.values():
            data = record.get("data", {})
            kind = source_title(str(data.get("kind")))
            revision = data.get("revision")
            sources.add(f"{kind} at revision {revision[:8]}" if revision else kind)
            rows.setdefault(cell.task.title, set()).add(data.get("rows", {}).get("train", 0))
            fingerprints.setdefault(cell.task.title, set()).add(record["spec"]["data"]["fingerprint"])
    if not sources:
        return []
    titles = [task.title for task in TASKS.values() if task.title in rows]
    counts = ", ".join(f"{title} {' or '.join(f'{n:,}' for n in sorted(rows[title]))}" for title in titles)
    notes = [Note("", f"Data source: {'; '.join(sorted(sources))}. Training rows: {counts}.")]
    unequal = [title for title in titles if len(fingerprints[title]) > 1]
    if unequal:
        notes.append(Note("", f"Not all cells read the same rows in {', '.join(unequal)}: compare those with care."))
    return notes


def _mixed_settings(done: list[Cell]) -> list[Note]:
    """A row or block whose cells do not mean the same thing: other method settings, other weights."""
    settings: dict[tuple[str, str], set[str]] = {}
    for cell in done:
        for key, value in flat({"method": cell.spec["method"], "stages": cell.spec.get("stages")}).items():
            settings.setdefault((cell.method, key), set()).add(repr(value))
    mixed: dict[str, list[str]] = {}
    for (method, key), values in settings.items():
        if len(values) > 1:
            mixed.setdefault(method_title(method), []).append(f"{key} ({', '.join(sorted(values))})")
    notes = [Note("", f"{method} differs between cells in {', '.join(keys)}.") for method, keys in mixed.items()]
    weights: dict[str, set[str]] = {}
    for cell in done:
        weights.setdefault(cell.backbone, set()).add(cell.spec["backbone"]["digest"])
    several = [backbone for backbone, digests in weights.items() if len(digests) > 1]
    if several:
        notes.append(Note("", f"Not all cells start from the same weights in {', '.join(several)}."))
    return notes


def _selection(done: list[Cell]) -> list[Note]:
    texts = {
        "best_dev": ("§", "Optimistic: the epoch was chosen by the score on the reported rows (selection=best_dev)."),
        "heldout_half": ("‖", "Epoch chosen on one half of the development rows, scored on the other (heldout_half)."),
    }
    notes = []
    for rule, (mark, text) in texts.items():
        found = frozenset(cell.address for cell in done if cell.spec.get("selection") == rule)
        if found:
            notes.append(Note("" if len(found) == len(done) else mark, text, found))
    return notes


def _precision(done: list[Cell]) -> list[Note]:
    """Cells that were not computed in the precision of most cells."""
    used = {
        cell.address: " and ".join(sorted({record["environment"]["precision"] for record in cell.done.values()}))
        for cell in done
    }
    ranked = sorted(Counter(used.values()).items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) < 2:
        return []
    usual = ranked[0][0]
    others = frozenset(address for address, precision in used.items() if precision != usual)
    return [Note("‡", f"Computed in {', '.join(name for name, _ in ranked[1:])}, the other cells in {usual}.", others)]


def _collapsed(done: list[Cell]) -> list[Note]:
    found = [cell for cell in done if cell.collapsed]
    if not found:
        return []
    named = _named(_where(cell, cell.collapsed) for cell in found)
    text = f"Collapsed, one class or one score predicted for every row: {named}."
    return [Note("†", text, frozenset(cell.address for cell in found))]


def _failures(cells: list[Cell]) -> list[Note]:
    """One note a reason, so that a cause that hit twenty runs is told once."""
    places: dict[str, dict[Address, str]] = {}
    for cell in cells:
        by_reason: dict[str, list[int]] = {}
        for seed, record in cell.failed.items():
            by_reason.setdefault(_shortened(reason(record)), []).append(seed)
        for text, seeds in by_reason.items():
            places.setdefault(text, {})[cell.address] = _where(cell, seeds)
    return [
        Note(_letter(index), f"Failed: {_named(where.values())}: {text}", frozenset(where))
        for index, (text, where) in enumerate(places.items())
    ]


def _where(cell: Cell, seeds: list[int]) -> str:
    some = f" seed{'s' if len(seeds) > 1 else ''} {listed(seeds)}"
    return f"{cell.backbone} {method_title(cell.method)} {cell.task.title}{some}"


def _named(places: Iterable[str]) -> str:
    places = list(places)
    more = len(places) - _MOST_NAMED
    return "; ".join(places[:_MOST_NAMED]) + (f"; and {more} more, see cells.csv" if more > 0 else "")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 3].rstrip()}..."


def _letter(index: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    first, last = divmod(index, 26)
    return (_letter(first - 1) if first else "") + chr(ord("a") + last)
