"""Composing configs outside ``hydra.main``, and turning Hydra's errors into one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hadamard_glue.config import RunConfig, check, known_keys, nearest
from hadamard_glue.errors import InputError

CONFIG_MODULE = "hadamard_glue.configs"
GROUPS = ("backbone", "task", "method", "source", "hardware", "tracking", "experiment")


def composed(overrides: Sequence[str], with_hydra: bool = False) -> DictConfig:
    """The config that ``run`` would see.

    Raises:
        InputError: an override that Hydra refuses.
    """
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module(CONFIG_MODULE, version_base="1.3"):
            return compose("run", overrides=list(overrides), return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(one_line(error)) from error


def run_config(overrides: Sequence[str]) -> RunConfig:
    """A composed and checked run.

    Raises:
        InputError: anything that does not fit.
    """
    return check(composed(overrides))


def run_configs(jobs: Sequence[Sequence[str]]) -> list[RunConfig]:
    """The composed and checked runs of many jobs, in their order.

    Hydra takes some 60 ms for each, and a grid has hundreds. A backbone and a seed fill their own place and touch
    nothing else, which is checked: then jobs are put together from one composition a backbone, one a seed, and one for
    every combination of the rest.

    Raises:
        InputError: anything that does not fit.
    """
    grids: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for job in dict.fromkeys(map(tuple, jobs)):  # an experiment may set a part of the backbone
        grids.setdefault(tuple(override for override in job if override.startswith("experiment=")), []).append(job)
    plain: dict[tuple[str, ...], _Composition] = {}
    for members in grids.values():
        plain |= _compositions(members, ("backbone", "seed"))
    return [check(OmegaConf.create(plain[tuple(job)][0])) for job in jobs]


#: A config as plain values, interpolations unresolved, and the option of every group.
_Composition: TypeAlias = tuple[dict[str, Any], dict[str, Any]]


def _compositions(jobs: list[tuple[str, ...]], apart: tuple[str, ...]) -> dict[tuple[str, ...], _Composition]:
    """Every job's composition, by job.

    Args:
        apart: keys that, so far as is known, touch nothing beside themselves.
    """
    if not apart:
        return {job: _composition(job) for job in jobs}
    key, others = apart[0], apart[1:]
    own = {job: tuple(override for override in job if override.startswith(f"{key}=")) for job in jobs}
    rest = {job: tuple(override for override in job if not override.startswith(f"{key}=")) for job in jobs}
    owns, rests = list(dict.fromkeys(own.values())), list(dict.fromkeys(rest.values()))
    if len(owns) * len(rests) <= len(owns) + len(rests):
        return _compositions(jobs, others)  # nothing to be saved
    by_rest = _compositions([(*owns[0], *other) for other in rests], others)
    by_own = {value: _composition((*value, *rests[0])) for value in owns}
    first = _without(by_own[owns[0]], key)
    held = by_own[owns[0]][0].get(key)
    if any(_without(found, key) != first for found in by_own.values()) or any(
        found[0].get(key) != held for found in by_rest.values()
    ):
        return _compositions(jobs, others)
    return {job: ({**by_rest[(*owns[0], *rest[job])][0], key: by_own[own[job]][0].get(key)}, {}) for job in jobs}


def _composition(job: tuple[str, ...]) -> _Composition:
    found = composed(job, with_hydra=True)
    chosen = dict(found.hydra.runtime.choices)
    plain: Any = OmegaConf.to_container(OmegaConf.masked_copy(found, [str(key) for key in found if key != "hydra"]))
    return plain, chosen


def _without(found: _Composition, key: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in part.items() if name != key} for part in found]


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """The override lists of all jobs of a multirun, an experiment's sweep included, in the order of Hydra's sweeper.

    What the command line says about a key replaces what the experiment says. Of several experiments
    (``experiment=demo_table,demo_control``) the jobs come one after the other; the ones behind the first are controls
    of it, so that what the command line says narrows them: a key that such an experiment sweeps keeps the values that
    the command line names too, and an experiment that is left with none has no jobs.

    Raises:
        InputError: overrides that cannot be parsed or composed.
    """
    experiments, rest = split_group(overrides, "experiment")
    if len(experiments) < 2:
        return _expanded(overrides, narrow=False)
    every = [(f"experiment={name}", index > 0) for index, name in enumerate(experiments)]
    return [job for experiment, narrow in every for job in _expanded([experiment, *rest], narrow)]


def _expanded(overrides: Sequence[str], narrow: bool) -> list[list[str]]:
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    try:
        given = _parsed(overrides)
        plain = [override.input_line or "" for override in given if not override.is_sweep_override()]
        params = composed(plain, with_hydra=True).hydra.sweeper.get("params") or {}
        swept = _parsed([f"{key}={value}" for key, value in params.items()])
        if narrow:
            said = {override.get_key_element(): _values(override) for override in given}
            kept = [(key.get_key_element(), _values(key)) for key in swept]
            kept = [(key, [value for value in values if value in said.get(key, values)]) for key, values in kept]
            swept, keys = _parsed([f"{key}={','.join(values)}" for key, values in kept if values]), dict(kept)
            given = [override for override in given if override.get_key_element() not in keys]
            if not all(keys.values()):
                return []
        return list(BasicSweeper.split_arguments([*swept, *given], None)[0])
    except HydraException as error:
        raise InputError(one_line(error)) from error


def _parsed(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


def _values(override: Override) -> list[str]:
    """What an override says: each value of a sweep, as text."""
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    return [override.get_value_element_as_str()]


def choices(group: str) -> list[str]:
    """The options of a config group, the user's own included where a search path was given."""
    GlobalHydra.instance().clear()
    with initialize_config_module(CONFIG_MODULE, version_base="1.3"):
        return list(GlobalHydra.instance().config_loader().get_group_options(group))


