"""What is done with a stranger's directory: it is opened and run, in this process or in one with
little memory and time.

Knows: that a directory either runs or ends in one line that names it. Does not know: which
directories are forged, or how.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import rnntext
from rnntext.cli.info import describe
from rnntext.errors import RnntextError
from tests.conftest import Outcome, environment

TEXTS = ["A day by the sea.", "", "two\nlines", "x" * 400]
# Bytes of addresses: an ordinary run takes some 1.2 GB, of which little is ever memory.
MEMORY = 3 << 30
SECONDS = 20


def use(path: Path) -> None:
    """Open a model, and do all that its task does."""
    model = rnntext.load(path, threads=1)
    if model.task == "classify":
        model.classify(TEXTS)
    elif model.task == "tag":
        model.tag(TEXTS)
    else:
        model.score(TEXTS, words=True)
        model.predict(TEXTS)
        model.generate(TEXTS, length=8, seed=1)
    model.embed(TEXTS)


def refused(path: Path) -> str:
    """Use a model that must be refused; return the message, one line that names it."""
    with pytest.raises(RnntextError) as caught:
        use(path)
    return _checked(path, caught.value)


def answered(path: Path) -> str | None:
    """Use a model that may be refused; any other error is a failure. Returns the message, None if
    there is none."""
    return _message(path, use)


def opened(path: Path) -> str | None:
    """The same, but the model is only opened."""
    return _message(path, lambda path: rnntext.load(path, threads=1))


def described(path: Path) -> str | None:
    """The same, but the model is only described."""
    return _message(path, describe)


def _message(path: Path, action: Callable[[Path], object]) -> str | None:
    try:
        action(path)
    except RnntextError as error:
        return _checked(path, error)
    return None


def _checked(path: Path, error: RnntextError) -> str:
    message = str(error)
    assert path.name in message, message
    assert message.isprintable(), message
    assert len(message) < 1000, message
    return message


def command(path: Path, *arguments: object) -> Outcome:
    """Run a command on a model in a process of its own, with limits of memory and time."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    found = subprocess.run(
        [sys.executable, "-m", "rnntext", *map(str, arguments), str(path)],
        input=b"A day by the sea.\n",
        capture_output=True,
        env=environment(),
        timeout=SECONDS,
        preexec_fn=limit,
        check=False,
    )
    return Outcome(found.returncode, found.stdout, found.stderr.decode())
