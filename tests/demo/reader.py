"""Reads sentences of the demo world back into meanings, with its word tables alone and a grammar written anew.

Nothing here comes from the code that writes the sentences: what the two agree on, they agree on twice.
"""

from __future__ import annotations

from collections.abc import Iterator

from hadamard_glue.demo.lexicon import LAND, SEA, Domain

from .clause import Clause, Event, Question, UnreadableError

#: Rules that a sentence may break; each can be put aside while reading.
KINDS_OF_VIOLATION = ("agreement", "number", "order", "argument", "form")

_ASKING = {
    ("where",): "place", ("in", "which", "place"): "place", ("when",): "time", ("at", "what", "time"): "time",
    ("by", "whom"): "agent", ("who",): "who", ("what",): "what",
}  # fmt: skip


def read(text: str) -> list[Event]:
    """The clauses of a statement, one or two joined by ``and`` or ``while``.

    Raises:
        UnreadableError: it breaks a rule of the grammar.
    """
    words = text.split()
    if not words or words.pop() != "." or text != " ".join([*words, "."]):
        raise UnreadableError(f"{text!r} is no statement")
    joints = [place for place, word in enumerate(words) if word in ("and", "while")]
    if len(joints) > 1:
        raise UnreadableError(f"{text!r} has more than two clauses")
    ends = [*joints, len(words)]
    starts = [0, *(joint + 1 for joint in joints)]
    return [Clause(words[start:end]).statement() for start, end in zip(starts, ends, strict=True)]


def read_question(text: str) -> Question:
    """A question.

    Raises:
        UnreadableError: it breaks a rule of the grammar.
    """
    words = text.split()
    if not words or words.pop() != "?" or text != " ".join([*words, "?"]):
        raise UnreadableError(f"{text!r} is no question")
    for opening, asked in _ASKING.items():
        if tuple(words[: len(opening)]) == opening:
            return Clause(words[len(opening) :]).question(asked)
    raise UnreadableError(f"{text!r} asks for nothing")


def is_acceptable(text: str) -> bool:
    """Whether the text is a statement that breaks no rule."""
    try:
        return bool(read(text))
    except UnreadableError:
        return False


def violations(text: str) -> list[str]:
    """The rules that alone stand between the text, which is not acceptable, and an acceptable statement."""
    words = text.split()[:-1]
    found = [rule for rule in KINDS_OF_VIOLATION if rule != "order" and _reads_without(words, rule)]
    return [*found, "order"] if any(map(is_acceptable, _one_word_elsewhere(words))) else found


def domains(text: str) -> set[str]:
    """``land`` and ``sea``: which domains' own words stand in the text."""
    return {name for name, words in _DOMAIN_WORDS.items() if words & set(text.split())}


def _reads_without(words: list[str], rule: str) -> bool:
    try:
        return bool(Clause(words, rule).statement())
    except UnreadableError:
        return False


def _one_word_elsewhere(words: list[str]) -> Iterator[str]:
    for place in range(len(words)):
        rest = words[:place] + words[place + 1 :]
        for other in range(len(words)):
            yield " ".join([*rest[:other], words[place], *rest[other:], "."])


def _words_of(domain: Domain) -> set[str]:
    forms = {form for noun in (*domain.animates, *domain.things) for form in (*noun.singular, *noun.plural)}
    return forms | {word for names in domain.places for word in names}


_DOMAIN_WORDS = {"land": _words_of(LAND), "sea": _words_of(SEA)}
