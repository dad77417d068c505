"""One measurement in a process of its own: the job comes as JSON on standard input, the answer goes to a file.

Every child imports everything that any arm needs before its job starts its clock, so no arm pays for imports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hadamard_glue.config import RunConfig
from hadamard_glue.errors import InputError, RunFailed
from hadamard_glue.imports import first_imports


def measure(job: str, config: RunConfig, threads: int, **options: Any) -> dict[str, Any]:
    """Run a job in a fresh process with an empty cache and an empty results folder.

    Args:
        job: a key of :func:`_jobs`.
        threads: CPU threads of torch, the BLAS, and the tokenizer: the same for every job.
        options: further arguments of the job, plain JSON values.

    Returns:
        What the job returned.

    Raises:
        InputError: the job found bad input.
        RunFailed: it failed in another way.
    """
    with tempfile.TemporaryDirectory(prefix="hadamard-glue-bench-") as scratch:
        hardware = config.hardware.model_copy(update={"threads": threads})
        placed = config.model_copy(update={"results_dir": f"{scratch}/results", "hardware": hardware})
        answer = Path(scratch) / "answer.json"
        plain = {"job": job, "config": placed.model_dump(mode="json"), "options": options, "answer": str(answer)}
        limit = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")}
        environment = {**os.environ, **limit, "HADAMARD_GLUE_CACHE": f"{scratch}/cache"}
        if job.startswith("operations"):
            environment["TORCH_COMPILE_DISABLE"] = "1"  # a compiled forward may leave out the hooks that count
        command = [sys.executable, "-m", "hadamard_glue.bench.child"]
        done = subprocess.run(command, input=json.dumps(plain), env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise InputError(last) if done.returncode == 2 else RunFailed(f"bench: the job {job!r} failed: {last}")
        answered: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return answered


def _jobs() -> dict[str, Callable[..., dict[str, Any]]]:
    from hadamard_glue.bench import arms, memory, operators, rate, trainer_arm

    return {
        "ours": arms.ours,
        "trainer": trainer_arm.trainer,
        "rate": rate.phases,
        "operations": rate.operations,
        "operations_check": rate.check,
        "memory": memory.peaks,
        "operators": operators.shares,
    }


def warm(config: RunConfig) -> None:
    """Import what libraries import late (model and tokenizer classes, accelerate), and start torch's threads.

    Raises:
        InputError: a backbone whose config cannot be read.
    """
    import datasets
    import torch
    import transformers
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING

    from hadamard_glue.training.device import pick

    try:
        settings = AutoConfig.from_pretrained(config.backbone.path, revision=config.backbone.revision)
    except (OSError, ValueError) as error:
        raise InputError(f"backbone.path={config.backbone.path}: {' '.join(str(error).split())}") from error
    kind = type(settings)
    if kind in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING and kind in TOKENIZER_MAPPING:
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[kind], TOKENIZER_MAPPING[kind]
    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    device = pick(config.hardware)
    assert transformers.Trainer is not None  # imported when it is named
    with tempfile.TemporaryDirectory() as folder:  # accelerate is set up by this
        transformers.TrainingArguments(output_dir=folder, use_cpu=not device.is_cuda, report_to="none")
    square = torch.ones(256, 256, device=device.torch_device, requires_grad=True)
    (square @ square).sum().backward()


def main() -> int:
    """Do the job on standard input; 2 for bad input, with one line on standard error."""
    job = json.load(sys.stdin)
    try:
        config = RunConfig.model_validate_json(json.dumps(job["config"]))
        with first_imports():
            work = _jobs()[job["job"]]
            warm(config)
        answer = work(config, **job["options"])
    except InputError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    Path(job["answer"]).write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
