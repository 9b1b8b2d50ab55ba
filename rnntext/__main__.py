"""The process: `rnntext` and `python -m rnntext`.

Knows: that an interrupt may come while the command line is still being imported, and how to start
and to end the process quickly. Does not know: commands.
"""

import gc
import sys

# Imports and a vocabulary of 30,000 tokens make about 90,000 objects that a collection looks at.
_OF_START = 1 << 17


def main() -> None:
    """Run the command line."""
    try:
        _collect_late()
        from rnntext.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        run()
    except SystemExit as end:
        _exit_quickly(end.code)
        raise


def _collect_late() -> None:
    """Let garbage collection wait until the start is over. What a process makes as it starts stays
    until its end, and to look through it again and again takes a tenth of the time that one line
    takes. The first collection, after more objects than most starts make, goes back to Python's
    thresholds."""
    thresholds = gc.get_threshold()

    def start_is_over(phase: str, info: object) -> None:
        if phase == "stop":
            gc.callbacks.remove(start_is_over)
            gc.set_threshold(*thresholds)

    gc.callbacks.append(start_is_over)
    gc.set_threshold(_OF_START, *thresholds[1:])


def _exit_quickly(status: object) -> None:
    """Exit the process without destroying its modules, which takes 40 to 50 ms of the 0.4 s that
    one line takes. Returns without doing so where that could lose something: while other threads
    run, after an import of PyTorch (its libraries need their own order of destruction), and under
    a profiler, a debugger or `python -i`."""
    import os
    import threading

    from rnntext.private import run_exit_functions

    if not isinstance(status, int) or threading.active_count() > 1 or "torch" in sys.modules:
        return
    if sys.getprofile() or sys.gettrace() or sys.flags.inspect or _is_monitored():
        return
    try:
        run_exit_functions()
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except KeyboardInterrupt:
        status = 130
    except (OSError, ValueError):
        return
    os._exit(status)


def _is_monitored() -> bool:
    """Return True if a tool uses `sys.monitoring`, which Python has from 3.12."""
    monitoring = getattr(sys, "monitoring", None)
    return monitoring is not None and any(map(monitoring.get_tool, range(6)))


if __name__ == "__main__":
    main()
