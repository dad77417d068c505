"""What PEFT offers: its methods by name, and a check of the options that a config gives one of them."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from peft import PeftConfig, PeftType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner
from pydantic import ConfigDict, TypeAdapter, ValidationError

from hadamard_glue.section import nearest

#: Options that this harness sets itself, and what sets them.
_OURS = {
    **dict.fromkeys(("target_modules", "feedforward_modules", "exclude_modules"), "method.targets"),
    **dict.fromkeys(("layers_to_transform", "layers_pattern"), "method.layers"),
    **dict.fromkeys(("modules_to_save", "bias"), "the method's plan"),
    **dict.fromkeys(("total_step", "rank_pattern"), "the training loop"),
}
#: Schedules of AdaLoRA, in optimizer steps; below 1 they are a share of the stage's steps.
SHARES = ("tinit", "tfinal")
_OTHERWISE = {PeftType.TRAINABLE_TOKENS, PeftType.POLY, PeftType.SHADOW}  # rows of embeddings; whole-model forwards
_GENERAL = {field.name for field in dataclasses.fields(PeftConfig)}


def peft_types() -> dict[str, PeftType]:
    """PEFT's methods that put something on named projections or norms and no more, by their name in small letters."""
    return {
        kind.value.lower(): kind
        for kind, tuner in PEFT_TYPE_TO_TUNER_MAPPING.items()
        if isinstance(kind, PeftType)
        and issubclass(tuner, BaseTuner)
        and "target_modules" in _fields(kind)
        and kind not in _OTHERWISE
    }


def check_type(name: str) -> None:
    """Refuse a method that PEFT does not have, or that does anything else (prompts, prefixes, routers).

    Raises:
        ValueError: with the nearest one that it has.
    """
    known = peft_types()
    if name in known:
        return
    if name.upper() in PeftType.__members__:
        raise ValueError("PEFT's method of this name does more or other than act on named modules, as rows here do")
    hint = nearest(name, known) or f" (one of {', '.join(known)})"
    raise ValueError(f"PEFT has no such method{hint}")


def check_options(name: str, options: dict[str, Any]) -> None:
    """Refuse options that PEFT's configuration of a method does not have, or values of another type.

    Raises:
        ValueError: with the option, and the nearest one that there is.
    """
    kind = peft_types()[name]
    types = _fields(kind)
    own = sorted(set(types) - _GENERAL - set(_OURS))
    for option, value in options.items():
        if option in _OURS and option in types:
            raise ValueError(f"option {option!r} is set by {_OURS[option]}")
        if option not in own:
            raise ValueError(f"{name} has no option {option!r}{nearest(option, own)}")
        if option in SHARES and isinstance(value, float) and 0 <= value < 1:
            continue
        exactly = ConfigDict(arbitrary_types_allowed=True, strict=True)
        try:
            TypeAdapter(types[option], config=exactly).validate_python(value)
        except ValidationError as error:
            raise ValueError(f"{option}={value!r}: {error.errors()[0]['msg']}") from error
    configure(name, options)


def configure(name: str, options: dict[str, Any], **ours: Any) -> Any:
    """PEFT's configuration of a method.

    Args:
        ours: what the harness sets, such as ``target_modules``.

    Raises:
        ValueError: options that do not go together, or a package that the method needs and that is not installed.
    """
    kind = peft_types()[name]
    given = {key: value for key, value in options.items() if key not in SHARES} | ours
    if "total_step" in _fields(kind):
        given.setdefault("total_step", 1)  # the number of steps is known when training starts
    try:
        return PEFT_TYPE_TO_CONFIG_MAPPING[kind](**given)
    except (ValueError, TypeError, ImportError, AssertionError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def _fields(kind: PeftType) -> dict[str, Any]:
    config = PEFT_TYPE_TO_CONFIG_MAPPING[kind]
    types = typing.get_type_hints(config)
    return {field.name: types[field.name] for field in dataclasses.fields(config) if field.init}
