"""Ctrl-C and a request to end, heard by a run that first saves what it has.

Knows: signals. Does not know: what is saved. While they are deferred the first signal is only
noted, and a second one acts at once, as it would have without this.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Signals closer to the first than this are the same wish: one Ctrl-C reaches a process that
# `torchrun` started from the terminal and from `torchrun`.
_SAME = 1.0  # seconds


class Interrupts:
    """What signals have asked for; `act` brings the handlers back that were there."""

    def __init__(self) -> None:
        self._heard: int | None = None
        self._heard_at = 0.0
        self._breaks = False
        self._before: dict[int, Any] = {}

    def defer(self) -> None:
        """From now on the first signal is only noted. One that is ignored, as Ctrl-C is by what a
        shell runs in the background, stays so."""
        if threading.current_thread() is threading.main_thread():
            heard = (n for n in _SIGNALS if signal.getsignal(n) is not signal.SIG_IGN)
            self._before = {number: signal.signal(number, self._hear) for number in heard}

    def break_off(self) -> None:
        """From now on the first signal raises KeyboardInterrupt, whichever it is: nothing asks any
        more whether one was heard."""
        self._breaks = True

    def act(self) -> None:
        """From now on a signal acts at once again."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def asked(self) -> bool:
        """Whether a signal was heard."""
        return self._heard is not None

    def leave(self) -> None:
        """End as the signal that was heard would have; nothing where none was."""
        if self._heard == signal.SIGINT:
            raise KeyboardInterrupt
        if self._heard is not None:
            sys.exit(128 + self._heard)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._heard is None:
            self._heard, self._heard_at = number, now
            if self._breaks:
                raise KeyboardInterrupt
        elif now - self._heard_at > _SAME:
            self.act()
            os.kill(os.getpid(), number)
