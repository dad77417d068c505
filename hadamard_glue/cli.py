"""The command line: ``hadamard-glue VERB ...``; every error a user can cause ends here, in one line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from hadamard_glue.arguments import VerbParser, given_values
from hadamard_glue.errors import InputError, RunFailed
from hadamard_glue.imports import first_imports

USAGE = """usage: hadamard-glue VERB [KEY=VALUE ...]

  run      one run, or with -m a Hydra multirun; prints the record's path last (run --help lists every key)
  grid     experiment=NAME: says what is done, what is missing and what it will cost, runs the missing, makes the tables
             (NAME,NAME: together; what the command line says replaces values of the first and narrows the others)
             --plan         only say it
             --require-gpu  without a CUDA device say it and exit 3, unless --force
  tables   results_dir=FOLDER: main table and tidy cells of the records there, as CSV, Markdown and LaTeX
  fetch    [experiment=NAME]: brings models and data of a grid or a run here, for machines without network
  params   parameters of every hub backbone and method, from the configs alone (backbone=a,b method=c,d: of these)
  export   record=RECORD.json to=FOLDER format=merged|peft: the model of a run made with checkpoint=true
  predict  model=FOLDER input=ROWS.tsv|- [first=COLUMN second=COLUMN header=true to=FILE device=cpu]: labels and
             probabilities of an exported model, as TSV; columns by name, or by position from 1
  bench    part=all|trainer|rate|memory|scaling|operators|table to=FOLDER rounds=N: measured speed of a run

