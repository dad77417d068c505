"""Builders of what tests run on: random backbones of a few thousand weights, a learnable GLUE of a few hundred rows."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = [
    "the",
    "a",
    "film",
    "movie",
    "story",
    "plot",
    "scene",
    "actor",
    "says",
    "man",
    "woman",
    "dog",
    "cat",
    "bird",
    "runs",
    "walks",
    "sees",
    "plays",
    "sleeps",
    "over",
    "under",
    "near",
    "house",
    "river",
    "street",
    "quickly",
    "slowly",
    "always",
    "never",
    "one",
    "two",
    "three",
    "red",
    "blue",
    "green",
]
#: Words that carry the labels: the i-th marks class i (of three), the last the degree of similarity.
MARKS = ("awful", "great", "perhaps")
ALIKE = "same"
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


# Backbones


def save_bert(
    folder: Path,
    *,
    pooler: bool = True,
    dtype: str = "float32",
    dropout: float = 0.1,
    hidden: int = 32,
    layers: int = 2,
    head_labels: int | None = None,
    seed: int = 0,
) -> Path:
    """A random BERT with its tokenizer: bare, or a masked language model without pooler, or with a head."""
    from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel

    tokenizer = bert_tokenizer()
    settings: dict[str, Any] = {} if head_labels is None else {"num_labels": head_labels}
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=2,
        intermediate_size=2 * hidden, max_position_embeddings=64, hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout, initializer_range=0.2, **settings,
    )  # fmt: skip
    kind = BertForSequenceClassification if head_labels else BertModel if pooler else BertForMaskedLM
    return _save(kind, config, tokenizer, folder, dtype, seed)


def save_bart(
    folder: Path, *, dtype: str = "float32", dropout: float = 0.1, hidden: int = 32, layers: int = 2, seed: int = 0
) -> Path:
    """A random bare BART with its tokenizer; ``layers`` encoder and as many decoder layers."""
    from transformers import BartConfig, BartModel

    tokenizer = bart_tokenizer()
    config = BartConfig(
        vocab_size=len(tokenizer), d_model=hidden, encoder_layers=layers, decoder_layers=layers,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=2 * hidden, decoder_ffn_dim=2 * hidden,
        max_position_embeddings=64, dropout=dropout, classifier_dropout=dropout, init_std=0.2,
    )  # fmt: skip
    return _save(BartModel, config, tokenizer, folder, dtype, seed)


def _save(kind: Any, config: Any, tokenizer: Any, folder: Path, dtype: str, seed: int) -> Path:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(config)
        # biases and norms as pretraining leaves them, not zeros and ones, so that a confusion of the two shows
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
    # wide weights let random features tell rows apart; a new head is drawn as narrow as usual
    for name in ("initializer_range", "init_std"):
        if hasattr(model.config, name):
            setattr(model.config, name, 0.02)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def bert_tokenizer() -> Any:
    """A lower-casing WordPiece tokenizer with BERT's special tokens and segment ids."""
    return _tokenizer(
        special=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        named={
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        },
        inputs=["input_ids", "token_type_ids", "attention_mask"],
    )


def bart_tokenizer() -> Any:
    """The same words with BART's special tokens (pad 1, EOS 2), without segment ids."""
    return _tokenizer(
        special=("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        named={
            "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>",
            "unk_token": "<unk>", "mask_token": "<mask>",
        },
        inputs=["input_ids", "attention_mask"],
    )  # fmt: skip


def _tokenizer(special: tuple[str, ...], single: str, pair: str, named: dict[str, str], inputs: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = [*special, *WORDS, *MARKS, ALIKE, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), ".", ",", "?"]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    core = Tokenizer(models.WordPiece(vocabulary, unk_token=named["unk_token"]))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    core.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(token, vocabulary[token]) for token in special]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, model_input_names=inputs, model_max_length=64, **named)


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
    "bitfit": {"name": "bitfit", "layers": "all", "train_head": True},
    "lora": {
        "name": "lora", "rank": 4, "alpha": 8.0, "dropout": 0.0, "targets": ["query", "value"], "layers": "all",
        "train_head": True,
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
        "backbone": {"name": "custom", "path": str(backbone), "family": None, "revision": None, "architecture": None},
        "task": {"name": "sst2"},
        "method": dict(METHODS["hadamard"]),
        "source": source if isinstance(source, dict) else {"kind": "directory", "path": str(source), "revision": None},
        "hardware": {"device": "cpu", "precision": "float32", "deterministic": False, "threads": 1, "workers": 1},
        "tracking": {"mode": "none", "project": "hadamard-glue-tests"},
        "seed": 1,
        "stages": "one",
        "stage1": {"epochs": 1, "lr": 1e-2, "features": "cached"},
        "stage2": {"epochs": 1, "lr": 1e-2},
        "batch_size": 16,
        "max_length": 32,
        "warmup": 0.0,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "selection": "last",
        "limit": {"train": None, "dev": None},
        "results_dir": "results/tests",
    }
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
