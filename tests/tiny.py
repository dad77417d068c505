"""Builders of what tests run on: random backbones of a few thousand weights, a learnable GLUE of a few hundred rows."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_backbones import (
    ALIKE,
    BUILDERS,
    MARKS,
    WORDS,
    bart_tokenizer,
    bert_tokenizer,
    save_bart,
    save_bert,
    save_deberta,
    save_deberta_v2,
    save_electra,
    save_roberta,
)

__all__ = [
    "ALIKE",
    "BUILDERS",
    "MARKS",
    "METHODS",
    "WORDS",
    "bart_tokenizer",
    "bert_tokenizer",
    "plain_config",
    "save_bart",
    "save_bert",
    "save_deberta",
    "save_deberta_v2",
    "save_electra",
    "save_roberta",
    "write_glue",
]


# GLUE


def write_glue(folder: Path, train: int = 96, dev: int = 48, seed: int = 0) -> Path:
    """All eight tasks in the official files. One word of a row decides its label, so that a few epochs can learn it."""
    for name, (place, stems, header, line) in _FILES.items():
        (folder / place).mkdir(parents=True)
        for stem in ("train", *stems):
            draw = random.Random(f"{seed} {name} {stem}")
            lines = [line(draw, number) for number in range(train if stem == "train" else dev)]
            text = "\n".join([*([header] if header else []), *lines]) + "\n"
            (folder / place / f"{stem}.tsv").write_text(text, encoding="utf-8")
    return folder


def _sentence(draw: random.Random, *marks: str) -> str:
    words = [draw.choice(WORDS) for _ in range(draw.randint(2, 8))]
    for mark in marks:
        words.insert(draw.randint(0, len(words)), mark)
    return " ".join(words) + " ."


def _class(draw: random.Random, classes: int = 2) -> tuple[int, str]:
    label = draw.randrange(classes)
    return label, _sentence(draw, MARKS[label])


def _cola(draw: random.Random, number: int) -> str:
    label, text = _class(draw)
    return f"made\t{label}\t\t{text}"


def _sst2(draw: random.Random, number: int) -> str:
    label, text = _class(draw)
    return f"{text} \t{label}"


def _mrpc(draw: random.Random, number: int) -> str:
    label, text = _class(draw)
    return f"{label}\t{number}\t{number + 1}\t{_sentence(draw)}\t{text}"


def _stsb(draw: random.Random, number: int) -> str:
    degree = draw.randint(0, 5)
    text = _sentence(draw, *[ALIKE] * degree)
    return f"{number}\tmade\tmade\tmade\t{number}\tnone\tnone\t{_sentence(draw)}\t{text}\t{degree:.3f}"


def _qqp(draw: random.Random, number: int) -> str:
    label, text = _class(draw)
    return f"{number}\t{number}\t{number + 1}\t{_sentence(draw)}\t{text}\t{label}"


def _mnli(draw: random.Random, number: int) -> str:
    label, text = _class(draw, 3)
    return f"{number}\t{_sentence(draw)}\t{text}\t{('entailment', 'neutral', 'contradiction')[label]}"


def _entailment(draw: random.Random, number: int) -> str:
    label, text = _class(draw)
    return f"{number}\t{_sentence(draw)}\t{text}\t{('entailment', 'not_entailment')[label]}"


_FILES: dict[str, tuple[str, tuple[str, ...], str | None, Callable[[random.Random, int], str]]] = {
    "cola": ("CoLA", ("dev",), None, _cola),
    "sst2": ("SST-2", ("dev",), "sentence\tlabel", _sst2),
    "mrpc": ("MRPC", ("dev",), "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", _mrpc),
    "stsb": (
        "STS-B", ("dev",),
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore", _stsb,
    ),
    "qqp": ("QQP", ("dev",), "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", _qqp),
    "mnli": ("MNLI", ("dev_matched", "dev_mismatched"), "index\tsentence1\tsentence2\tgold_label", _mnli),
    "qnli": ("QNLI", ("dev",), "index\tquestion\tsentence\tlabel", _entailment),
    "rte": ("RTE", ("dev",), "index\tsentence1\tsentence2\tlabel", _entailment),
}  # fmt: skip


# Configs

METHODS: dict[str, dict[str, Any]] = {
    "classifier": {"name": "classifier"},
    "full": {"name": "full", "train_head": True},
    "houlsby": {
        "name": "houlsby", "bottleneck": 6, "activation": "gelu", "train_norms": True, "layers": "all",
        "train_head": True,
    },
    "pfeiffer": {
        "name": "pfeiffer", "bottleneck": 6, "activation": "relu", "train_norms": False, "layers": "all",
        "train_head": True,
    },
    "bitfit": {"name": "bitfit", "biases": "all", "layers": "all", "train_head": True},
    "lora": {
        "name": "lora", "rank": 4, "alpha": 8.0, "dropout": 0.0, "targets": ["query", "value"],
        "cross_attention": False, "layers": "all", "train_head": True,
    },
    "library": {
        "name": "library", "peft_type": "lokr", "targets": ["query", "value"], "cross_attention": False,
        "options": {}, "layers": "all", "train_head": True,
    },
    "hadamard": {"name": "hadamard", "site": "heads", "norm": "attention", "layers": "all", "train_head": False},
}  # fmt: skip


def plain_config(backbone: Path | str, source: Path | str | dict[str, Any], **overrides: Any) -> dict[str, Any]:
    """A config as Hydra would compose it, small: one epoch a stage, batches of 16.

    Args:
        backbone: a folder, taken as ``custom``.
        source: a folder of official GLUE files.
        overrides: a section's name with what takes its place; ``task="rte"`` and ``method="lora"`` by name;
            ``stage2__lr=1e-2`` for one key of a section. ``stages`` follows the method unless given.
    """
    plain: dict[str, Any] = {
        "backbone": {
            "name": "custom", "path": str(backbone), "family": None, "revision": None, "weights": "pretrained",
            "architecture": None,
        },
        "task": {"name": "sst2"},
        "method": dict(METHODS["hadamard"]),
        "source": source if isinstance(source, dict) else {"kind": "directory", "path": str(source), "revision": None},
        "hardware": {"device": "cpu", "precision": "float32", "deterministic": False, "threads": 1, "workers": 1},
        "tracking": {"mode": "none", "project": "hadamard-glue-tests"},
        "seed": 1,
        "stages": "one",
        "stage1": {"epochs": 1, "lr": 1e-2, "features": "cached"},
        "stage2": {"epochs": 1, "lr": 1e-2, "prefix": "live"},
        "batch_size": 16,
        "max_length": 32,
        "warmup": 0.0,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "selection": "last",
        "limit": {"train": None, "dev": None},
        "results_dir": "results/tests",
        "checkpoint": False,
    }  # fmt: skip
    for key in sorted(overrides, key=lambda key: "__" in key):  # whole sections first
        _override(plain, key, overrides[key])
    if "stages" not in overrides:
        plain["stages"] = "two" if plain["method"].get("name") == "hadamard" else "one"
    return plain


def _override(plain: dict[str, Any], key: str, value: Any) -> None:
    section, _, inner = key.partition("__")
    if inner:
        plain[section] = {**plain[section], inner: value}
    elif section == "task" and isinstance(value, str):
        plain["task"] = {"name": value}
    elif section == "method" and isinstance(value, str):
        plain["method"] = dict(METHODS.get(value, {"name": value}))
    else:
        plain[section] = value
