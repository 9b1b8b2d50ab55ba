"""Imports PyTorch once and forks a process for each command of the tests: `forks.py SOCKET`.

The import takes seconds, and the tests run hundreds of commands. Each command is still a process
with its own arguments, environment, directory, streams and exit status.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import traceback
import warnings
from importlib import import_module


def serve(connection: socket.socket) -> None:
    """Answer each request, a JSON object and three streams, with an exit status."""
    import onnx  # noqa: F401

    import rnntext.runtime.classifier
    import rnntext.runtime.evaluate
    import rnntext.runtime.generate
    import rnntext.runtime.tagger
    import rnntext.training.run  # noqa: F401
    from rnntext.cli.main import main

    # NumPy keeps an idle thread; Python 3.12 warns when a process with threads forks.
    warnings.filterwarnings("ignore", "This process.*multi-threaded", DeprecationWarning)
    while True:
        data, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        if not data:
            return
        request = json.loads(data)
        child = os.fork()
        if child == 0:
            status: object = 1
            try:
                connection.close()
                become(request, streams)
                exec(request["before"], {})  # noqa: S102
                main()
            except SystemExit as leaving:
                status = leaving.code
                sys.stdout.flush()
            except BaseException:  # noqa: BLE001
                traceback.print_exc()
            finally:
                os._exit(status if isinstance(status, int) else 0)
        for stream in streams:
            os.close(stream)
        connection.send(b"%d\n" % child)
        _, found = os.waitpid(child, 0)
        connection.send(b"%d\n" % os.waitstatus_to_exitcode(found))


def become(request: dict[str, object], streams: list[int]) -> None:
    """Take the arguments, environment, directory and streams of the request."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    tempfile.tempdir = None  # chosen by TMPDIR, which was another one during the imports
    os.chdir(str(request["cwd"]))
    sys.argv = ["rnntext", *request["args"]]  # type: ignore[misc]


if __name__ == "__main__":
    for module in sys.argv[2:]:
        import_module(module)
    with socket.socket(fileno=int(sys.argv[1])) as parent:
        serve(parent)
