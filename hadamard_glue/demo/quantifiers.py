"""Clauses about how many: ``every dog slept``, ``no animals chased the cat``, and what follows from what."""

from __future__ import annotations

from dataclasses import replace

from hadamard_glue.demo.draw import Draw
from hadamard_glue.demo.grammar import Clause, draw_clause
from hadamard_glue.demo.lexicon import KINDS
from hadamard_glue.demo.rules import implies

#: Determiner -> whether its noun is plural. ``every`` and ``most`` say that there are some.
QUANTIFIERS = {"every": False, "most": True, "some": True, "three": True, "two": True, "no": True}
#: What each quantifier implies with the same noun and the same action.
WEAKER = {
    "every": ("every", "most", "some"), "most": ("most", "some"), "some": ("some",),
    "three": ("three", "two", "some"), "two": ("two", "some"), "no": ("no",),
}  # fmt: skip


def quantified(draw: Draw, general: float = 0.35) -> Clause:
    """A clause with a quantified subject, which names a kind with probability ``general``."""
    clause = draw_clause(draw, takes=("animate", "thing", None), place=0.4, time=0.15, adjective=0.25)
    subject = clause.subject
    if draw.chance(general):
        subject = replace(subject, noun=KINDS[subject.noun.kind], word=0)
    return with_quantifier(replace(clause, subject=subject), draw.one(tuple(QUANTIFIERS)))


def with_quantifier(clause: Clause, quantifier: str) -> Clause:
    """The clause with another quantifier before its subject."""
    subject = replace(clause.subject, determiner=quantifier, plural=QUANTIFIERS[quantifier])
    return replace(clause, subject=subject)


def quantified_implies(premise: Clause, hypothesis: Clause) -> bool:
    """Whether a quantified clause implies another.

    ``some``, ``two``, ``three`` grow weaker with a wider noun and a wider action, ``no`` with narrower ones, ``every``
    with a narrower noun and a wider action, ``most`` with a wider action alone.
    """
    stated, claimed = premise.subject.determiner, hypothesis.subject.determiner
    if claimed not in WEAKER[stated]:
        return False
    wider_noun, narrower_noun = _noun_implies(premise, hypothesis), _noun_implies(hypothesis, premise)
    wider_action, narrower_action = _action_implies(premise, hypothesis), _action_implies(hypothesis, premise)
    if stated == "no":
        return narrower_noun and narrower_action
    if not wider_action:
        return False
    if stated in ("every", "most"):
        # the claim of "some" may be about a wider noun too: those that there are
        narrowed = narrower_noun if stated == "every" else narrower_noun and wider_noun
        return narrowed or (claimed == "some" and wider_noun)
    return wider_noun


def _noun_implies(specific: Clause, general: Clause) -> bool:
    return implies(_subject_alone(specific, specific), _subject_alone(general, specific))


def _action_implies(specific: Clause, general: Clause) -> bool:
    same = specific.subject
    return implies(replace(specific, subject=same), replace(general, subject=same))


def _subject_alone(clause: Clause, rest: Clause) -> Clause:
    """The rest of one clause with the subject of another, its number put aside."""
    return replace(rest, subject=replace(clause.subject, plural=False))
