"""Methods that PEFT already implements, by its tuner classes directly on the model (never the ``PeftModel`` shell)."""

from __future__ import annotations

from peft import LoraConfig, LoraModel
from transformers import PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.config import LoraMethod
from hadamard_glue.methods.plan import Plan, grouped, new_parameters


def apply_lora(model: PreTrainedModel, anatomy: Anatomy, config: LoraMethod) -> Plan:
    """LoRA (Hu et al., ICLR 2022) on the named projections, each by its full path.

    Raises:
        InputError: a layer beyond the last.
    """
    before = [name for name, _ in model.named_parameters()]
    targets = [getattr(layer, target) for layer in anatomy.chosen(config.layers) for target in config.targets]
    LoraModel(
        model,
        LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,  # type: ignore[arg-type]  # PEFT only divides by it
            lora_dropout=config.dropout,
            target_modules=targets,
            bias="none",
        ),
        "default",
    )
    return Plan(model, grouped(adapter=new_parameters(model, before, "lora_")))
