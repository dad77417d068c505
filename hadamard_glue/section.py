"""What every part of the typed schema shares: the frozen section, number types, and hints at the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A frozen part of the config: unknown keys are refused, values are not converted behind the user's back."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint `` (did you mean 'x'?)``, or the choices when none is near and they are few, or nothing."""
    choices = list(choices)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (one of {', '.join(choices)})" if 0 < len(choices) <= 20 else ""
