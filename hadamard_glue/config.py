"""The typed schema of one run, and the only place where a composed config is checked.

Every config, composed by Hydra or by hand, becomes a :class:`RunConfig` before anything is loaded. What does not fit is
an :class:`~hadamard_glue.errors.InputError` of one line: the key, the bad value and the nearest valid one. The settings
of the methods are in ``methods/settings.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, Field, ValidationError, model_validator

from hadamard_glue.errors import InputError
from hadamard_glue.methods.settings import (
    BitFitMethod,
    BottleneckMethod,
    ClassifierMethod,
    FullMethod,
    HadamardMethod,
    LayeredMethod,
    LibraryMethod,
    LoraMethod,
    Method,
)
from hadamard_glue.section import Positive, Rate, Section, nearest

__all__ = [
    "BackboneConfig",
    "BitFitMethod",
    "BottleneckMethod",
    "ClassifierMethod",
    "FullMethod",
    "HadamardMethod",
    "HardwareConfig",
    "LayeredMethod",
    "LibraryMethod",
    "LimitConfig",
    "LoraMethod",
    "Method",
    "RunConfig",
    "SourceConfig",
    "Stage1Config",
    "Stage2Config",
    "TaskConfig",
    "TrackingConfig",
    "check",
    "known_keys",
    "nearest",
]

TaskName = Literal["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"]


class BackboneConfig(Section):
    """Which weights: a hub id, a directory, or ``package:FOLDER`` for one that comes with this package.

    ``architecture`` lets parameters be counted without a download. ``weights=random`` is the control of every claim
    about pretraining: the same model as transformers initialises it, always with the same seed.
    """

    name: str
    path: str
    family: str | None = None
    revision: str | None = None
    weights: Literal["pretrained", "random"] = "pretrained"
    architecture: dict[str, Any] | None = None


class TaskConfig(Section):
    """One of the eight GLUE tasks, by name."""

    name: TaskName


class SourceConfig(Section):
    """Where the rows come from: the hub, a directory of official GLUE folders or parquet files, or the demo world."""

    kind: Literal["hub", "directory", "demo"]
    path: str | None = None
    revision: str | None = None


class LimitConfig(Section):
    """How many rows are read at most; ``None`` reads all."""

    train: Positive | None = None
    dev: Positive | None = None


class Stage1Config(Section):
    """Stage 1, the head on the frozen backbone; its features are computed once (``cached``) or in every step."""

    epochs: Positive
    lr: Rate
    features: Literal["cached", "live"]


class Stage2Config(Section):
    """Stage 2: what the method's plan names.

    ``prefix``: the frozen layers below the lowest that trains run in every step (``live``), or once for each row and
    without their dropout (``eval_cached``).
    """

    epochs: Positive
    lr: Rate
    prefix: Literal["live", "eval_cached"] = "live"


class HardwareConfig(Section):
    """Where a run is executed; never a scientific setting, so never part of a run's identity."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bf16"]
    deterministic: bool
    threads: Positive | None
    workers: Positive


class TrackingConfig(Section):
    """Weights & Biases: off, offline or online."""

    mode: Literal["none", "offline", "online"]
    project: str


