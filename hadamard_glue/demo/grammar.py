"""Clauses as meanings, and how they are said: agreement, tense, negation, voice, order, questions."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hadamard_glue.demo.draw import Draw
from hadamard_glue.demo.lexicon import (
    ADJECTIVES,
    LAND,
    PREPOSITIONS,
    TIMES,
    VERBS,
    Adjective,
    Domain,
    Noun,
    Verb,
)


@dataclass(frozen=True)
class Phrase:
    """A noun phrase; ``word`` and ``adjective_word`` choose among the words of a sense."""

    noun: Noun
    plural: bool
    determiner: str
    adjective: Adjective | None = None
    word: int = 0
    adjective_word: int = 0

    def said(self) -> str:
        """``the old dogs``; ``a`` becomes ``an`` before a vowel."""
        words = [(self.noun.plural if self.plural else self.noun.singular)[self.word]]
        if self.adjective is not None:
            words.insert(0, self.adjective.words[self.adjective_word])
        article = "an" if self.determiner == "a" and words[0][0] in "aeiou" else self.determiner
        return " ".join([article, *words])


@dataclass(frozen=True)
class Place:
    """``near the park``."""

    preposition: str
    names: tuple[str, ...]
    word: int = 0

    def said(self) -> str:
        """The preposition and the place."""
        return f"{self.preposition} the {self.names[self.word]}"


@dataclass(frozen=True)
class Clause:
    """Who does what to whom, where and when; ``word`` chooses among the verb's words.

    It is about one event: affirmed, that there is such an event; negated, that there is none.
    """

    subject: Phrase
    verb: Verb
    patient: Phrase | None
    place: Place | None
    time: str | None
    past: bool
    negated: bool = False
    word: int = 0

    @property
    def plural(self) -> bool:
        """Whether the subject is plural."""
        return self.subject.plural


def say(clause: Clause, passive: bool = False, fronted: str | None = None) -> str:
    """The clause as a sentence with its full stop; ``fronted`` puts ``place`` or ``time`` before it."""
    tail = _tail(clause, without=fronted)
    body = _passive(clause, tail) if passive else _active(clause, tail)
    if fronted is not None:
        body = f"{_adverbial(clause, fronted)} , {body}"
    return f"{body} ."


def ask(clause: Clause, asked: str, passive: bool = False, long: bool = False) -> str:
    """The clause as a question about one part: ``subject``, ``patient``, ``place`` or ``time``.

    ``long`` says ``in which place`` for ``where`` and ``at what time`` for ``when``.
    """
    tail = _tail(clause, without=asked)
    patient = clause.patient
    if asked == "subject":
        if passive and patient is not None:
            return _question("by whom", _be(clause, patient.plural), patient.said(), _participle(clause), tail)
        singular = replace(clause, subject=replace(clause.subject, plural=False))
        return _question("who", _finite(singular), patient.said() if patient else None, tail)
    if asked == "patient" and patient is not None:
        word = "who" if clause.verb.takes == "animate" else "what"
        if passive:
            return _question(word, _be(clause, False), _participle(clause), "by", clause.subject.said(), tail)
        return _question(word, _do(clause), clause.subject.said(), clause.verb.base[clause.word], tail)
    word = {"place": "in which place" if long else "where", "time": "at what time" if long else "when"}[asked]
    if passive and patient is not None:
        be = _be(clause, patient.plural)
        return _question(word, be, patient.said(), _participle(clause), "by", clause.subject.said(), tail)
    verb = clause.verb.base[clause.word]
    return _question(word, _do(clause), clause.subject.said(), verb, patient.said() if patient else None, tail)


def _question(*parts: str | None) -> str:
    return " ".join([part for part in parts if part] + ["?"])


def _active(clause: Clause, tail: str) -> str:
    patient = "" if clause.patient is None else f" {clause.patient.said()}"
    return f"{clause.subject.said()} {_finite(clause)}{patient}{tail and ' ' + tail}"


def _passive(clause: Clause, tail: str) -> str:
    if clause.patient is None:
        raise ValueError("a verb without object has no passive")
    be = _be(clause, clause.patient.plural) + (" not" if clause.negated else "")
    return f"{clause.patient.said()} {be} {_participle(clause)} by {clause.subject.said()}{tail and ' ' + tail}"


def _finite(clause: Clause) -> str:
    verb, word = clause.verb, clause.word
    if clause.negated:
        return f"{_do(clause)} not {verb.base[word]}"
    if clause.past:
        return verb.past[word]
    return verb.base[word] if clause.plural else verb.third[word]


def _do(clause: Clause) -> str:
    return "did" if clause.past else "do" if clause.plural else "does"


def _be(clause: Clause, plural: bool) -> str:
    return ("were" if plural else "was") if clause.past else ("are" if plural else "is")


def _participle(clause: Clause) -> str:
    return clause.verb.participle[clause.word]


def _adverbial(clause: Clause, name: str) -> str:
    if name == "time":
        return clause.time or ""
    return "" if clause.place is None else clause.place.said()


def _tail(clause: Clause, without: str | None) -> str:
    return " ".join(
        _adverbial(clause, name) for name in ("place", "time") if name != without and _adverbial(clause, name)
    )


def draw_phrase(draw: Draw, nouns: tuple[Noun, ...], adjective: float = 0.35) -> Phrase:
    """A noun phrase about one of ``nouns``, described with this probability."""
    noun = draw.one(nouns)
    plural = draw.chance(0.4)
    determiner = draw.one(("the", "the", "some" if plural else "a"))
    phrase = Phrase(noun, plural, determiner, word=draw.below(len(noun.singular)))
    return with_adjective(draw, phrase) if draw.chance(adjective) else phrase


def with_adjective(draw: Draw, phrase: Phrase) -> Phrase:
    """The phrase with an adjective that it does not have."""
    kind = "animate" if phrase.noun.kind in ("person", "animal") else "thing"
    fitting = [a for a in ADJECTIVES if a.describes in (kind, "any") and a != phrase.adjective]
    adjective = draw.one(fitting)
    return replace(phrase, adjective=adjective, adjective_word=draw.below(len(adjective.words)))


def draw_place(draw: Draw, domain: Domain) -> Place:
    """Some place of the domain."""
    names = draw.one(domain.places)
    return Place(draw.one(PREPOSITIONS), names, draw.below(len(names)))


def draw_clause(
    draw: Draw,
    domain: Domain = LAND,
    takes: tuple[str | None, ...] = ("animate", "thing", None),
    place: float = 0.5,
    time: float = 0.25,
    negated: float = 0.0,
    adjective: float = 0.35,
) -> Clause:
    """A clause of the domain whose verb takes one of ``takes``; the other numbers are probabilities."""
    wanted = draw.one(takes)
    verb = draw.one([verb for verb in VERBS if verb.takes == wanted])
    subject = draw_phrase(draw, domain.animates, adjective)
    patient = None
    if verb.takes is not None:
        others = tuple(noun for noun in domain.animates if noun != subject.noun)
        patient = draw_phrase(draw, others if verb.takes == "animate" else domain.things, adjective)
    return Clause(
        subject,
        verb,
        patient,
        draw_place(draw, domain) if draw.chance(place) else None,
        draw.one(TIMES) if draw.chance(time) else None,
        past=draw.chance(0.6),
        negated=draw.chance(negated),
        word=draw.below(len(verb.base)),
    )
