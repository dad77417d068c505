"""The arm of the transformers ``Trainer``: what a user would write to go through the same two stages.

``defaults`` follows run_glue: every row padded to ``max_length``, batches drawn at random. ``tuned`` pads each batch to
its longest row and groups rows of like length. Model, head, adapter, rows, epochs, batch, rates, warm-up, decay and
clipping are those of this project's run.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, default_data_collator

from hadamard_glue.backbones.head import initialise_head
from hadamard_glue.backbones.loading import Backbone, Located, load, load_tokenizer, locate
from hadamard_glue.config import RunConfig, Stage1Config, Stage2Config
from hadamard_glue.glue.metrics import score
from hadamard_glue.glue.rows import Rows
from hadamard_glue.glue.sources import load_rows
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.methods.plan import train_exactly
from hadamard_glue.methods.registry import apply
from hadamard_glue.training.device import Device, derived_seed, peak_memory, pick, randomness
from hadamard_glue.training.selection import predictions_of


def trainer(config: RunConfig, seeds: list[int], tuned: bool) -> dict[str, Any]:
    """Go through both stages once a seed; each run reads, tokenizes and loads anew, as calling a script again does.

    Digests and conversion of the weights are this project's own and outside the clock.

    Returns:
        As :func:`hadamard_glue.bench.arms.ours`, without tokens.
    """
    device = pick(config.hardware)
    located = locate(config.backbone)
    located.weights  # noqa: B018 (converts a pickle once)
    start, busy = time.perf_counter(), time.process_time()
    runs = []
    for seed in seeds:
        run = _TrainerRun(config, located, device, seed, tuned).go()
        runs.append({**run, "ended": time.perf_counter() - start})
    seconds, cores = runs[-1]["ended"], (time.process_time() - busy) / runs[-1]["ended"]
    return {"seconds": seconds, "runs": runs, "peak_memory": peak_memory(device), "cores": cores}


class _TrainerRun:
    """One run of the Trainer's arm, and the seconds of its phases as they pass."""

    def __init__(self, config: RunConfig, located: Located, device: Device, seed: int, tuned: bool) -> None:
        self.config, self.located, self.device, self.seed, self.tuned = config, located, device, seed, tuned
        self.task = TASKS[config.task.name]
        self.phases: dict[str, float] = {}
        self._last = time.perf_counter()

    def go(self) -> dict[str, Any]:
        config, source, limit = self.config, self.config.source, self.config.limit
        data = load_rows(self.task, source.kind, source.path, limit.train, limit.dev, source.revision)
        self.tokenizer = load_tokenizer(self.located)
        backbone = load(self.located, self.task.num_labels)
        self._lap("load")
        train, dev = self._encoded(data.train), {split: self._encoded(rows) for split, rows in data.dev.items()}
        self._lap("encode")
        initialise_head(backbone.model, backbone.anatomy, derived_seed(self.seed, "head"))
        train_exactly(backbone.model, backbone.anatomy.head)
        self._train(backbone, train, config.stage1, config.weight_decay)
        self._lap("stage1")
        with randomness(self.seed, "adapter"):
            plan = apply(backbone.model, backbone.anatomy, config.method)
        train_exactly(backbone.model, plan.names)
        last = self._train(backbone, train, config.stage2, 0.0)  # weights that start at 1 and biases never decay
        self._lap("stage2")
        labels = {split: rows.labels for split, rows in data.dev.items()}
        metrics = self._scores(last, dev, labels)
        self._lap("predict")
        rows = {"train": len(data.train), **{split: len(part) for split, part in data.dev.items()}}
        return {"seed": self.seed, "phases": self.phases, "metrics": metrics, "rows": rows}

    def _encoded(self, rows: Rows) -> Dataset:
        """A split tokenized through ``Dataset.map``, as run_glue does; in memory, so nothing is found in a cache."""
        length = self.config.max_length

        def tokenize(batch: Mapping[str, list[Any]]) -> dict[str, Any]:
            second = batch.get("second")
            padding = False if self.tuned else "max_length"
            found = dict(self.tokenizer(batch["first"], second, truncation=True, max_length=length, padding=padding))
            # the tuned arm is spared finding the lengths in every epoch
            return found | ({"length": [len(ids) for ids in found["input_ids"]]} if self.tuned else {})

        columns = {"first": rows.first, "labels": rows.labels.tolist()}
        if rows.second is not None:
            columns["second"] = rows.second
        texts = [name for name in columns if name != "labels"]
        return Dataset.from_dict(columns).map(tokenize, batched=True, remove_columns=texts)

    def _train(self, backbone: Backbone, rows: Dataset, stage: Stage1Config | Stage2Config, decay: float) -> Trainer:
        config = self.config
        steps = stage.epochs * -(-len(rows) // config.batch_size)
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                num_train_epochs=stage.epochs,
                per_device_train_batch_size=config.batch_size,
                per_device_eval_batch_size=config.batch_size,
                learning_rate=stage.lr,
                lr_scheduler_type="linear",
                warmup_steps=min(math.ceil(steps * config.warmup), steps - 1),
                weight_decay=decay,
                max_grad_norm=config.max_grad_norm,
                seed=self.seed,
                train_sampling_strategy="group_by_length" if self.tuned else "random",
                use_cpu=not self.device.is_cuda,
                bf16=self.device.precision == "bf16",
                dataloader_pin_memory=self.device.is_cuda,
                # kinder than run_glue: nothing is logged, saved or reported
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                remove_unused_columns=False,  # the sampler would not see the lengths; _encoded leaves nothing unused
            )
            made = Trainer(
                model=backbone.model,
                args=arguments,
                train_dataset=rows,
                processing_class=self.tokenizer,
                data_collator=self._to_longest if self.tuned else default_data_collator,
            )
            made.train()
        return made

    def _to_longest(self, rows: list[dict[str, Any]]) -> Any:
        """A batch padded to its longest row, on CUDA to a multiple of 8, without the lengths that the sampler reads."""
        pad = DataCollatorWithPadding(self.tokenizer, pad_to_multiple_of=8 if self.device.is_cuda else None)
        return pad([{name: value for name, value in row.items() if name != "length"} for row in rows])

    def _scores(
        self, trainer: Trainer, dev: Mapping[str, Dataset], labels: Mapping[str, np.ndarray]
    ) -> dict[str, dict[str, float]]:
        found = {}
        for split, rows in dev.items():
            output = trainer.predict(rows)
            logits = output.predictions[0] if isinstance(output.predictions, tuple) else output.predictions
            # grouping by length reorders the rows, their labels with them
            truth = np.asarray(output.label_ids).astype(labels[split].dtype).reshape(-1)
            assert np.array_equal(np.sort(truth), np.sort(labels[split]))
            found[split] = score(self.task, predictions_of(self.task, np.asarray(logits, dtype=np.float32)), truth)
        return found

    def _lap(self, phase: str) -> None:
        if self.device.is_cuda:
            torch.cuda.synchronize(self.device.torch_device)
        now = time.perf_counter()
        self.phases[phase] = now - self._last
        self._last = now
