"""The Hadamard adapter (Chen et al., CIKM 2023) as a PEFT tuner: the one implementation there is.

A' = W * A + b on the self-attention output A, element-wise, one pair (W, b) a layer, shared by all tokens; W starts at
1 and b at 0, so the adapted model starts equal to the pretrained one. Beside it a copy of the layer's norm may train.

PEFT's ``PeftType`` is a closed enum; the plain string ``"HADAMARD"`` in its mappings works from injection to loading.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, cast

import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import (
    BaseTuner,
    BaseTunerLayer,
    check_adapters_to_merge,
    check_target_module_exists,
)
from torch import Tensor, nn

from hadamard_glue.methods.hadamard_config import PEFT_TYPE, HadamardConfig, fit

__all__ = ["ActingAdapter", "HadamardConfig", "HadamardLayer", "HadamardLinear", "HadamardModel", "HadamardNorm"]


class ActingAdapter(NamedTuple):
    """W and b [width] of the adapter that acts in the next forward, and its site."""

    weight: Tensor
    bias: Tensor
    site: str


class HadamardLayer(BaseTunerLayer):
    """What the two kinds of layer share: one active adapter at a time, and a merge that can be undone bit for bit."""

    def _bind(self, base_layer: Any) -> None:
        self.base_layer = base_layer
        self.merged_adapters = []
        self._disable_adapters = False
        self._active_adapter = []

    def _chosen(self) -> str | None:
        """The adapter that acts in the next forward, if any."""
        if self.disable_adapters:
            if self.merged:
                self.unmerge()
            return None
        if self.merged:
            return None
        present = [name for name in self.active_adapters if name in self._get_available_adapters()]
        if len(present) > 1:
            raise ValueError(f"Hadamard adapters act one at a time, {len(present)} are active")
        return present[0] if present else None

    def _mergeable(self, adapter_names: list[str] | None) -> str | None:
        names = [
            name for name in check_adapters_to_merge(self, adapter_names) if name in self._get_available_adapters()
        ]
        if len(names) > 1 or (names and self.merged):
            raise ValueError("Hadamard adapters merge one at a time")
        return names[0] if names else None


class HadamardLinear(nn.Module, HadamardLayer):
    """An attention output projection with the adapter before it (``heads``) or after it (``projection``)."""

    adapter_layer_names = ("hadamard_weight", "hadamard_bias")
    other_param_names = ("hadamard_site",)

    def __init__(self, base_layer: nn.Linear, adapter_name: str, config: HadamardConfig) -> None:
        super().__init__()
        self._bind(base_layer)
        self.hadamard_site: dict[str, str] = {}
        self.hadamard_weight = nn.ParameterDict()
        self.hadamard_bias = nn.ParameterDict()
        self._original: tuple[Tensor, Tensor | None] | None = None
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: HadamardConfig) -> None:
        """Add an adapter: W [width] ones and b [width] zeros, float32, on the projection's device."""
        linear = cast(nn.Linear, self.get_base_layer())
        width = linear.in_features if config.site == "heads" else linear.out_features
        self.hadamard_site[adapter_name] = config.site
        device = linear.weight.device
        # float32 even under a half-precision backbone: updates of 1e-5 around a weight of 1 vanish in bf16
        self.hadamard_weight[adapter_name] = nn.Parameter(torch.ones(width, device=device, dtype=_wide(linear)))
        self.hadamard_bias[adapter_name] = nn.Parameter(torch.zeros(width, device=device, dtype=_wide(linear)))
        self.set_adapter([*self.active_adapters] or [adapter_name], inference_mode=config.inference_mode)

    def acting(self) -> ActingAdapter | None:
        """The adapter that acts in the next forward, if any."""
        name = self._chosen()
        if name is None:
            return None
        return ActingAdapter(self.hadamard_weight[name], self.hadamard_bias[name], self.hadamard_site[name])

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[..., in] -> [..., out], as the projection itself."""
        adapter = self.acting()
        if adapter is None:
            return self.base_layer(hidden, *args, **kwargs)
        weight, bias, site = adapter
        if site == "heads":
            return self.base_layer((hidden * weight + bias).to(hidden.dtype), *args, **kwargs)
        output = self.base_layer(hidden, *args, **kwargs)
        return (output * weight + bias).to(output.dtype)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Fold the adapter into the projection.

        heads: weight diag(W) and bias + weight b; projection: diag(W) weight and W bias + b.
        """
        name = self._mergeable(adapter_names)
        if name is None:
            return
        linear = cast(nn.Linear, self.get_base_layer())
        scale, shift = self.hadamard_weight[name].detach(), self.hadamard_bias[name].detach()
        old_weight = linear.weight.detach().clone()
        old_bias = None if linear.bias is None else linear.bias.detach().clone()
        bias = (
            torch.zeros(linear.out_features, device=old_weight.device, dtype=scale.dtype)
            if old_bias is None
            else old_bias
        )
        if self.hadamard_site[name] == "heads":
            weight, bias = old_weight * scale, bias + old_weight.to(shift.dtype) @ shift
        else:
            weight, bias = old_weight * scale.unsqueeze(1), bias * scale + shift
        if safe_merge and not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
            raise ValueError(f"NaNs detected in the merged weights. The adapter {name} seems to be broken")
        self._original = (old_weight, old_bias)
        linear.weight.data = weight.to(old_weight.dtype)
        if old_bias is None:
            linear.bias = nn.Parameter(bias.to(old_weight.dtype), requires_grad=linear.weight.requires_grad)
        else:
            linear.bias.data = bias.to(old_weight.dtype)
        self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """Put the tensors from before the merge back, bit for bit."""
        if self._original is None:
            return
        linear = cast(nn.Linear, self.get_base_layer())
        linear.weight.data, old_bias = self._original
        if old_bias is None:
            linear.register_parameter("bias", None)
        else:
            linear.bias.data = old_bias
        self._original = None
        self.merged_adapters.clear()


