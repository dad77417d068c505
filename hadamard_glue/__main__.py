"""``python -m hadamard_glue`` is ``hadamard-glue``."""

from __future__ import annotations

import sys

from hadamard_glue.cli import main

sys.exit(main())
