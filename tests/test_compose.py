"""Real configs compose, and what does not is told in one line."""

from __future__ import annotations

import itertools

import pytest

from hadamard_glue.compose import choices, composed, expand, run_config
from hadamard_glue.errors import InputError
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.methods.registry import METHODS
from hadamard_glue.reporting.aggregate import METHOD_ORDER
from hadamard_glue.reporting.notes import method_title

BACKBONES = [name for name in choices("backbone") if name != "custom"]
METHODS_READY = [name for name in choices("method") if name != "library"]


def test_the_groups_hold_what_the_code_knows() -> None:
    assert sorted(choices("task")) == sorted(TASKS)
    assert {*METHODS, "library"} <= set(choices("method"))
    assert set(METHOD_ORDER) <= set(choices("method"))


@pytest.mark.parametrize("method", METHODS_READY)
def test_every_method_is_a_row_of_its_own_name(method: str) -> None:
    config = run_config([f"method={method}"])
    assert config.method.name == method
    expected = {"classifier": ("stage1",), "hadamard": ("stage1", "stage2")}.get(method, ("stage2",))
    assert config.stage_names == expected
    assert method_title(method) != method


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_with_every_task_and_every_method(backbone: str) -> None:
    methods = itertools.cycle(METHODS_READY)
    for task, method in [*zip(choices("task"), methods, strict=False), *(("rte", method) for method in METHODS_READY)]:
        config = run_config([f"backbone={backbone}", f"task={task}", f"method={method}"])
        assert (config.backbone.name, config.task.name, config.method.name) == (backbone, task, method)


@pytest.mark.parametrize("group", ["source", "hardware", "tracking"])
def test_every_other_option(group: str) -> None:
    for option in choices(group):
        more = ["source.path=somewhere"] if option == "directory" else []
        run_config([f"{group}={option}", *more])


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_expands_to_runs(experiment: str) -> None:
    jobs = expand([f"experiment={experiment}"])
    assert len(jobs) > 1
    assert len({run_config(job).model_dump_json() for job in jobs}) == len(jobs)


def test_the_command_line_replaces_what_an_experiment_sweeps() -> None:
    jobs = expand(["experiment=main_table", "task=cola,rte", "method=bitfit", "seed=7"])
    assert sorted((run_config(job).task.name, run_config(job).seed) for job in jobs) == [
        ("cola", 7),
        ("rte", 7),
    ]


def test_custom_needs_a_path() -> None:
    with pytest.raises(InputError, match=r"^backbone\.path: no value given; give backbone\.path=VALUE$"):
        run_config(["backbone=custom"])


def test_a_method_of_the_library_needs_its_type_and_is_named_by_it() -> None:
    with pytest.raises(InputError, match=r"^method\.peft_type: no value given; give method\.peft_type=VALUE$"):
        run_config(["method=library"])
    assert run_config(["method=library", "method.peft_type=hra"]).method.name == "hra"
    given = ["method=library", "method.peft_type=hra", "method.name=mine", "+method.options.r=4"]
    config = run_config(given).method
    assert (config.name, config.options) == ("mine", {"r": 4})  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task=sst3", "task=sst3 does not exist (did you mean 'sst2'?)"),
        ("backbone=bert_bse", "backbone=bert_bse does not exist (did you mean 'bert_base'?)"),
        ("method=hadamrd", "method=hadamrd does not exist (did you mean 'hadamard'?)"),
        ("sed=1", "unknown key 'sed' (did you mean 'seed'?)"),
        ("method.sit=heads", "unknown key 'method.sit' (did you mean 'method.site'?)"),
        ("stage2.lrr=1", "unknown key 'stage2.lrr' (did you mean 'stage2.lr'?)"),
        ("+bath_size=3", "unknown key 'bath_size' (did you mean 'batch_size'?)"),
        ("batch_size=0", "batch_size=0 is not valid: it must be greater than 0"),
        ("stage2.lr=-1", "stage2.lr=-1 is not valid: it must be greater than 0.0"),
        ("method.site=head", "method.site=head is not valid (did you mean 'heads'?)"),
        ("selection=best", "selection=best is not valid (did you mean 'best_dev'?)"),
    ],
)
def test_one_line_with_the_nearest_valid_name(override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        run_config([override])
    assert str(caught.value) == message


@pytest.mark.parametrize("override", ["seed=[1", "=", "a b", "seed", "~seed", "task@x=rte", "hydra/launcher=nowhere"])
def test_what_hydra_refuses_is_one_line(override: str) -> None:
    with pytest.raises(InputError) as caught:
        run_config([override])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_results_land_where_asked_and_nothing_lands_here() -> None:
    config = composed([], with_hydra=True)
    assert config.hydra.output_subdir is None
    assert config.hydra.job.chdir is False
    assert config.hydra.sweep.dir.startswith(config.results_dir)
