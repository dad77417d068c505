"""Pretrain the demo world's backbones, one folder each with weights, tokenizer and card.

    python scripts/pretrain_demo.py bert electra --steps 20000

All five families when none is named. One thread with one seed repeats bit for bit; a CUDA device is used where there is
one.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # --threads counts all that runs

import torch
from pretraining.architectures import HEADS, build
from pretraining.card import Facts, card
from pretraining.loop import evaluate, train
from pretraining.objectives import objective
from pretraining.text import Document, Text, encode_documents, endless
from pretraining.vocabulary import train_tokenizer

from hadamard_glue.backbones.loading import Located, load_tokenizer
from hadamard_glue.demo.corpus import documents
from hadamard_glue.errors import InputError

FAMILIES = ("bert", "roberta", "bart", "deberta", "electra")
TARGET = Path(__file__).resolve().parents[1] / "hadamard_glue" / "backbones" / "demo"
TOKENIZER_DOCUMENTS = 20_000
HELD_OUT = 4_000
_HELD_OUT_SEED = 1_000_003  # added to the seed


@dataclass(frozen=True)
class Corpus:
    """Text in common to the families; ``excluded``: share of held-out documents that the training text has too."""

    train: list[Document]
    held_out: list[Document]
    excluded: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 for bad input."""
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    try:
        corpus = read_corpus(options.seed, options.documents)
        for family in dict.fromkeys(options.families or FAMILIES):
            print(pretrain(family, corpus, options), flush=True)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def read_corpus(seed: int, count: int) -> Corpus:
    """``count`` training documents, and held-out ones that are not among them.

    Raises:
        InputError: the training text holds every held-out document.
    """
    train_documents = list(documents(seed, count))
    drawn = list(documents(seed + _HELD_OUT_SEED, min(HELD_OUT, count)))
    known = set(train_documents)
    held_out = [document for document in drawn if document not in known]
    if not held_out:
        raise InputError(f"all {len(drawn)} held-out documents are in the training text")
    return Corpus(train_documents, held_out, 1 - len(held_out) / len(drawn))


def pretrain(family: str, corpus: Corpus, options: argparse.Namespace) -> str:
    """Make one family's folder, whole or not at all; gives a line that says what came of it."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / family
        facts = _pretrained(family, corpus, options, made)
        (made / "README.md").write_text(card(facts), encoding="utf-8")
        _put(made, options.to / family)
    compared = ", ".join(f"{found.name} {found.loss:.3f} (baseline {found.baseline:.3f})" for found in facts.losses)
    return f"{options.to / family}: {compared}; {facts.course.tokens / facts.course.seconds:,.0f} tokens/s"


def _pretrained(family: str, corpus: Corpus, options: argparse.Namespace, folder: Path) -> Facts:
    """Tokenizer and encoder, written to ``folder``, and what the card tells of them."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = _saved_tokenizer(family, corpus, folder)
    text, held_out = encode_documents(corpus.train, tokenizer), encode_documents(corpus.held_out, tokenizer)
    layers = _layers(family, options)
    model = build(family, tokenizer, options.width, layers, options.seed)
    task = objective(family, model, tokenizer, text.neighbours(len(tokenizer)).to(device), options.seed)
    task.trained.to(device)
    course = train(task, endless(text, options.batch, options.seed, device), options.steps, options.lr, family)
    losses = evaluate(task, held_out, text.unigram(len(tokenizer)), device, options.seed + _HELD_OUT_SEED)
    task.backbone.to("cpu").save_pretrained(folder)
    settings = {**vars(options), "layers": layers}
    return Facts(
        family, type(task.backbone).__name__, settings, task.backbone.num_parameters(), len(tokenizer), len(text),
        len(text.ids), _longest(text), len(held_out), corpus.excluded, course, losses,
        _device_name(device, options.threads), _command(family, options),
    )  # fmt: skip


def _saved_tokenizer(family: str, corpus: Corpus, folder: Path) -> Any:
    """Written, and read again as runs read it: what the model is trained on is what it will be given."""
    texts = [text for pair in corpus.train[:TOKENIZER_DOCUMENTS] for text in pair if text is not None]
    train_tokenizer(family, texts).save_pretrained(folder)
    return load_tokenizer(Located(family, family, folder, "", "", None))


def _layers(family: str, options: argparse.Namespace) -> int:
    """Of BART, the encoder's: its decoder has one layer, which has two attentions."""
    return options.layers - 1 if family == "bart" else options.layers


def _longest(text: Text) -> int:
    return int((text.offsets[1:] - text.offsets[:-1]).max())


def _device_name(device: torch.device, threads: int) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"the CPU ({platform.machine()}), {threads} thread{'s' if threads > 1 else ''}"


def _command(family: str, options: argparse.Namespace) -> str:
    names = ("steps", "seed", "threads", "width", "layers", "batch", "documents", "lr")
    given = " ".join(f"--{name} {getattr(options, name)}" for name in names)
    return f"python scripts/pretrain_demo.py {family} {given}"


def _put(made: Path, target: Path) -> None:
    """Copied beside the target, then renamed: nobody sees a half-made folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as near:
        whole = Path(near) / "new"
        shutil.copytree(made, whole)
        for file in whole.iterdir():
            file.chmod(0o644)  # safetensors writes for the owner alone, and a wheel keeps that
        if target.exists():
            target.rename(Path(near) / "old")
        whole.rename(target)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pretrain the demo world's backbones.")
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(FAMILIES)}; none: all")
    parser.add_argument("--to", type=Path, default=TARGET, help="the folder that gets a folder of each family")
    for name, default, meaning in (
        ("steps", 15_000, "updates"),
        ("batch", 64, "documents of an update"),
        ("documents", 200_000, "training documents, visited as often as the steps ask for"),
        ("width", 64, "columns; ELECTRA's embeddings are as wide"),
        ("layers", 3, "layers; of BART's, one is the decoder's"),
        ("threads", 1, "CPU threads"),
        ("seed", 1, "of text, weights and masks"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{meaning} ({default})")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate (0.003)")
    options = parser.parse_args(arguments)
    unknown = [family for family in options.families if family not in FAMILIES]
    if unknown:
        parser.error(f"unknown family {unknown[0]!r} (known: {', '.join(FAMILIES)})")
    if min(options.steps, options.batch, options.documents, options.layers, options.threads) < 1 or options.lr <= 0:
        parser.error("steps, batch, documents, layers, threads and lr must be above 0")
    if options.width < HEADS or options.width % (2 * HEADS):
        parser.error(f"--width {options.width} is no multiple of {2 * HEADS}")
    return options


if __name__ == "__main__":
    sys.exit(main())
