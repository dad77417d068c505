"""A trunk is (backbone, task): the frozen weights, the rows, and the encoded data that all its runs share."""

from __future__ import annotations

import functools
import hashlib

from hadamard_glue.backbones.anatomy import usable_positions
from hadamard_glue.backbones.loading import load, load_tokenizer, locate
from hadamard_glue.cache import cache_folder
from hadamard_glue.config import RunConfig
from hadamard_glue.errors import InputError
from hadamard_glue.glue.encoding import encode
from hadamard_glue.glue.sources import Rows, load_rows
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.training.features import TextRows
from hadamard_glue.training.lending import SharedBackbone
from hadamard_glue.training.stages import Material


def trunk_key(config: RunConfig) -> str:
    """What two configs must agree on to share a trunk."""
    return config.model_dump_json(include={"backbone", "task", "source", "limit", "max_length"})


class Trunk:
    """Files and rows are found at once, which is all that identity needs; weights and encoding wait for the first run.

    Raises:
        InputError: a backbone or rows that cannot be read.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.task = TASKS[config.task.name]
        self.located = locate(config.backbone)
        source, limit = config.source, config.limit
        self.data = load_rows(self.task, source.kind, source.path, limit.train, limit.dev, source.revision)

    @functools.cached_property
    def material(self) -> Material:
        """Loaded weights and encoded rows.

        Raises:
            InputError: damaged weights or tokenizer, or a ``max_length`` beyond the backbone's positions.
        """
        tokenizer = load_tokenizer(self.located)
        if tokenizer.pad_token_id is None:
            raise InputError(f"tokenizer in {self.located.folder} has no padding token")
        shared = SharedBackbone(functools.partial(load, self.located, self.task.num_labels))
        positions = usable_positions(shared.backbone.model)
        if positions is not None and self.config.max_length > positions:
            raise InputError(f"max_length={self.config.max_length}: {self.located.name} has {positions} positions")

        def text(rows: Rows) -> TextRows:
            folder = cache_folder() / "encoded"
            encoded = encode(rows, tokenizer, self.located.tokenizer_digest, self.config.max_length, folder)
            return TextRows(encoded, tokenizer.pad_token_id)

        content = f"{self.located.digest} {self.task.name} {self.data.fingerprint} {self.config.max_length}"
        return Material(
            task=self.task,
            shared=shared,
            train=text(self.data.train),
            dev={split: text(rows) for split, rows in self.data.dev.items()},
            content=hashlib.sha256(content.encode()).hexdigest(),
            feature_folder=cache_folder() / "features",
        )


_HELD: dict[str, Trunk] = {}


def held_trunk(config: RunConfig) -> Trunk:
    """The trunk of the last call if it is this run's, else a new one: the jobs of a multirun in one process share it.

    Raises:
        InputError: a backbone or rows that cannot be read.
    """
    key = trunk_key(config)
    if key not in _HELD:
        _HELD.clear()  # one at a time: weights are large
        _HELD[key] = Trunk(config)
    return _HELD[key]
