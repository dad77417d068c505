"""The two ends of the scale: nothing but the head (``classifier``), and every parameter (``full``)."""

from __future__ import annotations

from transformers import PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.config import ClassifierMethod, FullMethod
from hadamard_glue.methods.plan import Plan, grouped


def apply_classifier(model: PreTrainedModel, anatomy: Anatomy, config: ClassifierMethod) -> Plan:
    """Nothing of the backbone trains."""
    return Plan(model, grouped())


def apply_full(model: PreTrainedModel, anatomy: Anatomy, config: FullMethod) -> Plan:
    """Every parameter of the backbone trains."""
    return Plan(model, grouped(backbone=anatomy.backbone))
