"""The prefix: the frozen layers below the lowest one that trains, run once for each row and left out afterwards.

BART's prefix ends with its encoder at the latest: the decoder sees the encoder's output in every layer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.backbones.families import FAMILIES
from hadamard_glue.backbones.forwards import forwards
from hadamard_glue.errors import Unsupported


def prefix_layers(model: Any, anatomy: Anatomy, trained: Collection[str]) -> int:
    """How many layers lie in the prefix.

    Args:
        trained: names of the parameters that train, those of the head left out.

    Raises:
        Unsupported: none, as one outside the layers or in the first one trains, or BART drops layers at random.
    """
    if getattr(model.config, "encoder_layerdrop", 0) > 0:
        raise Unsupported("stage2.prefix=eval_cached: this backbone drops layers in training (encoder_layerdrop)")
    pooler = FAMILIES[anatomy.family].pooler
    lowest = _encoder_layers(anatomy)
    for name in trained:
        if pooler is None or not name.startswith(f"{pooler}."):
            layers = (index for index, layer in enumerate(anatomy.layers) if name.startswith(f"{layer.path}."))
            lowest = min(lowest, next(layers, 0))
    if lowest == 0:
        raise Unsupported("stage2.prefix=eval_cached: nothing is frozen below what trains; leave layer 0 out")
    return lowest


def prefix_states(model: Any, anatomy: Anatomy, layers: int, batch: Mapping[str, Tensor]) -> Tensor:
    """What ``layers`` layers give, in the mode the model is in.

    Args:
        batch: as :func:`hadamard_glue.backbones.head.pooled` takes it.

    Returns:
        [batch, tokens, hidden]; of padded tokens anything.
    """
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch}
    encoder = model.base_model.encoder
    if layers == _encoder_layers(anatomy):
        hook = encoder.register_forward_hook(_stop_behind)
    else:
        hook = model.get_submodule(anatomy.layers[layers].path).register_forward_pre_hook(_stop_before)
    try:
        model.base_model(**inputs)
    except _Reached as reached:
        return reached.states
    finally:
        hook.remove()
    raise AssertionError("no layer behind the prefix")


@contextlib.contextmanager
def starting_behind(model: Any, anatomy: Anatomy, layers: int, states: Tensor) -> Iterator[None]:
    """The model without its first ``layers`` layers, which gave ``states`` [batch, tokens, hidden]."""
    encoder = model.base_model.encoder
    answers: list[tuple[nn.Module, Any]]
    if anatomy.family == "bart" and layers == _encoder_layers(anatomy):
        answers = [(encoder, BaseModelOutput(last_hidden_state=states))]
    else:
        answer = (states, None) if anatomy.family.startswith("deberta") else states
        answers = [(model.get_submodule(layer.path), answer) for layer in anatomy.layers[:layers]]
        if getattr(encoder, "conv", None) is not None:  # DeBERTa v2's, which adds to the first layer's output
            answers.append((encoder.conv, states))
    with forwards((module, lambda *_, _answer=answer, **__: _answer) for module, answer in answers):
        yield


class _Reached(Exception):  # noqa: N818 (no error: control flow)
    """Ends a forward pass where the prefix ends: what lies behind is not wanted."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states


def _stop_before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    raise _Reached(inputs[0])


def _stop_behind(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
    raise _Reached(output.last_hidden_state)


def _encoder_layers(anatomy: Anatomy) -> int:
    return sum(layer.cross is None for layer in anatomy.layers)
