"""Methods that PEFT already implements, by its tuner classes directly on the model (never the ``PeftModel`` shell)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from peft import LoraConfig, LoraModel
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import Tensor
from transformers import PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.config import LibraryMethod, LoraMethod
from hadamard_glue.errors import Unsupported
from hadamard_glue.methods.peft_options import SHARES, configure, peft_types
from hadamard_glue.methods.plan import Plan, grouped, new_parameters
from hadamard_glue.methods.targets import target_paths


def apply_lora(model: PreTrainedModel, anatomy: Anatomy, config: LoraMethod) -> Plan:
    """LoRA (Hu et al., ICLR 2022) on the named projections, each by its full path.

    On DeBERTa v1 ``query`` and ``value`` are the one projection that computes query, key and value: LoRA of rank r on
    it has as many parameters as LoRA of rank r on two separate projections, and reaches the key, too.

    Raises:
        Unsupported: a layer beyond the last, or cross-attention where there is none.
    """
    before = [name for name, _ in model.named_parameters()]
    LoraModel(
        model,
        LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,  # type: ignore[arg-type]  # PEFT only divides by it
            lora_dropout=config.dropout,
            target_modules=list(target_paths(anatomy, config)),
            bias="none",
        ),
        "default",
    )
    return Plan(model, grouped(adapter=new_parameters(model, before, "lora_")))


def apply_library(model: PreTrainedModel, anatomy: Anatomy, config: LibraryMethod) -> Plan:
    """Any method of PEFT that puts something on named modules.

    Raises:
        Unsupported: a backbone without the named projections, or that PEFT's tuner cannot work on; a tuner that does
            more than this harness can account for.
    """
    check_library(anatomy, config)
    before = dict(model.named_parameters())
    tuner = _inject(model, anatomy, config)
    trained = _added(model, tuner, before, config)
    group = "norm" if set(config.targets) == {"norms"} else "adapter"
    update = getattr(tuner, "update_and_allocate", None)
    if config.peft_type == "adalora":
        settings: Any = tuner.peft_config["default"]
        return Plan(
            model,
            grouped(adapter=list(trained)),
            on_start=_rank_schedule(tuner, config),
            extra_loss=_orthogonality(trained, settings.orth_reg_weight),
            after_step=update,
        )
    return Plan(model, grouped(**{group: list(trained)}), after_step=update)


def check_library(anatomy: Anatomy, config: LibraryMethod) -> None:
    """Refuse, before anything is loaded or changed, what a look at the anatomy can refuse.

    Raises:
        Unsupported: a layer beyond the last, cross-attention where there is none, or IA3 on keys or values that come
            out of one projection together with the queries.
    """
    layers = anatomy.chosen(config.layers)
    target_paths(anatomy, config)
    split = [name for name in config.targets if name in ("query", "key", "value")]
    if config.peft_type == "ia3" and split and any(layer.fused for layer in layers):
        raise Unsupported(
            f"method.targets: {anatomy.family} computes query, key and value in one projection, so IA3 cannot scale "
            f"{' and '.join(split)} alone"
        )


def _inject(model: PreTrainedModel, anatomy: Anatomy, config: LibraryMethod) -> BaseTuner:
    targets = target_paths(anatomy, config)
    ours: dict[str, Any] = {"target_modules": list(targets)}
    if config.peft_type == "ia3":
        # the paper scales keys, values, and what the feed-forward block's output projection reads
        outputs = {layer.ffn_out for layer in anatomy.layers}
        ours["feedforward_modules"] = [path for path in targets if path in outputs]
    kind = peft_types()[config.peft_type]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Unsupported layer type")  # LN tuning looks for the width of a norm
            settings = configure(config.peft_type, config.options, **ours)
            tuner = PEFT_TYPE_TO_TUNER_MAPPING[kind](model, settings, "default")
    except Exception as error:  # PEFT's tuners raise whatever they meet, assertions and attribute errors included
        raise Unsupported(_words(anatomy, config, " ".join(str(error).split())[:200])) from error
    if set(tuner.targeted_module_names) != set(targets):
        raise Unsupported(_words(anatomy, config, "it does not act on exactly the modules that it is given"))
    if type(tuner).forward is not BaseTuner.forward and config.peft_type != "adalora":
        raise Unsupported(_words(anatomy, config, "it changes the forward of the whole model"))
    return tuner


def _added(
    model: PreTrainedModel, tuner: BaseTuner, before: Mapping[str, Tensor], config: LibraryMethod
) -> dict[str, Tensor]:
    """The parameters that the tuner trains, by name in the model: all of them new, and the old ones still there."""
    fixed = tuple(
        f"{path}.{name}."
        for path, module in model.named_modules()
        if isinstance(module, BaseTunerLayer)
        for name in module.other_param_names
    )  # PEFT loses their requires_grad=False when it moves them to another device (AdaLoRA's ranknum)
    trained: dict[str, Tensor] = {
        name: value for name, value in model.named_parameters() if value.requires_grad and not name.startswith(fixed)
    }
    old = {id(value) for value in before.values()}
    kept = {id(value) for value in model.parameters()}
    elsewhere = {id(value) for value in tuner.parameters() if value.requires_grad} - {
        id(value) for value in model.parameters()
    }
    if not old <= kept or any(id(value) in old for value in trained.values()):
        raise Unsupported(
            f"method.peft_type={config.peft_type} rewrites weights of the backbone, it does not add to it"
        )
    if elsewhere or not trained:
        raise Unsupported(f"method.peft_type={config.peft_type} keeps what it trains outside the model")
    return trained


def _rank_schedule(tuner: Any, config: LibraryMethod) -> Callable[[int], None]:
    """AdaLoRA prunes ranks between ``tinit`` and ``tfinal``, which it wants in optimizer steps."""

    def on_start(steps: int) -> None:
        settings = tuner.peft_config["default"]
        first, last = (_steps(config.options.get(name, 0), steps) for name in SHARES)
        if first >= steps - last:
            raise Unsupported(
                f"method.options: tinit={first} and tfinal={last} leave none of {steps} steps for the pruning of ranks"
            )
        settings.tinit, settings.tfinal, settings.total_step = first, last, steps

    return on_start


def _steps(value: float, steps: int) -> int:
    return round(value * steps) if isinstance(value, float) and value < 1 else int(value)


def _orthogonality(trained: Mapping[str, Tensor], weight: float) -> Callable[[], Tensor]:
    """AdaLoRA's penalty, the mean distance of A A' and B' B from the identity (Zhang et al., ICLR 2023, eq. 4)."""
    wide: Sequence[Tensor] = [value for name, value in trained.items() if ".lora_A." in name]
    tall: Sequence[Tensor] = [value for name, value in trained.items() if ".lora_B." in name]

    def extra_loss() -> Tensor:
        products = [*(matrix @ matrix.T for matrix in wide), *(matrix.T @ matrix for matrix in tall)]
        distances = [torch.norm(product - torch.eye(len(product), device=product.device)) for product in products]
        return weight * torch.stack(distances).mean()

    return extra_loss


def _words(anatomy: Anatomy, config: LibraryMethod, reason: str) -> str:
    return f"method.peft_type={config.peft_type} cannot be put on this {anatomy.family}: {reason}"