class HadamardNorm(nn.Module, HadamardLayer):
    """A norm of which each adapter owns a trained copy."""

    adapter_layer_names = ("hadamard_norm",)

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: HadamardConfig) -> None:
        super().__init__()
        self._bind(base_layer)
        self.hadamard_norm = nn.ModuleDict()
        self._original: dict[str, Tensor] | None = None
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: HadamardConfig) -> None:
        """Add an adapter: a copy of the norm as it is, in float32 at least."""
        if self.merged:
            raise ValueError("unmerge before adding an adapter: its norm starts from the pretrained one")
        norm = self.get_base_layer()
        self.hadamard_norm[adapter_name] = copy.deepcopy(norm).to(_wide(norm))
        self.set_adapter([*self.active_adapters] or [adapter_name], inference_mode=config.inference_mode)

    def acting(self) -> nn.Module:
        """The norm that acts in the next forward."""
        name = self._chosen()
        norm: nn.Module = self.base_layer if name is None else self.hadamard_norm[name]
        return norm

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[..., width] -> [..., width]."""
        return self.acting()(hidden, *args, **kwargs)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Write the trained copy's values into the norm."""
        name = self._mergeable(adapter_names)
        if name is None:
            return
        base, trained = self.get_base_layer(), self.hadamard_norm[name]
        if safe_merge and not all(torch.isfinite(value).all() for value in trained.parameters()):
            raise ValueError(f"NaNs detected in the merged weights. The adapter {name} seems to be broken")
        self._original = {key: value.detach().clone() for key, value in base.named_parameters()}
        for key, value in base.named_parameters():
            value.data = trained.get_parameter(key).detach().clone().to(value.dtype)
        self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """Put the values from before the merge back, bit for bit."""
        if self._original is None:
            return
        for key, value in self.get_base_layer().named_parameters():
            value.data = self._original[key]
        self._original = None
        self.merged_adapters.clear()


class HadamardModel(BaseTuner):
    """Injects :class:`HadamardLinear` and :class:`HadamardNorm` at the paths of a :class:`HadamardConfig`."""

    prefix = "hadamard_"
    tuner_layer_cls = HadamardLayer

    @staticmethod
    def _check_target_module_exists(peft_config: Any, key: str) -> bool:
        # PEFT shortens a list of 20 and more full paths to suffixes that match the same modules and no others
        if key in (peft_config.norm_modules or ()):
            return True
        return bool(check_target_module_exists(peft_config, key))

    def _prepare_adapter_config(self, peft_config: Any, model_config: Any) -> Any:
        fit(peft_config, self.model)
        return peft_config

    def _create_and_replace(
        self,
        peft_config: Any,
        adapter_name: str,
        target: Any,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, HadamardLinear | HadamardNorm):
            target.update_layer(adapter_name, peft_config)
            return
        is_norm = current_key in (peft_config.norm_modules or ())
        layer = (HadamardNorm if is_norm else HadamardLinear)(target, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        # PEFT's own hands `weight` and `bias` on to what takes a module's place, and so cannot unload a head of several
        # layers (RoBERTa, BART, ...); ours are made on the right device, with nothing to hand on
        setattr(parent, child_name, new_module)


def _wide(module: Any) -> torch.dtype:
    """float32, or the module's own dtype where that is wider (float64 in tests of exactness)."""
    return torch.promote_types(torch.float32, module.weight.dtype)


PEFT_TYPE_TO_CONFIG_MAPPING[PEFT_TYPE] = HadamardConfig  # type: ignore[index]
PEFT_TYPE_TO_TUNER_MAPPING[PEFT_TYPE] = HadamardModel  # type: ignore[index]
PEFT_TYPE_TO_PREFIX_MAPPING[PEFT_TYPE] = HadamardModel.prefix  # type: ignore[index]
