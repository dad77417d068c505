"""A run's spec and its digest: the same science has the same digest, wherever and however it is executed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hadamard_glue.config import RunConfig
from hadamard_glue.runs.trunk import Trunk

#: Raised by any change of the code that alters scores.
#: 2: the last layer only where it is read, so dropout draws less; 3: its first token in one product; 4: dropout's masks
#: from packed bits, frozen weights in packed products (both on the CPU); 5: fused layers, other masks;
#: 6: attention's masks lie as [keys, queries].
SCIENCE_VERSION = 6


def spec_of(config: RunConfig, trunk: Trunk) -> dict[str, Any]:
    """The run's typed settings as plain JSON values, every path replaced by the digest of its content.

    Hardware, tracking and folders are not in it; nor are settings of a stage that does not run.
    """
    return {
        "science_version": SCIENCE_VERSION,
        "backbone": {
            "name": trunk.located.name,
            "family": trunk.located.family,
            "digest": trunk.located.digest,
            # said only where it is so, for no record made before it could be said may change its digest
            **({"weights": "random"} if trunk.located.random else {}),
        },
        "task": config.task.name,
        "data": {"fingerprint": trunk.data.fingerprint},
        **config.science(),
    }


def digest_of(spec: dict[str, Any]) -> str:
    """16 hex digits of the sha256 over the spec in canonical JSON."""
    canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def slug_of(spec: dict[str, Any]) -> str:
    """A name for people: backbone, task, method, seed."""
    return f"{spec['backbone']['name']}-{spec['task']}-{spec['method']['name']}-s{spec['seed']}"
