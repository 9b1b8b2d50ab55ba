"""Streams: what goes to which, to terminals, closed readers and full disks; and Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import CORPORA, RNNTEXT, TINY, Outcome, Shell, environment

ONE = ("--threads", "1")
ESCAPE = b"\x1b["


@pytest.fixture
def commands(lm: Path, classifier: Path, tagger: Path) -> dict[str, tuple[object, ...]]:
    """A command of each kind that runs a model."""
    return {
        "classify": ("classify", "-m", classifier, *ONE),
        "tag": ("tag", "-m", tagger, *ONE),
        "generate": ("generate", "-m", lm, *ONE, "--seed", "1", "-n", "1000000"),
        "evaluate": ("evaluate", "-m", classifier, *ONE, CORPORA / "reviews.csv"),
        "info": ("info", tagger),
    }


def on_terminal(
    run: Shell, *args: object, size: tuple[int, int] = (0, 0), **kwargs: object
) -> tuple[Outcome, bytes]:
    """Run a command whose standard output is a terminal with this number of rows and columns (0:
    unknown). Returns its outcome and what the terminal showed."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, size)
    shown = b""

    def read() -> None:
        nonlocal shown
        while True:
            try:
                data = os.read(master, 1 << 16)
            except OSError:  # Linux, after the last writer has closed the terminal
                return
            if not data:
                return
            shown += data

    reader = threading.Thread(target=read)
    reader.start()
    try:
        found = run(*args, out=slave, **kwargs)  # type: ignore[arg-type]
    finally:
        os.close(slave)
        reader.join()
        os.close(master)
    return found, shown


