"""Signals that end a run, deferred until the run has saved its state.

Knows: which signals ask a run to end: Ctrl-C, SIGTERM, a closed terminal, and those that batch
systems send before a limit of time. Does not know: what is saved. While signals are deferred, the
first one is only recorded; a second Ctrl-C or SIGTERM has the effect that it has without this
module.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

_AT_ONCE_IF_REPEATED = (signal.SIGINT, signal.SIGTERM)
# Those that Windows does not have are left out. SIGXCPU comes again every second of a limit, and a
# batch system may send several kinds of signal before it kills, so these never end the run at once.
_SIGNALS = (
    *_AT_ONCE_IF_REPEATED,
    *(getattr(signal, name) for name in ("SIGHUP", "SIGUSR1", "SIGXCPU") if hasattr(signal, name)),
)
# A signal this soon after the first is a copy of it: one Ctrl-C reaches a process started by
# `torchrun` both from the terminal and from `torchrun`.
_REPEATED = 1.0  # seconds


class DeferredSignals:
    """Records the first of the signals in place of its usual effect."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._received_at = 0.0
        self._raises = False
        self._handlers: dict[int, Any] = {}

    def defer(self) -> None:
        """Install the handlers. Ignored signals stay ignored: a shell ignores Ctrl-C for commands
        in the background. Nothing changes if they are installed."""
        if self._handlers:
            return
        if threading.current_thread() is threading.main_thread():
            numbers = (n for n in _SIGNALS if signal.getsignal(n) is not signal.SIG_IGN)
            self._handlers = {number: signal.signal(number, self._handle) for number in numbers}

    def raise_on_signal(self) -> None:
        """Make the first signal raise KeyboardInterrupt: the run no longer asks `received`."""
        self._raises = True

    def restore(self) -> None:
        """Put the previous handlers back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def received(self) -> bool:
        """Return True if a signal was received."""
        return self._received is not None

    def exit_if_received(self) -> None:
        """End the command as the received signal would have ended it; return if there was none."""
        if self._received == signal.SIGINT:
            raise KeyboardInterrupt
        if self._received is not None:
            sys.exit(128 + self._received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._received is None:
            self._received, self._received_at = number, now
            if self._raises:
                raise KeyboardInterrupt
        elif number in _AT_ONCE_IF_REPEATED and now - self._received_at > _REPEATED:
            self.restore()
            os.kill(os.getpid(), number)
