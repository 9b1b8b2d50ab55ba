"""How the process begins and ends, without ending the process of the tests."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import rnntext.cli.main
import rnntext.private
from rnntext.__main__ import main


class EndedError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def collection() -> Iterator[None]:
    """Python's garbage collection, which `main` changes."""
    thresholds, callbacks = gc.get_threshold(), list(gc.callbacks)
    yield
    gc.set_threshold(*thresholds)
    gc.callbacks[:] = callbacks


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What happened, in a process that has nothing more to do: one thread, no PyTorch, no
    profiler and no debugger."""
    events: list[Any] = []

    def end(status: int) -> None:
        events.append(status)
        raise EndedError

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(rnntext.private, "run_exit_functions", lambda: events.append("registered"))
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.setattr(sys, "getprofile", lambda: None)
    monkeypatch.setattr(sys, "gettrace", lambda: None)
    monkeypatch.setattr(sys, "flags", SimpleNamespace(inspect=0))
    monkeypatch.setattr(sys, "monitoring", None, raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    return events


def run(code: object, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a command that exits with `code`, and say how the process ended."""

    def command() -> None:
        raise SystemExit(code)

    monkeypatch.setattr(rnntext.cli.main, "main", command)
    with pytest.raises((EndedError, SystemExit)) as caught:
        main()
    if isinstance(caught.value, EndedError):
        return "at once"
    assert caught.value.code == code
    return "by Python"


@pytest.mark.parametrize("status", [0, 2])
def test_a_process_ends_at_once_with_all_that_was_written(
    status: int, happened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stdout", "stderr"):
        stream = SimpleNamespace(flush=lambda name=name: happened.append(name))
        monkeypatch.setattr(sys, name, stream)
    assert run(status, monkeypatch) == "at once"
    assert happened == ["registered", "stdout", "stderr", status]


def test_streams_may_be_closed(happened: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert run(0, monkeypatch) == "at once"
    assert happened == ["registered", 0]


@pytest.mark.parametrize("code", [None, "a message"])
def test_python_ends_a_process_whose_status_is_no_number(
    code: object, happened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(code, monkeypatch) == "by Python"
    assert happened == []


def _tool(number: int) -> str | None:
    if number not in range(6):
        raise ValueError("there are six tools")
    return "a tool" if number == 5 else None


BUSY: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "another thread": lambda patch: patch.setattr(threading, "active_count", lambda: 2),
    "PyTorch": lambda patch: patch.setitem(sys.modules, "torch", SimpleNamespace()),
    "a profiler": lambda patch: patch.setattr(sys, "getprofile", lambda: print),
    "a debugger": lambda patch: patch.setattr(sys, "gettrace", lambda: print),
    "python -i": lambda patch: patch.setattr(sys, "flags", SimpleNamespace(inspect=1)),
    "a monitor": lambda patch: patch.setattr(sys, "monitoring", SimpleNamespace(get_tool=_tool)),
}


@pytest.mark.parametrize("reason", BUSY)
def test_python_ends_a_process_that_has_more_to_do(
    reason: str, happened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    BUSY[reason](monkeypatch)
    assert run(0, monkeypatch) == "by Python"
    assert happened == []


def test_nobody_monitors(happened: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monitoring = SimpleNamespace(get_tool=lambda number: None if number < 6 else _tool(number))
    monkeypatch.setattr(sys, "monitoring", monitoring)
    assert run(0, monkeypatch) == "at once"
    assert happened[-1] == 0


@pytest.mark.parametrize("error", [OSError("full"), ValueError("closed")])
def test_python_reports_a_stream_that_cannot_be_flushed(
    error: Exception, happened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(sys.stdout, "flush", fail)
    assert run(0, monkeypatch) == "by Python"
    assert happened == ["registered"]


def test_an_interrupt_at_the_very_end(happened: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rnntext.private, "run_exit_functions", interrupt)
    assert run(0, monkeypatch) == "at once"
    assert happened == [130]


def test_an_interrupt_before_the_command_line_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        @property
        def main(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "rnntext.cli.main", Interrupted())  # type: ignore[arg-type]
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130


def test_garbage_is_collected_late_and_then_as_ever(
    happened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, callbacks = gc.get_threshold(), list(gc.callbacks)
    assert run(0, monkeypatch) == "at once"
    assert gc.get_threshold() == (1 << 17, *before[1:])
    collected: list[str] = []

    class Part:
        """In a cycle with itself."""

        def __init__(self) -> None:
            self.self = self

        def __del__(self) -> None:
            collected.append("part")

    Part()
    gc.collect()
    assert (gc.get_threshold(), gc.callbacks) == (before, callbacks)
    assert collected == ["part"]
