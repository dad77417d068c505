"""Writing an exported folder: complete or not at all, and only if what was written gives the run's logits back."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from peft import get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import TaskType
from transformers import PreTrainedModel

from hadamard_glue.backbones.loading import load
from hadamard_glue.config import nearest
from hadamard_glue.errors import InputError
from hadamard_glue.export.card import card
from hadamard_glue.export.exported import ABOUT, SCHEMA_VERSION, WEIGHTS, digest_of, open_exported
from hadamard_glue.export.finished import Finished, logits_of, quietly, rebuild

Format = Literal["peft", "merged"]
#: PEFT adds these to ``modules_to_save`` by itself.
_SAVED_BY_PEFT = ("classifier", "score")
#: By how much logits of the exported and of the trained model may differ, relative to the largest: an adapter folder by
#: nothing but the order of sums, a merged checkpoint by the rounding of float32 weights.
_TOLERANCE = {"peft": 1e-5, "merged": 2e-4}
_PROBES = (
    ["A film that is not bad.", "Is it one or the other, and who says so?", "no"],
    ["The story runs on and on near the river.", "The red house.", "Yes, always."],
)


def export(record: Path, to: Path, form: str, backbone: str | None = None) -> Path:
    """Export the model of a record that has a checkpoint.

    Args:
        record: path of the record.
        to: a folder that does not exist yet.
        form: ``merged``, a plain checkpoint that stock transformers loads; ``peft``, an adapter folder for PEFT.
        backbone: folder or hub id of the backbone, where it is no longer at the recorded place.

    Raises:
        InputError: anything that does not fit; nothing is written then.
    """
    if form not in get_args(Format):
        raise InputError(f"format={form} is not valid{nearest(form, get_args(Format))}")
    if os.path.lexists(to):
        raise InputError(f"to={to} exists already; export writes a new folder")
    run = rebuild(record, backbone)
    expected = _probe(run, run.model)
    with _complete(to) as folder:
        if form == "merged":
            _write_merged(run, folder)
        else:
            _write_peft(run, folder, backbone)
        run.tokenizer.save_pretrained(folder)
        about = {**_about(run, form, backbone), "weights": digest_of(folder / WEIGHTS[form])}
        (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(card(run.record, run.task, about), encoding="utf-8")
        found = open_exported(folder, backbone)
        difference = np.abs(_probe(run, found.model, found.tokenizer) - expected).max()
        if difference > _TOLERANCE[form] * max(1.0, np.abs(expected).max()):
            raise InputError(f"format={form} does not give this run's logits back (method={run.method}): not exported")
    return to


def fold(run: Finished) -> PreTrainedModel:
    """The run's model as a plain one, the method's modules merged away; changes ``run.model``.

    Computed in float64, so that what is left is one rounding to float32.

    Raises:
        InputError: a method whose modules stay in the network.
    """
    model: Any = run.model.double()
    for path, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            try:
                module.merge(safe_merge=True)
            except (ValueError, NotImplementedError) as error:
                raise InputError(f"method={run.method} cannot be merged: {' '.join(str(error).split())}") from error
            model.set_submodule(path, module.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config
    if frozenset(model.state_dict()) != run.plain_keys:
        raise InputError(f"method={run.method} adds modules that no plain weight can hold; it cannot be merged")
    return model.float()


def _write_merged(run: Finished, folder: Path) -> None:
    model = fold(run)
    model.save_pretrained(folder)


def _write_peft(run: Finished, folder: Path, backbone: str | None) -> None:
    configs = getattr(run.model, "peft_config", None)
    if configs is None:
        plain = frozenset(run.model.state_dict()) == run.plain_keys
        hint = "; use format=merged" if plain else ", nor can it be merged"
        raise InputError(f"method={run.method} is no PEFT adapter and cannot be exported as one{hint}")
    config = copy.deepcopy(configs["default"])
    heads = _heads(run)
    config.task_type = TaskType.SEQ_CLS
    config.modules_to_save = [path for path in heads if path not in _SAVED_BY_PEFT] or None
    with quietly():
        shell = get_peft_model(load(run.located, run.task.num_labels).model, config)
    state = shell.state_dict()
    for name, tensor in run.tensors.items():
        head = next((path for path in heads if name.startswith(f"{path}.")), None)
        inner = name if head is None else f"{head}.modules_to_save.default.{name.removeprefix(f'{head}.')}"
        if f"base_model.model.{inner}" not in state:
            raise InputError(f"method={run.method} trains {name}, which a PEFT folder cannot hold; use format=merged")
        state[f"base_model.model.{inner}"].copy_(tensor)
    config.base_model_name_or_path, config.revision = _base(run, backbone)
    # the vocabulary is the backbone's own; to look it up PEFT would ask the hub
    shell.save_pretrained(str(folder), save_embedding_layers=False)


def _heads(run: Finished) -> list[str]:
    return [path for path in run.anatomy.head_modules if any(name.startswith(f"{path}.") for name in run.anatomy.head)]


def _base(run: Finished, backbone: str | None) -> tuple[str, str | None]:
    """Where PEFT finds the backbone: hub id and commit, or the folder."""
    if run.located.revision is None:
        return str(run.located.folder), None
    return backbone or str(run.record["backbone"]["path"]), run.located.revision


def _about(run: Finished, form: str, backbone: str | None) -> dict[str, Any]:
    spec = run.record["spec"]
    path, revision = _base(run, backbone)
    return {
        "schema_version": SCHEMA_VERSION,
        "format": form,
        "task": run.task.name,
        "labels": list(run.task.labels),
        "max_length": spec["max_length"],
        "method": spec["method"],
        "backbone": {
            "name": spec["backbone"]["name"],
            "digest": spec["backbone"]["digest"],
            "path": path,
            "revision": revision,
        },
        "record": f"{run.record['slug']}-{run.record['digest']}",
    }


def _probe(run: Finished, model: Any, tokenizer: Any = None) -> NDArray[np.float32]:
    first, second = _PROBES
    pairs = None if run.task.tsv.second is None else second
    length = run.record["spec"]["max_length"]
    return logits_of(model, tokenizer or run.tokenizer, first, pairs, length)


@contextlib.contextmanager
def _complete(to: Path) -> Iterator[Path]:
    """A folder to write in, which takes its place in one step at the end, or leaves nothing behind."""
    missing = [parent for parent in (to.parent, *to.parent.parents) if not parent.exists()]
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{to.name}-", suffix=".tmp", dir=to.parent))
    except OSError as error:
        raise InputError(f"to={to} cannot be written: {error.strerror or error}") from error
    try:
        yield folder
        folder.chmod(0o755)
        for file in folder.iterdir():  # safetensors writes for the user alone
            file.chmod(0o644)
        if os.path.lexists(to):
            raise InputError(f"to={to} exists already; export writes a new folder")
        folder.rename(to)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in missing:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise
