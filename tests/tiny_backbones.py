"""Random backbones of a few thousand weights, one of each anatomy, with tokenizers that know a few dozen words."""

from __future__ import annotations

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


def save_roberta(
    folder: Path, *, dtype: str = "float32", dropout: float = 0.1, hidden: int = 32, layers: int = 2, seed: int = 0
) -> Path:
    """A random bare RoBERTa, with the pooler that nobody reads, as on the hub; 64 usable positions."""
    from transformers import RobertaConfig, RobertaModel

    tokenizer = bart_tokenizer()
    config = RobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=64 + 2, type_vocab_size=1, **_widths(hidden, layers, dropout)
    )
    return _save(RobertaModel, config, tokenizer, folder, dtype, seed)


def save_electra(
    folder: Path, *, dtype: str = "float32", dropout: float = 0.1, hidden: int = 32, layers: int = 2, seed: int = 0
) -> Path:
    """A random bare ELECTRA discriminator whose embeddings are narrower than its layers, and its tokenizer."""
    from transformers import ElectraConfig, ElectraModel

    tokenizer = bert_tokenizer()
    config = ElectraConfig(
        vocab_size=len(tokenizer), embedding_size=hidden // 2, max_position_embeddings=64,
        **_widths(hidden, layers, dropout),
    )  # fmt: skip
    return _save(ElectraModel, config, tokenizer, folder, dtype, seed)


def save_deberta(
    folder: Path, *, dtype: str = "float32", dropout: float = 0.1, hidden: int = 32, layers: int = 2, seed: int = 0
) -> Path:
    """A random bare DeBERTa v1, with relative positions alone as on the hub, and its tokenizer."""
    from transformers import DebertaConfig, DebertaModel

    tokenizer = bert_tokenizer()
    config = DebertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=64, relative_attention=True, pos_att_type=["c2p", "p2c"],
        position_biased_input=False, type_vocab_size=0, **_widths(hidden, layers, dropout),
    )  # fmt: skip
    return _save(DebertaModel, config, tokenizer, folder, dtype, seed)


def save_deberta_v2(
    folder: Path, *, dtype: str = "float32", dropout: float = 0.1, hidden: int = 32, layers: int = 2, seed: int = 0
) -> Path:
    """A random bare DeBERTa v3 (the class is v2's), with a norm on its relative positions, and its tokenizer."""
    from transformers import DebertaV2Config, DebertaV2Model

    tokenizer = bert_tokenizer()
    v3: dict[str, Any] = {"position_buckets": 16, "norm_rel_ebd": "layer_norm", "share_att_key": True}
    config = DebertaV2Config(
        vocab_size=len(tokenizer), max_position_embeddings=64, relative_attention=True, pos_att_type=["p2c", "c2p"],
        position_biased_input=False, type_vocab_size=0, **v3, **_widths(hidden, layers, dropout),
    )  # fmt: skip
    return _save(DebertaV2Model, config, tokenizer, folder, dtype, seed)


def _widths(hidden: int, layers: int, dropout: float) -> dict[str, Any]:
    return {
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 2 * hidden,
        "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout, "initializer_range": 0.2,
    }  # fmt: skip


#: Every anatomy by kind, and how its tiny backbone is made.
BUILDERS: dict[str, Callable[[Path], Path]] = {
    "bert": save_bert,
    "bert_without_pooler": lambda folder: save_bert(folder, pooler=False),
    "roberta": save_roberta,
    "bart": save_bart,
    "electra": save_electra,
    "deberta": save_deberta,
    "deberta_v2": save_deberta_v2,
}


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
