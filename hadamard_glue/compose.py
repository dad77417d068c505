"""Composing configs outside ``hydra.main``, and turning Hydra's errors into one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
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


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """The override lists of all jobs of a multirun, an experiment's sweep included, in the order of Hydra's sweeper.

    What the command line says about a key replaces what the experiment says.

    Raises:
        InputError: overrides that cannot be parsed or composed.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        plain = [override.input_line or "" for override in parsed if not override.is_sweep_override()]
        params = composed(plain, with_hydra=True).hydra.sweeper.get("params") or {}
        every = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()])
        return list(BasicSweeper.split_arguments([*every, *parsed], None)[0])
    except HydraException as error:
        raise InputError(one_line(error)) from error


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
