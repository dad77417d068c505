"""Methods of the PEFT library as rows: what is taken, what is refused and how, and AdaLoRA's schedule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from pydantic import TypeAdapter

from hadamard_glue.config import Method, RunConfig
from hadamard_glue.errors import InputError, Unsupported
from hadamard_glue.methods.counting import parameter_rows
from hadamard_glue.methods.library import apply_library
from hadamard_glue.methods.peft_options import peft_types
from hadamard_glue.methods.plan import train_exactly
from hadamard_glue.methods.registry import apply
from hadamard_glue.reporting.aggregate import gather, read_records
from hadamard_glue.reporting.tables import write_tables
from hadamard_glue.runs.execute import execute, record_refusal
from hadamard_glue.runs.trunk import Trunk
from methods.battery import EVERYWHERE, Subject

#: Where PEFT's own defaults are too large for 32 hidden units.
SMALLER: dict[str, dict[str, Any]] = {
    "c3a": {"block_size": 8}, "miss": {"r": 4}, "road": {"group_size": 8}, "shira": {"r": 2},
    "vblora": {"vector_length": 8, "num_vectors": 16}, "fourierft": {"n_frequency": 10},
    "waveft": {"n_frequency": 10},
}  # fmt: skip


def settings(peft_type: str, **more: Any) -> Any:
    plain = {**tiny.METHODS["library"], "name": "row", "peft_type": peft_type, "options": SMALLER.get(peft_type, {})}
    if peft_type == "ln_tuning":
        plain["targets"] = ["norms"]
    return TypeAdapter(Method).validate_python({**plain, **more})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("peft_type", [name for name in peft_types() if name != "boft"])  # compiles for CUDA
@pytest.mark.parametrize("kind", ["bert", "deberta"])
def test_every_method_of_peft_trains_what_its_plan_names(
    subjects: dict[str, Subject], kind: str, peft_type: str
) -> None:
    subject = subjects[kind]
    backbone = subject.copy()
    before = {name: value.detach().clone() for name, value in backbone.model.named_parameters()}
    with torch.random.fork_rng(devices=[]):
        try:
            plan = apply(backbone.model, backbone.anatomy, settings(peft_type))
        except Unsupported as error:
            assert peft_type == "ia3"
            assert "one projection" in str(error)  # noqa: PT017
            return
        trained = train_exactly(plan.model, plan.names)
        plan.model.train()
        optimizer = torch.optim.AdamW(trained.values(), lr=1e-2, weight_decay=0.0)
        torch.nn.functional.cross_entropy(plan.model(**subject.batch).logits, subject.labels).backward()
        optimizer.step()
    assert trained
    assert all(value.grad is not None for value in trained.values())
    after = {name.replace(".base_layer.", "."): value for name, value in plan.model.named_parameters()}
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("deberta", {"peft_type": "ia3", "targets": ["key", "ffn_out"]}, "IA3 cannot scale key alone"),
        ("bert", {"cross_attention": True}, "method.cross_attention=true: no layer chosen of this bert has it"),
        ("bart", {"cross_attention": True, "layers": [0]}, "method.cross_attention=true"),
        ("bert", {"layers": [0, 9]}, "method.layers=[0, 9]: this backbone has layers 0 to 1"),
        ("bert", {"peft_type": "vera", "targets": ["norms"]}, "method.peft_type=vera cannot be put on this bert: "),
        ("bert", {"peft_type": "miss", "options": {"r": 64}}, "method.peft_type=miss cannot be put on this bert: "),
    ],
)
def test_what_a_backbone_cannot_take_is_refused_in_one_line(
    subjects: dict[str, Subject], kind: str, changes: dict[str, Any], message: str
) -> None:
    backbone = subjects[kind].copy()
    with pytest.raises(Unsupported) as caught:
        apply_library(backbone.model, backbone.anatomy, settings(changes.pop("peft_type", "lokr"), **changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ia3_still_scales_the_feed_forward_block_of_deberta(subjects: dict[str, Subject]) -> None:
    backbone = subjects["deberta"].copy()
    plan = apply(backbone.model, backbone.anatomy, settings("ia3", targets=["ffn_out"]))
    sizes = [plan.model.get_parameter(name).numel() for name in plan.names]
    assert sizes == [64, 64]  # the inputs of the two output projections


def test_counts_say_what_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    rows = parameter_rows(["bert_base", "deberta_base"], ["ia3", "lora"], refused=told.append)
    assert [(row["backbone"], row["method"]) for row in rows] == [
        ("bert_base", "ia3"), ("bert_base", "lora"), ("deberta_base", "lora"),
    ]  # fmt: skip
    assert len(told) == 1
    assert told[0].startswith("deberta_base ia3: ")
    with pytest.raises(Unsupported):
        parameter_rows(["deberta_base"], ["ia3"])


# In runs


@pytest.fixture
def refused(make_config: Callable[..., RunConfig], tiny_models: dict[str, Path], tmp_path: Path) -> RunConfig:
    """A run that its backbone cannot take."""
    method = {**tiny.METHODS["library"], "name": "ia3", "peft_type": "ia3"}
    return make_config(backbone=tiny_models["deberta"], method=method, results_dir=str(tmp_path / "results"))


def test_a_refused_run_writes_nothing(refused: RunConfig) -> None:
    with pytest.raises(InputError, match="IA3 cannot scale"):
        execute(refused)
    assert not Path(refused.results_dir).exists()


def test_a_grid_records_a_refusal_once_and_the_cell_says_why(refused: RunConfig) -> None:
    trunk = Trunk(refused)
    for _ in range(2):
        with pytest.raises(Unsupported) as caught:
            execute(refused, trunk)
        line = record_refusal(refused, trunk, caught.value)
    assert line.endswith(str(caught.value))
    records = read_records(Path(refused.results_dir) / "records")
    assert [record["status"] for record in records] == ["failed"]
    (cell,) = gather(records)
    assert cell.method == "ia3"
    assert not cell.done
    write_tables(Path(refused.results_dir))
    shown = (Path(refused.results_dir) / "tables" / "main.txt").read_text(encoding="utf-8")
    assert "IA3 cannot scale query and value alone" in " ".join(shown.split())


ADALORA = {
    **tiny.METHODS["library"], "name": "adalora", "peft_type": "adalora", "targets": EVERYWHERE,
    "options": {"init_r": 4, "target_r": 2, "tinit": 0.2, "tfinal": 0.3, "orth_reg_weight": 0.1},
}  # fmt: skip


def test_adalora_ends_with_the_ranks_it_was_promised(subjects: dict[str, Subject]) -> None:
    subject = subjects["bert"]
    backbone = subject.copy()
    plan = apply(backbone.model, backbone.anatomy, TypeAdapter(Method).validate_python(ADALORA))
    trained = train_exactly(plan.model, plan.names)
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-2)
    assert plan.on_start is not None
    assert plan.extra_loss is not None
    assert plan.after_step is not None
    plan.on_start(20)
    alive = []
    for step in range(1, 21):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(plan.model(**subject.batch).logits, subject.labels)
        (loss + plan.extra_loss()).backward()
        optimizer.step()
        plan.after_step(step)
        alive.append(sum(int(trained[name].count_nonzero()) for name in plan.names if ".lora_E." in name))
    assert alive[3] == 4 * 12  # two layers of six projections; nothing is pruned in the first fifth
    assert alive[3] > alive[8] > alive[13]
    assert set(alive[13:]) == {2 * 12}  # nor in the last 0.3, where the others stay away


def test_a_schedule_that_leaves_no_step_for_pruning_is_refused(subjects: dict[str, Subject]) -> None:
    backbone = subjects["bert"].copy()
    options = {"init_r": 4, "target_r": 2, "tinit": 10, "tfinal": 0.5}
    plan = apply(backbone.model, backbone.anatomy, TypeAdapter(Method).validate_python({**ADALORA, "options": options}))
    assert plan.on_start is not None
    with pytest.raises(InputError, match=r"tinit=10 and tfinal=10 leave none of 20 steps"):
        plan.on_start(20)
    plan.on_start(40)


@pytest.mark.parametrize("name", ["houlsby", "pfeiffer", "library", "adalora"])
def test_a_run_of_every_new_kind_ends_in_a_record(
    make_config: Callable[..., RunConfig], tmp_path: Path, name: str
) -> None:
    method = ADALORA if name == "adalora" else tiny.METHODS[name]
    config = make_config(method=method, stage2__epochs=2, results_dir=str(tmp_path))
    execute(config)
    (record,) = read_records(tmp_path / "records")
    assert record["status"] == "done"
    assert record["spec"]["method"]["name"] == method["name"]
    assert record["parameters"]["adapter"] > 0
