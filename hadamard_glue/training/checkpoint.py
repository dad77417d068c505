"""What a run's weights are once the backbone is at hand: the trained parameters, the head, and what a method added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from hadamard_glue.errors import InputError


def storages(model: nn.Module) -> frozenset[int]:
    """Where the tensors of a model lie; taken before injection, it tells what a method added from what it renamed."""
    return frozenset(value.data_ptr() for value in model.state_dict().values())


def kept_names(model: nn.Module, trained: Iterable[str], before: frozenset[int]) -> list[str]:
    """Names of the tensors that a checkpoint holds, in the model's order.

    Args:
        trained: names of the trained parameters and of the head.
        before: :func:`storages` before injection; a tensor that lies elsewhere came with the method, such as VeRA's
            frozen random matrices. Of tensors that share their storage the first stands for all.
    """
    wanted = set(trained)
    seen: set[int] = set()
    names = []
    for name, value in model.state_dict().items():
        where = value.data_ptr()
        if (name in wanted or where not in before) and where not in seen:
            seen.add(where)
            names.append(name)
    return names


def collect(model: nn.Module, trained: Iterable[str], before: frozenset[int]) -> dict[str, Tensor]:
    """Copies of the tensors of :func:`kept_names`, on the CPU."""
    state = model.state_dict()
    return {name: state[name].detach().cpu().clone().contiguous() for name in kept_names(model, trained, before)}


def restore(model: nn.Module, tensors: Mapping[str, Tensor], trained: Iterable[str], before: frozenset[int]) -> None:
    """Put a checkpoint's tensors into a model to which the same method was applied, in place.

    Raises:
        InputError: tensors of other names or shapes than this model's.
    """
    names = kept_names(model, trained, before)
    unlike = sorted(set(names) ^ set(tensors))
    if unlike:
        raise InputError(f"the checkpoint and the model of the record differ in {unlike[0]!r} ({len(unlike)} in all)")
    state = model.state_dict()
    with torch.no_grad():
        for name in names:
            if state[name].shape != tensors[name].shape:
                shapes = f"{list(tensors[name].shape)}, the model {list(state[name].shape)}"
                raise InputError(f"the checkpoint holds {name} of shape {shapes}")
            state[name].copy_(tensors[name])