def split_group(overrides: Sequence[str], group: str) -> tuple[list[str], list[str]]:
    """The values given for a group (``backbone=a,b`` -> ``a``, ``b``), and the other overrides."""
    given = [override.partition("=")[2] for override in overrides if override.startswith(f"{group}=")]
    rest = [override for override in overrides if not override.startswith(f"{group}=")]
    return [name for value in given for name in value.split(",")], rest


def config_dir_override(folder: str) -> str:
    """``--config-dir`` of the verbs that are no ``hydra.main``.

    Raises:
        InputError: no such folder.
    """
    path = Path(folder).resolve()
    if not path.is_dir():
        raise InputError(f"--config-dir {folder}: no such folder")
    return f"hydra.searchpath=[file://{path}]"


def one_line(error: BaseException) -> str:
    """What is wrong, from an error of Hydra or OmegaConf, in one line with the nearest valid name."""
    text = " ".join(str(error).split())
    option = re.search(r"Could not (?:find|load) '([^']+)/([^'/]+)'", text)
    if option:
        choices = list(error.options or ()) if isinstance(error, MissingConfigException) else []
        plugin = " (pip install 'hadamard-glue[slurm]' or '[ray]' brings it)" if option[1] == "hydra/launcher" else ""
        return f"{option[1]}={option[2]} does not exist{plugin or nearest(option[2], choices)}"
    key = re.search(r"Could not (?:override|append|delete) '([^']+)'", text) or re.search(
        r"Key '([^']+)' is not in", text
    )
    if key and key[1].startswith("method.options."):
        return (
            f"unknown key {key[1]!r}: an option that the method's config file does not set is given as +{key[1]}=VALUE"
        )
    if key:
        return f"unknown key {key[1]!r}{nearest(key[1], [*known_keys(), *GROUPS])}"
    cause = " ".join(str(error.__cause__).split()) if error.__cause__ is not None else ""
    return text if not cause or cause in text else f"{text} {cause}"
