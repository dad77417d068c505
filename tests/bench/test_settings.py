"""What the bench was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from hadamard_glue.bench.settings import PARTS, parse, table_only
from hadamard_glue.errors import InputError

from .conftest import Overrides


def test_what_is_not_given_is_the_two_stage_run_of_a_thousand_rows(tiny_bert: Path, tiny_glue: Path) -> None:
    run = [f"backbone.path={tiny_bert}", "source=directory", f"source.path={tiny_glue}", "task=mrpc"]
    settings = parse(["backbone=custom", *run, "stage2.epochs=7"])
    assert (settings.parts, settings.rounds, settings.seeds) == (PARTS, 3, 5)
    config = settings.config
    assert (config.stage1.epochs, config.stage2.epochs, config.limit.train, config.batch_size) == (3, 7, 1000, 32)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("part=trainers", "part=trainers is not valid (did you mean 'trainer'?)"),
        ("rounds=0", "rounds=0 is not valid: it must be a whole number greater than 0"),
        ("rounds=", "bench: rounds has no value; give rounds=VALUE"),
        ("arms=ours,theirs", "'theirs' is no arm"),
        ("weights=none", "it must be pretrained or random"),
        ("name=a/b", "letters, digits"),
        ("metric=pearson", "metric=pearson: sst2 has accuracy"),
        ("method=lora", "bench measures the two-stage run"),
        ("stages=one", "would leave the new head random"),
        ("stage1.features=live", "bench needs stage1.features=cached"),
        ("selection=best_dev", "bench needs selection=last"),
        ("stage2.rate=1", "unknown key 'stage2.rate'"),
    ],
)
def test_bad_input_is_one_line(overrides: Overrides, more: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(overrides("task=sst2", more))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_the_table_needs_no_run(tmp_path: Path) -> None:
    assert table_only(["part=table", f"to={tmp_path}"]) == tmp_path
    assert table_only(["part=rate"]) is None
    with pytest.raises(InputError, match="takes to=FOLDER alone, not task=mrpc"):
        table_only(["part=table", "task=mrpc"])
