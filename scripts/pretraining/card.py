"""The README.md beside a demo backbone's weights: what it saw, what it cost, what it learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pretraining.loop import Course, HeldOut
from pretraining.objectives import (
    DISCRIMINATOR_WEIGHT,
    DOUBT_WEIGHT,
    GENERATED,
    HIDDEN,
    INFILLED,
    MASKED,
    REPLACED,
    SPAN,
    WRONG,
)

_MASKS = f"masked language modelling ({MASKED:.0%} of the tokens: {HIDDEN:.0%} a mask, {REPLACED:.0%} a wrong word)"
_DOUBT = f"; not in the paper: which words are wrong (weight {DOUBT_WEIGHT:g})"
_TASKS = {
    "bert": f"{_MASKS}, one mask for each document, no next-sentence loss{_DOUBT}",
    "roberta": f"{_MASKS}, a new mask at every visit{_DOUBT}",
    "deberta": f"{_MASKS} with disentangled attention (relative positions){_DOUBT}",
    "electra": f"replaced-token detection (weight {DISCRIMINATOR_WEIGHT:g}); the generator, half as wide with shared "
    f"embeddings, fills {GENERATED:.0%} of the tokens{_DOUBT}",
    "bart": f"text infilling ({INFILLED:.0%} of the tokens in Poisson({SPAN:g}) spans, one mask each; {WRONG:.0%} "
    f"of them wrong words), the decoder writes the whole text{_DOUBT}",
}


@dataclass(frozen=True)
class Facts:
    """What a card tells; ``excluded`` is the share of held-out documents dropped because the training text has them."""

    family: str
    kind: str
    settings: dict[str, Any]
    parameters: int
    words: int
    documents: int
    tokens: int
    longest: int
    held_out: int
    excluded: float
    course: Course
    losses: list[HeldOut]
    device: str
    command: str


def card(facts: Facts) -> str:
    """The card as Markdown, with the fields that model hubs read on top."""
    course, settings = facts.course, facts.settings
    return f"""---
license: apache-2.0
language: en
tags: [demo, synthetic]
---

# {facts.family}, demo, synthetic

A tiny {facts.kind} of hadamard_glue's demo world. It knows a few hundred words of a made-up English grammar and
nothing else: good for showing how fine-tuning methods compare in minutes on a laptop, and for tests. No result on it is
a result on GLUE.

| | |
|---|---|
| objective | {_TASKS[facts.family]} |
| architecture | {settings["layers"]} layers{_decoder(facts)}, width {settings["width"]}, \
{facts.parameters:,} parameters, {facts.words:,} tokens in the vocabulary |
| data | `hadamard_glue.demo.corpus.documents(seed={settings["seed"]})`: {facts.documents:,} documents, \
{facts.tokens:,} tokens, none longer than {facts.longest} |
| seen | {course.steps:,} steps of {settings["batch"]} documents, {course.tokens:,} tokens \
({course.tokens / facts.tokens:.1f} visits) |
| optimizer | AdamW, peak rate {settings["lr"]:g}, linear warm-up and decay; no dropout, \
neither here nor in config.json |
| cost | {course.seconds:,.0f} s on {facts.device} |
| licence | Apache-2.0 |

Losses in nats on {facts.held_out:,} held-out documents of another seed; {facts.excluded:.1%} of those drawn were left
out because the training text has them too. Baseline: {_baseline(facts)}.

| predicted | loss | baseline | predictions |
|---|---|---|---|
{chr(10).join(_line(found) for found in facts.losses)}

The language head is not in the file: the encoder alone is what tasks start from. Made by

    {facts.command}
"""


def _decoder(facts: Facts) -> str:
    return " in the encoder, 1 in the decoder" if facts.family == "bart" else ""


def _baseline(facts: Facts) -> str:
    answers = "replaced" if facts.family == "electra" else "wrong"
    return f"the words' frequencies in the training text (unigram); of {answers} or not, the rate of {answers} ones"


def _line(found: HeldOut) -> str:
    return f"| {found.name} | {found.loss:.3f} | {found.baseline:.3f} | {found.predictions:,} |"
