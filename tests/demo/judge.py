"""Labels of the demo world by rules of its own: events as sets of facts, quantifiers by counting in small worlds.

An affirmed clause says that there is an event of which all its facts hold, a negated one that there is none. The
general is a part of the specific: a dog's facts have ``animal`` among them. Articles (``the``, ``a``, ``some``) say
nothing here.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .clause import Event, Named, Question
from .reader import is_acceptable, read, read_question
from .reviews import read_review

Fact = tuple[object, ...]


def label(task: str, texts: tuple[str, ...]) -> str:
    """The label of a row as the official file writes it.

    Raises:
        UnreadableError: a text is no sentence of the grammar (CoLA aside).
        ValueError: the texts leave the label open.
    """
    return _RULES[task](*texts)


def facts(event: Event) -> frozenset[Fact]:
    """What holds of the event, whether it is affirmed or denied."""
    found: set[Fact] = {("action", event.action), ("past", event.past)}
    for part, named in (("agent", event.agent), ("patient", event.patient)):
        found |= {(part, *fact) for fact in _facts_of(named)} if named else set()
        found |= {(part, "plural", named.plural)} if named else set()
    found |= {("place", *event.place)} if event.place else set()
    found |= {("time", event.time)} if event.time else set()
    return frozenset(found)


def _facts_of(named: Named) -> set[Fact]:
    kinds: set[Fact] = {("is", named.sense), ("is", named.kind)}
    return kinds | ({("quality", named.quality)} if named.quality else set())


def relation(premise: Event, hypothesis: Event) -> str:
    """``entailment``, ``contradiction`` or ``neutral``."""
    stated, claimed = facts(premise), facts(hypothesis)
    if premise.negated:
        # There is no event with the stated facts, hence none with more facts.
        if not stated <= claimed:
            return "neutral"
        return "entailment" if hypothesis.negated else "contradiction"
    if hypothesis.negated:
        return "contradiction" if claimed <= stated else "neutral"
    if hypothesis.action == premise.opposite and claimed <= facts(replace(premise, action=hypothesis.action)):
        return "contradiction"
    return "entailment" if claimed <= stated else "neutral"


def _acceptability(text: str) -> str:
    return "1" if is_acceptable(text) else "0"


def _sentiment(text: str) -> str:
    review = read_review(text)
    if review.beside == review.positive:
        raise ValueError(f"{text!r} contrasts what is alike")
    return "1" if review.positive else "0"


def _paraphrase(first: str, second: str) -> str:
    (one,), (other,) = read(first), read(second)
    return "1" if _same((one, other), facts(one) == facts(other) and one.negated == other.negated) else "0"


def _questions(first: str, second: str) -> str:
    one, other = read_question(first), read_question(second)
    same = facts(one.event) == facts(other.event) and one.asked == other.asked
    return "1" if _same((one.event, other.event), same) else "0"


def _same(events: tuple[Event, Event], same: bool) -> bool:
    """``same``, once it is clear that no article decides."""
    articles = [[named.determiner for named in (event.agent, event.patient) if named] for event in events]
    if same and articles[0] != articles[1]:
        raise ValueError("two texts differ in their articles alone")
    return same


def _similarity(first: str, second: str) -> str:
    """1.25 for each part that is the same, 0.5 for a related one: of one kind, the opposite, near the same place."""
    (one,), (other,) = read(first), read(second)
    parts = [_alike(a, b) for a, b in ((one.agent, other.agent), (one.patient, other.patient))]
    parts.append(1.25 if one.action == other.action else 0.5 if one.action == other.opposite else 0.0)
    if not (one.place and other.place) or one.past != other.past or one.negated or other.negated:
        raise ValueError("sentences that no score is defined for")
    same_place = 1.25 if one.place[0] == other.place[0] else 0.5
    return f"{sum(parts) + (same_place if one.place[1] == other.place[1] else 0):.3f}"


def _alike(one: Named | None, other: Named | None) -> float:
    if one is None or other is None or one.quality or other.quality or one.plural != other.plural:
        raise ValueError("phrases that no score is defined for")
    return 1.25 if one.sense == other.sense else 0.5 if one.kind == other.kind else 0.0


def _three_way(premise: str, hypothesis: str) -> str:
    (stated,), (claimed,) = read(premise), read(hypothesis)
    return relation(stated, claimed)


def _answer(question: str, text: str) -> str:
    asked = read_question(question)
    return "entailment" if any(_answers(asked, event) for event in read(text)) else "not_entailment"


def _answers(question: Question, event: Event) -> bool:
    """The event has every fact that the question names, and says what is asked for."""
    told = getattr(event, question.asked) is not None
    return told and not event.negated and facts(question.event) <= facts(event)


def _two_way(premise: str, hypothesis: str) -> str:
    stated, (claimed,) = read(premise), read(hypothesis)
    if len(stated) == 1:
        return "entailment" if _quantified(stated[0], claimed) else "not_entailment"
    follows = any(relation(event, claimed) == "entailment" for event in stated)
    return "entailment" if follows else "not_entailment"


def _quantified(premise: Event, hypothesis: Event) -> bool:
    """Whether ``every big dog slept`` implies another such clause: true in every small world, see :func:`_follows`."""
    if premise.agent is None or hypothesis.agent is None or premise.negated or hypothesis.negated:
        raise ValueError("a quantified clause is affirmed and has a subject")
    nouns = _facts_of(premise.agent), _facts_of(hypothesis.agent)
    actions = facts(replace(premise, agent=None)), facts(replace(hypothesis, agent=None))
    return _follows(
        premise.agent.determiner,
        hypothesis.agent.determiner,
        (nouns[1] <= nouns[0], nouns[0] <= nouns[1]),
        (actions[1] <= actions[0], actions[0] <= actions[1]),
    )


@functools.cache
def _follows(stated: str, claimed: str, nouns: tuple[bool, bool], actions: tuple[bool, bool]) -> bool:
    """Whether no world of up to six individuals makes ``stated`` (A, V) true and ``claimed`` (B, W) false.

    ``nouns`` are A within B and B within A; ``actions`` are V within W and W within V. In every world there are an A
    and a B: a sentence is about something.
    """
    kinds = np.array([
        (a, b, v, w)
        for a, b, v, w in itertools.product((False, True), repeat=4)
        if (a or b) and _within(nouns, a, b) and _within(actions, v, w)
    ])  # fmt: skip
    for size in range(1, 7):
        worlds = np.array([*itertools.combinations_with_replacement(range(len(kinds)), size)])
        a, b, v, w = np.moveaxis(kinds[worlds], 2, 0)
        about = a.any(1) & b.any(1)
        if (about & _QUANTIFIERS[stated](a, v) & ~_QUANTIFIERS[claimed](b, w)).any():
            return False
    return True


def _within(sets: tuple[bool, bool], first: bool, second: bool) -> bool:
    return not (sets[0] and first and not second) and not (sets[1] and second and not first)


def _at_least(count: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda noun, action: (noun & action).sum(1) >= count


#: Arrays [worlds, individuals]: who is a dog, who slept -> in which worlds "most dogs slept" is true.
_QUANTIFIERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "every": lambda noun, action: (~noun | action).all(1),
    "most": lambda noun, action: 2 * (noun & action).sum(1) > noun.sum(1),
    "some": _at_least(1),
    "two": _at_least(2),
    "three": _at_least(3),
    "no": lambda noun, action: ~(noun & action).any(1),
}
_RULES: dict[str, Callable[..., str]] = {
    "cola": _acceptability, "sst2": _sentiment, "mrpc": _paraphrase, "stsb": _similarity, "qqp": _questions,
    "mnli": _three_way, "qnli": _answer, "rte": _two_way,
}  # fmt: skip
