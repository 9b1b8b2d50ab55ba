"""Fixtures of the tests: a shell that runs `rnntext` commands, and one tiny model of each task.

Knows: how a command is started and what it left; which tests are slow. Does not know: what any
command should do.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from rnntext.cli.demo import find_corpora
from tests.cli.screens import messages

RNNTEXT = (sys.executable, "-m", "rnntext")
CORPORA = find_corpora()
# Options of a short training run; the number of steps follows.
TINY = ("--preset", "tiny", "--threads", "1", "--steps")
# Seconds after which a command counts as hung. A busy machine must not reach it.
HUNG = 300.0
# Hypothesis allows an example 200 ms by default, which says more of the machine than of a test.
settings.register_profile("no deadline", parent=settings.default, deadline=None)
settings.load_profile("no deadline")


def pytest_configure(config: pytest.Config) -> None:
    """Restore the handler of Ctrl-C, which a shell's `&` sets to ignore, and with `-n` give each
    worker cores of its own: PyTorch's threads wait for each other by spinning, and two runs on the
    same two cores took five times as long as one after the other."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = getattr(config, "workerinput", None)
    if worker is not None and sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        count = min(worker["workercount"], len(cores))
        number = int(worker["workerid"].removeprefix("gw")) % count
        os.sched_setaffinity(0, cores[number::count])