Common keys: backbone task method seed source source.path results_dir hardware tracking stages stage1.lr stage2.lr
"""


@hydra.main(config_path="pkg://hadamard_glue.configs", config_name="run", version_base="1.3")
def _run_job(composed: DictConfig) -> None:
    # launchers pickle this function by value: it may only import and call
    from hadamard_glue.cli import run_one

    run_one(composed)


class _Collected:
    """Errors of the jobs of this very process, so that a multirun goes on and reports each in one line."""

    process: int | None = None
    errors: list[Exception]


def run_one(composed: DictConfig) -> None:
    """One job of ``run``: check, execute, print the record's path.

    Raises:
        InputError, RunFailed: in a launcher's worker process, where the job itself must fail.
    """
    from hadamard_glue.config import check

    with first_imports():
        from hadamard_glue.runs.execute import execute
        from hadamard_glue.runs.trunk import held_trunk

    try:
        config = check(composed)
        print(execute(config, held_trunk(config)), flush=True)
    except (InputError, RunFailed) as error:
        if _Collected.process != os.getpid():
            raise
        _Collected.errors.append(error)


def _run(arguments: list[str]) -> int:
    if any(argument.startswith(("--experimental-rerun", "--experimental_rerun")) for argument in arguments):
        raise InputError("--experimental-rerun reads a pickle and is not supported")
    # Hydra's own report would print several lines, or a traceback; with this it raises
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = [sys.argv[0], *arguments]
    _Collected.process, _Collected.errors = os.getpid(), []
    _run_job()
    codes = [_report(error, 2 if isinstance(error, InputError) else 1) for error in _Collected.errors]
    return min(codes, default=0)


def _grid(arguments: list[str]) -> int:
    parser = VerbParser("grid")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--require-gpu", action="store_true")
    options, overrides = parser.parse(arguments)
    from hadamard_glue.compose import expand, run_configs

    if not any(override.startswith("experiment=") for override in overrides):
        raise InputError("grid needs experiment=NAME, such as experiment=main_table")
    configs = run_configs(expand(overrides))
    with first_imports():
        import torch

        from hadamard_glue.runs.grid import describe, execute_missing, plan

    demo = any(config.source.kind == "demo" for config in configs)
    if demo:
        print("demo, synthetic: GLUE-shaped tasks from a small grammar; no score here is one on GLUE", flush=True)
    planned = plan(configs)
    print(describe(planned), flush=True)
    if options.plan:
        return 0
    if options.require_gpu and not options.force and not torch.cuda.is_available():
        print("no CUDA device here: nothing was run (FORCE=1 runs it on the CPU)", file=sys.stderr)
        return 3
    failures = execute_missing(planned, configs[0].hardware.workers, lambda line: print(line, flush=True))
    for folder in dict.fromkeys(config.results_dir for config in configs):
        _show_tables(folder)
    for line in failures:
        print(f"failed: {line}", file=sys.stderr)
    if demo:
        print(f"demo, synthetic: these are the tables of {configs[0].results_dir}", flush=True)
    return 1 if failures else 0


def _tables(arguments: list[str]) -> int:
    _, overrides = VerbParser("tables").parse(arguments)
    from hadamard_glue.compose import composed

    _show_tables(str(composed(overrides).results_dir))
    return 0


def _show_tables(results_dir: str) -> None:
    from hadamard_glue.reporting.tables import write_tables

    for path in write_tables(Path(results_dir)):
        if path.suffix == ".txt":
            print(path.read_text(encoding="utf-8"))
        print(path)


def _fetch(arguments: list[str]) -> int:
    _, overrides = VerbParser("fetch").parse(arguments)
    from hadamard_glue.compose import expand, run_configs

    configs = run_configs(expand(overrides))
    from hadamard_glue.runs.fetch import fetch

    fetch(configs, lambda line: print(line, flush=True))
    print("all here; with HF_HUB_OFFLINE=1 the hub is not asked again")
    return 0


def _params(arguments: list[str]) -> int:
    _, overrides = VerbParser("params").parse(arguments)
    from hadamard_glue.compose import choices, composed, split_group

    backbones, overrides = split_group(overrides, "backbone")
    methods, overrides = split_group(overrides, "method")
    from hadamard_glue.methods.counting import parameter_rows
    from hadamard_glue.reporting.tables import write_parameters

    rows = parameter_rows(
        backbones or [name for name in choices("backbone") if name != "custom" and not name.startswith("demo_")],
        methods or [name for name in choices("method") if name != "library"],
        overrides,
        refused=lambda line: print(f"not counted: {line}", file=sys.stderr),
    )
    for path in write_parameters(rows, Path(str(composed(overrides).results_dir))):
        print(path)
    return 0


def _export(arguments: list[str]) -> int:
    given = given_values("export", arguments, needed=("record", "to"), others=("format", "backbone.path"))
    with first_imports():
        from hadamard_glue.export.folders import export

    form = given.get("format", "merged")
    print(export(Path(given["record"]), Path(given["to"]), form, given.get("backbone.path")))
    return 0


def _predict(arguments: list[str]) -> int:
    others = ("first", "second", "header", "to", "device", "batch_size", "backbone.path")
    given = given_values("predict", arguments, needed=("model", "input"), others=others)
    with first_imports():
        from hadamard_glue.export.predict import Columns, check_new, predict_rows, write

    size, header = given.get("batch_size", "32"), given.get("header")
    if not size.isdecimal() or int(size) == 0:
        raise InputError(f"batch_size={size} is not valid: it must be a whole number greater than 0")
    if header not in (None, "true", "false"):
        raise InputError(f"header={header} is not valid: it must be true or false")
    to = Path(given["to"]) if "to" in given else None
    if to is not None:
        check_new(to)
    columns = Columns(given.get("first"), given.get("second"), None if header is None else header == "true")
    where = (given.get("backbone.path"), given.get("device", "auto"))
    write(predict_rows(Path(given["model"]), given["input"], columns, *where, int(size)), to)
    return 0


def _bench(arguments: list[str]) -> int:
    _, overrides = VerbParser("bench").parse(arguments)
    from hadamard_glue.bench.command import bench

    for path in bench(overrides, arguments, lambda line: print(line, flush=True)):
        print(path)
    return 0


VERBS = {
    "run": _run,
    "grid": _grid,
    "fetch": _fetch,
    "tables": _tables,
    "params": _params,
    "export": _export,
    "predict": _predict,
    "bench": _bench,
}


def main() -> int:
    """Run a verb; returns the exit code: 0, 1 for failed runs, 2 for bad input, 3 for a missing GPU."""
    arguments = sys.argv[1:]
    if arguments[:1] in (["-sc"], ["--shell-completion"], ["--shell_completion"]):
        return _complete(arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    try:
        return _verb(arguments[0])(arguments[1:])
    except InputError as error:
        return _report(error, 2)
    except (HydraException, OmegaConfBaseException) as error:
        from hadamard_glue.compose import one_line

        return _report(InputError(one_line(error)), 2)
    except RunFailed as error:
        return _report(error, 1)
    except KeyboardInterrupt:
        print("interrupted; what is recorded stays, the same command goes on from there", file=sys.stderr)
        return 130
    except OSError as error:
        return _report(error, 2)
    except Exception as error:
        return _report(RuntimeError(f"unexpected {type(error).__name__}: {error}"), 1)


def _complete(arguments: list[str]) -> int:
    """Shell completion calls the bare command with the typed line, verb and all: verbs are ours, the rest Hydra's."""
    typed = os.environ.get("COMP_LINE", "")
    words = typed.split(" ")
    if "query=bash" in " ".join(arguments) and len(words) == 2:
        print(" ".join(verb for verb in VERBS if verb.startswith(words[1])))
        return 0
    os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
    return _verb("run")(arguments)


def _verb(name: str) -> Callable[[list[str]], int]:
    if name not in VERBS:
        from hadamard_glue.config import nearest

        raise InputError(f"unknown verb {name!r}{nearest(name, VERBS)}")
    return VERBS[name]


def _report(error: Exception, code: int) -> int:
    """One line; the traceback only for those who ask for it."""
    if os.environ.get("HADAMARD_GLUE_DEBUG") == "1":
        traceback.print_exc()
    line = " ".join(str(error).split())
    print(f"hadamard-glue: {line}", file=sys.stderr)
    return code
