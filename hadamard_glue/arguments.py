"""What follows a verb on the command line: flags and Hydra overrides, or KEY=VALUE pairs of its own."""

from __future__ import annotations

import argparse

from hadamard_glue.errors import InputError


def given_values(verb: str, arguments: list[str], needed: tuple[str, ...], others: tuple[str, ...]) -> dict[str, str]:
    """The KEY=VALUE arguments of a verb that composes no config."""
    from hadamard_glue.config import nearest

    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key not in (*needed, *others):
            raise InputError(f"{verb} has no key {key!r}{nearest(key, (*needed, *others))}")
        if not equals or not value:
            raise InputError(f"{verb}: {key} has no value; give {key}=VALUE")
        given[key] = value
    for key in needed:
        if key not in given:
            raise InputError(f"{verb} needs {' '.join(f'{name}=...' for name in needed)}; {key} is missing")
    return given


class VerbParser(argparse.ArgumentParser):
    """Flags of a verb beside its Hydra overrides; a wrong one is an :class:`InputError`."""

    def __init__(self, verb: str) -> None:
        super().__init__(prog=f"hadamard-glue {verb}", allow_abbrev=False)
        self.add_argument("--config-dir", metavar="FOLDER", help="a folder with config groups of your own")
        self.add_argument("overrides", nargs="*", metavar="KEY=VALUE")

    def parse(self, arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
        options = self.parse_intermixed_args(arguments)
        overrides = list(options.overrides)
        if options.config_dir:
            from hadamard_glue.compose import config_dir_override

            overrides.append(config_dir_override(options.config_dir))
        return options, overrides

    def error(self, message: str) -> None:  # type: ignore[override]
        raise InputError(f"{self.prog}: {message}")
