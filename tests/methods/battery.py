"""Every method in the settings that change what it does, on every tiny backbone; and a batch to run them on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import tiny
import torch
from pydantic import TypeAdapter
from torch import Tensor

from hadamard_glue.backbones.head import initialise_head
from hadamard_glue.backbones.loading import Backbone, load, load_tokenizer, locate
from hadamard_glue.config import BackboneConfig, Method
from hadamard_glue.methods.plan import Plan
from hadamard_glue.methods.registry import apply

KINDS = ("bert", "bert_without_pooler", "bart")
LAST_LAYER = {"bert": 1, "bert_without_pooler": 1, "bart": 3}


def _variants() -> dict[str, dict[str, Any]]:
    found = {name: method for name, method in tiny.METHODS.items() if name != "hadamard"}
    for site in ("heads", "projection"):
        for norm in ("attention", "ffn", "both", "none"):
            found[f"hadamard-{site}-{norm}"] = {**tiny.METHODS["hadamard"], "site": site, "norm": norm}
    for name in ("bitfit", "lora", "hadamard"):
        found[f"{name}-last-layer"] = {**tiny.METHODS[name], "layers": "last"}
    everywhere = ["query", "key", "value", "attention_output", "ffn_in", "ffn_out"]
    found["lora-everywhere"] = {**tiny.METHODS["lora"], "targets": everywhere}
    return found


VARIANTS = _variants()


def method_of(variant: str, kind: str) -> Any:
    """The typed method config of a variant on a kind of backbone."""
    plain = dict(VARIANTS[variant])
    if plain.get("layers") == "last":
        plain["layers"] = [LAST_LAYER[kind]]
    return TypeAdapter(Method).validate_python(plain)


class Subject:
    """A tiny backbone with three labels and a padded batch, and copies of it to inject into."""

    def __init__(self, folder: Path) -> None:
        located = locate(BackboneConfig(name="custom", path=str(folder)))
        self.backbone = load(located, 3)
        initialise_head(self.backbone.model, self.backbone.anatomy, 3)
        tokenizer = load_tokenizer(located)
        first = ["the old man sees a red house", "cat runs", "a great movie ."]
        second = ["never over the river", "dog", "one awful plot near the street ?"]
        self.batch = dict(tokenizer(first, second, padding=True, return_tensors="pt"))
        self.labels = torch.tensor([0, 2, 1])

    def copy(self) -> Backbone:
        return Backbone(copy.deepcopy(self.backbone.model), self.backbone.anatomy)

    def as_dtype(self, dtype: torch.dtype) -> Any:
        """A copy of the model alone, converted."""
        model: Any = self.copy().model
        return model.to(dtype)

    def injected(self, variant: str, kind: str, seed: int = 0) -> tuple[Backbone, Plan]:
        backbone = self.copy()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return backbone, apply(backbone.model, backbone.anatomy, method_of(variant, kind))

    def logits(self, model: Any) -> Tensor:
        model.eval()
        with torch.inference_mode():
            return model(**self.batch).logits.clone()
