"""Errors that a user can cause, each reported in one line.

Knows: the kinds of failure that end a command and the exit status of each. Does not know:
where the line is printed. Only these become a one-line message; anything else is a bug and
keeps its traceback.
"""

from __future__ import annotations


class RnntextError(Exception):
    """Something went wrong that the user can mend; `str(error)` is one line saying how."""

    exit_status = 1


class DataError(RnntextError):
    """A file cannot be used; the message names the file and, where there is one, the line."""


class CheckpointError(RnntextError):
    """A model directory is missing, damaged, too new or of another task."""


class TrainingError(RnntextError):
    """A training run cannot go on."""


class UsageError(RnntextError):
    """The command line asks for something that cannot be; exit status 2."""

    exit_status = 2
