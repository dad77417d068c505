"""Functions that stand in for modules' own forward, and go again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hadamard_glue.backbones.forwards import forwards


def test_the_inner_one_wins_and_leaves_what_it_found() -> None:
    module, other = nn.Identity(), nn.Identity()
    inputs = torch.ones(2)
    with forwards([(module, lambda x: x + 1), (other, lambda x: x + 5)]):
        with forwards([(module, lambda x: x + 2)]):
            assert module(inputs).tolist() == [3, 3]
            assert other(inputs).tolist() == [6, 6]
        assert module(inputs).tolist() == [2, 2]
    assert module(inputs) is inputs
    assert "forward" not in vars(module) | vars(other)


def test_an_error_inside_puts_the_modules_back() -> None:
    module = nn.Identity()
    with pytest.raises(ZeroDivisionError), forwards([(module, lambda x: x + 1)]):
        raise ZeroDivisionError
    assert "forward" not in vars(module)


def test_hooks_act_around_it() -> None:
    module = nn.Identity()
    module.register_forward_hook(lambda _module, _inputs, output: output * 10)
    with forwards([(module, lambda x: x + 1)]):
        assert module(torch.ones(1)).tolist() == [20]
