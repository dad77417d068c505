"""What each family is pretrained to do: a loss of a batch, and what held-out documents are measured by."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pretraining.architectures import build_generator
from pretraining.text import Batch
from pretraining.vocabulary import SPECIAL

MASKED, HIDDEN, REPLACED = 0.35, 0.4, 0.35  # chosen tokens of masked LM, and which of them, see masked_ids
DOUBT_WEIGHT = 10.0  # of the second loss
GENERATED = 0.25  # of the tokens, by ELECTRA's generator
DISCRIMINATOR_WEIGHT = 50.0  # of ELECTRA's second loss, as in its paper
INFILLED = 0.30  # of BART's tokens, as in its paper
WRONG = 0.15  # of BART's tokens outside its spans are wrong words
SPAN = 2.5  # mean length of BART's spans: 3 in its paper, whose sentences are longer


class Objective(Protocol):
    """Attributes: ``trained`` holds every parameter that trains, ``backbone`` what is saved."""

    trained: nn.Module
    backbone: Any

    def loss(self, batch: Batch) -> Tensor:
        """The training loss: a scalar."""
        ...

    def measure(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """By name: the losses of single predictions, shape [predictions], and their targets (token ids, or bool)."""
        ...


def objective(family: str, model: Any, tokenizer: Any, neighbours: Tensor, seed: int) -> Objective:
    """The family's pretraining objective over its model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "bart":
            return Infilling(model, tokenizer, neighbours, seed)
        if family == "electra":
            return ReplacedTokens(model, tokenizer, seed)
        return MaskedLM(model, tokenizer, neighbours, seed, static=family == "bert")


