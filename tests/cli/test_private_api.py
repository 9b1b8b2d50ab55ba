"""Private parts of other libraries: each does what `private_api.py` relies on."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from rnntext.cli.main import make_app
from rnntext.cli.private_api import command_line_error
from tests.conftest import environment


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["classify", "--no-such"], "No such option: --no-such"),
        (["no-such"], "No such command 'no-such'"),
        (["info"], "Missing argument 'DIR'"),
        (["classify", "--top-k", "x"], "Invalid value for '-k' / '--top-k'"),
    ],
)
def test_errors_of_the_command_line(words: list[str], message: str) -> None:
    with pytest.raises(command_line_error()) as caught:
        make_app()(words, standalone_mode=False)
    assert caught.value.format_message().startswith(message)  # type: ignore[attr-defined]
    assert caught.value.ctx.command_path  # type: ignore[attr-defined]


def test_the_class_of_these_errors_is_no_wider() -> None:
    assert issubclass(typer.BadParameter, command_line_error())
    for other in (typer.Exit, typer.Abort, OSError, RuntimeError, KeyboardInterrupt):
        assert not issubclass(other, command_line_error())


def test_exit_functions_run_once() -> None:
    code = """
import atexit
from rnntext.cli.private_api import run_exit_functions
atexit.register(print, "first registered")
atexit.register(print, "last registered")
run_exit_functions()
print("end")
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=True,
    )
    assert found.stdout.splitlines() == ["last registered", "first registered", "end"]
