"""A trunk's one model: bit for bit what it was after any run, and the next run never sees which came before."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from hadamard_glue.config import RunConfig
from hadamard_glue.errors import Unsupported
from hadamard_glue.runs.trunk import Trunk
from hadamard_glue.training.device import Device
from hadamard_glue.training.lending import SharedBackbone
from hadamard_glue.training.loop import TrainingError
from hadamard_glue.training.stages import Material, Result, run_stages

MakeConfig = Callable[..., RunConfig]
MaterialOf = Callable[..., Material]

LIBRARY: dict[str, dict[str, Any]] = {
    "adalora": {"tinit": 0.1, "tfinal": 0.2, "deltaT": 1, "init_r": 4, "target_r": 2},
    "ia3": {},
    "vera": {"r": 4},
    "ln_tuning": {},
    "lokr": {},
}


def library(peft_type: str) -> dict[str, Any]:
    targets = {"ia3": ["key", "value", "ffn_out"], "ln_tuning": ["norms"]}.get(peft_type, ["attention_output"])
    plain = dict(tiny.METHODS["library"])
    return {**plain, "peft_type": peft_type, "options": LIBRARY[peft_type], "targets": targets}


def state(model: nn.Module) -> dict[str, Any]:
    """All that a forward or a backward could depend on, by module."""
    found: dict[str, Any] = {}
    for path, module in model.named_modules():
        found[f"{path} module"] = (id(module), type(module), sorted(map(str, vars(module))), module.training)
        found[f"{path} hooks"] = [len(table) for name, table in vars(module).items() if "hooks" in name and table]
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            found[f"{path} {name}"] = (id(tensor), tensor.requires_grad, tensor.grad, tensor.numpy().tobytes())
    return found


def numbers(result: Result) -> dict[str, Any]:
    history = [{key: value for key, value in entry.items() if key != "seconds"} for entry in result.history]
    logits = {split: values.astype(np.float64).tolist() for split, values in result.logits.items()}
    return {
        "metrics": result.metrics, "history": history, "logits": logits, "parameters": result.parameters,
        "steps": result.steps, "tokens": result.tokens,
    }  # fmt: skip


@pytest.mark.parametrize("kind", tiny.BUILDERS)
@pytest.mark.parametrize("method", [*tiny.METHODS, *LIBRARY])
def test_every_run_gives_the_model_back_bit_for_bit(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, kind: str, method: str
) -> None:
    material = material_of(kind)
    before = state(material.backbone.model)
    model = material.backbone.model
    given = library(method) if method in LIBRARY else method
    config = make_config(method=given, stages="one" if method == "classifier" else "two", checkpoint=True)
    try:
        run_stages(config, material, cpu)
    except Unsupported:
        assert kind == "deberta"  # IA3 on a fused projection; the model is loaded again
        assert material.backbone.model is not model
        return
    assert material.backbone.model is model
    assert state(model) == before


@pytest.mark.parametrize("kind", ["bert", "bart", "deberta_v2"])
def test_a_run_after_any_other_is_the_run_of_a_fresh_load(
    make_config: MakeConfig, tiny_models: dict[str, Path], cpu: Device, kind: str
) -> None:
    shared = Trunk(make_config(backbone=tiny_models[kind])).material
    for method in [*tiny.METHODS, "adalora", *reversed(tiny.METHODS)]:
        given = library(method) if method in LIBRARY else method
        config = make_config(backbone=tiny_models[kind], method=given, limit={"train": 48, "dev": 16})
        found = run_stages(config, shared, cpu)
        alone = run_stages(config, Trunk(make_config(backbone=tiny_models[kind])).material, cpu)
        assert numbers(found) == numbers(alone), method


def test_a_run_after_any_other_is_the_run_of_a_fresh_process(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, tmp_path: Path
) -> None:
    config = make_config(method="lora", seed=5)
    material = material_of()
    for method in ("full", "hadamard", "houlsby"):
        run_stages(make_config(method=method), material, cpu)
    found = numbers(run_stages(config, material, cpu))
    file = tmp_path / "config.json"
    file.write_text(config.model_dump_json(), encoding="utf-8")
    code = f"""
