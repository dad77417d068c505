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

KINDS = tuple(tiny.BUILDERS)
LAST_LAYER = {kind: 3 if kind == "bart" else 1 for kind in KINDS}

EVERYWHERE = ["query", "key", "value", "attention_output", "ffn_in", "ffn_out"]
#: Methods of PEFT, by row: the settings of configs/method/, in the sizes of the tiny backbones.
LIBRARY: dict[str, dict[str, Any]] = {
    "ia3": {"targets": ["key", "value", "ffn_out"]},
    "ln_tuning": {"targets": ["norms"]},
    "vera": {"options": {"r": 5}},
    "dora": {"peft_type": "lora", "options": {"r": 4, "use_dora": True}},
    "adalora": {"targets": EVERYWHERE, "options": {"init_r": 4, "target_r": 2, "tinit": 0.2, "tfinal": 0.3}},
    "oft": {"options": {"oft_block_size": 8}},
}
#: What no backbone but these can take.
IMPOSSIBLE = {("ia3", "deberta")}


def _variants() -> dict[str, dict[str, Any]]:
    found = {name: method for name, method in tiny.METHODS.items() if name != "hadamard"}
    for site in ("heads", "projection"):
        for norm in ("attention", "ffn", "both", "none"):
            found[f"hadamard-{site}-{norm}"] = {**tiny.METHODS["hadamard"], "site": site, "norm": norm}
    for name, method in LIBRARY.items():
        found[name] = {**tiny.METHODS["library"], "name": name, "peft_type": name, **method}
    for name in ("houlsby", "pfeiffer", "bitfit", "lora", "hadamard", "ln_tuning", "vera", "library"):
        found[f"{name}-last-layer"] = {**(found.get(name) or tiny.METHODS[name]), "layers": "last"}
    found["houlsby-without-norms"] = {**tiny.METHODS["houlsby"], "train_norms": False}
    found["pfeiffer-with-norms"] = {**tiny.METHODS["pfeiffer"], "train_norms": True}
    found["bitfit-query-middle"] = {**tiny.METHODS["bitfit"], "biases": "query_middle"}
    found["lora-everywhere"] = {**tiny.METHODS["lora"], "targets": EVERYWHERE}
    return found


VARIANTS = _variants()
CASES = [(variant, kind) for variant in VARIANTS for kind in KINDS if (variant, kind) not in IMPOSSIBLE]


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
