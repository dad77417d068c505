"""One model for all runs of a trunk: lent to a run, which changes it at will, and put back bit for bit afterwards."""

from __future__ import annotations

import contextlib
import copy
import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from hadamard_glue.backbones.loading import Backbone

logger = logging.getLogger(__name__)

_CONTAINERS = (dict, OrderedDict, list, set)


class SharedBackbone:
    """Holds a trunk's model between its runs; it is loaded when first asked for.

    Args:
        load: gives the model as its files have it.
    """

    def __init__(self, load: Callable[[], Backbone]) -> None:
        self._load = load
        self._held: Backbone | None = None

    @property
    def backbone(self) -> Backbone:
        """The model, to be read only.

        Raises:
            InputError: weights that cannot be loaded.
        """
        if self._held is None:
            self._held = self._load()
        return self._held

    @contextlib.contextmanager
    def lent(self, device: torch.device) -> Iterator[Loan]:
        """The model for one run, on ``device``, frozen and in eval mode.

        Afterwards it is what it was. After an error, or where a run changed what it did not announce, it is thrown
        away: the next run loads it again.
        """
        backbone, self._held = self.backbone, None
        nn.Module.to(backbone.model, device)
        loan = Loan(backbone)
        yield loan
        if loan.give_back():
            self._held = backbone
        else:
            logger.info("a run rewrote weights that it does not train; the model is loaded again")


class Loan:
    """A lent model and what is needed to restore it."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        model: nn.Module = backbone.model
        self._modules = [(module, _contents(module)) for module in model.modules()]
        tensors = {id(tensor): tensor for tensor in itertools.chain(model.parameters(), model.buffers())}
        # An alias beside each, because a method may point a parameter at other values; the version counts every
        # change in place.
        self._tensors = {key: (tensor, tensor.detach(), tensor._version) for key, tensor in tensors.items()}
        self._values: dict[int, Tensor] = {}

    def keep(self, tensors: Iterable[Tensor]) -> None:
        """Copy tensors that are about to change, unless they are kept already or came with the method."""
        for tensor in tensors:
            if id(tensor) in self._tensors and id(tensor) not in self._values:
                self._values[id(tensor)] = tensor.detach().clone()

    def give_back(self) -> bool:
        """Restore modules, values and flags.

        Returns:
            Whether every tensor has its old value: false where one was changed that was not announced.
        """
        for module, contents in self._modules:
            vars(module).clear()
            vars(module).update(contents)
        intact = True
        for key, (tensor, alias, version) in self._tensors.items():
            tensor.grad = None
            tensor.requires_grad_(False)
            if tensor.data_ptr() != alias.data_ptr():
                tensor.data = alias
            if key in self._values:
                with torch.no_grad():
                    alias.copy_(self._values[key])
            else:
                intact = intact and alias._version == version
        return intact


def _contents(module: nn.Module) -> dict[str, Any]:
    """A module's attributes, its tables of children, parameters, buffers and hooks copied one level deep."""
    return {name: copy.copy(value) if type(value) in _CONTAINERS else value for name, value in vars(module).items()}
