"""The two exceptions that the command line turns into one line: bad input, and a run that failed."""

from __future__ import annotations


class InputError(Exception):
    """Bad input: an unknown name, a missing file, a value out of range.

    The message is one line that names what is wrong and what was expected. The command line prints it and exits with 2;
    nothing has been written when it is raised.
    """


class Unsupported(InputError):  # noqa: N818 (what is wrong is not the input alone)
    """A method that a backbone cannot take. ``run`` treats it as bad input; a grid records it and its cell says why."""


class RunFailed(Exception):  # noqa: N818 (the word of the records: a run has failed)
    """A run that was started and failed; its record says why. The message is one line; the exit code is 1."""