class RunConfig(Section):
    """Everything about one run: its scientific settings, and where and how it is executed and kept."""

    backbone: BackboneConfig
    task: TaskConfig
    method: Method
    source: SourceConfig
    hardware: HardwareConfig
    tracking: TrackingConfig
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    stages: Literal["one", "two"]
    stage1: Stage1Config
    stage2: Stage2Config
    batch_size: Positive
    max_length: Annotated[int, Field(ge=8)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    max_grad_norm: Rate
    selection: Literal["last", "best_dev", "heldout_half"]
    limit: LimitConfig
    results_dir: Annotated[str, Field(min_length=1)]
    checkpoint: bool

    @model_validator(mode="after")
    def _check_together(self) -> RunConfig:
        if self.source.kind == "directory" and not self.source.path:
            raise ValueError("source=directory needs source.path=FOLDER, the folder that holds CoLA, SST-2, ...")
        if self.source.kind == "demo" and self.source.path:
            raise ValueError("source=demo makes its rows itself and takes no source.path")
        trains_head = getattr(self.method, "train_head", True)
        if self.method.name != "classifier" and self.stages == "one" and not trains_head:
            raise ValueError("stages=one with method.train_head=false would leave the new head random and frozen; "
                             "use stages=two or method.train_head=true")  # fmt: skip
        layers = getattr(self.method, "layers", "all")
        if self.stage2.prefix == "eval_cached" and (layers == "all" or 0 in layers):
            raise ValueError("stage2.prefix=eval_cached leaves out the frozen layers below the lowest that trains; "
                             "give method.layers=FIRST-LAST without layer 0, or stage2.prefix=live")  # fmt: skip
        return self

    @property
    def stage_names(self) -> tuple[Literal["stage1", "stage2"], ...]:
        """The stages that this run goes through, in order (the protocol of design.md)."""
        if self.method.name == "classifier":
            return ("stage1",)
        return ("stage1", "stage2") if self.stages == "two" else ("stage2",)

    def science(self) -> dict[str, Any]:
        """The settings that decide this run's scores, as plain JSON values; a stage that does not run is ``None``.

        Backbone and data are absent: identity puts the digests of their content in their place.
        """
        names = self.stage_names
        settings = self.model_dump(
            mode="json",
            exclude={
                *("backbone", "task", "source", "limit", "hardware", "tracking", "results_dir", "checkpoint", "stages")
            },
        )
        settings["stages"] = "two" if len(names) == 2 else "one"
        for stage in ("stage1", "stage2"):
            if stage not in names:
                settings[stage] = None
        if settings["stage2"] is not None and settings["stage2"]["prefix"] == "live":
            del settings["stage2"]["prefix"]  # said only where it is not so: no older record's digest may change
        return settings


def check(composed: DictConfig | dict[str, Any]) -> RunConfig:
    """Turn a composed config into a typed one.

    Raises:
        InputError: one line that names the key, the bad value and, where one is near, the valid one.
    """
    if isinstance(composed, DictConfig):
        try:
            composed = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
        except OmegaConfBaseException as error:
            behind = re.search(r"interpolation: Missing mandatory value: ([\w.]+)", str(error))  # repeated
            key = behind[1] if behind else getattr(error, "full_key", None) or "the config"
            raise InputError(f"{key}: no value given; give {key}=VALUE") from error
    try:
        return RunConfig.model_validate(composed)
    except ValidationError as error:
        raise InputError(_one_line(error)) from error


def known_keys() -> list[str]:
    """Every key that a config may hold, dotted, for suggestions."""
    return sorted(set(_keys(RunConfig, "")))


def _keys(section: type[BaseModel], prefix: str) -> Iterable[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        for inner in _sections(field.annotation):
            yield from _keys(inner, f"{prefix}{name}.")


def _sections(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [inner for part in getattr(annotation, "__args__", ()) for inner in _sections(part)]


_MESSAGES = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "missing": "is missing",
}


def _one_line(error: ValidationError) -> str:
    """The first complaint of pydantic in one line, by the key a user would type."""
    first = error.errors(include_url=False)[0]
    context: dict[str, Any] = first.get("ctx", {})
    path = _typed_key(first["loc"])
    key, kind, value = ".".join(path), first["type"], first["input"]
    if kind == "extra_forbidden":
        siblings = [known for known in known_keys() if known.rpartition(".")[0] == key.rpartition(".")[0]]
        return f"unknown key {key!r}{nearest(key, siblings)}"
    if kind in ("literal_error", "union_tag_invalid"):
        choices = re.findall(r"'([^']*)'", str(context.get("expected") or context.get("expected_tags")))
        key = f"{key}.name" if kind == "union_tag_invalid" else key
        shown = context.get("tag", value)
        return f"{key}={shown} is not valid{nearest(str(shown), choices)}"
    if kind == "union_tag_not_found":
        return f"{key}.name is missing"
    if kind == "value_error":
        return f"{key}={value!r}: {context['error']}" if path else str(context["error"])
    message = _MESSAGES.get(kind, first["msg"][0].lower() + first["msg"][1:]).format(**context)
    return f"{key} {message}" if kind == "missing" else f"{key}={value} is not valid: it {message}"


def _typed_key(location: tuple[int | str, ...]) -> list[str]:
    """The dotted key without pydantic's marks for the member of a union."""
    path = [str(part) for part in location]
    if len(path) > 1 and path[0] == "method":
        path.pop(1)
    cut = next(
        (i for i, part in enumerate(path) if "[" in part or part.isdigit() or part in ("tuple", "str")),
        len(path),
    )
    return path[:cut]
