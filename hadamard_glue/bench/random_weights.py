"""A BERT of a config's shapes with random weights and a tokenizer made from the rows: speed needs no real ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from hadamard_glue.config import BackboneConfig
from hadamard_glue.errors import InputError
from hadamard_glue.glue.rows import Rows

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def save_random(config: BackboneConfig, rows: Rows, folder: Path) -> BackboneConfig:
    """Write such a backbone.

    Args:
        config: a backbone config that gives its architecture, of family ``bert``.
        rows: their words become the vocabulary, so that lengths are about those of the real tokenizer.

    Returns:
        The config of what lies in ``folder`` now.

    Raises:
        InputError: another family, or a config without architecture.
    """
    if config.family != "bert" or config.architecture is None:
        raise InputError(f"weights=random needs a BERT config that gives its architecture, not backbone={config.name}")
    settings = AutoConfig.for_model("bert", **config.architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModel.from_config(settings).save_pretrained(folder)
    _tokenizer(rows, int(config.architecture["vocab_size"])).save_pretrained(folder)
    name = f"{config.name}_random"
    return BackboneConfig(name=name, path=str(folder), family="bert", revision=None, architecture=None)


def _tokenizer(rows: Rows, size: int) -> PreTrainedTokenizerFast:
    normalize, split = BertNormalizer(lowercase=True), BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in (*rows.first, *(rows.second or ())):
        words.update(word for word, _ in split.pre_tokenize_str(normalize.normalize_str(text)))
    letters = sorted({letter for word in words for letter in word})
    pieces = [*_SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    pieces += [word for word, _ in words.most_common() if len(word) > 1]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces[:size]))}
    core = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    core.normalizer, core.pre_tokenizer = normalize, split
    core.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    named: dict[str, Any] = dict(zip(("pad", "unk", "cls", "sep", "mask"), _SPECIAL, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in named.items()},
    )
