"""Edge cases of the command line: odd bytes, closed and shared streams, strange values."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rnntext.checkpoint import load
from rnntext.cli import output
from rnntext.cli.train import train
from rnntext.training.data import prepare
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions
from tests.cli.test_streams import on_terminal
from tests.conftest import CORPORA, RNNTEXT, TINY, Shell, environment

ONE = ("--threads", "1")
NOT_UTF_8 = "caf\udce9"  # how Python shows the byte 0xE9 in an argument
REVIEWS = CORPORA / "reviews.csv"


def shell(command: str, *args: object) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which "$@" is rnntext and `args`."""
    return subprocess.run(
        ["bash", "-c", command, "bash", *RNNTEXT, *map(str, args)],
        capture_output=True,
        env=environment(),
        timeout=60,
        check=False,
    )


# Text on the command line that is not UTF-8


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_a_text_argument_that_is_no_utf_8(
    task: str, run: Shell, classifier: Path, tagger: Path
) -> None:
    model = classifier if task == "classify" else tagger
    found = run(task, "-m", model, *ONE, "--text", NOT_UTF_8)
    found.failed(found.status if found.status in (1, 2) else 2, "0xE9")


def test_a_prompt_that_is_no_utf_8(run: Shell, lm: Path) -> None:
    found = run("generate", "-m", lm, *ONE, "--seed", "1", NOT_UTF_8)
    found.failed(found.status if found.status in (1, 2) else 2, "0xE9")
    assert found.out == b""


def test_a_directory_whose_name_is_no_utf_8(run: Shell, tmp_path: Path) -> None:
    out = os.fsencode(tmp_path / NOT_UTF_8)
    run("train", "classify", REVIEWS, "-o", os.fsdecode(out), *TINY, 2, "-q").done()
    assert os.path.isfile(os.path.join(out, b"config.json"))


# Rows


@pytest.mark.parametrize("value", ["0.123456789012345", "1700000000.123456", "1e-9", "-0.0000004"])
@pytest.mark.parametrize("task", ["classify", "tag"])
def test_the_numbers_of_a_row_stay_as_they_are(
    task: str, value: str, run: Shell, classifier: Path, tagger: Path
) -> None:
    model = classifier if task == "classify" else tagger
    args = (task, "-m", model, *ONE, "--json", "--text-column", "text")
    row = f'{{"text": "x", "number": {value}, "inside": [{value}]}}\n'
    (found,) = run(*args, stdin=row.encode()).done().objects
    assert (found["number"], found["inside"]) == (float(value), [float(value)])


@pytest.mark.parametrize("value", ["1e999", "NaN", "-Infinity"])
def test_json_output_is_json(value: str, run: Shell, classifier: Path) -> None:
    args = ("classify", "-m", classifier, *ONE, "--json", "--text-column", "text")
    found = run(*args, stdin=f'{{"text": "x", "number": {value}}}\n'.encode())

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    if found.status:
        found.failed(1, "line 1")
    for line in found.lines:
        json.loads(line, parse_constant=refuse)


# Streams that are closed, full or slow


def test_standard_error_is_closed(tmp_path: Path) -> None:
    found = shell('"$@" 2>&-', "info", tmp_path / "missing")
    assert (found.returncode, found.stdout) == (1, b"")


def test_training_with_standard_error_closed(tmp_path: Path) -> None:
    found = shell('"$@" 2>&-', "train", "classify", REVIEWS, "-o", tmp_path / "m", *TINY, 2)
    assert found.returncode == 0
    assert found.stdout.startswith(b"accuracy\t")


