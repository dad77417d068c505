"""Pretraining text: single sentences, and texts of two sentences that hang together, as text does.

The second sentence restates, follows from, denies or adds to the first, answers it, or sums up a review; in some texts
a word such as ``so`` or ``perhaps`` says how. The sentences come from the grammar that the tasks use; the rows of the
tasks themselves are left out.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from hadamard_glue.demo.acceptability import sentence
from hadamard_glue.demo.draw import Draw
from hadamard_glue.demo.files import SEED
from hadamard_glue.demo.grammar import draw_clause, say
from hadamard_glue.demo.inference import answer, beside, three_way, two_way
from hadamard_glue.demo.lexicon import LAND, SEA, Domain
from hadamard_glue.demo.pairs import paraphrase, question_pair, said_somehow
from hadamard_glue.demo.sentiment import ASPECTS, VIEWERS, review
from hadamard_glue.demo.tasks import DEMO_TASKS, rows

Document = tuple[str, str | None]


def documents(seed: int, count: int) -> Iterator[Document]:
    """``count`` documents: one text, or two that follow each other.

    No text of theirs, and no two of them, is a row of the world that ``source=demo`` reads, words such as ``so`` put
    aside.
    """
    draw, taken = Draw(seed), _task_rows()
    for _ in range(count):
        document = draw.weighted(_KINDS)(draw)
        while any(texts in taken for texts in _row_like(document)):
            document = draw.weighted(_KINDS)(draw)
        yield document


@functools.cache
def _task_rows() -> frozenset[tuple[str, ...]]:
    """The texts of every row, train and dev; pairs in both orders."""
    found = [texts for name in DEMO_TASKS for split in rows(name, SEED).values() for texts, _ in split]
    return frozenset((*found, *(texts[::-1] for texts in found)))


def _row_like(document: Document) -> list[tuple[str, ...]]:
    """The document as the texts that a row might have, the second with and without what stands before its comma."""
    first, second = document
    seconds = () if second is None else (second, second.partition(" , ")[2])
    return [(first,), *((text,) for text in seconds), *((first, text) for text in seconds)]


def _domain(draw: Draw) -> Domain:
    return SEA if draw.chance(0.3) else LAND


def _single(draw: Draw) -> Document:
    if draw.chance(0.5):
        return sentence(draw), None
    return beside(draw, said_somehow(draw, draw_clause(draw, _domain(draw), negated=0.2)), _domain(draw)), None


def _restatement(draw: Draw) -> Document:
    first, second = paraphrase(draw, True, _domain(draw))
    return first, f"indeed , {second}"


def _inference(draw: Draw) -> Document:
    label, word = draw.one((("entailment", "so"), ("contradiction", "no"), ("neutral", "perhaps")))
    first, second = three_way(draw, label, _domain(draw))
    return first, f"{word} , {second}"


def _conclusion(draw: Draw) -> Document:
    entailed = draw.chance(0.5)
    first, second = two_way(draw, entailed)
    return first, f"{'so' if entailed else 'but'} , {second}"


def _change(draw: Draw) -> Document:
    first, second = paraphrase(draw, False, _domain(draw))
    return first, f"but , {second}"


def _answer(draw: Draw) -> Document:
    known = draw.chance(0.5)
    question, told = answer(draw, known, _domain(draw))
    return question, f"{'yes' if known else 'well'} , {told}"


def _question(draw: Draw) -> Document:
    same = draw.chance(0.5)
    first, second = question_pair(draw, same, _domain(draw))
    return first, f"{'again' if same else 'or'} , {second}"


def _review(draw: Draw) -> Document:
    positive = draw.chance(0.5)
    verdict = draw.one(("praised", "recommended") if positive else ("panned", "avoided"))
    return review(draw, positive), f"{draw.one(VIEWERS)} {verdict} the {draw.one(ASPECTS)} ."


def _unrelated(draw: Draw) -> Document:
    return say(draw_clause(draw, _domain(draw), negated=0.2)), f"then , {sentence(draw)}"


_KINDS = (
    (_single, 0.12), (_restatement, 0.14), (_inference, 0.2), (_conclusion, 0.1), (_change, 0.12), (_answer, 0.1),
    (_question, 0.1), (_review, 0.1), (_unrelated, 0.02),
)  # fmt: skip
