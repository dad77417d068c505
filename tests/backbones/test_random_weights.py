"""The control: the architecture and the head of a pretrained backbone, and none of its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch

from hadamard_glue.backbones.loading import Located, load, locate
from hadamard_glue.backbones.random_weights import randomise
from hadamard_glue.config import BackboneConfig, RunConfig
from hadamard_glue.errors import InputError
from hadamard_glue.export.folders import export
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.identity import digest_of
from hadamard_glue.runs.record import read


def both(folder: Path) -> tuple[Located, Located]:
    """The same folder's pretrained and random weights."""
    config = BackboneConfig(name="custom", path=str(folder))
    return locate(config), locate(config.model_copy(update={"weights": "random"}))


@pytest.mark.parametrize("kind", tiny.BUILDERS)
def test_everything_but_the_weights_is_the_same(tiny_models: dict[str, Path], kind: str) -> None:
    pretrained, control = both(tiny_models[kind])
    assert control.name == f"{pretrained.name}-random"
    assert control.digest != pretrained.digest
    assert control.tokenizer_digest == pretrained.tokenizer_digest
    before, after = load(pretrained, 2), load(control, 2)
    assert after.anatomy == before.anatomy
    assert after.model.config.to_dict() == before.model.config.to_dict()
    for name in after.anatomy.backbone:
        assert not torch.equal(before.model.get_parameter(name), after.model.get_parameter(name)), name


@pytest.mark.parametrize("kind", tiny.BUILDERS)
def test_they_are_always_the_same_and_as_transformers_draws_them(tiny_models: dict[str, Path], kind: str) -> None:
    _, control = both(tiny_models[kind])
    torch.manual_seed(1)
    two = load(control, 2)
    torch.manual_seed(2)
    three = load(control, 3)
    state = torch.random.get_rng_state()
    randomise(three.model, three.anatomy)
    assert torch.equal(state, torch.random.get_rng_state())
    for name in two.anatomy.backbone:
        weight = two.model.get_parameter(name)
        assert torch.equal(weight, three.model.get_parameter(name)), name
        if "norm" in name.lower():
            assert torch.equal(weight, torch.full_like(weight, float(name.endswith("weight"))))
    matrices = [two.model.get_parameter(name) for name in two.anatomy.backbone if "embed" not in name]
    spread = torch.cat([matrix.flatten() for matrix in matrices if matrix.dim() > 1]).std().item()
    settings = two.model.config.to_dict()
    assert spread == pytest.approx(settings.get("initializer_range") or settings["init_std"], rel=0.05)


def test_the_digest_follows_the_architecture_not_the_weights(tmp_path: Path, tiny_bert: Path) -> None:
    content = bytearray((tiny_bert / "model.safetensors").read_bytes())
    content[-1] ^= 1
    changed = tmp_path / "tiny-bert"
    changed.mkdir()
    for path in tiny_bert.iterdir():
        (changed / path.name).write_bytes(path.read_bytes())
    (changed / "model.safetensors").write_bytes(content)
    assert both(changed)[0].digest != both(tiny_bert)[0].digest
    assert both(changed)[1].digest == both(tiny_bert)[1].digest


def test_a_checkpoint_that_lacks_the_pooler_has_another_control(tmp_path: Path) -> None:
    digests = {both(tiny.save_bert(tmp_path / str(pooler), pooler=pooler))[1].digest for pooler in (True, False)}
    assert len(digests) == 2


def test_only_its_own_spec_says_so(make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    pretrained, control = (
        read(
            execute(make_config(results_dir=str(tmp_path), checkpoint=True, method="bitfit", backbone__weights=weights))
        )
        for weights in ("pretrained", "random")
    )
    assert "weights" not in pretrained["spec"]["backbone"]
    assert control["spec"]["backbone"]["weights"] == "random"
    assert control["spec"]["backbone"]["name"] == f"{pretrained['spec']['backbone']['name']}-random"
    assert control["parameters"] == pretrained["parameters"]
    assert digest_of(control["spec"]) != digest_of(pretrained["spec"])
    (path,) = (tmp_path / "records").glob("*-random-*.json")
    with pytest.raises(InputError, match="is a run on random weights, a control that is not exported"):
        export(path, tmp_path / "exported", "merged")


def test_a_folder_of_the_package_that_is_absent() -> None:
    with pytest.raises(InputError, match=r"^backbone\.path=package:nowhere: this installation has no such folder$"):
        locate(BackboneConfig(name="custom", path="package:nowhere"))
