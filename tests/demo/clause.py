"""One clause of the demo world, read word by word: its meaning, and the rules that it must keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hadamard_glue.demo.lexicon import ADJECTIVES, KINDS, LAND, PREPOSITIONS, SEA, TIMES, VERBS

#: Determiner -> whether it wants a plural noun; None: either.
DETERMINERS = {
    "the": None, "a": False, "an": False, "every": False,
    "some": True, "most": True, "two": True, "three": True, "no": True,
}  # fmt: skip

_NOUNS = {
    form: (noun, plural)
    for noun in {*LAND.animates, *LAND.things, *SEA.animates, *SEA.things, *KINDS.values()}
    for plural, forms in ((False, noun.singular), (True, noun.plural))
    for form in forms
}
_QUALITIES = {word: adjective for adjective in ADJECTIVES for word in adjective.words}
_PLACES = {word: names[0] for names in (*LAND.places, *SEA.places) for word in names}
_VERBS = {form: verb for verb in VERBS for form in {*verb.base, *verb.third, *verb.past, *verb.participle}}
_BE = {"is": (False, False), "are": (False, True), "was": (True, False), "were": (True, True)}
_DO = {"does": (False, False), "do": (False, True), "did": (True, None)}


class UnreadableError(ValueError):
    """The text is no sentence of the grammar."""


@dataclass(frozen=True)
class Named:
    """A noun phrase by its senses: ``a lady`` is about the sense ``woman``."""

    sense: str
    kind: str
    plural: bool
    determiner: str
    quality: str | None


@dataclass(frozen=True)
class Event:
    """Who does what to whom, where, when; ``agent`` or ``patient`` is None where a question asks for it."""

    agent: Named | None
    action: str
    opposite: str | None
    patient: Named | None
    place: tuple[str, str] | None
    time: str | None
    past: bool
    negated: bool


@dataclass(frozen=True)
class Question:
    """An event with one part left out: ``agent``, ``patient``, ``place`` or ``time``."""

    event: Event
    asked: str


@dataclass
class Clause:
    """The words of one clause, read from the left; ``aside`` names a rule that is not enforced."""

    words: list[str]
    aside: str = ""
    place: tuple[str, str] | None = field(default=None, init=False)
    time: str | None = field(default=None, init=False)
    _takes: str | None = field(default=None, init=False)  # the kind of object of the verb that was read last

    def __post_init__(self) -> None:
        self.words = list(self.words)

    def statement(self) -> Event:
        """``[adverbial ,] phrase verb [phrase] [place] [time]``, or the passive."""
        if self.words and (self.words[0] in PREPOSITIONS or self.words[0] in ("at", "on")):
            self._adverbial()
            self._expect(",")
        first = self._phrase()
        if self.words and self.words[0] in _BE:
            past, negated = self._be(first.plural), self._skip("not")
            action = self._participle()
            self._expect("by")
            return self._event(self._phrase(), action, first, past, negated)
        action, past, negated = self._finite(first.plural)
        return self._event(first, action, self._patient(), past, negated)

    def question(self, asked: str) -> Question:
        """What follows ``who``, ``in which place`` and so on."""
        if asked in ("place", "time"):
            event = self._inverted()
            if getattr(event, asked) is not None:
                raise UnreadableError(f"the {asked} is asked for and said")
            return Question(event, asked)
        if asked == "agent":
            self._require(bool(self.words) and self.words[0] in _BE, "by whom without be")
            return Question(self._inverted(agent_asked=True), "agent")
        if self.words and self.words[0] in _BE:
            past, action = self._be(False), self._participle()
            self._expect("by")
            return self._about_patient(asked, self._event(self._phrase(), action, None, past, False))
        if self.words and self.words[0] in _DO:
            past, plural = self._do()
            agent = self._phrase()
            self._agree(plural, agent.plural)
            return self._about_patient(asked, self._event(agent, self._form("base"), None, past, False))
        self._require(asked == "who", "no verb has a thing for its subject")
        action, past, _ = self._finite(False)
        return Question(self._event(None, action, self._patient(), past, False), "agent")

    def _about_patient(self, asked: str, event: Event) -> Question:
        takes = _VERBS[event.action].takes
        self._require(takes == {"who": "animate", "what": "thing"}[asked], f"{asked} for an object that is {takes}")
        return Question(event, "patient")

    def _inverted(self, agent_asked: bool = False) -> Event:
        """``did the dog chase the cat``, ``was the cat chased by the dog``."""
        if self.words and self.words[0] in _BE:
            plural, past = _BE[self.words[0]][1], _BE[self.words.pop(0)][0]
            patient = self._phrase()
            self._agree(plural, patient.plural)
            action = self._participle()
            if agent_asked:
                return self._event(None, action, patient, past, False)
            self._expect("by")
            return self._event(self._phrase(), action, patient, past, False)
        past, plural_verb = self._do()
        agent = self._phrase()
        self._agree(plural_verb, agent.plural)
        action = self._form("base")
        return self._event(agent, action, self._patient(), past, False)

    def _event(self, agent: Named | None, action: str, patient: Named | None, past: bool, negated: bool) -> Event:
        """What was read, with the adverbials that are left; no word may remain."""
        if self.words and self.words[0] in PREPOSITIONS:
            self._adverbial()
        if self.words:
            self._adverbial()
        self._require(not self.words, f"{self.words} left over")
        verb = _VERBS[action]
        self._require(agent is None or _is_animate(agent), "a thing acts")
        if patient is not None and self.aside != "argument":
            self._require(
                verb.takes == ("animate" if _is_animate(patient) else "thing"), "the verb takes another object"
            )
        return Event(agent, action, verb.opposite, patient, self.place, self.time, past, negated)

    def _patient(self) -> Named | None:
        """The object of the verb that was just read, which decides whether there is one."""
        there = bool(self.words) and self.words[0] in DETERMINERS
        if self.aside == "argument":
            return self._phrase() if there else None
        self._require(there == (self._takes is not None), "an object too many or too few")
        return self._phrase() if there else None

    def _phrase(self) -> Named:
        determiner = self._pop(lambda word: word in DETERMINERS, "a determiner")
        vowel = bool(self.words) and self.words[0][0] in "aeiou"
        self._require(determiner not in ("a", "an") or (determiner == "an") == vowel, "a and an")
        quality = _QUALITIES[self.words.pop(0)] if self.words and self.words[0] in _QUALITIES else None
        noun, plural = _NOUNS[self._pop(lambda word: word in _NOUNS, "a noun")]
        wanted = DETERMINERS[determiner]
        self._require(self.aside == "number" or wanted in (None, plural), f"{determiner} and {noun.singular[0]}")
        kind = "animate" if noun.kind in ("person", "animal") else "thing"
        self._require(quality is None or quality.describes in (kind, "any"), "an adjective for something else")
        article = "a" if determiner == "an" else determiner
        return Named(noun.singular[0], noun.kind, plural, article, quality.words[0] if quality else None)

    def _finite(self, plural: bool) -> tuple[str, bool, bool]:
        """The action, whether it is past, and whether it is negated; agreeing with a subject of this number."""
        if self.words and self.words[0] in _DO:
            past, wanted = self._do()
            self._agree(wanted, plural)
            self._expect("not")
            return self._form("base"), past, True
        form = self.words[0] if self.words else ""
        verb = _VERBS.get(form)
        self._require(verb is not None and form in (*verb.base, *verb.third, *verb.past), f"{form!r} is no finite verb")
        past = verb is not None and form in verb.past
        if verb is not None and not past:
            self._agree(form in verb.base, plural)
        return self._form("past" if past else "base" if verb and form in verb.base else "third"), past, False

    def _be(self, plural: bool) -> bool:
        past, wanted = _BE[self._pop(lambda word: word in _BE, "be")]
        self._agree(wanted, plural)
        return past

    def _do(self) -> tuple[bool, bool | None]:
        return _DO[self._pop(lambda word: word in _DO, "do")]

    def _participle(self) -> str:
        action = self._form("participle")
        self._require(self._takes is not None, "a passive of a verb without object")
        return action

    def _form(self, form: str) -> str:
        """The sense of a verb in this form; after an auxiliary the form may be put aside."""
        word = self._pop(lambda word: word in _VERBS, "a verb")
        verb = _VERBS[word]
        aside = self.aside == "form" and form in ("base", "participle")
        self._require(aside or word in getattr(verb, form), f"{word} is not the {form} of a verb")
        self._takes = verb.takes
        return verb.base[0]

    def _adverbial(self) -> None:
        if self.words[0] in PREPOSITIONS and self.place is None:
            preposition = self.words.pop(0)
            self._expect("the")
            self.place = preposition, _PLACES[self._pop(lambda word: word in _PLACES, "a place")]
            return
        time = " ".join(self.words[:2])
        self._require(time in TIMES and self.time is None, f"{time!r} is no adverbial, or one too many")
        self.time, self.words = time, self.words[2:]

    def _agree(self, verb: bool | None, subject: bool) -> None:
        self._require(self.aside == "agreement" or verb in (None, subject), "verb and subject differ in number")

    def _skip(self, word: str) -> bool:
        there = bool(self.words) and self.words[0] == word
        self.words = self.words[there:]
        return there

    def _expect(self, word: str) -> None:
        self._pop(lambda found: found == word, word)

    def _pop(self, fits: Callable[[str], bool], what: str) -> str:
        self._require(bool(self.words) and fits(self.words[0]), f"{what} expected at {self.words}")
        return self.words.pop(0)

    def _require(self, condition: bool, what: str) -> None:
        if not condition:
            raise UnreadableError(what)


def _is_animate(named: Named) -> bool:
    return named.kind in ("person", "animal")
