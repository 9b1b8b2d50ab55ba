"""Fails a test of reading that blocks for ever."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_blocking_for_ever() -> Iterator[None]:
    """Fail a test that waits for input that never comes."""

    def fail(number: int, frame: object) -> None:
        raise AssertionError("waited for input that had not been written")

    if not hasattr(signal, "SIGALRM"):  # Windows
        yield
        return
    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
