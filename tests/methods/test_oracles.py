"""Losses step by step against what we did not write: plain PEFT, and the Trainer of transformers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from numpy.typing import NDArray
from peft import AdaLoraConfig, IA3Config, LoraConfig, get_peft_model
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments, get_linear_schedule_with_warmup

from hadamard_glue.backbones.head import head, pooled
from hadamard_glue.backbones.loading import Backbone
from hadamard_glue.config import Method
from hadamard_glue.methods.hadamard_tuner import HadamardLinear
from hadamard_glue.methods.plan import Plan, train_exactly
from hadamard_glue.methods.registry import apply
from hadamard_glue.training.device import Device
from hadamard_glue.training.loop import Batch, StageSettings, train
from methods.battery import EVERYWHERE, KINDS, VARIANTS, Subject

STEPS, BATCH, RATE, WARMUP = 20, 4, 5e-3, 3
SEED = 11
on_every_backbone = pytest.mark.parametrize("kind", KINDS)

#: What a user of plain PEFT writes for query and value of each family (in a decoder of self-attention alone).
QUERY_VALUE: dict[str, Any] = {
    "bart": r".*self_attn\.(q_proj|v_proj)", "deberta": ["in_proj"], "deberta_v2": ["query_proj", "value_proj"],
}  # fmt: skip
IA3_TARGETS = {
    "bart": r".*(self_attn\.(k_proj|v_proj)|fc2)", "deberta_v2": r".*(key_proj|value_proj|\d+\.output\.dense)",
}  # fmt: skip
VALUE: dict[str, Any] = {"bart": r".*self_attn\.v_proj", "deberta_v2": ["value_proj"]}


class Fixed:
    """Rows of which every epoch is the next batch, so that the history holds the loss of every step."""

    def __init__(self, batches: list[Batch]) -> None:
        self.todo = iter(batches)

    def __len__(self) -> int:
        return BATCH

    def batches(self, batch_size: int, rng: object) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        yield np.arange(BATCH), next(self.todo)


def batches_of(subject: Subject) -> list[Batch]:
    """Batches whose rows and labels differ from step to step."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(STEPS):
        rows = torch.randint(len(subject.labels), (BATCH,), generator=generator)
        labels = torch.randint(3, (BATCH,), generator=generator)
        found.append({**{name: value[rows] for name, value in subject.batch.items()}, "labels": labels})
    return found


def our_losses(
    backbone: Backbone, plan: Plan, batches: list[Batch], with_head: bool = True, decay: float = 0.0
) -> list[float]:
    """Through the training loop, as stage 2 calls it, but for the whole last layer, so that dropout draws as PEFT's."""
    trained = train_exactly(plan.model, [*plan.names, *(backbone.anatomy.head if with_head else ())])
    settings = StageSettings("stage2", STEPS, RATE, BATCH, WARMUP / STEPS, decay, 1.0, regression=False)
    outcome = train(
        settings,
        lambda batch: head(plan.model, backbone.anatomy, pooled(plan.model, backbone.anatomy, batch, whole=True)),
        Fixed(batches),
        trained,
        frozenset(name for name, value in trained.items() if value.ndim > 1),
        Device(torch.device("cpu"), "float32"),
        np.random.default_rng(0),
        after_epoch=lambda epoch: {},
        on_start=plan.on_start,
        extra_loss=plan.extra_loss,
        after_step=plan.after_step,
    )
    return [entry["loss"] for entry in outcome.history]


def peft_losses(
    model: Any, trained: list[Tensor], batches: list[Batch], after_step: Callable[[int], None] | None = None
) -> list[float]:
    """A loop as PEFT's examples write it: the model's own forward and loss."""
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS)
    losses = []
    for step, batch in enumerate(batches, start=1):
        output = model(**batch)
        losses.append(nn.functional.cross_entropy(output.logits, batch["labels"]).item())
        output.loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if after_step is not None:
            after_step(step)
        optimizer.zero_grad()
    return losses


def against_peft(subject: Subject, variant: str, config: Any, **more: Any) -> None:
    """The same seeds, initial values, batches, order and dropout on both sides."""
    method = TypeAdapter(Method).validate_python({**VARIANTS[variant], **more})
    backbone, batches = subject.copy(), batches_of(subject)
    torch.manual_seed(SEED)
    plan = apply(backbone.model, backbone.anatomy, method)
    plan.model.train()
    start = {name: plan.model.get_parameter(name).detach().clone() for name in plan.names}
    torch.manual_seed(SEED)
    ours = our_losses(backbone, plan, batches)

    plain = subject.copy()
    torch.manual_seed(SEED)
    shell = get_peft_model(plain.model, config)
    for name in plain.anatomy.head:
        plain.model.get_parameter(name).requires_grad_(True)
    shell.train()
    # PEFT leaves a parameter that is no weight of AdaLoRA trainable on some devices
    trained = [value for name, value in shell.named_parameters() if value.requires_grad and "ranknum" not in name]
    torch.manual_seed(SEED)
    after_step = getattr(shell.base_model, "update_and_allocate", None)
    # the shell of a model without a task type goes round the tuner's forward, and so round AdaLoRA's penalty
    assert ours == pytest.approx(peft_losses(shell.base_model, trained, batches, after_step), abs=1e-6)
    assert farthest(plan.model, start) > RATE


def farthest(model: nn.Module, start: dict[str, Tensor]) -> float:
    """How far the parameter went that went farthest."""
    return max(float((model.get_parameter(name).detach() - value).abs().max()) for name, value in start.items())


