"""The checker itself, on sentences made by hand: what it reads, what it refuses, and the labels it gives."""

from __future__ import annotations

import pytest

from .clause import UnreadableError
from .judge import label
from .reader import is_acceptable, read, read_question, violations

BROKEN = {
    "agreement": ("the dogs chases the cat .", "a man are chased by the cats .", "every dog do not sleep ."),
    "number": ("a dogs slept .", "every old men chased the hog .", "near the park , two dog chased the cat ."),
    "order": ("dogs the slept .", "the dogs big slept .", "chased the dogs a cat .", "did a man not sing ."),
    "argument": ("the dog murmured a kite .", "the dogs chased .", "in the park , the man did not buy ."),
    "form": ("the dog did not chased the cat .", "the cat was chase by a dog .", "some men do not paints the bus ."),
}  # fmt: skip
LABELS = (
    ("sst2", ("the plot was never really dull .",), "1"),
    ("sst2", ("the film is lovely , although we loathed the cast .",), "1"),
    ("sst2", ("despite the clever script , critics did not enjoy the ending .",), "0"),
    ("mrpc", ("the dog chased a lady .", "a woman was pursued by the hound ."), "1"),
    ("mrpc", ("the dog chased a lady .", "the dog was chased by a lady ."), "0"),
    ("mrpc", ("the dog sleeps .", "the dog slept ."), "0"),
    ("qqp", ("where did the dog chase a cat ?", "in which place was a cat pursued by the dog ?"), "1"),
    ("qqp", ("who chased the dog ?", "who did the dog chase ?"), "0"),
    ("qqp", ("where did the dog sleep ?", "when did the dog sleep ?"), "0"),
    ("stsb", ("the dog chased a man in the park .", "the cat chased a guy near the park ."), "3.500"),
    ("stsb", ("a dog pushed a man in the park .", "behind the kitchen , a woman was pulled by a hound ."), "2.250"),
    ("mnli", ("an old dog slept in the kitchen .", "an animal dozed ."), "entailment"),
    ("mnli", ("a dog slept .", "an old dog slept ."), "neutral"),
    ("mnli", ("a dog slept .", "a dog woke ."), "contradiction"),
    ("mnli", ("a dog did not sleep .", "an old dog did not sleep ."), "entailment"),
    ("mnli", ("an animal did not sleep .", "the dog slept at noon ."), "contradiction"),
    ("mnli", ("a dog did not sleep .", "an animal did not sleep ."), "neutral"),
    ("mnli", ("the dogs slept .", "a dog slept ."), "neutral"),
    ("qnli", ("who slept ?", "the cat sang and the dogs dozed at noon ."), "entailment"),
    ("qnli", ("where did the dog sleep ?", "the dog slept at noon ."), "not_entailment"),
    ("qnli", ("who did the dog chase ?", "the man pursued the dog ."), "not_entailment"),
    ("rte", ("the dog slept and the man chased a cat .", "a person chased an animal ."), "entailment"),
    ("rte", ("the dog slept while the man chased a cat .", "the man slept ."), "not_entailment"),
    ("rte", ("every animal slept .", "every dog slept ."), "entailment"),
    ("rte", ("every dog slept .", "some animals slept ."), "entailment"),
    ("rte", ("every dog slept .", "two dogs slept ."), "not_entailment"),
    ("rte", ("most animals slept .", "most dogs slept ."), "not_entailment"),
    ("rte", ("most dogs slept in the kitchen .", "some dogs slept ."), "entailment"),
    ("rte", ("three dogs slept .", "two animals slept ."), "entailment"),
    ("rte", ("no animals slept .", "no old dogs slept at noon ."), "entailment"),
    ("rte", ("no dogs slept .", "no animals slept ."), "not_entailment"),
)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in BROKEN.items() for text in texts])
def test_each_broken_sentence_is_refused_for_its_own_reason(kind: str, text: str) -> None:
    assert not is_acceptable(text)
    assert violations(text) == [kind]


@pytest.mark.parametrize(("task", "texts", "expected"), LABELS)
def test_labels_by_hand(task: str, texts: tuple[str, ...], expected: str) -> None:
    assert label(task, texts) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a old dog slept .", "an dog slept .", "the heavy dog slept .", "the car slept .", "the dog ate .",
        "the dog slept", "the dog slept ?", "the dog slept at noon near the park .", "the dog was slept by the cat .",
        "the dog chased the car .", "near the park , the dog slept in the kitchen .", "the dog  slept .", ".", "",
    ],
)  # fmt: skip
def test_what_is_no_sentence_of_the_grammar(text: str) -> None:
    with pytest.raises(UnreadableError):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "who chase the dog ?", "what did the dog chase ?", "who did the dog buy ?", "where the dog slept ?",
        "where did the dog sleep in the kitchen ?", "by whom did the dog sleep ?", "who are chased by the dog ?",
    ],
)  # fmt: skip
def test_what_is_no_question_of_the_grammar(text: str) -> None:
    with pytest.raises(UnreadableError):
        read_question(text)
