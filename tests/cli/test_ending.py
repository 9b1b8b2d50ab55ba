"""The quick exit of a process: it skips the destruction of modules and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import environment

# A command in a process of its own, after `preparation`.
DRIVER = """
import atexit, sys, threading
from types import SimpleNamespace

class Destroyed:
    # Python calls this when it destroys the module.
    def __del__(self, print=print):
        print("destroyed")

destroyed = Destroyed()
atexit.register(print, "registered")
sys.argv = ["rnntext", *{arguments}]
{preparation}
from rnntext.__main__ import main
main()
"""


def run_driver(*arguments: str, preparation: str = "") -> tuple[int, list[str]]:
    """The exit status of the command and the lines that it printed."""
    found = subprocess.run(
        [sys.executable, "-c", DRIVER.format(arguments=arguments, preparation=preparation)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert "Traceback" not in found.stderr
    return found.returncode, found.stdout.splitlines()


@pytest.mark.parametrize(("arguments", "status"), [(("--version",), 0), (("no-command",), 2)])
def test_exit_functions_run_but_modules_are_not_destroyed(
    arguments: tuple[str, ...], status: int
) -> None:
    code, lines = run_driver(*arguments)
    assert code == status
    assert lines[-1] == "registered"
    assert len(lines) == 2 - (status != 0)


@pytest.mark.parametrize(
    ("preparation", "printed"),
    [
        # Another thread, which ends after the main thread.
        (
            "threading.Thread(target=lambda: (threading.main_thread().join(), print('thread')))"
            ".start()",
            ["thread"],
        ),
        ("sys.modules['torch'] = SimpleNamespace()", []),
        # Without this module's names: it would keep them until the end.
        ("sys.setprofile(eval('lambda *_: None', {}))", []),
    ],
)
def test_python_ends_a_process_that_has_more_to_do(preparation: str, printed: list[str]) -> None:
    code, lines = run_driver("--version", preparation=preparation)
    assert code == 0
    assert lines[1:] == [*printed, "registered", "destroyed"]
