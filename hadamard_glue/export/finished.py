"""A recorded run's model, put together again from its record, its checkpoint and the backbone it was trained on."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from transformers import PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.backbones.loading import Located, load, load_tokenizer, locate
from hadamard_glue.config import BackboneConfig, Method
from hadamard_glue.errors import InputError
from hadamard_glue.glue.encoding import encode
from hadamard_glue.glue.rows import Rows
from hadamard_glue.glue.tasks import TASKS, Task
from hadamard_glue.methods.registry import apply
from hadamard_glue.runs.record import read, read_checkpoint
from hadamard_glue.training.checkpoint import restore, storages
from hadamard_glue.training.device import Device, randomness
from hadamard_glue.training.features import TextRows
from hadamard_glue.training.loop import Batch, TrainingError, predict


@dataclass(frozen=True)
class Finished:
    """A run as it ended; float32, eval mode, on the CPU.

    Attributes:
        path: of its record.
        model: with the method applied and the trained tensors in it, labels named in its config.
        anatomy: of the backbone before the method was applied.
        tensors: the checkpoint.
        plain_keys: the state of the same model without a method, by name.
    """

    path: Path
    record: dict[str, Any]
    task: Task
    located: Located
    tokenizer: Any
    model: PreTrainedModel
    anatomy: Anatomy
    tensors: dict[str, Tensor]
    plain_keys: frozenset[str]

    @property
    def method(self) -> str:
        """The method's name."""
        return str(self.record["spec"]["method"]["name"])


def rebuild(path: Path, backbone: str | None = None) -> Finished:
    """Put the model of a record together again.

    Args:
        path: the record; its checkpoint lies beside it.
        backbone: folder or hub id of the backbone, where it is no longer at the recorded place.

    Raises:
        InputError: a run that failed, kept no checkpoint or began with random weights, or a backbone that is absent
            or of another content.
    """
    record = read(path)
    if record["status"] != "done":
        raise InputError(f"{path} is the record of a run that failed: {record['error']}")
    if record["spec"]["backbone"].get("weights") == "random":
        raise InputError(f"{path} is a run on random weights, a control that is not exported")
    tensors = read_checkpoint(path, record)
    spec = record["spec"]
    task = TASKS[spec["task"]]
    located = find_backbone(record["backbone"], spec["backbone"]["digest"], backbone)
    bare = load(located, task.num_labels)
    model, anatomy = bare.model, bare.anatomy
    plain_keys, before = frozenset(model.state_dict()), storages(model)
    try:
        method = TypeAdapter(Method).validate_json(json.dumps(spec["method"]))
    except ValidationError as error:
        raise InputError(f"{path}: its method {spec['method']['name']!r} is not one of this version's") from error
    with randomness(spec["seed"], "adapter"), quietly():
        plan = apply(model, anatomy, method)
    restore(model, tensors, [*plan.names, *anatomy.head], before)
    name_labels(model, task)
    tokenizer = load_tokenizer(located)
    return Finished(
        path, record, task, located, tokenizer, model.eval().requires_grad_(False), anatomy, tensors, plain_keys
    )


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """PEFT without its warnings on what is checked here anyway; an adapter with missing weights is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message="Unsupported layer type")
        warnings.filterwarnings("error", message="Found missing adapter keys")
        yield


def find_backbone(recorded: dict[str, Any], digest: str, path: str | None) -> Located:
    """The backbone of a record, by content.

    Args:
        recorded: its ``path`` and ``revision``.
        digest: what its files must add up to.
        path: another place to look for it.

    Raises:
        InputError: no backbone there, or another.
    """
    revision = recorded["revision"] if path is None else None
    located = locate(BackboneConfig(name="custom", path=path or recorded["path"], revision=revision))
    if located.digest != digest:
        raise InputError(
            f"{path or recorded['path']} is not the backbone of this run: its files have other content "
            f"(digest {located.digest[:8]}, expected {digest[:8]}); backbone.path=FOLDER names another place"
        )
    return located


def name_labels(model: PreTrainedModel, task: Task) -> None:
    """Write the task's labels into the model's config, for users of the plain checkpoint."""
    config = model.config
    if task.regression:
        config.problem_type = "regression"
        config.id2label, config.label2id = {0: "score"}, {"score": 0}
    else:
        config.problem_type = "single_label_classification"
        config.id2label = dict(enumerate(task.labels))
        config.label2id = {label: index for index, label in enumerate(task.labels)}


def logits_of(
    model: Any,
    tokenizer: Any,
    first: Sequence[str],
    second: Sequence[str] | None,
    max_length: int,
    device: Device | None = None,
    batch_size: int = 32,
) -> NDArray[np.float32]:
    """Logits [rows, labels] of texts, encoded as in training; the model is in eval mode and on the device.

    Raises:
        InputError: a model that gives values that are not finite.
    """
    labels = np.zeros(len(first), dtype=np.int64)
    rows = Rows("texts", list(first), None if second is None else list(second), labels)
    encoded = TextRows(encode(rows, tokenizer, "", max_length, None), tokenizer.pad_token_id)

    def forward(batch: Batch) -> Tensor:
        return model(**{name: value for name, value in batch.items() if name != "labels"}).logits

    try:
        return predict(forward, encoded, batch_size, device or Device(torch.device("cpu"), "float32"))
    except TrainingError as error:
        raise InputError(str(error)) from error
