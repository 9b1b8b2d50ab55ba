"""Signals that a run defers until it has saved its state."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from rnntext.cli import interrupts
from rnntext.cli.interrupts import DeferredSignals

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGXCPU"), reason="signals of Unix")

ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU]


class EndedError(Exception):
    """Stands for the effect of a signal that is not deferred."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(interrupts, "time", clock)
    return clock


@pytest.fixture
def deferred(clock: SimpleNamespace) -> Iterator[DeferredSignals]:
    """Deferred signals whose usual effect is to raise EndedError."""

    def end(number: int, frame: object) -> None:
        raise EndedError

    before = {number: signal.signal(number, end) for number in ALL}
    signals = DeferredSignals()
    signals.defer()
    yield signals
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ALL)
def test_the_first_is_recorded_and_ends_the_command_later(
    number: int, deferred: DeferredSignals
) -> None:
    assert not deferred.received()
    deferred.exit_if_received()
    signal.raise_signal(number)
    assert deferred.received()
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit) as end:
        deferred.exit_if_received()
    if number != signal.SIGINT:
        assert end.value.code == 128 + number  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", ALL)
def test_a_copy_soon_after_is_ignored(
    number: int, deferred: DeferredSignals, clock: SimpleNamespace
) -> None:
    signal.raise_signal(number)
    clock.now += 1
    signal.raise_signal(number)
    assert deferred.received()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_has_its_usual_effect(
    number: int, deferred: DeferredSignals, clock: SimpleNamespace
) -> None:
    signal.raise_signal(signal.SIGUSR1)
    clock.now += 1.01
    with pytest.raises(EndedError):
        signal.raise_signal(number)
    # From then on every signal has.
    with pytest.raises(EndedError):
        signal.raise_signal(signal.SIGXCPU)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU])
def test_what_the_system_sends_again_and_again_never_ends_a_save(
    number: int, deferred: DeferredSignals, clock: SimpleNamespace
) -> None:
    for _ in range(3):
        signal.raise_signal(number)
        clock.now += 10
    assert deferred.received()


def test_after_the_last_step_the_first_raises(deferred: DeferredSignals) -> None:
    deferred.raise_on_signal()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGHUP)
    assert deferred.received()


def test_restored_signals_have_their_usual_effect(deferred: DeferredSignals) -> None:
    deferred.restore()
    for number in ALL:
        with pytest.raises(EndedError):
            signal.raise_signal(number)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        signals = DeferredSignals()
        signals.defer()
        signal.raise_signal(signal.SIGHUP)
        assert not signals.received()
        signals.restore()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_deferring_twice_is_deferring_once(deferred: DeferredSignals) -> None:
    deferred.defer()
    deferred.restore()
    with pytest.raises(EndedError):
        signal.raise_signal(signal.SIGTERM)
