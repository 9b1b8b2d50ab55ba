"""Uses of the private parts of other libraries, each with the reason for it.

Knows: names that a new release of Typer or Python may change. `tests/cli/test_private_api.py`
fails where one has changed. Does not know: what the callers do with them.
"""

from __future__ import annotations

import atexit
from typing import Any


def command_line_error() -> type[Exception]:
    """The base class of Typer's errors of the command line; they have `format_message()` and
    those of a command have `ctx`.

    It is Click's `ClickException`. Typer does not export it: up to 0.25 it is that of the package
    `click`, from 0.26 that of a private copy. A class that Typer exports derives from it.
    """
    import typer

    bases: tuple[type[Any], ...] = typer.BadParameter.__mro__
    return next(base for base in bases if base.__name__ == "ClickException")


def run_exit_functions() -> None:
    """Call the functions registered with `atexit` and unregister them, as Python does at its end.

    `multiprocessing` does the same in its children. Python has no public way: a function
    registered first would be called last, but not after those of whoever started us.
    """
    atexit._run_exitfuncs()
