"""The real GLUE files: counts, labels and texts that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hadamard_glue.glue.sources import load_rows
from hadamard_glue.glue.tasks import TASKS

# Rows of train and dev, and dev rows of class 1 (the majority on CoLA, SST-2 and MRPC).
COUNTS = {
    "cola": (8551, 1043, 721),
    "sst2": (67349, 872, 444),
    "mrpc": (3668, 408, 279),
    "rte": (2490, 277, 131),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name: str, real_glue: Path) -> None:
    data = load_rows(TASKS[name], "directory", str(real_glue), None, None)
    train, dev, ones = COUNTS[name]
    assert (len(data.train), len(data.dev["dev"])) == (train, dev)
    assert np.bincount(data.dev["dev"].labels).tolist() == [dev - ones, ones]


def test_stsb(real_glue: Path) -> None:
    data = load_rows(TASKS["stsb"], "directory", str(real_glue), None, None)
    assert (len(data.train), len(data.dev["dev"])) == (5749, 1500)
    assert (data.train.first[0], data.train.labels[0]) == ("A plane is taking off.", 5.0)
    assert (data.train.labels.min(), data.train.labels.max()) == (0.0, 5.0)


def test_texts_are_kept_as_they_are(real_glue: Path) -> None:
    sst2 = load_rows(TASKS["sst2"], "directory", str(real_glue), None, None)
    assert sst2.train.first[0] == "hide new secretions from the parental units "
    mrpc = load_rows(TASKS["mrpc"], "directory", str(real_glue), None, None)
    assert mrpc.dev["dev"].second is not None
    assert mrpc.dev["dev"].second[0].startswith('"The foodservice')  # a quote that is never closed
    assert sum('"' in a or '"' in b for a, b in zip(mrpc.train.first, mrpc.train.second or [], strict=True)) == 769
