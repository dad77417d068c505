"""Every task, a small tokenizer and the real data, where there is any."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from hadamard_glue.glue.tasks import TASKS, Task


@pytest.fixture(params=list(TASKS))
def task(request: pytest.FixtureRequest) -> Task:
    """Every task in turn."""
    return TASKS[request.param]


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., PreTrainedTokenizerFast]:
    """A word-level tokenizer over the words w0..w99, ``[CLS] a [SEP]`` and ``[CLS] a [SEP] b [SEP]``."""

    def make(types: bool = True) -> PreTrainedTokenizerFast:
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        words = {word: i for i, word in enumerate([*special, *(f"w{i}" for i in range(100))])}
        inner = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
        inner.pre_tokenizer = pre_tokenizers.Whitespace()
        inner.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        names = ["input_ids", "token_type_ids", "attention_mask"] if types else ["input_ids", "attention_mask"]
        return PreTrainedTokenizerFast(
            tokenizer_object=inner,
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
            model_input_names=names,
        )

    return make


@pytest.fixture(scope="session")
def real_glue() -> Path:
    """Real GLUE files: ``HADAMARD_GLUE_DATA``, or ``../shared/glue`` beside the checkout."""
    path = Path(os.environ.get("HADAMARD_GLUE_DATA", Path(__file__).parents[3] / "shared" / "glue"))
    if not path.is_dir():
        pytest.skip(f"no real GLUE data at {path} (set HADAMARD_GLUE_DATA)")
    return path
