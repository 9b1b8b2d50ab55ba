"""A process ends quickly, and loses nothing by it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import environment

# `--version`, after a few lines of preparation, in a process of its own.
DRIVER = """
import atexit, sys, threading, time
from types import SimpleNamespace

class Late:
    # Said when modules are taken down, if they are.
    def __del__(self, say=print):
        say("taken down")

late = Late()
atexit.register(print, "registered")
sys.argv = ["rnntext", *{arguments}]
{more}
from rnntext.__main__ import main
main()
"""


def ended(*arguments: str, more: str = "") -> tuple[int, list[str]]:
    found = subprocess.run(
        [sys.executable, "-c", DRIVER.format(arguments=arguments, more=more)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert "Traceback" not in found.stderr
    return found.returncode, found.stdout.splitlines()


@pytest.mark.parametrize(("arguments", "status"), [(("--version",), 0), (("no-command",), 2)])
def test_what_is_registered_is_done_and_modules_are_left(
    arguments: tuple[str, ...], status: int
) -> None:
    code, lines = ended(*arguments)
    assert code == status
    assert lines[-1] == "registered"
    assert len(lines) == 2 - (status != 0)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("threading.Thread(target=lambda: (time.sleep(0.5), print('thread'))).start()", "thread"),
        ("sys.modules['torch'] = SimpleNamespace()", None),
        # Without this module's names, which it would keep to the end.
        ("sys.setprofile(eval('lambda *_: None', {}))", None),
    ],
)
def test_a_process_with_more_in_it_ends_as_python_ends_it(more: str, said: str | None) -> None:
    code, lines = ended("--version", more=more)
    assert code == 0
    assert lines[1:] == [*([said] if said else []), "registered", "taken down"]
