"""Pairs of sentences: paraphrase, graded similarity, and pairs of questions."""

from __future__ import annotations

from dataclasses import replace

from hadamard_glue.demo.draw import Draw
from hadamard_glue.demo.grammar import Clause, ask, draw_clause, draw_place, say
from hadamard_glue.demo.lexicon import LAND, PREPOSITIONS, TIMES, Domain
from hadamard_glue.demo.rules import SLOTS, exchanged, replaced, reworded, with_noun, with_verb

#: What one slot adds to a similarity: the same meaning, a related one, another.
SIMILARITY = {"same": 1.25, "related": 0.5, "other": 0.0}


def said_somehow(draw: Draw, clause: Clause) -> str:
    """The clause in one of its orders and voices."""
    passive = clause.patient is not None and draw.chance(0.35)
    front = [name for name in ("place", "time") if getattr(clause, name) is not None]
    return say(clause, passive, draw.one(front) if front and draw.chance(0.3) else None)


def asked_somehow(draw: Draw, clause: Clause, asked: str) -> str:
    """The question in one of its forms."""
    passive = clause.patient is not None and draw.chance(0.35)
    return ask(clause, asked, passive, draw.chance(0.4))


def slots_of(clause: Clause) -> list[str]:
    """The slots that the clause fills."""
    return [slot for slot in SLOTS if getattr(clause, slot) is not None]


def paraphrase(draw: Draw, same: bool, domain: Domain = LAND) -> tuple[str, str]:
    """Two sentences that mean the same, or that differ in one slot, in who did it to whom, or in polarity.

    Words are shared as often either way: where the meaning changes by one word, one word less becomes a synonym.
    """
    clause = draw_clause(draw, domain, takes=("animate", "animate", "thing", None), place=0.7, negated=0.25)
    other = reworded(draw, clause, draw.below(4)) if same else altered(draw, clause, domain)
    return said_somehow(draw, clause), said_somehow(draw, other)


def altered(draw: Draw, clause: Clause, domain: Domain) -> Clause:
    """A clause of another meaning that shares as many words as a paraphrase would."""
    ways = [(slot, 0.7 / len(slots_of(clause))) for slot in slots_of(clause)]
    ways += [("exchange", 0.15), ("polarity", 0.15)]
    way = draw.weighted(ways)
    if way == "exchange" and clause.verb.takes == "animate":
        return exchanged(reworded(draw, clause, draw.below(4)))
    if way in ("exchange", "polarity"):
        return replace(reworded(draw, clause, draw.below(4)), negated=not clause.negated)
    return replaced(draw, reworded(draw, clause, draw.below(3)), way, domain)


def similarity(draw: Draw) -> tuple[str, str, float]:
    """Two sentences of four slots each, and the sum of what their slots add: 0 to 5."""
    clause = draw_clause(draw, takes=("animate", "thing"), place=1, time=0, adjective=0)
    level, score, other = draw.one((0.1, 0.3, 0.5, 0.7, 0.9)), 0.0, reworded(draw, clause, 1 + draw.below(4))
    for slot in SLOTS:
        sameness = "same" if draw.chance(level) else draw.one(("related", "other"))
        if slot == "verb" and sameness == "related" and clause.verb.opposite is None:
            sameness = "other"
        score += SIMILARITY[sameness]
        other = _with_slot(draw, clause, other, slot, sameness)
    return said_somehow(draw, clause), said_somehow(draw, other), score


def _with_slot(draw: Draw, clause: Clause, other: Clause, slot: str, sameness: str) -> Clause:
    """``other`` with a slot that is the same as, related to or unlike that of ``clause``."""
    if sameness == "same":
        return other
    if slot == "verb":
        return with_verb(draw, other, opposite=sameness == "related")
    if sameness == "related" and slot == "place" and other.place is not None:
        near = [preposition for preposition in PREPOSITIONS if preposition != other.place.preposition]
        return replace(other, place=replace(other.place, preposition=draw.one(near)))
    if sameness == "related" or slot == "place":
        return replaced(draw, other, slot, LAND)
    phrase = clause.subject if slot == "subject" else clause.patient
    animate = slot == "subject" or clause.verb.takes == "animate"
    nouns = LAND.animates if animate else LAND.things
    taken = [named.noun for named in (clause.subject, clause.patient, other.subject, other.patient) if named]
    unlike = [noun for noun in nouns if phrase and noun.kind != phrase.noun.kind and noun not in taken]
    return with_noun(draw, other, slot, draw.one(unlike))


def question_clause(draw: Draw, domain: Domain = LAND) -> tuple[Clause, str]:
    """A clause and the part of it that is asked for."""
    clause = draw_clause(draw, domain, takes=("animate", "animate", "thing", None), place=0.7, time=0.5)
    parts = [part for part in ("subject", "patient", "place", "time") if getattr(clause, part) is not None]
    asked = draw.one(parts)
    if asked != "subject":
        return clause, asked
    # who asks for one, and an answer says "a man", not "some man"
    determiner = "the" if clause.subject.determiner == "the" else "a"
    return replace(clause, subject=replace(clause.subject, plural=False, determiner=determiner)), asked


def question_pair(draw: Draw, same: bool, domain: Domain = LAND) -> tuple[str, str]:
    """Two questions that ask for the same, or for something else, or about something else."""
    clause, asked = question_clause(draw, domain)
    other, other_asked = reworded(draw, clause, draw.below(4)), asked
    if not same:
        other, other_asked = _other_question(draw, clause, asked, domain)
    return asked_somehow(draw, clause, asked), asked_somehow(draw, other, other_asked)


def _other_question(draw: Draw, clause: Clause, asked: str, domain: Domain) -> tuple[Clause, str]:
    visible = [slot for slot in slots_of(clause) if slot != asked]
    way = draw.weighted((("slot", 0.6), ("asked", 0.25), ("exchange", 0.15)))
    if way == "exchange" and clause.verb.takes == "animate":
        kept = reworded(draw, clause, draw.below(4))
        # "who chased the dog" against "who did the dog chase"
        if asked in ("subject", "patient"):
            return exchanged(kept), "patient" if asked == "subject" else "subject"
        return exchanged(kept), asked
    if way == "asked" and asked in ("place", "time") and not (clause.place and clause.time):
        return _asking_the_other(draw, reworded(draw, clause, draw.below(4)), asked)
    return replaced(draw, reworded(draw, clause, draw.below(3)), draw.one(visible), domain), asked


def _asking_the_other(draw: Draw, clause: Clause, asked: str) -> tuple[Clause, str]:
    """``where`` for ``when`` and the reverse; what is asked for is never said, so any will do."""
    if asked == "place":
        return replace(clause, place=None, time=TIMES[0]), "time"
    return replace(clause, time=None, place=draw_place(draw, LAND)), "place"