@on_every_backbone
def test_lora_is_plain_pefts(subjects: dict[str, Subject], kind: str) -> None:
    targets = QUERY_VALUE.get(kind, ["query", "value"])
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=targets)
    against_peft(subjects[kind], "lora", config)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "deberta"])
def test_ia3_is_plain_pefts(subjects: dict[str, Subject], kind: str) -> None:
    targets = IA3_TARGETS.get(kind, r".*(key|value|layer\.\d+\.output\.dense)")
    config = IA3Config(target_modules=targets, feedforward_modules=r".*(fc2|output\.dense)")
    against_peft(subjects[kind], "ia3", config)


@pytest.mark.parametrize("kind", ["bert", "bart"])
def test_dora_is_plain_pefts(subjects: dict[str, Subject], kind: str) -> None:
    config = LoraConfig(r=4, use_dora=True, target_modules=QUERY_VALUE.get(kind, ["query", "value"]))
    against_peft(subjects[kind], "dora", config)


@pytest.mark.parametrize("kind", ["bert", "deberta"])
def test_adalora_is_plain_pefts_penalty_and_pruning_included(subjects: dict[str, Subject], kind: str) -> None:
    layers = subjects[kind].backbone.anatomy.layers
    config = AdaLoraConfig(
        init_r=4, target_r=2, tinit=4, tfinal=6, total_step=STEPS, orth_reg_weight=0.3,
        target_modules=sorted({getattr(layer, name) for layer in layers for name in EVERYWHERE}),
    )  # fmt: skip
    options = {"init_r": 4, "target_r": 2, "tinit": 0.2, "tfinal": 0.3, "orth_reg_weight": 0.3}
    against_peft(subjects[kind], "adalora", config, options=options)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "deberta"])
def test_hadamard_on_the_heads_without_its_bias_is_ia3_on_the_value(subjects: dict[str, Subject], kind: str) -> None:
    """softmax(...) (v * l) = (softmax(...) v) * l: a scale of the value passes through the mean over tokens."""
    subject, batches = subjects[kind], batches_of(subjects[kind])
    backbone = Backbone(subject.as_dtype(torch.float64), subject.backbone.anatomy)
    method = TypeAdapter(Method).validate_python(VARIANTS["hadamard-heads-none"])
    plan = apply(backbone.model, backbone.anatomy, method)
    for module in plan.model.modules():
        if isinstance(module, HadamardLinear):
            module.hadamard_weight["default"].data = module.hadamard_weight["default"].data.double()
            module.hadamard_bias["default"].data = module.hadamard_bias["default"].data.double()
    without_bias = [name for name in plan.groups["adapter"] if "hadamard_bias" not in name]
    plan.model.eval()
    ours = our_losses(backbone, Plan(plan.model, {"adapter": tuple(without_bias)}), batches, with_head=False)

    config = IA3Config(target_modules=VALUE.get(kind, ["value"]), feedforward_modules=[])
    shell = get_peft_model(subject.as_dtype(torch.float64), config, autocast_adapter_dtype=False).double().eval()
    trained: list[Tensor] = [value for value in shell.parameters() if value.requires_grad]
    assert sum(value.numel() for value in trained) == 32 * len(backbone.anatomy.layers)
    assert ours == pytest.approx(peft_losses(shell, trained, batches), abs=1e-5)
    assert farthest(plan.model, {name: torch.ones(32) for name in without_bias}) > RATE


class Listening(Trainer):
    """A Trainer that takes the rows in their order and remembers the loss of every step."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.losses: list[float] = []

    def get_train_dataloader(self) -> DataLoader[Any]:
        rows: Any = self.train_dataset
        return DataLoader(rows, batch_size=BATCH, shuffle=False, collate_fn=self.data_collator)

    def compute_loss(self, *arguments: Any, **named: Any) -> Any:
        loss: Any = super().compute_loss(*arguments, **named)
        self.losses.append(loss.item())
        return loss


@pytest.mark.parametrize("kind", ["bert", "bart"])
def test_full_fine_tuning_is_the_trainers(kind: str, tmp_path: Path) -> None:
    build = {"bert": tiny.save_bert, "bart": tiny.save_bart}[kind]
    subject = Subject(build(tmp_path / "model", dropout=0.0))
    batches = batches_of(subject)
    backbone = subject.copy()
    plan = apply(backbone.model, backbone.anatomy, TypeAdapter(Method).validate_python(VARIANTS["full"]))
    plan.model.train()
    ours = our_losses(backbone, plan, batches, decay=0.01)

    rows = [{name: value[i] for name, value in batch.items()} for batch in batches for i in range(BATCH)]
    reference = copy.deepcopy(subject.backbone.model).requires_grad_(True)
    trainer = Listening(
        model=reference,
        train_dataset=rows,
        args=TrainingArguments(
            output_dir=str(tmp_path / "trainer"), per_device_train_batch_size=BATCH, max_steps=STEPS,
            learning_rate=RATE, warmup_steps=WARMUP, weight_decay=0.01, max_grad_norm=1.0, adam_epsilon=1e-8,
            lr_scheduler_type="linear", optim="adamw_torch", use_cpu=True, report_to=[], save_strategy="no",
            logging_strategy="no", disable_tqdm=True, seed=SEED,
        ),
    )  # fmt: skip
    trainer.train()
    assert ours == pytest.approx(trainer.losses, abs=1e-5)
    assert len(ours) == STEPS
    assert farthest(plan.model, dict(subject.backbone.model.named_parameters())) > RATE
