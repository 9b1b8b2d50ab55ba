"""The system's limit of threads, which is asked for before libraries start theirs.

Knows: about how many threads a command and its libraries start. Does not know: commands. A library
that cannot start a thread prints pages, hangs, or raises the signal of Ctrl-C, and does not say
what to do.
"""

from __future__ import annotations

import _thread

from rnntext.config import usable_cores
from rnntext.errors import RnntextError


def require_threads(threads: int | None) -> None:
    """Raise RnntextError if the system does not allow the threads of a command with `--threads`.

    NumPy's library for matrices starts a thread a core, the tokenizer `threads`, and so does
    whatever runs the model.
    """
    cores = usable_cores()
    wanted = cores - 1 + 2 * (threads or cores)
    if not _can_start(wanted):
        raise RnntextError(
            f"the system does not allow {wanted} more threads: raise its limit of processes or of "
            "memory (`ulimit -u`, `ulimit -v`), or use fewer with --threads 1"
        )


def _can_start(count: int) -> bool:
    """Start so many threads at once, which end before this returns."""
    gate, ended = _thread.allocate_lock(), _thread.allocate_lock()
    running = 0

    def wait() -> None:
        nonlocal running
        with gate:
            running -= 1
            if not running:
                ended.release()

    gate.acquire()
    ended.acquire()
    try:
        for _ in range(count):
            _thread.start_new_thread(wait, ())
            running += 1
    except RuntimeError:
        return False
    finally:
        started = running
        gate.release()
        if started:
            ended.acquire()
    return True
