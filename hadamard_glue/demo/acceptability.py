"""Sentences with one rule of the grammar broken: agreement, number, order, argument structure, verb form."""

from __future__ import annotations

from dataclasses import replace

from hadamard_glue.demo.draw import Draw
from hadamard_glue.demo.grammar import Clause, draw_clause, draw_phrase, say
from hadamard_glue.demo.lexicon import LAND, VERBS, Verb

QUANTIFIERS = ("every", "most", "three", "two")
VIOLATIONS = ("agreement", "number", "order", "argument", "form")


def sentence(draw: Draw) -> str:
    """A sentence that breaks nothing."""
    clause = _clause(draw)
    return say(clause, passive=_is_passive(draw, clause), fronted=_fronted(draw, clause))


def violation(draw: Draw, kind: str) -> str:
    """A sentence that breaks one rule of ``kind``."""
    ways = {"agreement": _agreement, "number": _number, "order": _order, "argument": _argument, "form": _form}
    return ways[kind](draw)


def _clause(draw: Draw, takes: tuple[str | None, ...] = ("animate", "thing", None)) -> Clause:
    """A clause whose subject may have a quantifier."""
    clause = draw_clause(draw, takes=takes, negated=0.3, place=0.6)
    determiner = draw.one(QUANTIFIERS)
    number = replace(clause.subject, determiner=determiner, plural=determiner != "every")
    return replace(clause, subject=number) if draw.chance(0.2) else clause


def _is_passive(draw: Draw, clause: Clause) -> bool:
    return clause.patient is not None and draw.chance(0.25)


def _fronted(draw: Draw, clause: Clause) -> str | None:
    return "place" if clause.place is not None and draw.chance(0.25) else None


def _agreement(draw: Draw) -> str:
    """``the dogs near the house chases``: the verb of the other number."""
    clause = replace(_clause(draw), past=False)
    passive = _is_passive(draw, clause)
    agreeing = clause.patient if passive and clause.patient is not None else clause.subject
    said = say(clause, passive=passive, fronted=_fronted(draw, clause)).split()
    right = _finite_forms(clause, passive, agreeing.plural)
    wrong = _finite_forms(clause, passive, not agreeing.plural)
    place = _after(said, agreeing.said().split())
    if said[place] != right:
        raise AssertionError(f"{said[place]} is not the verb {right}")
    said[place] = wrong
    return " ".join(said)


def _finite_forms(clause: Clause, passive: bool, plural: bool) -> str:
    if passive:
        return "are" if plural else "is"
    if clause.negated:
        return "do" if plural else "does"
    return (clause.verb.base if plural else clause.verb.third)[clause.word]


def _after(words: list[str], phrase: list[str]) -> int:
    """The position after the first occurrence of ``phrase``."""
    for start in range(len(words)):
        if words[start : start + len(phrase)] == phrase:
            return start + len(phrase)
    raise ValueError("the phrase is not in the sentence")


def _number(draw: Draw) -> str:
    """``a dogs``, ``every dogs``, ``two dog``: a determiner of the other number."""
    clause = replace(_clause(draw), past=True)
    plural, determiner = draw.one(((True, "a"), (True, "a"), (True, "every"), (False, draw.one(QUANTIFIERS[1:]))))
    wrong = replace(clause.subject, plural=plural, determiner=determiner)
    return say(replace(clause, subject=wrong), fronted=_fronted(draw, clause))


def _order(draw: Draw) -> str:
    """Two neighbours in the wrong order: noun and determiner, noun and adjective, verb and subject."""
    clause = _clause(draw)
    phrase = clause.subject.said().split()
    said = say(clause, fronted=_fronted(draw, clause)).split()
    end = _after(said, phrase)
    start = end - len(phrase)
    if draw.chance(0.5):
        said[end - 2], said[end - 1] = said[end - 1], said[end - 2]
    else:
        said[start : end + 1] = [said[end], *said[start:end]]
    return " ".join(said)


def _argument(draw: Draw) -> str:
    """An object where the verb takes none, or none where it takes one."""
    if draw.chance(0.5):
        clause = _clause(draw, (None,))
        things = (*LAND.things, *LAND.animates)
        return say(replace(clause, patient=draw_phrase(draw, things)), fronted=_fronted(draw, clause))
    clause = _clause(draw, ("animate", "thing"))
    return say(replace(clause, patient=None), fronted=_fronted(draw, clause))


def _form(draw: Draw) -> str:
    """``did not chased``, ``was chase by``: the wrong form after an auxiliary."""
    clause = draw_clause(draw, takes=("animate", "thing"), place=0.6)
    passive = draw.chance(0.5)
    clause = replace(clause, negated=not passive or draw.chance(0.3))
    wrong = _wrong_form(draw, clause.verb, passive)
    verb = replace(clause.verb, participle=wrong) if passive else replace(clause.verb, base=wrong)
    return say(replace(clause, verb=verb), passive=passive, fronted=_fronted(draw, clause))


def _wrong_form(draw: Draw, verb: Verb, passive: bool) -> tuple[str, ...]:
    return draw.one((verb.base, verb.third)) if passive else draw.one((verb.third, verb.past))


if any(verb.base[word] == verb.past[word] for verb in VERBS for word in range(len(verb.base))):
    raise AssertionError("a violation of form would be no violation")
