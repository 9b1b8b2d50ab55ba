"""`rnntext predict`: in a pipe, and at a terminal while somebody types."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RNNTEXT, Shell, environment

ONE = ("--threads", "1")


def test_pairs_along_the_line(run: Shell, lm: Path) -> None:
    found = run(
        "predict", "-m", lm, *ONE, stdin="The heron\n\nnaïve café 你好 🙂\n".encode()
    ).done()
    assert len(found.lines) == 3
    for line in found.lines:
        fields = line.split("\t")
        assert len(fields) == 10
        numbers = [float(number) for number in fields[1::2]]
        assert numbers == sorted(numbers, reverse=True)
        assert 0 < sum(numbers) <= 1
        assert all(re.fullmatch(r"\S+", word) for word in fields[::2])


def test_json(run: Shell, lm: Path) -> None:
    args = ("predict", "-m", lm, *ONE, "--json", "-k", "3", "--text", "The heron stood")
    (found,) = run(*args).done().objects
    assert list(found) == ["text", "predictions", "unexplored"]
    assert found["text"] == "The heron stood"
    assert [sorted(word) for word in found["predictions"]] == [["probability", "word"]] * 3
    assert 0 <= found["unexplored"] <= 1


def test_complete_begins_with_what_was_typed(run: Shell, lm: Path) -> None:
    args = ("predict", "-m", lm, *ONE, "--json", "--complete", "--text", "The heron st")
    (found,) = run(*args).done().objects
    words = [word["word"] for word in found["predictions"]]
    assert words
    assert all(word.startswith("st") for word in words)
    # Conditioned on the letters: the likeliest of what begins so is no longer a rarity.
    assert found["predictions"][0]["probability"] > 0.01


def test_a_line_alone_or_in_a_batch(run: Shell, lm: Path) -> None:
    texts = ["The heron", "", "a mill by the river and", "He said"]
    batch = run("predict", "-m", lm, *ONE, stdin="".join(f"{t}\n" for t in texts).encode()).done()
    for text, line in zip(texts, batch.lines, strict=True):
        assert run("predict", "-m", lm, *ONE, "--text", text).done().lines == [line]


def test_a_row_keeps_its_fields(run: Shell, lm: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,said\n7,The heron\n", "utf-8")
    args = ("predict", "-m", lm, *ONE, "--json", "--text-column", "said", tmp_path / "a.csv")
    (found,) = run(*args).done().objects
    assert (found["id"], found["text"]) == ("7", "The heron")


def test_what_cannot_be(run: Shell, lm: Path, classifier: Path) -> None:
    run("predict", "-m", lm, "-k", "0", "--text", "x").failed(2, "-k")
    run("predict", "-m", classifier, "--text", "x").failed(1, "is a classifier", "language model")


class Typist:
    """Somebody at the terminal of `rnntext predict`."""

    def __init__(self, lm: Path) -> None:
        self._master, slave = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            [*RNNTEXT, "predict", "-m", str(lm), *ONE],
            stdin=slave, stdout=slave, stderr=slave, env=environment(), start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def types(self, keys: str, until: Callable[[str], bool]) -> None:
        """Press keys and look at the screen until it is as it should be."""
        os.write(self._master, keys.encode())
        deadline = time.monotonic() + 30
        while not until(self.shown):
            assert time.monotonic() < deadline, self.shown
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    data = os.read(self._master, 1 << 16).decode(errors="replace")
                except OSError:  # Linux says so where the last writer is gone
                    return
                if "\x1b[6n" in data:
                    os.write(self._master, b"\x1b[1;1R")  # where the cursor is
                self.shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def typist(lm: Path):  # type: ignore[no-untyped-def]
    typist = Typist(lm)
    yield typist
    typist.close()


def test_words_while_one_types(typist: Typist) -> None:
    typist.types("", lambda shown: "Ctrl-D ends" in shown)
    before = len(typist.shown)
    typist.types(
        "The", lambda shown: re.search(r"\bthe\w* \d\.\d\d", shown[before:], re.I) is not None
    )
    # Enter begins a new line, Ctrl-D on an empty one ends.
    before = len(typist.shown)
    typist.types("\r", lambda shown: "Ctrl-D ends" in shown[before:])
    typist.types("\x04", lambda _: typist.process.poll() is not None)
    assert typist.process.wait(10) == 0
    assert "> The" in typist.shown
    assert "Traceback" not in typist.shown


def test_ctrl_c_while_one_types(typist: Typist) -> None:
    typist.types("", lambda shown: "Ctrl-D ends" in shown)
    typist.types("\x03", lambda _: typist.process.poll() is not None)
    assert typist.process.wait(10) == 128 + signal.SIGINT
    assert "Traceback" not in typist.shown