@pytest.mark.parametrize("where", ["2>/dev/full", "2> >(exec head -c 1 >/dev/null)"])
def test_training_continues_if_stderr_cannot_be_written(where: str, tmp_path: Path) -> None:
    out = tmp_path / "m"
    words = ["train", "classify", REVIEWS, "-o", out, *TINY, 4]
    found = subprocess.run(
        ["bash", "-c", f'"$@" {where}', "-", *RNNTEXT, *map(str, words)],
        env=environment(), capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert found.returncode == 0
    assert found.stdout.startswith(b"accuracy\t")
    assert (out / "model.onnx").exists()


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_into_a_full_disk(flag: str, run: Shell) -> None:
    run(flag, out="/dev/full").failed(1, "No space left on device")


def test_a_reader_that_made_the_pipe_non_blocking(classifier: Path, tmp_path: Path) -> None:
    """Node and ssh make the pipes and terminals that they share non-blocking."""
    (tmp_path / "a.txt").write_text("hello there, a line of text\n" * 8000)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    command = ["classify", "-m", str(classifier), *ONE, "--with-text", str(tmp_path / "a.txt")]
    with subprocess.Popen(
        [*RNNTEXT, *command], stdout=writer, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stderr is not None
        while select.select([], [writer], [], 0)[1]:  # until the pipe is full
            assert process.poll() is None
            time.sleep(0.01)
        os.close(writer)
        lines = 0
        while data := os.read(reader, 1 << 16):
            lines += data.count(b"\n")
        os.close(reader)
        assert process.stderr.read() == b""
        assert process.wait(120) == 0
    assert lines == 8000


def test_writing_waits_until_the_reader_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    filling = b"x" * (1 << 20)
    size = os.write(writer, filling)  # as much as the pipe holds
    received = b""

    def read(_: object, writers: list[int], __: object) -> None:
        nonlocal received
        assert writers == [writer]
        received += os.read(reader, 1 << 20)

    monkeypatch.setattr(output.select, "select", read)
    with open(writer, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        output.write("naïve\n" * 100_000)
    with open(reader, "rb") as rest:
        received += rest.read()
    assert received == filling[:size] + "naïve\n".encode() * 100_000


# Terminals


def test_no_color_on_a_terminal(run: Shell, classifier: Path, tagger: Path, lm: Path) -> None:
    for args in (
        ("classify", "-m", classifier, *ONE, "--text", "some [red] text"),
        ("tag", "-m", tagger, *ONE, "--text", "some [red] text"),
        ("generate", "-m", lm, *ONE, "-n", "3", "--seed", "1", "some [red] text"),
        ("evaluate", "-m", classifier, *ONE, REVIEWS),
        ("info", tagger),
    ):
        found, shown = on_terminal(run, *args, env={"NO_COLOR": "1"})
        found.done()
        assert b"\x1b" not in shown, args[0]


@pytest.mark.parametrize("name", ["classify", "tag", "evaluate", "train"])
def test_a_dash_does_not_read_a_terminal_either(
    name: str, run: Shell, classifier: Path, tagger: Path, tmp_path: Path
) -> None:
    commands: dict[str, tuple[object, ...]] = {
        "classify": ("classify", "-m", classifier, "-"),
        "tag": ("tag", "-m", tagger, "-"),
        "evaluate": ("evaluate", "-m", classifier, "-"),
        "train": ("train", "lm", "-", "-o", tmp_path / "m", *TINY, 2),
    }
    master, slave = pty.openpty()
    try:
        found = run(*commands[name], stdin=slave).failed(2, "name a file, or pipe text in")
        assert ("--text" in found.err) == (name in ("classify", "tag"))
    finally:
        os.close(master)
        os.close(slave)


# Training


def test_a_time_budget_too_small_for_all_data(
    run: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A part of the data is used; the run says so and can be repeated."""
    data = tmp_path / "a.txt"
    data.write_text("".join(f"line {n} of some text\n" for n in range(300)))
    # The time for reading is over when the run first looks at the clock, after 100 lines.
    monkeypatch.setattr(prepare, "CHUNK", 100)
    for share in ("SCAN_SHARE", "ENCODE_SHARE", "MIN_SCAN_SHARE", "MIN_ENCODE_SHARE"):
        monkeypatch.setattr(prepare, share, 0.0)
    # Training has time enough for its maximum number of epochs.
    train(
        TrainingOptions("lm", (str(data),), preset="tiny", minutes=60.0, threads=1),
        tmp_path / "m",
        ExecutionOptions(),
        quiet=False,
    )
    summary = load(tmp_path / "m").config["data"]
    assert summary["cut_short"]
    assert 0 < summary["train"] + summary["valid"] < 300
    first = f"the time allows for the first {summary['train']:,} lines of the training data"
    assert first in capsys.readouterr().err
    again = ("train", "lm", "--config", tmp_path / "m/config.json", "-q")
    run(*again, "-o", tmp_path / "n").done()
    assert load(tmp_path / "n").config["data"]["train"] == summary["train"]
    one, two = ((tmp_path / name / "model.onnx").read_bytes() for name in "mn")
    assert one == two


def test_a_seed_too_large_for_torch(run: Shell, tmp_path: Path) -> None:
    args = ("train", "classify", REVIEWS, "-o", tmp_path / "m", *TINY, 2, "-q")
    run(*args, "--seed", 2**64).failed(2, "--seed")


def test_a_validation_that_gives_no_numbers(run: Shell, tmp_path: Path) -> None:
    args = ("train", "classify", REVIEWS, "-o", tmp_path / "m", *TINY, 2, "-q")
    higher = (
        "from rnntext.arguments import LEARNING_RATE\n"
        "object.__setattr__(LEARNING_RATE, 'most', 1e31)\n"
    )
    found = run(*args, "--lr", "1e30", before=higher)
    found.failed(1, "the weights became infinite or NaN by step", "--lr")
    assert os.listdir(tmp_path) == []


def test_the_config_of_another_task(run: Shell, classifier: Path, tmp_path: Path) -> None:
    args = ("train", "lm", "--config", classifier / "config.json", "-o", tmp_path / "m", "-q")
    run(*args).failed(2, "classify")
    assert os.listdir(tmp_path) == []


# The rest


@pytest.mark.parametrize("bound", ["accuracy=nan", "accuracy=-nan"])
def test_a_bound_that_bounds_nothing(bound: str, run: Shell, classifier: Path) -> None:
    run("evaluate", "-m", classifier, REVIEWS, "--min", bound).failed(2, "METRIC=VALUE")


@pytest.mark.parametrize("change", [None, 0, -1, "x", "absent"])
def test_a_config_without_a_sound_length(
    change: Any, run: Shell, classifier: Path, tmp_path: Path
) -> None:
    shutil.copytree(classifier, tmp_path / "m")
    path = tmp_path / "m/config.json"
    config = json.loads(path.read_text("utf-8"))
    config["model"]["max_length"] = change
    if change == "absent":
        del config["model"]["max_length"]
    path.write_text(json.dumps(config), "utf-8")
    run("classify", "-m", tmp_path / "m", *ONE, "--text", "x y").failed(1, "config.json")


SPLITTING = """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (150, 150))
from rnntext.text.word_splitting import split_words
assert len(split_words({unit!r} * 100_000)) >= 100_000
"""


@pytest.mark.parametrize("unit", ["a+", "+a-", "a.+"])
def test_splitting_words_takes_linear_time(unit: str) -> None:
    """In linear time this takes some 3 seconds of CPU time; with a pattern that takes quadratic
    time it took over 10 minutes, and the kernel would end the process."""
    found = subprocess.run(
        [sys.executable, "-c", SPLITTING.format(unit=unit)],
        capture_output=True,
        env=environment(),
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, b"")


INTERRUPTED_IMPORT = """
import os, runpy, signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ["rnntext", "--version"]
runpy.run_module("rnntext", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_while_the_command_line_is_imported() -> None:
    found = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT],
        capture_output=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in found.stderr
    assert found.returncode == 130


def test_a_penalty_beyond_float32(run: Shell, lm: Path) -> None:
    args = ("generate", "-m", lm, *ONE, "--seed", "1", "-n", "3", "x")
    found = run(*args, "--repetition-penalty", "1e300")
    assert found.status in (0, 2)
    assert "Warning" not in found.err


def test_info_accepts_quiet(run: Shell, classifier: Path) -> None:
    assert run("info", "-q", classifier).done().out == run("info", classifier).done().out


def test_messages_name_standard_input(run: Shell, tmp_path: Path) -> None:
    args = ("train", "classify", "-", "-o", tmp_path / "m", *TINY, 2)
    run(*args, stdin=b"text,label\nx,a\n").failed(1, "standard input has only the label 'a'")
