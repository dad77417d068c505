"""The typed settings of every method: what ``method.*`` in a config may say."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from hadamard_glue.section import Positive, Rate, Section

LinearName = Literal["query", "key", "value", "attention_output", "ffn_in", "ffn_out"]
TargetName = Literal["query", "key", "value", "attention_output", "ffn_in", "ffn_out", "norms"]


class LayeredMethod(Section):
    """What every method that works layer by layer shares.

    ``layers`` is ``"all"``, a list of layer indices, or an inclusive range ``"4-11"``; BART counts its encoder layers
    first, then its decoder layers. ``train_head`` says whether the head trains beside the method in stage 2.
    """

    layers: Literal["all"] | tuple[int, ...] = "all"
    train_head: bool = True

    @field_validator("layers", mode="before")
    @classmethod
    def _expand_layers(cls, value: Any) -> Any:
        if value == "all":
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            value = [value]
        if isinstance(value, str):
            match = re.fullmatch(r"(\d{1,4})-(\d{1,4})", value)
            if match is None or int(match[1]) > int(match[2]):
                raise ValueError("expected 'all', a list such as [0,1,2] or a range such as 4-11")
            value = range(int(match[1]), int(match[2]) + 1)
        indices = tuple(value) if isinstance(value, list | tuple | range) else ()
        if not indices or not all(type(index) is int and index >= 0 for index in indices):
            raise ValueError("expected 'all', a list such as [0,1,2] or a range such as 4-11")
        return tuple(sorted(set(indices)))


class ClassifierMethod(Section):
    """Stage 1 alone: the head on a frozen backbone."""

    name: Literal["classifier"]


class FullMethod(Section):
    """Full fine-tuning: every parameter trains."""

    name: Literal["full"]
    train_head: bool = True


class BottleneckMethod(LayeredMethod):
    """Bottleneck adapters: ``houlsby`` has two a layer (Houlsby et al. 2019), ``pfeiffer`` one (Pfeiffer et al. 2021).

    ``train_norms``: every norm of the backbone trains beside them, as in Houlsby's paper; with ``layers`` given, those
    of these layers alone.
    """

    name: Literal["houlsby", "pfeiffer"]
    bottleneck: Positive
    activation: Literal["gelu", "relu", "silu", "tanh"]
    train_norms: bool


class BitFitMethod(LayeredMethod):
    """BitFit (Ben Zaken et al. 2022): the biases train, all of them or those of query and the middle of the MLP."""

    name: Literal["bitfit"]
    biases: Literal["all", "query_middle"] = "all"


class TargetedMethod(LayeredMethod):
    """What methods share that act on named ``targets``; ``cross_attention``: on those of a decoder's, too."""

    cross_attention: bool = False

    @field_validator("targets", mode="before", check_fields=False)
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple) or not value:
            raise ValueError("expected a list such as [query,value]")
        return tuple(dict.fromkeys(value))


class LoraMethod(TargetedMethod):
    """LoRA (Hu et al. 2022) on the named projections of every self-attention and feed-forward block."""

    name: Literal["lora"]
    rank: Positive
    alpha: Rate
    dropout: Annotated[float, Field(ge=0, lt=1)]
    targets: tuple[LinearName, ...]


class HadamardMethod(LayeredMethod):
    """The Hadamard adapter (Chen et al. 2023): W * A + b on the self-attention output, and one norm a layer."""

    name: Literal["hadamard"]
    site: Literal["heads", "projection"]
    norm: Literal["attention", "ffn", "both", "none"]
    train_head: bool = False


class LibraryMethod(TargetedMethod):
    """Any other method of the PEFT library, a row of its own in every table.

    ``name`` is the row's, ``peft_type`` PEFT's name of the method in small letters, ``targets`` the projections that it
    acts on (or ``[norms]``), ``options`` what PEFT's own configuration of the method takes.
    """

    name: str
    peft_type: str
    targets: tuple[TargetName, ...]
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _fits_a_file_name(cls, value: str) -> str:
        if re.fullmatch(r"[a-z0-9][a-z0-9_]{0,39}", value) is None:
            raise ValueError("expected small letters, digits and underscores")
        return value

    @field_validator("peft_type")
    @classmethod
    def _is_in_peft(cls, value: str) -> str:
        from hadamard_glue.methods.peft_options import check_type  # PEFT takes seconds to import

        check_type(value)
        return value

    @field_validator("options")
    @classmethod
    def _are_options_of_it(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        from hadamard_glue.methods.peft_options import check_options

        if "peft_type" in info.data:
            check_options(info.data["peft_type"], value)
        return value


def _kind(value: Any) -> str | None:
    """Which class of settings a ``method`` section is meant for: by its name, which a library method chooses freely."""
    given = value.get if isinstance(value, dict) else lambda key: getattr(value, key, None)
    name = given("name")
    return "library" if given("peft_type") is not None and name not in _OWN else name


_OWN = ("classifier", "full", "houlsby", "pfeiffer", "lora", "bitfit", "hadamard")

Method = Annotated[
    Annotated[ClassifierMethod, Tag("classifier")]
    | Annotated[FullMethod, Tag("full")]
    | Annotated[BottleneckMethod, Tag("houlsby")]
    | Annotated[BottleneckMethod, Tag("pfeiffer")]
    | Annotated[LoraMethod, Tag("lora")]
    | Annotated[BitFitMethod, Tag("bitfit")]
    | Annotated[HadamardMethod, Tag("hadamard")]
    | Annotated[LibraryMethod, Tag("library")],
    Discriminator(_kind),
]
