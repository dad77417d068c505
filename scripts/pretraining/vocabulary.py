"""Each family's tokenizer, in its own convention, trained on the demo world's text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import BertTokenizer, DebertaTokenizer, RobertaTokenizer

MAX_LENGTH = 64
_VOCABULARY = 1400  # a ceiling: training stops where every word is one token
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?!'-\";:()"

#: Special tokens in the order of their ids; the first are where the family's hub checkpoints have them.
_SPECIAL = {
    "bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    "electra": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    "roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    "bart": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    "deberta": ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"],
}
#: Ids below this one are special tokens, in every family.
SPECIAL = 5


def train_tokenizer(family: str, texts: Iterable[str]) -> Any:
    """The family's fast tokenizer with a vocabulary of its own.

    Byte-level families put a space before the first word too: in so small a vocabulary a word is then one token
    wherever it stands.
    """
    if family in ("bert", "electra"):
        return BertTokenizer(vocab=_word_pieces(_SPECIAL[family], texts), model_max_length=MAX_LENGTH)
    vocabulary, merges = _byte_pairs(_SPECIAL[family], texts)
    kind: Any = DebertaTokenizer if family == "deberta" else RobertaTokenizer
    return kind(vocab=vocabulary, merges=merges, add_prefix_space=True, model_max_length=MAX_LENGTH)


def _word_pieces(special: list[str], texts: Iterable[str]) -> dict[str, int]:
    """Letters, letters inside a word, then whole words, the frequent ones first.

    It is where WordPiece's own training ends when it may make every word a token, less the pieces on the way; the
    library's trainer numbers the pieces inside words in an order that changes from call to call.
    """
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    counts = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    pieces = dict.fromkeys([*special, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *words])
    return {piece: index for index, piece in enumerate(list(pieces)[:_VOCABULARY])}


def _byte_pairs(special: list[str], texts: Iterable[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    model = json.loads(core.to_str())["model"]  # the only public way to the merges
    return core.get_vocab(), [tuple(pair) for pair in model["merges"]]
