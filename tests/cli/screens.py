"""Streams in place of standard output and standard error, for tests of what is written to them."""

from __future__ import annotations

import io
import os
import re
import sys

import pytest


class Screen(io.StringIO):
    """A terminal that keeps what was written to it."""

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        """What was written, without colours and movements of the cursor."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


def screen(monkeypatch: pytest.MonkeyPatch, stream: str = "stdout", columns: int = 60) -> Screen:
    """Make `stream` a terminal with so many columns."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Screen()
    monkeypatch.setattr(sys, stream, terminal)
    return terminal


def pipe(monkeypatch: pytest.MonkeyPatch, stream: str = "stdout") -> int:
    """Make `stream` a pipe, with a buffer as Python gives it, and return the descriptor of its
    other end. Nothing may be written that a pipe does not hold at once; reading what was not yet
    written fails."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    monkeypatch.setattr(sys, stream, open(writer, "w", encoding="utf-8"))  # noqa: SIM115
    return reader


def written(reader: int, stream: str = "stdout") -> str:
    """Close the pipe's writer and return all that was written to it."""
    getattr(sys, stream).close()
    with open(reader, "rb") as rest:
        return rest.read().decode()


def messages(text: str) -> str:
    """The messages on standard error, each on one line: long ones of progress go on in others."""
    return re.sub(r"\n  (?=\S)", " ", text)
