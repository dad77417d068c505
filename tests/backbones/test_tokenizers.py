"""Tokenizers, also those made from what the hub's DeBERTa repositories have: no tokenizer.json among it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import sentencepiece
from tiny import WORDS
from tokenizers import ByteLevelBPETokenizer
from transformers import AutoTokenizer

from hadamard_glue.backbones.loading import load_tokenizer, locate
from hadamard_glue.config import BackboneConfig


def without_tokenizer(source: Path, folder: Path) -> Path:
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("tokenizer*", "special_tokens*"))
    return folder


@pytest.fixture(scope="module")
def deberta(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DeBERTa v1 with GPT-2's byte pairs: vocab.json and merges.txt."""
    folder = without_tokenizer(tiny_models["deberta"], tmp_path_factory.mktemp("v1") / "deberta")
    core = ByteLevelBPETokenizer()
    special = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    core.train_from_iterator([" ".join(WORDS)] * 20, vocab_size=320, special_tokens=special, show_progress=False)
    core.save_model(str(folder))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "vocab_type": "gpt2"}))
    return folder


@pytest.fixture(scope="module")
def deberta_v3(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DeBERTa v3 with its sentencepiece model alone."""
    folder = without_tokenizer(tiny_models["deberta_v2"], tmp_path_factory.mktemp("v3") / "deberta-v3")
    (folder.parent / "corpus.txt").write_text("\n".join(" ".join(WORDS[start : start + 6]) for start in range(30)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder.parent / "corpus.txt"), model_prefix=str(folder / "spm"), vocab_size=60, minloglevel=2,
        hard_vocab_limit=False, pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]",
        eos_piece="[SEP]", unk_piece="[UNK]",
    )  # fmt: skip
    (folder / "spm.vocab").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "vocab_type": "spm"}))
    return folder


def test_a_tokenizer_of_each_family(tiny_bert: Path, tiny_bart: Path) -> None:
    bert, bart = (
        load_tokenizer(locate(BackboneConfig(name="custom", path=str(folder)))) for folder in (tiny_bert, tiny_bart)
    )
    assert bert.convert_ids_to_tokens(bert("a movie", "the cat")["input_ids"]) == [
        "[CLS]", "a", "movie", "[SEP]", "the", "cat", "[SEP]",
    ]  # fmt: skip
    assert bert("a movie", "the cat")["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1]
    assert bart.convert_ids_to_tokens(bart("a movie", "the cat")["input_ids"])[-4:] == ["</s>", "the", "cat", "</s>"]
    assert "token_type_ids" not in bart("a movie")


def test_deberta_v1_has_one_separator_between_the_sentences_of_a_pair(deberta: Path, tmp_path: Path) -> None:
    """As it was pretrained; transformers' class of its own makes two, as RoBERTa has."""
    tokenizer = load_tokenizer(locate(BackboneConfig(name="custom", path=str(deberta))))
    special = tokenizer.all_special_ids
    pair = tokenizer("the film", "a cat")
    tokens = tokenizer.convert_ids_to_tokens(pair["input_ids"])
    assert [token for token, number in zip(tokens, pair["input_ids"], strict=True) if number in special] == [
        "[CLS]", "[SEP]", "[SEP]",
    ]  # fmt: skip
    assert "".join(tokens).replace("Ġ", " ") == "[CLS]the film[SEP]a cat[SEP]"
    assert tokenizer.pad_token_id == 1
    # an export carries it, and the stock loader keeps it
    tokenizer.save_pretrained(tmp_path / "saved")
    shutil.copy(deberta / "config.json", tmp_path / "saved")
    stock = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert stock("the film", "a cat")["input_ids"] == pair["input_ids"]
    assert stock(["the film", "a"], padding=True)["attention_mask"][1][-1] == 0
    long = "cat " * 40
    assert len(stock(long, long, truncation=True, max_length=16)["input_ids"]) == 16


def test_deberta_v3_is_read_from_its_sentencepiece_model(deberta_v3: Path) -> None:
    tokenizer = load_tokenizer(locate(BackboneConfig(name="custom", path=str(deberta_v3))))
    model = sentencepiece.SentencePieceProcessor(model_file=str(deberta_v3 / "spm.model"))
    for text in ["the old  film", " a cat sees. ", "don't run, dog!", "The MAN", "tab\there"]:
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == model.encode(text), text
    first, second = model.encode("the film"), model.encode("a cat")
    pair = tokenizer("the film", "a cat")
    assert pair["input_ids"] == [1, *first, 2, *second, 2]
    assert pair["token_type_ids"] == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert tokenizer.pad_token_id == 0