import json, sys, torch
sys.path[:0] = {sys.path!r}
from hadamard_glue.config import RunConfig
from hadamard_glue.runs.trunk import Trunk
from hadamard_glue.training.device import Device
from hadamard_glue.training.stages import run_stages
from tests.training.test_lending import numbers
config = RunConfig.model_validate_json(open({str(file)!r}).read())
print(json.dumps(numbers(run_stages(config, Trunk(config).material, Device(torch.device("cpu"), "float32")))))
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(json.dumps(found))


@pytest.mark.parametrize("method", ["full", "lora", "hadamard"])
def test_after_an_error_the_model_is_loaded_again(
    make_config: MakeConfig, tiny_bert: Path, cpu: Device, method: str
) -> None:
    material = Trunk(make_config()).material
    model, config = material.backbone.model, make_config(method=method)
    expected = numbers(run_stages(config, material, cpu))
    assert material.backbone.model is model
    with pytest.raises(TrainingError):
        run_stages(make_config(method=method, stage1__lr=3e37, stage2__lr=3e37), material, cpu)
    assert material.backbone.model is not model
    assert numbers(run_stages(config, material, cpu)) == expected


def test_a_method_that_rewrites_weights_unannounced_costs_a_load(
    make_config: MakeConfig, cpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEFT has such (LoRA's PiSSA start): their change is seen, whether in place or not."""
    material = Trunk(make_config()).material
    shared: SharedBackbone = material.shared
    before = copy.deepcopy(material.backbone.model.base_model.state_dict())  # the head of each load is random
    for in_place in (True, False):
        model = material.backbone.model
        weight = model.get_parameter("bert.encoder.layer.0.attention.self.query.weight")
        with shared.lent(torch.device("cpu")):
            if in_place:
                with torch.no_grad():
                    weight.mul_(2)
            else:
                weight.data = weight.data * 2
        assert (material.backbone.model is model) != in_place  # another tensor's values are simply pointed back to
        after = material.backbone.model.base_model.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_frozen_parameters_have_neither_gradient_nor_optimizer_state(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[int], set[int]]] = []
    step = torch.optim.AdamW.step

    def watch(self: Any, *arguments: Any, **named: Any) -> Any:
        result = step(self, *arguments, **named)
        held = {id(tensor) for tensor in self.state}
        seen.append((held, {id(tensor) for group in self.param_groups for tensor in group["params"]}))
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", watch)
    material = material_of()
    gradients: list[set[str]] = []
    plain = torch.nn.utils.clip_grad_norm_

    def clip(*arguments: Any, **named: Any) -> Any:
        gradients.append({name for name, value in model.named_parameters() if value.grad is not None})
        return plain(*arguments, **named)

    model = material.backbone.model
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
    run_stages(make_config(method="hadamard"), material, cpu)
    last = gradients[-1]
    assert last
    assert all("hadamard_" in name for name in last)
    assert all(held == trained for held, trained in seen)
    assert len(seen[-1][1]) == len(last)


@pytest.mark.parametrize("kind", tiny.BUILDERS)
def test_nothing_is_differentiated_below_the_lowest_adapted_layer(
    make_config: MakeConfig, material_of: MaterialOf, cpu: Device, kind: str
) -> None:
    material = material_of(kind)
    anatomy, model = material.backbone.anatomy, material.backbone.model
    adapted = len(anatomy.layers) - 1
    seen: dict[int, set[bool]] = {}

    def watch(index: int) -> Callable[..., None]:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            if torch.is_grad_enabled():
                hidden = output[0] if isinstance(output, tuple) else output
                seen.setdefault(index, set()).add(hidden.requires_grad)

        return hook

    hooks = [
        model.get_submodule(layer.path).register_forward_hook(watch(index))
        for index, layer in enumerate(anatomy.layers)
    ]
    run_stages(make_config(method__layers=[adapted]), material, cpu)
    for hook in hooks:
        hook.remove()
    assert seen == {**{index: {False} for index in range(adapted)}, adapted: {True}}