def plain(shown: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r\n", "\n")


@pytest.mark.parametrize("name", ["classify", "tag", "generate", "evaluate", "info"])
def test_a_full_disk(name: str, run: Shell, commands: dict[str, tuple[object, ...]]) -> None:
    found = run(*commands[name], stdin=b"a line\n", out="/dev/full")
    found.failed(1, "standard output cannot be written: No space left on device")


@pytest.mark.parametrize("name", ["classify", "tag", "generate"])
def test_a_reader_that_leaves(
    name: str, run: Shell, commands: dict[str, tuple[object, ...]]
) -> None:
    reader, writer = os.pipe()

    def head() -> None:
        assert os.read(reader, 1)
        os.close(reader)

    leaving = threading.Thread(target=head)
    leaving.start()
    stdin = b"a line of text\n" * (1 if name == "generate" else 100_000)
    try:
        run(*commands[name], stdin=stdin, out=writer).done()
    finally:
        os.close(writer)
        leaving.join()


def test_head_in_a_pipeline(classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a line of text\n" * 50_000)
    line = '"$@" | head -n 1; exit "${PIPESTATUS[0]}"'
    command = [*RNNTEXT, "classify", "-m", str(classifier), str(tmp_path / "a.txt")]
    found = subprocess.run(
        ["bash", "-c", line, "bash", *command],
        capture_output=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, b"")
    assert found.stdout.count(b"\n") == 1


def test_standard_output_is_closed(classifier: Path) -> None:
    found = subprocess.run(
        ["bash", "-c", '"$@" >&-', "bash", *RNNTEXT, "classify", "-m", classifier, "--text", "x"],
        capture_output=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert found.returncode == 1
    assert found.stderr.startswith(b"rnntext: standard output is closed")
    assert found.stderr.count(b"\n") == 1


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_ctrl_c_while_waiting_for_input(task: str, classifier: Path, tagger: Path) -> None:
    model = {"classify": classifier, "tag": tagger}[task]
    with subprocess.Popen(
        [*RNNTEXT, task, "-m", str(model), *ONE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"a\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        assert process.stderr.read().strip() == b""


def test_ctrl_c_while_data_are_read_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "model"
    reader, writer = os.pipe()
    with subprocess.Popen(
        [*RNNTEXT, "train", "lm", "-", "-o", str(out), *TINY, "100000"],
        stdin=reader,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        os.write(writer, b"a line\n")
        while unread_bytes(reader):  # until the run has read the line and waits for the next
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        assert b"Traceback" not in process.stderr.read()
        assert process.stdout.read() == b""
    os.close(reader)
    os.close(writer)
    assert os.listdir(tmp_path) == []


def unread_bytes(pipe: int) -> int:
    """The number of bytes in a pipe."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return int(count)


def test_nothing_but_results_and_errors(
    run: Shell, commands: dict[str, tuple[object, ...]]
) -> None:
    for name, command in commands.items():
        short = ("-n", "3") if name == "generate" else ()
        found = run(*command, *short, stdin=b"a line\n").done()
        assert found.out
        assert ESCAPE not in found.out
        assert b"\r" not in found.out


def test_a_new_interpreter_has_nothing_to_add(run: Shell, classifier: Path) -> None:
    """A warning at import would appear on stderr."""
    args = ("classify", "-m", classifier, *ONE, "--text", "A warm and funny book.")
    assert run.fresh(*args).done().lines == run(*args).done().lines


def test_progress_is_a_plain_line_an_evaluation(run: Shell, tmp_path: Path) -> None:
    args = ("train", "tag", CORPORA / "tagged.conllu", *TINY, 4)
    found = run(*args, "-o", tmp_path / "one")
    assert found.status == 0
    first, second, third, fourth, *rest = found.told.splitlines()
    assert "280 sentences to train on, 31 to validate on" in first
    assert "text encoded into" in second or "of encoded text read from" in second
    assert third.startswith("n-grams of 280 texts, by themselves: accuracy ")
    assert fourth.startswith("words of ")
    assert "words_f1 " in fourth
    steps = [int(line.split()[1].split("/")[0]) for line in rest]
    assert steps == sorted(set(steps))
    assert steps[-1] == 4
    assert all(re.search(r"  accuracy [01](\.\d+)?(  |$)", line) for line in rest)
    assert "\x1b" not in found.err
    assert "\r" not in found.err
    quiet = run(*args, "-o", tmp_path / "two", "-q").done()
    assert quiet.pairs["accuracy"] == found.pairs["accuracy"]


# Terminals


def test_classify_is_coloured_on_a_terminal(run: Shell, classifier: Path) -> None:
    text = "literal [brackets] and [bold]tags[/bold] 🙂"
    args = ("classify", "-m", classifier, *ONE, "--text", text)
    found, shown = on_terminal(run, *args)
    assert found.done().out == b""
    assert ESCAPE in shown
    assert text in plain(shown)
    assert re.match(r"(neg|pos) [01]\.\d\d  ", plain(shown))


def test_a_dumb_terminal(run: Shell, commands: dict[str, tuple[object, ...]]) -> None:
    for name, command in commands.items():
        prompt = ("-n", "3", "[bold] prompt") if name == "generate" else ()
        given = {"stdin": b"a [red] line\n", "env": {"TERM": "dumb"}}
        found, shown = on_terminal(run, *command, *prompt, **given)
        found.done()
        assert shown.strip()
        assert b"\x1b" not in shown
        if name in ("classify", "tag", "generate"):
            assert b"[" in shown


@pytest.mark.parametrize("name", ["tag", "evaluate", "info"])
def test_tables_and_colours(name: str, run: Shell, commands: dict[str, tuple[object, ...]]) -> None:
    found, shown = on_terminal(run, *commands[name], stdin=b"Mara [lit] it\n")
    found.done()
    assert ESCAPE in shown
    expected = {"tag": "[/", "evaluate": "majority", "info": "fingerprint"}[name]
    assert expected in plain(shown)


def test_json_on_a_terminal_is_json(run: Shell, classifier: Path) -> None:
    args = ("classify", "-m", classifier, *ONE, "--json", "--text", "x " * 300)
    found, shown = on_terminal(run, *args)
    assert plain(shown) == run(*args).done().text
    assert found.done().out == b""


def test_a_terminal_is_not_read(
    run: Shell, classifier: Path, tagger: Path, lm: Path, tmp_path: Path
) -> None:
    master, slave = pty.openpty()
    try:
        for task, model in (("classify", classifier), ("tag", tagger)):
            found = run(task, "-m", model, stdin=slave)
            found.failed(2, "pipe text in", "--text TEXT")
            assert found.out == b""
        run("generate", "-m", lm, "--record", "line", stdin=slave).failed(2)
        # `generate` does without a prompt.
        found = run("generate", "-m", lm, *ONE, "-n", "3", "--seed", "1", stdin=slave)
        assert found.done().out == run("generate", "-m", lm, *ONE, "-n", "3", "--seed", "1").out
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("args", "status", "beginning"),
    [
        (["--version"], 0, "rnntext "),
        (["--help"], 0, "Usage: rnntext "),
        (["train", "--help"], 0, "Usage: rnntext train "),
        (["classify", "-h"], 0, "Usage: rnntext classify "),
    ],
)
def test_help_and_version(args: list[str], status: int, beginning: str, run: Shell) -> None:
    found = run(*args).done()
    assert found.status == status
    assert found.text.strip().startswith(beginning)
