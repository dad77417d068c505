"""The words of the demo world: senses with their synonyms, kinds, opposites and inflected forms.

A sense is written ``chase/pursue``: its words, which mean the same. Inflection is regular unless :data:`_IRREGULAR`
says otherwise. No word belongs to two senses, so that a reader (or a checker) can look every word up.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Plurals of nouns, and past and participle of verbs, where the regular form is wrong.
_IRREGULAR = {
    "man": ("men",), "woman": ("women",), "thief": ("thieves",), "seaman": ("seamen",), "person": ("people",),
    "buy": ("bought", "bought"), "sell": ("sold", "sold"), "find": ("found", "found"), "lose": ("lost", "lost"),
    "break": ("broke", "broken"), "hide": ("hid", "hidden"), "lead": ("led", "led"), "sleep": ("slept", "slept"),
    "wake": ("woke", "woken"), "weep": ("wept", "wept"), "sing": ("sang", "sung"), "leave": ("left", "left"),
    "drag": ("dragged", "dragged"), "drop": ("dropped", "dropped"),
}  # fmt: skip


@dataclass(frozen=True)
class Noun:
    """A thing with a name: ``singular[i]`` and ``plural[i]`` are forms of the same word; the words mean the same.

    Attributes:
        kind: what it is one of (``animal``); a noun that names a kind has its own name there and ``general`` set.
    """

    singular: tuple[str, ...]
    plural: tuple[str, ...]
    kind: str
    general: bool = False


@dataclass(frozen=True)
class Verb:
    """An action by its four forms, by word.

    Attributes:
        takes: what its object is: ``animate``, ``thing``, or None for a verb without object.
        opposite: the base form of the first word of the sense that excludes it, or None.
    """

    base: tuple[str, ...]
    third: tuple[str, ...]
    past: tuple[str, ...]
    participle: tuple[str, ...]
    takes: str | None
    opposite: str | None


@dataclass(frozen=True)
class Adjective:
    """A quality by its words; ``describes`` is ``animate``, ``thing`` or ``any``."""

    words: tuple[str, ...]
    describes: str


@dataclass(frozen=True)
class Domain:
    """What sentences of one domain are about: MNLI's mismatched split has a domain of its own."""

    animates: tuple[Noun, ...]
    things: tuple[Noun, ...]
    places: tuple[tuple[str, ...], ...]


def _with_s(word: str) -> str:
    if word.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2] not in "aeou" else f"{word}s"


def _with_ed(word: str) -> str:
    if word.endswith("e"):
        return f"{word}d"
    return f"{word[:-1]}ied" if word.endswith("y") and word[-2] not in "aeou" else f"{word}ed"


def _nouns(kind: str, senses: str) -> tuple[Noun, ...]:
    found = []
    for sense in senses.split():
        words = tuple(sense.split("/"))
        plural = tuple(_IRREGULAR[word][0] if word in _IRREGULAR else _with_s(word) for word in words)
        found.append(Noun(words, plural, kind, general=words == (kind,)))
    return tuple(found)


def _verb(sense: str, takes: str | None, opposite: str | None) -> Verb:
    words = tuple(sense.split("/"))
    past = tuple(_IRREGULAR[word][0] if word in _IRREGULAR else _with_ed(word) for word in words)
    participle = tuple(_IRREGULAR[word][1] if word in _IRREGULAR else _with_ed(word) for word in words)
    return Verb(words, tuple(map(_with_s, words)), past, participle, takes, opposite)


def _verbs(takes: str | None, senses: str) -> tuple[Verb, ...]:
    """``push/shove:pull/drag`` are opposites."""
    found = []
    for pair in senses.split():
        first, _, second = pair.partition(":")
        heads = first.split("/")[0], second.split("/")[0] or None
        found.append(_verb(first, takes, heads[1]))
        if second:
            found.append(_verb(second, takes, heads[0]))
    return tuple(found)


def _places(senses: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(sense.split("/")) for sense in senses.split())


LAND = Domain(
    animates=(
        *_nouns("person", "man/guy woman/lady boy/lad doctor/physician lawyer/attorney thief/robber teacher farmer"),
        *_nouns("animal", "dog/hound rabbit/bunny pig/hog cat horse"),
    ),
    things=(
        *_nouns("vehicle", "car/automobile truck/lorry bus"),
        *_nouns("fruit", "apple pear melon"),
        *_nouns("toy", "ball kite puppet/marionette"),
    ),
    places=_places("park garden/yard kitchen street/road forest/wood shop/store school"),
)
SEA = Domain(
    animates=(
        *_nouns("person", "sailor/seaman captain/skipper diver"),
        *_nouns("animal", "whale shark seal"),
    ),
    things=(*_nouns("vehicle", "boat raft/float"), *_nouns("tool", "anchor net barrel/cask")),
    places=_places("deck harbor/port island beach/shore"),
)

#: The nouns that name a kind.
KINDS = {kind: _nouns(kind, kind)[0] for kind in ("person", "animal", "vehicle", "fruit", "toy", "tool")}

VERBS = (
    *_verbs(
        "animate",
        "chase/pursue push/shove:pull/drag help/assist praise/commend:scold/criticize love/adore:hate/detest "
        "follow/trail:lead/guide hire/employ:fire/dismiss",
    ),
    *_verbs(
        "thing",
        "buy/purchase:sell fix/repair:break/smash find/discover:lose/misplace lift/raise:drop "
        "hide/conceal:show/display paint",
    ),
    *_verbs(
        None,
        "sleep/doze:wake laugh/giggle:cry/weep arrive/appear:leave/depart shout/yell:whisper/murmur "
        "rest/relax:work/toil walk/stroll dance sing",
    ),
)
ADJECTIVES = tuple(
    Adjective(tuple(sense.split("/")), describes)
    for describes, senses in (
        ("animate", "happy/glad sad/unhappy rich/wealthy poor"),
        ("thing", "new cheap red blue"),
        ("any", "big/large small/little old"),
    )
    for sense in senses.split()
)
TIMES = ("at night", "at noon", "on monday", "on friday")
PREPOSITIONS = ("in", "near", "behind")

VERB_BY_HEAD = {verb.base[0]: verb for verb in VERBS}
