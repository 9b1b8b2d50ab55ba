"""The process: `rnntext` and `python -m rnntext`.

Knows: that an interrupt may come while the command line is still being imported, and how a process
ends quickly. Does not know: commands.
"""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from rnntext.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        run()
    except SystemExit as end:
        _end(end.code)
        raise


def _end(status: object) -> None:
    """End the process without taking its modules down one by one, which takes 40 to 50 ms of the
    0.4 s that one line takes. Does nothing where that could lose something: where other threads go
    on, PyTorch has been loaded, whose libraries end in an order of their own, or the process is
    watched by a profiler, a debugger or somebody who asked for a prompt at its end."""
    import atexit
    import os
    import threading

    if not isinstance(status, int) or threading.active_count() > 1 or "torch" in sys.modules:
        return
    if sys.getprofile() or sys.gettrace() or sys.flags.inspect or _monitored():
        return
    try:
        # What Python would do first.
        atexit._run_exitfuncs()
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except KeyboardInterrupt:
        status = 130
    except (OSError, ValueError):
        return
    os._exit(status)


def _monitored() -> bool:
    # Python 3.12's way to watch a process.
    monitoring = getattr(sys, "monitoring", None)
    return monitoring is not None and any(map(monitoring.get_tool, range(6)))


if __name__ == "__main__":
    main()
