"""Laws of the demo world for any seed: draws, implication, label balance; and its pretraining text."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hadamard_glue.demo.corpus import documents
from hadamard_glue.demo.draw import Draw
from hadamard_glue.demo.files import SEED
from hadamard_glue.demo.grammar import Clause, draw_clause
from hadamard_glue.demo.lexicon import KINDS, LAND, SEA, VERB_BY_HEAD, VERBS
from hadamard_glue.demo.pairs import said_somehow
from hadamard_glue.demo.rules import generalised, implies, relation, reworded, specialised
from hadamard_glue.demo.tasks import DEMO_TASKS, rows

from . import judge
from .reader import read
from .reviews import read_review

#: Word before the second text -> the task whose rule it states, and the label.
MARKERS = {
    "indeed": ("mrpc", "1"), "again": ("qqp", "1"), "or": ("qqp", "0"), "yes": ("qnli", "entailment"),
    "well": ("qnli", "not_entailment"), "no": ("mnli", "contradiction"), "perhaps": ("mnli", "neutral"),
}  # fmt: skip
seeds = st.integers(0, 2**32)
several = settings(max_examples=60, deadline=None)


def related_clauses(draw: Draw) -> list[Clause]:
    """A clause, more general ones, more specific ones, and its neighbours in other words."""
    clause = draw_clause(draw, place=0.6, time=0.4)
    general = generalised(draw, clause, 1 + draw.below(2))
    specific = specialised(draw, clause, 1 + draw.below(2), LAND)
    found = [clause, general, generalised(draw, general, 1), specific, specialised(draw, specific, 1, LAND)]
    return [reworded(draw, one, draw.below(3)) for one in found]


def test_no_word_belongs_to_two_senses() -> None:
    nouns = {*LAND.animates, *LAND.things, *SEA.animates, *SEA.things, *KINDS.values()}
    senses = [{*noun.singular, *noun.plural} for noun in nouns]
    senses += [set(names) for names in (*LAND.places, *SEA.places)]
    senses += [{*verb.base, *verb.third, *verb.past, *verb.participle} for verb in VERBS]
    assert max(Counter(word for sense in senses for word in sense).values()) == 1


def test_opposites_are_mutual() -> None:
    for verb in VERBS:
        if verb.opposite is not None:
            assert VERB_BY_HEAD[verb.opposite].opposite == verb.base[0]
            assert VERB_BY_HEAD[verb.opposite].takes == verb.takes


@several
@given(seeds, st.lists(st.integers()))
def test_shuffled_is_a_permutation(seed: int, options: list[int]) -> None:
    assert sorted(Draw(seed).shuffled(options)) == sorted(options)
    assert Draw(seed).shuffled(options) == Draw(seed).shuffled(options)


@several
@given(seeds, st.integers(1, 50))
def test_draws_stay_in_their_range(seed: int, count: int) -> None:
    draw = Draw(seed)
    assert all(0 <= draw.below(count) < count for _ in range(20))
    assert draw.weighted([("never", 0.0), ("always", 1.0)]) == "always"


@several
@given(seeds)
def test_implication_is_a_preorder_and_the_checkers_own(seed: int) -> None:
    draw = Draw(seed)
    clauses = related_clauses(draw)
    known = [judge.facts(read(said_somehow(draw, clause))[0]) for clause in clauses]
    indices = range(len(clauses))
    assert all(implies(clause, clause) for clause in clauses)
    for one, other in itertools.product(indices, repeat=2):
        assert implies(clauses[one], clauses[other]) == (known[other] <= known[one])
    for one, two, three in itertools.product(indices, repeat=3):
        if implies(clauses[one], clauses[two]) and implies(clauses[two], clauses[three]):
            assert implies(clauses[one], clauses[three])


@several
@given(seeds)
def test_saying_and_rewording_keep_the_meaning(seed: int) -> None:
    draw = Draw(seed)
    clause = draw_clause(draw, SEA if draw.chance(0.5) else LAND, negated=0.5)
    other = reworded(draw, clause, 1 + draw.below(4))
    (first,), (second,) = read(said_somehow(draw, clause)), read(said_somehow(draw, other))
    assert first == second
    assert relation(clause, other) == "entailment"


@settings(max_examples=8, deadline=None)
@given(seeds, st.sampled_from([name for name, made in DEMO_TASKS.items() if made.labels]))
def test_labels_balance_exactly_and_are_right_for_any_seed(seed: int, name: str) -> None:
    made = DEMO_TASKS[name]
    for split, found in rows(name, seed).items():
        counts = Counter(given for _, given in found)
        wanted = made.train if split == "train" else made.dev
        assert counts == {given: round(wanted * share) for given, share in made.labels}
        assert all(judge.label(name, texts) == given for texts, given in found)


@pytest.mark.parametrize("seed", [1, 1_000_004])
def test_no_document_is_a_task_row(seed: int) -> None:
    taken = {texts for name in DEMO_TASKS for split in rows(name, SEED).values() for texts, _ in split}
    count = 0
    for first, marked in documents(seed, 10_000):
        count += 1
        second = unmarked(marked)[1] if marked is not None else first
        assert not {(first,), (second,), (first, second), (second, first)} & taken
    assert count == 10_000


def test_documents_repeat_for_a_seed() -> None:
    assert [*documents(3, 500)] == [*documents(3, 500)]
    assert [*documents(3, 300)] == [*documents(3, 500)][:300]
    assert [*documents(3, 500)] != [*documents(4, 500)]


def test_documents_are_of_the_grammar_and_mean_what_their_markers_say() -> None:
    seen = set()
    for first, marked in documents(2, 6000):
        if marked is None:
            assert read(first)
            continue
        marker, second = unmarked(marked)
        seen.add(marker)
        if marker in MARKERS:
            task, wanted = MARKERS[marker]
            assert judge.label(task, (first, second)) == wanted, (first, marked)
        elif not marker:
            assert read_review(first).positive == (second.split()[1] in ("praised", "recommended"))
        elif marker == "then":
            assert read(first)
            assert read(second)
        else:
            assert follows(first, second) == (marker == "so"), (first, marked)
    assert seen == {*MARKERS, "so", "but", "then", ""}


def follows(first: str, second: str) -> bool:
    """Whether the second of two statements follows from the first, be they quantified or not."""
    counted = {"every", "most", "two", "three", "no"} & {*first.split(), *second.split()}
    task = "rte" if counted or len(read(first)) == 2 else "mnli"
    return judge.label(task, (first, second)) == "entailment"


def unmarked(text: str) -> tuple[str, str]:
    """The word that stands before the text (``""``: none) and the text after it."""
    marker, _, rest = text.partition(" , ")
    return (marker, rest) if rest and " " not in marker else ("", text)
