"""source=demo from the config to the record and the exported card, and what goes with it: recipes and experiments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from hadamard_glue.compose import choices, expand, run_config, run_configs
from hadamard_glue.config import RunConfig, check
from hadamard_glue.demo import files
from hadamard_glue.errors import InputError
from hadamard_glue.export.folders import export
from hadamard_glue.glue.sources import load_rows
from hadamard_glue.glue.tasks import TASKS
from hadamard_glue.reporting.tables import write_tables
from hadamard_glue.runs.execute import execute
from hadamard_glue.runs.fetch import fetch
from hadamard_glue.runs.record import read

DEMO = {"kind": "demo", "path": None, "revision": None}
TABLE = ["experiment=demo_table,demo_control"]


@pytest.fixture(autouse=True)
def small_world(tiny_glue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo world of a few rows."""
    monkeypatch.setattr(files, "demo_folder", lambda: tiny_glue)


def test_its_rows_are_those_of_its_files(tiny_glue: Path) -> None:
    for task in TASKS.values():
        demo = load_rows(task, "demo", None, None, None)
        plain = load_rows(task, "directory", str(tiny_glue), None, None)
        assert demo.fingerprint == plain.fingerprint
        assert demo.origin == DEMO


def test_a_path_is_refused(tiny_glue: Path) -> None:
    with pytest.raises(InputError, match=r"^source=demo makes its rows itself and takes no source\.path$"):
        load_rows(TASKS["rte"], "demo", str(tiny_glue), None, None)
    with pytest.raises(InputError, match=r"source=demo .* takes no source\.path"):
        run_config(["source=demo", f"source.path={tiny_glue}"])


def test_record_tables_and_card_say_demo_synthetic(tiny_bert: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    config = check(tiny.plain_config(tiny_bert, DEMO, results_dir=str(results), checkpoint=True))
    record = execute(config)
    assert read(record)["data"]["kind"] == "demo"
    for path in write_tables(results):
        assert "demo, synthetic" in path.read_text(encoding="utf-8"), path
    card = (export(record, tmp_path / "exported", "merged") / "README.md").read_text(encoding="utf-8")
    assert '"demo, synthetic"]' in card  # a tag
    assert "(x 100, one seed; demo, synthetic, no score on GLUE)" in card
    assert "A GLUE-shaped SST-2 (demo, synthetic), made by `hadamard_glue`; rows: train 96, dev 48" in card


def test_fetching_it_says_what_it_is(tiny_bert: Path) -> None:
    told: list[str] = []
    fetch([check(tiny.plain_config(tiny_bert, DEMO))], told.append)
    assert told[-1] == "task sst2: demo, synthetic, rows: 96 train + 48 dev"


# Recipes


@pytest.mark.parametrize("method", [name for name in choices("method") if name not in ("library", "classifier")])
def test_every_shipped_method_has_a_rate_of_its_own_there(method: str) -> None:
    there, elsewhere = (run_config([f"source={source}", f"method={method}"]) for source in ("demo", "hub"))
    assert method in choices("recipe/demo")
    assert there.stage2.lr > elsewhere.stage2.lr
    assert (there.max_length, there.batch_size) == (64, 32)
    assert run_config(["source=demo", f"method={method}", "stage2.lr=0.5", "max_length=32"]).stage2.lr == 0.5


def test_it_sets_the_same_for_every_task_but_the_epochs_of_sst2() -> None:
    settings = {task: run_config(["source=demo", f"task={task}"]).science() for task in TASKS}
    longer = settings.pop("sst2")
    assert all(setting == settings["cola"] for setting in settings.values())
    assert longer["stage2"].pop("epochs") > settings["cola"]["stage2"].pop("epochs")
    assert longer == settings["cola"]
    assert run_config(["source=demo", "task=sst2", "stage2.epochs=1"]).stage2.epochs == 1


def test_a_method_without_a_recipe_keeps_its_own_rate() -> None:
    config = run_config(["source=demo", "method=library", "method.peft_type=hra"])
    assert config.stage2.lr == run_config(["method=library", "method.peft_type=hra"]).stage2.lr
    assert config.max_length == 64


def test_nothing_of_it_reaches_other_sources() -> None:
    assert run_config(["task=rte", "method=full"]).stage2 == run_config(["method=full"]).stage2
    assert run_config(["method=full"]).stage2.lr == 5e-5
    assert run_config([]).max_length == 128


# Experiments


def test_the_demo_table_and_its_control() -> None:
    configs = run_configs(expand([*TABLE, "task=rte"]))
    assert Counter(config.backbone.weights for config in configs) == {"pretrained": 30, "random": 10}
    assert {config.method.name for config in configs if config.backbone.weights == "random"} == {"full", "classifier"}
    assert {config.source.kind for config in configs} == {"demo"}
    assert {(config.hardware.workers, config.hardware.threads) for config in configs} == {(2, 1)}
    assert {config.results_dir for config in configs} == {"results/demo"}
    rates = {config.method.name: config.stage2.lr for config in configs}
    assert rates["hadamard"] > rates["full"]


def test_the_command_line_replaces_in_the_table_and_narrows_its_control() -> None:
    jobs = expand([*TABLE, "task=rte,cola", "backbone=demo_bert", "method=hadamard,ia3,full", "seed=2,3"])
    found = Counter((config.method.name, config.backbone.weights) for config in run_configs(jobs))
    assert found == {
        ("hadamard", "pretrained"): 4, ("ia3", "pretrained"): 4, ("full", "pretrained"): 4, ("full", "random"): 4,
    }  # fmt: skip
    assert len(expand([*TABLE, "task=rte", "backbone=demo_bert", "method=ia3"])) == 1
    assert len(expand(["experiment=demo_control", "task=rte", "backbone=demo_bert", "method=ia3"])) == 1


@pytest.mark.parametrize(
    "overrides",
    [
        [*TABLE, "task=rte", "method=full,lora", "backbone=demo_bert,demo_bart", "seed=1,2"],
        ["experiment=main_table", "task=rte,cola", "method=full", "source.path=x", "source=directory"],
        # the folder of the results follows the backbone
        [
            "experiment=main_table",
            "task=rte",
            "method=full",
            "backbone=bert_base,bart_base",
            "results_dir=r/${backbone.name}",
        ],
    ],
)
def test_many_jobs_compose_as_each_does_alone(overrides: list[str]) -> None:
    jobs = expand(overrides)
    assert run_configs(jobs) == [run_config(job) for job in jobs]


def test_random_weights_are_asked_for_in_one_word(make_config: Callable[..., RunConfig]) -> None:
    assert run_config(["backbone=demo_bert"]).backbone.weights == "pretrained"
    assert run_config(["backbone=demo_bert", "backbone.weights=random"]).backbone.weights == "random"
    with pytest.raises(InputError, match=r"^backbone\.weights=randm is not valid \(did you mean 'random'\?\)$"):
        run_config(["backbone.weights=randm"])
