"""The five families' own pretraining classes, tiny."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    DebertaConfig,
    DebertaForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
)

from pretraining.vocabulary import MAX_LENGTH

HEADS = 4


def build(family: str, tokenizer: Any, width: int, layers: int, seed: int) -> PreTrainedModel:
    """The model that is trained; of BART, ``layers`` is the number in the encoder."""
    kind, config = _configured(family, tokenizer, width, layers)
    return _drawn(kind, config, seed)


def build_generator(discriminator: Any, seed: int) -> Any:
    """ELECTRA's generator: half as wide, one layer less, its embeddings the discriminator's own (its section 3.2)."""
    config = ElectraConfig.from_dict(discriminator.config.to_dict())
    config.hidden_size //= 2
    config.intermediate_size //= 2
    config.num_attention_heads //= 2
    config.num_hidden_layers = max(1, config.num_hidden_layers - 1)
    generator = _drawn(ElectraForMaskedLM, config, seed + 1)
    shared, own = discriminator.electra.embeddings, generator.electra.embeddings
    own.word_embeddings = shared.word_embeddings
    own.position_embeddings = shared.position_embeddings
    own.token_type_embeddings = shared.token_type_embeddings
    generator.generator_lm_head.weight = shared.word_embeddings.weight
    return generator


def _drawn(kind: Any, config: Any, seed: int) -> Any:
    """Drawn wider than 0.02, which suits 768 columns; what is saved says 0.02, for the heads that tasks add."""
    name = "init_std" if hasattr(config, "init_std") else "initializer_range"
    usual = getattr(config, name)
    setattr(config, name, 0.05)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(config)
    setattr(model.config, name, usual)
    return model


def _configured(family: str, tokenizer: Any, width: int, layers: int) -> tuple[Any, Any]:
    if family == "bart":
        return BartForConditionalGeneration, _bart(tokenizer, width, layers)
    common: dict[str, Any] = {
        "vocab_size": len(tokenizer), "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": HEADS,
        "intermediate_size": 4 * width, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0, "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    if family == "bert":
        return BertForMaskedLM, BertConfig(max_position_embeddings=MAX_LENGTH, **common)
    if family == "electra":
        return ElectraForPreTraining, ElectraConfig(max_position_embeddings=MAX_LENGTH, embedding_size=width, **common)
    if family == "roberta":
        return RobertaForMaskedLM, RobertaConfig(
            max_position_embeddings=MAX_LENGTH + 2, type_vocab_size=1, layer_norm_eps=1e-5,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, **common,
        )  # fmt: skip
    common["pooler_hidden_size"] = width
    return DebertaForMaskedLM, DebertaConfig(  # as microsoft/deberta-base has them
        max_position_embeddings=MAX_LENGTH, relative_attention=True, max_relative_positions=-1,
        pos_att_type=["c2p", "p2c"], position_biased_input=False, type_vocab_size=0, pooler_dropout=0,
        pooler_hidden_act="gelu", **common,
    )  # fmt: skip


def _bart(tokenizer: Any, width: int, layers: int) -> BartConfig:
    return BartConfig(
        vocab_size=len(tokenizer), d_model=width, encoder_layers=max(1, layers), decoder_layers=1,
        encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width, max_position_embeddings=MAX_LENGTH, dropout=0.0, attention_dropout=0.0,
        classifier_dropout=0.0, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
