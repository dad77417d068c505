"""What may be done to a clause, and what follows from it: rewording, replacing, generalising, specialising, implying.

An affirmed clause says that there is an event with these parts, a negated one that there is none. So an affirmed clause
implies every more general one, and a negated clause every more specific one that is negated too (:func:`relation`).
"""

from __future__ import annotations

from dataclasses import replace

from hadamard_glue.demo.draw import Draw
from hadamard_glue.demo.grammar import Clause, Phrase, draw_phrase, draw_place, with_adjective
from hadamard_glue.demo.lexicon import KINDS, TIMES, VERB_BY_HEAD, VERBS, Domain, Noun

SLOTS = ("subject", "verb", "patient", "place")


def reworded(draw: Draw, clause: Clause, count: int) -> Clause:
    """The same meaning with up to ``count`` of its words replaced by their synonyms."""
    options = [option for option in _rewordings(clause) if option is not None]
    for name in draw.shuffled(options)[:count]:
        clause = _reword(clause, name)
    return clause


def replaced(draw: Draw, clause: Clause, slot: str, domain: Domain) -> Clause:
    """Another meaning in one slot, of the same kind: another animal, another action, another place."""
    if slot == "verb":
        return with_verb(draw, clause, opposite=False)
    if slot == "place":
        if clause.place is None:
            raise ValueError("the clause has no place to replace")
        names = draw.one([names for names in domain.places if names != clause.place.names])
        return replace(clause, place=replace(clause.place, names=names, word=draw.below(len(names))))
    phrase = phrase_of(clause, slot)
    taken = (clause.subject.noun, clause.patient.noun if clause.patient else None)
    like = [noun for noun in (*domain.animates, *domain.things) if noun.kind == phrase.noun.kind and noun not in taken]
    return with_noun(draw, clause, slot, draw.one(like))


def with_noun(draw: Draw, clause: Clause, slot: str, noun: Noun) -> Clause:
    """The clause with another noun in the phrase of a slot."""
    phrase = replace(phrase_of(clause, slot), noun=noun, word=draw.below(len(noun.singular)))
    return _with_phrase(clause, slot, phrase)


def with_verb(draw: Draw, clause: Clause, opposite: bool) -> Clause:
    """The clause with the opposite verb, or with one that is neither the same nor the opposite."""
    heads = clause.verb.base[0], clause.verb.opposite
    if opposite and heads[1] is None:
        raise ValueError("the verb has no opposite")
    others = [verb for verb in VERBS if verb.takes == clause.verb.takes and verb.base[0] not in heads]
    verb = VERB_BY_HEAD[heads[1]] if opposite and heads[1] else draw.one(others)
    return replace(clause, verb=verb, word=draw.below(len(verb.base)))


def exchanged(clause: Clause) -> Clause:
    """Subject and patient in each other's place."""
    if clause.patient is None or clause.verb.takes != "animate":
        raise ValueError("only who does something to someone can be exchanged")
    return replace(clause, subject=clause.patient, patient=clause.subject)


def generalised(draw: Draw, clause: Clause, count: int) -> Clause:
    """Up to ``count`` steps to a more general clause: fewer details, or the kind for the thing."""
    for _ in range(count):
        steps = [name for name in ("place", "time") if getattr(clause, name) is not None]
        steps += [f"{slot} {what}" for slot in _phrase_slots(clause) for what in _upward(phrase_of(clause, slot))]
        if not steps:
            break
        clause = _generalise(clause, draw.one(steps))
    return clause


def specialised(draw: Draw, clause: Clause, count: int, domain: Domain) -> Clause:
    """Up to ``count`` steps to a more specific clause: more details, or a thing for its kind."""
    for _ in range(count):
        steps = [name for name in ("place", "time") if getattr(clause, name) is None]
        steps += [f"{slot} {what}" for slot in _phrase_slots(clause) for what in _downward(phrase_of(clause, slot))]
        if not steps:
            break
        clause = _specialise(draw, clause, draw.one(steps), domain)
    return clause


def implies(specific: Clause, general: Clause) -> bool:
    """Whether every event of the first is one of the second; words, voice and polarity aside."""
    if specific.past != general.past or specific.verb != general.verb:
        return False
    if (specific.patient is None) != (general.patient is None):
        return False
    if specific.patient and general.patient and not _phrase_implies(specific.patient, general.patient):
        return False
    places = specific.place and (specific.place.preposition, specific.place.names)
    general_places = general.place and (general.place.preposition, general.place.names)
    return (
        _phrase_implies(specific.subject, general.subject)
        and (general_places is None or places == general_places)
        and (general.time is None or specific.time == general.time)
    )


