"""Specs by dotted keys, and in which of them they differ."""

from __future__ import annotations

import json
import re
from typing import Any


def flat(spec: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested spec by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in spec.items():
        found.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return found


def differences(specs: list[dict[str, Any]]) -> list[str]:
    """``stage2.lr is 0.001 or 0.003`` for every key whose values differ."""
    flats = [flat(spec) for spec in specs]
    keys = sorted(set().union(*flats))
    # where a whole stage is absent its parts say so, and "stage1: null" would say it once more
    keys = [key for key in keys if not any(other.startswith(f"{key}.") for other in keys)]
    found = []
    for key in keys:
        values = list(dict.fromkeys(_short(spec[key]) if key in spec else "absent" for spec in flats))
        if len(values) > 1:
            found.append(f"{key} is {' or '.join(values)}")
    return found


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{text[:12]}..." if re.fullmatch(r"[0-9a-f]{17,}", text) else text
