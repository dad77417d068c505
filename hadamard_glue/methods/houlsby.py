"""Bottleneck adapters: Houlsby et al. (ICML 2019), two a layer, and Pfeiffer et al. (EACL 2021), one a layer.

Both start near the identity, with weights drawn from a truncated normal of deviation 1e-3 and biases of 0, as in the
published code of the former (google-research/adapter-bert). There the adapter stands after the projection's dropout;
here, where BART has no module for that dropout, it stands directly on the projection's output, so dropout acts on what
the adapter gives. Without dropout the two are the same.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from hadamard_glue.backbones.anatomy import Anatomy
from hadamard_glue.config import BottleneckMethod
from hadamard_glue.methods.plan import Plan, grouped, new_parameters
from hadamard_glue.methods.targets import norm_paths, parameters_below

#: Standard deviation of the initial weights.
DEVIATION = 1e-3

# adapter-bert computes GELU by its tanh form
_ACTIVATIONS: dict[str, nn.Module] = {
    "gelu": nn.GELU(approximate="tanh"),
    "relu": nn.ReLU(),
    "silu": nn.SiLU(),
    "tanh": nn.Tanh(),
}


class Bottleneck(nn.Module):
    """x -> up(activation(down(x))), [..., width] -> [..., width]; the residual is left to the caller."""

    def __init__(self, width: int, bottleneck: int, activation: str, like: Tensor) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.activation = _ACTIVATIONS[activation]
        for linear in (self.down, self.up):
            # drawn on the CPU, so that a seed gives the same adapter on every device
            nn.init.trunc_normal_(linear.weight, std=DEVIATION, a=-2 * DEVIATION, b=2 * DEVIATION)
            nn.init.zeros_(linear.bias)
        self.to(like.device, like.dtype)

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        output: Tensor = self.up(self.activation(self.down(hidden)))
        return output


class AdaptedProjection(nn.Module):
    """Houlsby: a projection with the adapter on its output, y = p + bottleneck(p), p = projection(x)."""

    def __init__(self, base_layer: nn.Linear, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.adapter = bottleneck

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        projected: Tensor = self.base_layer(hidden)
        return projected + self.adapter(projected)


class AdaptedNorm(nn.Module):
    """Pfeiffer: a norm whose output the adapter reads and before which it adds, y = norm(s + bottleneck(norm(s)))."""

    def __init__(self, base_layer: nn.Module, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.adapter = bottleneck

    def forward(self, total: Tensor) -> Tensor:
        """[..., width] -> [..., width]; ``total`` is the residual sum."""
        output: Tensor = self.base_layer(total + self.adapter(self.base_layer(total)))
        return output


def apply_bottleneck(model: PreTrainedModel, anatomy: Anatomy, config: BottleneckMethod) -> Plan:
    """Put the adapters into the chosen layers.

    ``houlsby``: on the outputs of the self-attention's and the feed-forward block's output projections; ``pfeiffer``:
    at the norm after the feed-forward block. A BART decoder's cross-attention gets none, as in AdapterHub.

    Raises:
        Unsupported: a layer beyond the last.
    """
    before = [name for name, _ in model.named_parameters()]
    for layer in anatomy.chosen(config.layers):
        paths = (layer.attention_output, layer.ffn_out) if config.name == "houlsby" else (layer.ffn_norm,)
        for path in paths:
            _wrap(model, path, config)
    trained_norms = norm_paths(anatomy, config.layers) if config.train_norms else ()
    adapter = new_parameters(model, before, ".adapter.")
    norm = [name for name in parameters_below(model, trained_norms) if name not in set(adapter)]
    return Plan(model, grouped(adapter=adapter, norm=norm))


def _wrap(model: PreTrainedModel, path: str, config: BottleneckMethod) -> None:
    parent, _, child = path.rpartition(".")
    target: Any = model.get_submodule(path)
    width = target.weight.shape[0]
    bottleneck = Bottleneck(width, config.bottleneck, config.activation, target.weight)
    wrapper = AdaptedProjection if config.name == "houlsby" else AdaptedNorm
    setattr(model.get_submodule(parent), child, wrapper(target, bottleneck))
