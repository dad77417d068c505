"""What words alone reach on the demo world, as a Markdown table: python scripts/measure_shortcuts.py"""

from __future__ import annotations

import sys

from hadamard_glue.demo.files import demo_folder
from hadamard_glue.demo.shortcuts import constant_score, shortcut_score
from hadamard_glue.errors import InputError
from hadamard_glue.glue.directory import read_directory
from hadamard_glue.glue.tasks import TASKS


def main() -> int:
    """Print a line a task; returns the exit code: 0, or 2 where the world cannot be written or read."""
    try:
        print("| demo, synthetic | metric | best constant | bag of words |\n|---|---|--:|--:|")
        for task in TASKS.values():
            rows = read_directory(task, str(demo_folder()))
            dev = rows[task.headline_split]
            constant, words = 100 * constant_score(task, dev), 100 * shortcut_score(task, rows["train"], dev)
            print(f"| {task.title} | {task.headline} | {constant:.1f} | {words:.1f} |")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
