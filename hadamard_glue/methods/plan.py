"""A method's plan: every parameter that trains, by exact name and group; all else is frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from torch import Tensor
from transformers import PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy

Group = Literal["adapter", "norm", "bias", "head", "backbone"]
GROUPS: tuple[Group, ...] = ("adapter", "norm", "bias", "head", "backbone")
#: Groups on which weight decay acts. A weight that starts at 1 (adapter, norm) must not decay towards 0, nor a bias.
DECAYED: frozenset[Group] = frozenset({"head", "backbone"})


@dataclass(frozen=True)
class Plan:
    """What a method trains beside the head.

    Attributes:
        model: the model to train, injected in place where the method injects.
        groups: parameter names by group, taken after injection; the head is no part of it, the stage decides on that.
        on_start: told the number of optimizer steps before the first, for methods that follow a schedule.
        extra_loss: a scalar that is added to the loss of every batch.
        after_step: told the number of every optimizer step after it, gradients still there.
    """

    model: PreTrainedModel
    groups: Mapping[Group, tuple[str, ...]]
    on_start: Callable[[int], None] | None = None
    extra_loss: Callable[[], Tensor] | None = None
    after_step: Callable[[int], None] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every planned parameter."""
        return tuple(name for group in GROUPS for name in self.groups.get(group, ()))


def new_parameters(model: PreTrainedModel, before: Iterable[str], prefix: str) -> tuple[str, ...]:
    """The parameters that an injection added: those with ``prefix`` in a name that was not there before."""
    known = set(before)
    return tuple(name for name, _ in model.named_parameters() if name not in known and prefix in name)


def train_exactly(model: PreTrainedModel, names: Iterable[str]) -> dict[str, Tensor]:
    """Freeze everything but ``names``, and check that it is so.

    Returns:
        The trained parameters by name.

    Raises:
        RuntimeError: a name that the model lacks; training must not start.
    """
    wanted = set(names)
    parameters = dict(model.named_parameters())
    unknown = sorted(wanted - set(parameters))
    if unknown:
        raise RuntimeError(f"the plan names {unknown[0]!r}, which the model does not have")
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in wanted)
    trained: dict[str, Tensor] = {name: value for name, value in parameters.items() if value.requires_grad}
    if set(trained) != wanted:
        raise RuntimeError(f"planned and trained parameters differ: {sorted(set(trained) ^ wanted)[:3]}")
    return trained


def count(plan: Plan, anatomy: Anatomy) -> dict[str, int | float]:
    """Parameters by group, as every table shows them.

    Returns:
        ``adapter``, ``norm``, ``bias``, ``backbone`` (of full fine-tuning), ``head``, ``trained`` (head excluded),
        ``backbone_total`` (before injection, head excluded) and ``percent`` = 100 trained / backbone_total.
    """
    sizes = {name: parameter.numel() for name, parameter in plan.model.named_parameters()}
    names = {group: plan.groups.get(group, ()) for group in GROUPS if group != "head"}
    groups = {group: sum(sizes[name] for name in members) for group, members in names.items()}
    trained = sum(groups.values())
    return {
        **{str(group): size for group, size in groups.items()},
        "head": sum(sizes[name] for name in anatomy.head),
        "trained": trained,
        "backbone_total": anatomy.backbone_total,
        "percent": 100 * trained / anatomy.backbone_total,
    }


def grouped(**groups: Iterable[str]) -> Mapping[Group, tuple[str, ...]]:
    """A read-only mapping of the groups that are not empty."""
    unknown = set(groups) - set(GROUPS)
    if unknown:
        raise RuntimeError(f"no such parameter group: {sorted(unknown)[0]!r}")
    return MappingProxyType({group: tuple(groups[group]) for group in GROUPS if groups.get(group)})
