"""Errors that a user can cause, each reported in one line.

Knows: the kinds of failure that end a command and the exit status of each. Does not know:
where the line is printed. Only these become a one-line message; anything else is a bug and
keeps its traceback.
"""

from __future__ import annotations


class RnntextError(Exception):
    """Something went wrong that the user can mend; `str(error)` is one line saying how. What a
    file holds may be a part of it: control characters are shown as escapes, and do nothing."""

    exit_status = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class DataError(RnntextError):
    """A file cannot be used; the message names the file and, where there is one, the line."""


class CheckpointError(RnntextError):
    """A model directory is missing, damaged, too new or of another task."""


class TrainingError(RnntextError):
    """A training run cannot go on."""


class UsageError(RnntextError):
    """The command line asks for something that cannot be; exit status 2."""

    exit_status = 2


def printable(text: str) -> str:
    """Return a text as one line without characters that a terminal obeys or does not show: line
    ends become spaces, others their escapes.

    >>> printable("a\x1b[2J\nb")
    'a\\x1b[2J b'
    """
    line = " ".join(text.splitlines())
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
