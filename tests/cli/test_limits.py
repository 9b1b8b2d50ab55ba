"""The threads that a command asks the system for before its libraries do."""

from __future__ import annotations

import _thread
from collections.abc import Callable
from typing import Any

import pytest

from rnntext.cli import limits
from rnntext.cli.limits import require_threads
from rnntext.errors import RnntextError


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Let the system allow so many threads; return a list with an item for each that started."""
    real = _thread.start_new_thread

    def allow(most: int) -> list[int]:
        count: list[int] = []

        def start(*args: Any) -> int:
            if len(count) == most:
                raise RuntimeError("can't start new thread")
            count.append(1)
            return real(*args)

        monkeypatch.setattr(_thread, "start_new_thread", start)
        return count

    return allow


@pytest.mark.parametrize(
    ("threads", "cores", "wanted"), [(None, 2, 5), (1, 2, 3), (3, 2, 7), (None, 1, 2), (1, 16, 17)]
)
def test_as_many_as_the_libraries_will_start(
    threads: int | None,
    cores: int,
    wanted: int,
    started: Callable[[int], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "usable_cores", lambda: cores)
    count = started(wanted)
    require_threads(threads)
    assert len(count) == wanted
    for most in (0, wanted - 1):
        started(most)
        with pytest.raises(RnntextError) as error:
            require_threads(threads)
        assert str(error.value).startswith(f"the system does not allow {wanted} more threads: ")
        assert "`ulimit -u`" in str(error.value)
        assert "--threads 1" in str(error.value)


def test_all_have_ended_when_it_returns(started: Callable[[int], list[int]]) -> None:
    before = _thread._count()
    require_threads(20)
    started(7)
    with pytest.raises(RnntextError):
        require_threads(20)
    # A thread is counted until a moment after its function has returned.
    while _thread._count() > before:
        pass