class Doubt(nn.Module):
    """The second loss, in every family: which words that are shown are wrong.

    The papers do without. Millions of words do not teach a model this small to compare two texts when it only fills
    gaps or finds wrong words (measured: fine-tuning then often finds next to nothing on pairs). It is asked below the
    last layer, so that there is a layer left to gather, in fine-tuning, what the one below has found.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, hidden: Tensor, shown: Tensor, wrong: Tensor, mask: int) -> tuple[Tensor, Tensor]:
        """Losses and targets, shape [words], of the words in ``shown`` that are no mask.

        Args:
            hidden: [documents, length, width], of the layer below the last; ``shown`` and ``wrong`` without width.
        """
        words = (shown >= SPECIAL) & (shown != mask)
        scores = self.score(hidden[words]).squeeze(1)
        losses = binary_cross_entropy_with_logits(scores, wrong[words].to(scores.dtype), reduction="none")
        return losses, wrong[words]


class MaskedLM:
    """Masked language modelling: BERT's with one mask a document, RoBERTa's and DeBERTa's with a new one each visit."""

    def __init__(self, model: Any, tokenizer: Any, neighbours: Tensor, seed: int, static: bool) -> None:
        self.backbone, self.doubt = model.base_model, Doubt(model.config.hidden_size)
        self.trained: nn.Module = nn.ModuleList([model, self.doubt])
        self.head = model.lm_head if hasattr(model, "lm_head") else model.cls
        self.mask, self.neighbours, self.seed, self.static = tokenizer.mask_token_id, neighbours, seed, static

    def loss(self, batch: Batch) -> Tensor:
        filled, doubted = self._both(batch)
        return filled[0].mean() + DOUBT_WEIGHT * doubted[0].mean()

    def measure(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        filled, doubted = self._both(batch)
        return {"masked tokens": filled, "wrong word or not": doubted}

    def _both(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        visit = 0 if self.static else batch.visit
        masked, shown = masked_ids(batch, self.mask, self.neighbours, self.seed, visit)
        below, last = hidden_states(self.backbone, shown, batch.types)[-2:]
        targets = batch.ids[masked]
        filled = cross_entropy(self.head(last[masked]), targets, reduction="none"), targets
        return filled, self.doubt(below, shown, shown != batch.ids, self.mask)


class ReplacedTokens:
    """ELECTRA: a small generator fills masks, the discriminator says of every token whether it was replaced."""

    def __init__(self, model: Any, tokenizer: Any, seed: int) -> None:
        self.model, self.backbone = model, model.electra
        self.generator: Any = build_generator(model, seed)
        self.doubt = Doubt(model.config.hidden_size)
        self.trained: nn.Module = nn.ModuleList([model, self.generator, self.doubt])
        self.mask, self.seed = tokenizer.mask_token_id, seed

    def loss(self, batch: Batch) -> Tensor:
        made, found, doubted = self._both(batch)
        return made[0].mean() + DISCRIMINATOR_WEIGHT * found[0].mean() + DOUBT_WEIGHT * doubted.mean()

    def measure(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        made, found, _ = self._both(batch)
        return {"replaced or not, every token": found, "masked tokens (generator)": made}

    def _both(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
        masked = chosen(batch, GENERATED, self.seed, batch.visit)
        hidden = hidden_states(self.generator.electra, batch.ids.masked_fill(masked, self.mask), batch.types)[-1]
        logits = self.generator.generator_lm_head(self.generator.generator_predictions(hidden[masked]))
        targets = batch.ids[masked]
        shown = batch.ids.clone()
        shown[masked] = _sampled(logits.detach(), batch.uniform(self.seed, 1, batch.visit)[masked])
        seen = batch.ids >= SPECIAL
        replaced = (shown != batch.ids)[seen]
        below, last = hidden_states(self.model.electra, shown, batch.types)[-2:]
        scores = self.model.discriminator_predictions(last)[seen]
        found = binary_cross_entropy_with_logits(scores, replaced.to(scores.dtype), reduction="none")
        doubted, _ = self.doubt(below, shown, shown != batch.ids, self.mask)
        made = cross_entropy(logits, targets, reduction="none"), targets
        return made, (found, replaced), doubted


class Infilling:
    """BART: spans become one mask each, some words wrong ones, and the decoder writes the whole text."""

    def __init__(self, model: Any, tokenizer: Any, neighbours: Tensor, seed: int) -> None:
        self.model, self.backbone, self.doubt = model, model.model, Doubt(model.config.d_model)
        self.trained, self.neighbours = nn.ModuleList([model, self.doubt]), neighbours
        self.pad, self.mask, self.start = tokenizer.pad_token_id, tokenizer.mask_token_id, tokenizer.eos_token_id
        self.seed = seed

    def loss(self, batch: Batch) -> Tensor:
        losses, _, doubted = self._written(batch)
        return losses.mean() + DOUBT_WEIGHT * doubted[0].mean()

    def measure(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        losses, covered, doubted = self._written(batch)
        seen = batch.ids >= SPECIAL
        return {
            "tokens of masked spans": (losses[covered], batch.ids[covered]),
            "all tokens": (losses[seen], batch.ids[seen]),
            "wrong word or not": doubted,
        }

    def _written(self, batch: Batch) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        covered, shown, wrong = infilled_ids(batch, self.mask, self.pad, self.neighbours, self.seed, batch.visit)
        given = torch.roll(batch.ids, 1, dims=1)
        given[:, 0] = self.start
        output = self.backbone(
            input_ids=shown, attention_mask=(shown != self.pad).long(), decoder_input_ids=given, use_cache=False
        )
        logits = self.model.lm_head(output.last_hidden_state) + self.model.final_logits_bias
        losses = cross_entropy(logits.transpose(1, 2), batch.ids, reduction="none")
        return losses, covered, self.doubt(output.encoder_last_hidden_state, shown, wrong, self.mask)


def hidden_states(model: Any, ids: Tensor, types: Tensor | None) -> tuple[Tensor, ...]:
    """Every layer's output, shape [documents, length, width] each; no mask, as there is no padding."""
    kept = {} if types is None or model.config.type_vocab_size < 2 else {"token_type_ids": types}
    return tuple(model(input_ids=ids, output_hidden_states=True, **kept).hidden_states)


def chosen(batch: Batch, share: float, seed: int, visit: int) -> Tensor:
    """Which tokens are masked: bool of the shape of ``ids``, no special token, one at least."""
    draw = batch.uniform(seed, 0, visit).masked_fill(batch.ids < SPECIAL, 1.0)
    return draw < max(share, float(draw.min()) + 1e-6)


def masked_ids(batch: Batch, mask: int, neighbours: Tensor, seed: int, visit: int) -> tuple[Tensor, Tensor]:
    """Which tokens are predicted, and the ids shown: of the chosen 40 % a mask, 35 % a wrong word, the rest themselves.

    BERT chooses 15 % and its shares are 80, 10, 10, its wrong words any words. So few documents teach a reader to
    compare what stands in both texts only where words are often wrong, and fit their neighbours: nothing else tells.
    """
    masked = chosen(batch, MASKED, seed, visit)
    kind = batch.uniform(seed, 1, visit)
    shown = torch.where(masked & (kind < HIDDEN), mask, batch.ids)
    wrong = masked & (kind >= 1 - REPLACED)
    return masked, with_wrong_words(batch, shown, wrong, neighbours, batch.uniform(seed, 2, visit))


def with_wrong_words(batch: Batch, shown: Tensor, wrong: Tensor, neighbours: Tensor, uniform: Tensor) -> Tensor:
    """``shown`` with another word wherever ``wrong`` (bool, no first or last token) says so.

    A word is drawn by how often it follows the word before and precedes the word behind; where none does, it stays.

    Args:
        neighbours: float32 [words, words], how often the second follows the first in the text.
    """
    rows, places = torch.nonzero(wrong, as_tuple=True)
    before, behind, own = (batch.ids[rows, places + step] for step in (-1, 1, 0))
    weights = neighbours[before] * neighbours[:, behind].T / neighbours.sum(1).clamp(min=1)
    weights[:, :SPECIAL] = 0
    weights[torch.arange(len(own), device=own.device), own] = 0
    cumulated = weights.cumsum(1)
    point = uniform[rows, places] * cumulated[:, -1]
    drawn = torch.searchsorted(cumulated, point[:, None], right=True)[:, 0].clamp(max=len(neighbours) - 1)
    shown = shown.clone()
    shown[rows, places] = torch.where(cumulated[:, -1] > 0, drawn, own)
    return shown


def infilled_ids(
    batch: Batch, mask: int, pad: int, neighbours: Tensor, seed: int, visit: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Which tokens spans cover (bool), the ids with one mask for each span, padded (int64, shape [documents, any]), and
    which of these are wrong words (bool).

    A span starts at a token with such a chance that about INFILLED are covered; its length is Poisson, so that one in
    twelve is empty: a mask that stands for nothing. Spans that touch are one.
    """
    length = batch.ids.shape[1]
    word = batch.ids >= SPECIAL
    rate = -torch.log1p(torch.tensor(-INFILLED)).item() / SPAN  # spans overlap: -log(1 - share) covers the share
    starts = (batch.uniform(seed, 0, visit) < rate) & word
    spans = _poisson(batch.uniform(seed, 1, visit))
    places = torch.arange(length, device=batch.ids.device).expand_as(batch.ids)
    reach = torch.cummax(torch.where(starts, places + spans, 0), dim=1).values
    covered = (places < reach) & word
    first = covered & ~torch.nn.functional.pad(covered[:, :-1], (1, 0))
    empty = starts & (spans == 0) & ~covered
    # two slots a token: a mask that an empty span puts before it, and the token or the mask of the span it opens
    wrong = (batch.uniform(seed, 2, visit) < WRONG) & word
    given = with_wrong_words(batch, batch.ids, wrong, neighbours, batch.uniform(seed, 3, visit))
    shown = torch.stack([torch.full_like(batch.ids, mask), torch.where(first, mask, given)], dim=2).flatten(1)
    differs = torch.stack([torch.zeros_like(wrong), ~covered & (given != batch.ids)], dim=2).flatten(1)
    kept = torch.stack([empty, ~covered | first], dim=2).flatten(1)
    order = torch.argsort((~kept).to(torch.uint8), dim=1, stable=True)
    shown = torch.where(kept, shown, pad).gather(1, order)
    longest = int(kept.sum(1).max())
    return covered, shown[:, :longest], (differs & kept).gather(1, order)[:, :longest]


def _poisson(uniform: Tensor) -> Tensor:
    """Lengths from uniform numbers, by inversion; int64, 10 at the most."""
    counts = torch.arange(10, dtype=torch.float64)
    mass = torch.exp(counts * torch.log(torch.tensor(SPAN, dtype=torch.float64)) - SPAN - torch.lgamma(counts + 1))
    return torch.bucketize(uniform, torch.cumsum(mass, 0).float().to(uniform.device), right=True)


def _sampled(logits: Tensor, uniform: Tensor) -> Tensor:
    """One token a row, drawn from the softmax by inversion of its cumulated probabilities; int64, shape [rows]."""
    cumulated = torch.cumsum(torch.softmax(logits.float(), dim=1), dim=1)
    drawn = torch.searchsorted(cumulated, uniform[:, None].to(cumulated.dtype), right=True)[:, 0]
    return drawn.clamp(max=logits.shape[1] - 1)
