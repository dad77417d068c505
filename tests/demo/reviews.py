"""Reads reviews of the demo world back, with the opinion words of ``demo/sentiment.py`` alone."""

from __future__ import annotations

from dataclasses import dataclass

from hadamard_glue.demo.sentiment import (
    ASPECTS,
    BAD,
    BASES,
    DISLIKING,
    GOOD,
    INTENSIFIERS,
    LIKING,
    NEGATORS,
    VIEWERS,
)

from .clause import UnreadableError


@dataclass(frozen=True)
class Review:
    """What the main clause says, and what the clause or phrase beside it says (None: there is none)."""

    positive: bool
    beside: bool | None


def read_review(text: str) -> Review:
    """A review of one sentence.

    Raises:
        UnreadableError: it has none of the forms of a review.
    """
    words = text.split()
    if not words or words.pop() != ".":
        raise UnreadableError(f"{text!r} has no full stop")
    parts = " ".join(words).split(" , ")
    if len(parts) == 1:
        return Review(_opinion(parts[0]), None)
    if len(parts) > 2:
        raise UnreadableError(f"{text!r} has more than two parts")
    first, second = parts
    if second.startswith("but "):
        return Review(_opinion(second.removeprefix("but ")), _opinion(first))
    if first.startswith("although "):
        return Review(_opinion(second), _opinion(first.removeprefix("although ")))
    if second.startswith("although "):
        return Review(_opinion(first), _opinion(second.removeprefix("although ")))
    match first.split():
        case ["despite", "the", word, aspect] if aspect in ASPECTS:
            return Review(_opinion(second), _praises(word))
    raise UnreadableError(f"{text!r} joins its parts in no known way")


def _opinion(text: str) -> bool:
    match text.split():
        case [viewer, "did", "not", base, "the", aspect] if viewer in VIEWERS and aspect in ASPECTS:
            return not _likes({base: past for past, base in BASES.items()}.get(base, ""))
        case [viewer, verb, "the", aspect] if viewer in VIEWERS and aspect in ASPECTS:
            return _likes(verb)
        case ["the", aspect, "is" | "was", *predicate] if aspect in ASPECTS and predicate:
            return _predicate(" ".join(predicate[:-1]), predicate[-1])
    raise UnreadableError(f"{text!r} is no opinion")


def _predicate(modifiers: str, adjective: str) -> bool:
    """``not very good``: any negator turns the adjective round, an intensifier does not."""
    negator = next((word for word in NEGATORS if f"{modifiers} ".startswith(f"{word} ")), None)
    rest = modifiers if negator is None else modifiers.removeprefix(negator).strip()
    if rest and (rest not in INTENSIFIERS or negator in ("far from", "anything but")):
        raise UnreadableError(f"{modifiers!r} before an adjective")
    return _praises(adjective) == (negator is None)


def _praises(adjective: str) -> bool:
    if (adjective in GOOD) == (adjective in BAD):
        raise UnreadableError(f"{adjective!r} is no opinion word")
    return adjective in GOOD


def _likes(verb: str) -> bool:
    if (verb in LIKING) == (verb in DISLIKING):
        raise UnreadableError(f"{verb!r} is no verb of liking")
    return verb in LIKING
