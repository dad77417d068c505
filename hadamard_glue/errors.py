"""The one exception that means: what the user gave cannot be used."""

from __future__ import annotations


class InputError(Exception):
    """Bad input: an unknown name, a missing file, a value out of range.

    The message is one line that names what is wrong and what was expected. The command line prints it and exits with 2;
    nothing has been written when it is raised.
    """
