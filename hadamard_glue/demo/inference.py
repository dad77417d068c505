"""Inference: three ways (MNLI), answers to questions (QNLI), two ways with conjunction and quantifiers (RTE)."""

from __future__ import annotations

from dataclasses import replace

from hadamard_glue.demo.draw import Draw
from hadamard_glue.demo.grammar import Clause, draw_clause, say
from hadamard_glue.demo.lexicon import KINDS, LAND, TIMES, Domain, Verb
from hadamard_glue.demo.pairs import asked_somehow, question_clause, said_somehow, slots_of
from hadamard_glue.demo.quantifiers import QUANTIFIERS, quantified, quantified_implies, with_quantifier
from hadamard_glue.demo.rules import (
    exchanged,
    generalised,
    phrase_of,
    relation,
    replaced,
    reworded,
    specialised,
    with_verb,
)

_PAIR_FRAMES = ("animate", "animate", "thing", None)


def three_way(draw: Draw, label: str, domain: Domain = LAND) -> tuple[str, str]:
    """A premise and a hypothesis that stand in this relation (:func:`~hadamard_glue.demo.rules.relation`)."""
    while True:
        premise = _premise(draw, domain)
        hypothesis = _hypothesis(draw, premise, label, domain)
        if relation(premise, hypothesis) == label:
            return said_somehow(draw, premise), said_somehow(draw, hypothesis)


def _premise(draw: Draw, domain: Domain) -> Clause:
    clause = draw_clause(draw, domain, takes=_PAIR_FRAMES, place=0.6, time=0.3, negated=0.4, adjective=0.4)
    if draw.chance(0.15):
        clause = replace(clause, subject=replace(clause.subject, noun=KINDS[clause.subject.noun.kind], word=0))
    return clause


def _hypothesis(draw: Draw, premise: Clause, label: str, domain: Domain) -> Clause:
    """A candidate for the label; the caller checks it."""
    kept = reworded(draw, premise, draw.below(3))
    if label == "entailment":
        return specialised(draw, kept, 1, domain) if premise.negated else generalised(draw, kept, draw.below(3))
    if label == "contradiction":
        if premise.negated:
            return replace(specialised(draw, kept, draw.below(2), domain), negated=False)
        wider = generalised(draw, kept, draw.below(3))
        if premise.verb.opposite is not None and draw.chance(0.7):
            return with_verb(draw, wider, opposite=True)
        return replace(wider, negated=True)
    negated = draw.chance(0.4)
    if draw.chance(0.4):
        return replace(specialised(draw, kept, 1, domain), negated=negated)
    slot = draw.one(slots_of(kept))
    return replace(replaced(draw, generalised(draw, kept, draw.below(2)), slot, domain) if slot != "place"
                   else replaced(draw, kept, slot, domain), negated=negated)  # fmt: skip


def answer(draw: Draw, answers: bool, domain: Domain = LAND) -> tuple[str, str]:
    """A question, and a sentence that answers it or does not: about another event, or without what is asked for."""
    clause, asked = question_clause(draw, domain)
    told = reworded(draw, clause, draw.below(3))
    if not answers:
        told = _no_answer(draw, told, asked, domain)
    elif told.time is None and asked != "time" and draw.chance(0.3):
        told = replace(told, time=draw.one(TIMES))
    sentence = said_somehow(draw, told)
    if draw.chance(0.3):
        sentence = beside(draw, sentence, domain, unlike=clause.verb)
    return asked_somehow(draw, clause, asked), sentence


def _no_answer(draw: Draw, clause: Clause, asked: str, domain: Domain) -> Clause:
    way = draw.weighted((("silent", 0.35), ("exchange", 0.15), ("other", 0.5)))
    if way == "silent" and asked == "place":
        return replace(clause, place=None, time=clause.time or draw.one(TIMES))
    if way == "silent" and asked == "time":
        return replace(clause, time=None, place=clause.place or draw_clause(draw, domain, place=1).place)
    if way == "exchange" and clause.verb.takes == "animate":
        return exchanged(clause)
    return replaced(draw, clause, draw.one([slot for slot in slots_of(clause) if slot != asked]), domain)


def beside(draw: Draw, sentence: str, domain: Domain, unlike: Verb | None = None) -> str:
    """The sentence joined with another one, before or after it, whose verb is not ``unlike``: it answers nothing."""
    clause = draw_clause(draw, domain, place=0.3, time=0.1, adjective=0.1)
    while clause.verb == unlike:
        clause = draw_clause(draw, domain, place=0.3, time=0.1, adjective=0.1)
    other = say(clause).removesuffix(" .")
    first = sentence.removesuffix(" .")
    parts = (first, other) if draw.chance(0.5) else (other, first)
    return f"{' and '.join(parts)} ."


def two_way(draw: Draw, entailed: bool) -> tuple[str, str]:
    """A longer premise (two clauses, or a quantified one) and a hypothesis that follows from it or does not."""
    return _quantified_pair(draw, entailed) if draw.chance(0.35) else _conjunction(draw, entailed)


def _conjunction(draw: Draw, entailed: bool) -> tuple[str, str]:
    first, second = _two_clauses(draw)
    premise = f"{say(first).removesuffix(' .')} {draw.one(('and', 'while'))} {say(second)}"
    clauses = draw.shuffled((first, second))
    stated, other = reworded(draw, clauses[0], draw.below(3)), clauses[1]
    if entailed:
        hypothesis = stated if stated.negated else generalised(draw, stated, draw.below(3))
    elif draw.chance(0.4):
        hypothesis = replace(stated, subject=other.subject)
    elif draw.chance(0.3):
        hypothesis = replace(stated, negated=not stated.negated)
    else:
        hypothesis = replaced(draw, stated, draw.one(slots_of(stated)), LAND)
    return premise, said_somehow(draw, hypothesis)


def _two_clauses(draw: Draw) -> tuple[Clause, Clause]:
    """Two clauses of one tense about four different nouns and two actions that have nothing to do with each other."""
    while True:
        first, second = (
            draw_clause(draw, takes=_PAIR_FRAMES, place=0.35, time=0, negated=0.15, adjective=0.2) for _ in range(2)
        )
        second = replace(second, past=first.past)
        named = [phrase.noun for clause in (first, second) for phrase in (clause.subject, clause.patient) if phrase]
        verbs = {first.verb.base[0], first.verb.opposite}
        if len(set(named)) == len(named) and second.verb.base[0] not in verbs:
            return first, second


def _quantified_pair(draw: Draw, entailed: bool) -> tuple[str, str]:
    while True:
        premise = quantified(draw)
        hypothesis = reworded(draw, premise, draw.below(3))
        if draw.chance(0.5):
            hypothesis = with_quantifier(hypothesis, draw.one(tuple(QUANTIFIERS)))
        step = draw.below(4)
        if step == 1:
            hypothesis = generalised(draw, hypothesis, 1)
        elif step == 2:
            hypothesis = specialised(draw, hypothesis, 1, LAND)
        elif step == 3 and not entailed:
            hypothesis = replaced(draw, hypothesis, draw.one(slots_of(hypothesis)), LAND)
        kept = hypothesis.subject.determiner in QUANTIFIERS
        hypothesis = with_quantifier(hypothesis, (hypothesis if kept else premise).subject.determiner)
        if hypothesis != premise and quantified_implies(premise, hypothesis) == entailed:
            phrase_of(hypothesis, "subject")
            return say(premise), say(hypothesis)