def slow_tests() -> list[str]:
    """The lines of slow.txt: names of test files and, after `::`, of tests."""
    lines = (Path(__file__).parent / "slow.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, so that `-m "not slow"` runs all others."""
    slow = set(slow_tests())
    for item in items:
        name = item.nodeid.partition("[")[0]
        if name in slow or name.partition("::")[0] in slow:
            item.add_marker(pytest.mark.slow)


@dataclass(frozen=True)
class Outcome:
    """The exit status of a command and what it wrote to stdout and stderr."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def told(self) -> str:
        """What it wrote to stderr, each message on one line."""
        return messages(self.err)

    @property
    def lines(self) -> list[str]:
        """The lines of standard output; each must end in LF."""
        if not self.out:
            return []
        assert self.out.endswith(b"\n")
        return self.text[:-1].split("\n")

    @property
    def objects(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]

    @property
    def pairs(self) -> dict[str, str]:
        """`name<TAB>value` lines."""
        pairs = [line.split("\t") for line in self.lines]
        assert all(len(pair) == 2 for pair in pairs), pairs
        return dict(pairs)

    def done(self) -> Outcome:
        """Require exit status 0 and an empty stderr, and return this outcome."""
        assert (self.status, self.err) == (0, "")
        return self

    def failed(self, status: int, *parts: str) -> Outcome:
        """Require `status` and one line on stderr that holds `parts`, and return this outcome."""
        assert "Traceback" not in self.err, self.err
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("rnntext: "), self.err
        assert all(part in self.err for part in parts), self.err
        assert self.status == status, self.err
        return self


def environment(extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return this process's environment without variables that change rnntext's output, updated
    with `extra`; None removes a variable."""
    size = ("COLUMNS", "LINES")
    removed = ("RNNTEXT_MODEL", "NO_COLOR", "FORCE_COLOR", "TERM", "PYTHONWARNINGS", *size)
    kept = {name: value for name, value in os.environ.items() if name not in removed}
    kept["TERM"] = "xterm-256color"
    for name, value in (extra or {}).items():
        kept.pop(name, None)
        if value is not None:
            kept[name] = value
    return kept


class Shell:
    """Runs `rnntext` commands, each in its own process, forked from one that has imported it."""

    def __init__(self, *modules: str) -> None:
        """`modules` are imported once too, before the commands are forked."""
        self._modules = modules
        self._socket: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def __call__(
        self,
        *args: object,
        stdin: bytes | int = b"",
        env: Mapping[str, str | None] | None = None,
        cwd: Path | str = ".",
        timeout: float = HUNG,
        out: str | int | None = None,
        before: str = "",
    ) -> Outcome:
        """Run a command; `stdin` comes through a pipe, or is a file descriptor.

        `out` is a path or descriptor to send stdout to. `before` is Python source that the process
        executes first.
        """
        reader, writer = (stdin, None) if isinstance(stdin, int) else os.pipe()
        feeder = threading.Thread(target=_feed, args=(writer, stdin), daemon=True)
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            target = os.open(out, os.O_WRONLY) if isinstance(out, str) else out
            streams = [reader, stdout.fileno() if target is None else target, stderr.fileno()]
            request = {
                "args": [str(arg) for arg in args],
                "env": environment(env),
                "cwd": os.path.abspath(cwd),
                "before": textwrap.dedent(before),
            }
            connection = self._connection()
            socket.send_fds(connection, [json.dumps(request).encode()], streams)
            if writer is not None:
                feeder.start()
            child = int(self._line(connection, timeout))
            try:
                status = int(self._line(connection, timeout))
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                self._line(connection, 10)
                raise AssertionError(f"took over {timeout} s: {request['args']}") from None
            finally:
                if writer is not None:
                    os.close(reader)
                    feeder.join()
                if isinstance(out, str):
                    os.close(streams[1])
            stdout.seek(0)
            stderr.seek(0)
            return Outcome(status, stdout.read(), stderr.read().decode())

    def fresh(
        self,
        *args: object,
        stdin: bytes = b"",
        env: Mapping[str, str | None] | None = None,
        cwd: Path | str = ".",
        timeout: float = HUNG,
        **popen: Any,
    ) -> Outcome:
        """Run a command in a new interpreter, for tests of how a process starts or ends."""
        found = subprocess.run(
            [*RNNTEXT, *map(str, args)],
            input=stdin,
            stdout=popen.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            env=environment(env),
            cwd=cwd,
            timeout=timeout,
            check=False,
            **popen,
        )
        return Outcome(found.returncode, found.stdout or b"", found.stderr.decode())

    def close(self) -> None:
        if self._socket is not None and self._server is not None:
            self._socket.close()
            self._server.wait(10)

    def _connection(self) -> socket.socket:
        if self._socket is None:
            self._socket, theirs = socket.socketpair()
            server = Path(__file__).parent / "cli" / "forks.py"
            with theirs:
                self._server = subprocess.Popen(
                    [sys.executable, str(server), str(theirs.fileno()), *self._modules],
                    pass_fds=[theirs.fileno()],
                    env=environment(),
                )
        return self._socket

    @staticmethod
    def _line(connection: socket.socket, timeout: float) -> bytes:
        connection.settimeout(timeout)
        line = b""
        while not line.endswith(b"\n"):
            part = connection.recv(1)
            assert part, "the process that forks is gone"
            line += part
        return line


def _feed(writer: int, data: bytes) -> None:
    try:
        with open(writer, "wb") as pipe:
            pipe.write(data)
    except BrokenPipeError:
        pass  # the command ended before it had read everything


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of encoded text, outside the user's home directory."""
    directory = tmp_path_factory.mktemp("cache")
    os.environ["XDG_CACHE_HOME"] = str(directory)
    return directory / "rnntext"


@pytest.fixture(scope="session")
def run() -> Iterator[Shell]:
    shell = Shell()
    yield shell
    shell.close()


def _trained(run: Shell, tmp: pytest.TempPathFactory, task: str, file: str) -> Path:
    """Train a model on the sample text for 20 steps. What it answers is of no meaning: tests may
    rest only on what holds for every model."""
    directory = tmp.mktemp("models") / task
    data = CORPORA / file
    found = run("train", task, data, "-o", directory, *TINY, 20, "--seed", 3, "-q")
    assert found.status == 0, found.err
    return directory


@pytest.fixture(scope="session")
def lm(run: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _trained(run, tmp_path_factory, "lm", "stories.txt")


@pytest.fixture(scope="session")
def classifier(run: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _trained(run, tmp_path_factory, "classify", "reviews.csv")


@pytest.fixture(scope="session")
def tagger(run: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _trained(run, tmp_path_factory, "tag", "tagged.conllu")