def relation(premise: Clause, hypothesis: Clause) -> str:
    """``entailment``, ``neutral`` or ``contradiction``."""
    up, down = implies(premise, hypothesis), implies(hypothesis, premise)
    if premise.negated:
        return ("entailment" if hypothesis.negated else "contradiction") if down else "neutral"
    if hypothesis.negated:
        return "contradiction" if up else "neutral"
    opposite = hypothesis.verb.base[0] == premise.verb.opposite
    against = opposite and implies(replace(premise, verb=hypothesis.verb), hypothesis)
    return "contradiction" if against else "entailment" if up else "neutral"


def phrase_of(clause: Clause, slot: str) -> Phrase:
    """The subject or the patient."""
    phrase = clause.subject if slot == "subject" else clause.patient
    if phrase is None:
        raise ValueError(f"the clause has no {slot}")
    return phrase


def _phrase_implies(specific: Phrase, general: Phrase) -> bool:
    nouns = specific.noun == general.noun or KINDS[specific.noun.kind] == general.noun
    adjectives = general.adjective is None or specific.adjective == general.adjective
    return nouns and adjectives and specific.plural == general.plural


def _phrase_slots(clause: Clause) -> list[str]:
    return ["subject"] if clause.patient is None else ["subject", "patient"]


def _with_phrase(clause: Clause, slot: str, phrase: Phrase) -> Clause:
    return replace(clause, subject=phrase) if slot == "subject" else replace(clause, patient=phrase)


def _upward(phrase: Phrase) -> list[str]:
    return [*(["kind"] if not phrase.noun.general else []), *(["adjective"] if phrase.adjective else [])]


def _downward(phrase: Phrase) -> list[str]:
    return [*(["kind"] if phrase.noun.general else []), *(["adjective"] if phrase.adjective is None else [])]


def _generalise(clause: Clause, step: str) -> Clause:
    if step == "place":
        return replace(clause, place=None)
    if step == "time":
        return replace(clause, time=None)
    slot, _, what = step.partition(" ")
    phrase = phrase_of(clause, slot)
    if what == "adjective":
        return _with_phrase(clause, slot, replace(phrase, adjective=None))
    kind = KINDS[phrase.noun.kind]
    determiner = phrase.determiner if phrase.determiner != "the" else ("some" if phrase.plural else "a")
    return _with_phrase(clause, slot, replace(phrase, noun=kind, word=0, determiner=determiner))


def _specialise(draw: Draw, clause: Clause, step: str, domain: Domain) -> Clause:
    if step == "place":
        return replace(clause, place=draw_place(draw, domain))
    if step == "time":
        return replace(clause, time=draw.one(TIMES))
    slot, _, what = step.partition(" ")
    if what == "adjective":
        return _with_phrase(clause, slot, with_adjective(draw, phrase_of(clause, slot)))
    kind = phrase_of(clause, slot).noun.kind
    nouns = tuple(noun for noun in (*domain.animates, *domain.things) if noun.kind == kind)
    return with_noun(draw, clause, slot, draw_phrase(draw, nouns, 0).noun)


def _rewordings(clause: Clause) -> list[str]:
    found = ["verb"] if len(clause.verb.base) > 1 else []
    if clause.place is not None and len(clause.place.names) > 1:
        found.append("place")
    for slot in _phrase_slots(clause):
        phrase = phrase_of(clause, slot)
        found += [slot] if len(phrase.noun.singular) > 1 else []
        found += [f"{slot} adjective"] if phrase.adjective and len(phrase.adjective.words) > 1 else []
    return found


def _reword(clause: Clause, name: str) -> Clause:
    """Every sense has one word or two."""
    if name == "verb":
        return replace(clause, word=1 - clause.word)
    if name == "place" and clause.place is not None:
        return replace(clause, place=replace(clause.place, word=1 - clause.place.word))
    slot, _, adjective = name.partition(" ")
    phrase = phrase_of(clause, slot)
    if adjective:
        return _with_phrase(clause, slot, replace(phrase, adjective_word=1 - phrase.adjective_word))
    return _with_phrase(clause, slot, replace(phrase, word=1 - phrase.word))
