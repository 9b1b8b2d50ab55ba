"""`rnntext predict`: in a pipe, on a terminal, and while a user types."""

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

from tests.cli.test_streams import on_terminal, plain
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
    args = ("predict", "-m", lm, *ONE, "--json", "-k", "100000")
    (found,) = run(*args, "--complete", "--text", "The heron st").done().objects
    completions = {word["word"]: word["probability"] for word in found["predictions"]}
    assert completions
    assert all(word.startswith("st") for word in completions)
    assert sum(completions.values()) + found["unexplored"] == pytest.approx(1, abs=1e-3)
    # Given its first letters, a word is more probable than without them.
    (found,) = run(*args, "--text", "The heron").done().objects
    words = {word["word"]: word["probability"] for word in found["predictions"]}
    likeliest = list(completions)[:5]
    assert all(completions[word] > words.get(word, 0) for word in likeliest)


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


def test_invalid_options_and_models(run: Shell, lm: Path, classifier: Path) -> None:
    run("predict", "-m", lm, "-k", "0", "--text", "x").failed(2, "-k")
    run("predict", "-m", classifier, "--text", "x").failed(1, "is a classifier", "language model")


@pytest.mark.parametrize("repeated", [1, 20])
def test_a_terminal_shows_the_end_of_the_text_and_the_words(
    repeated: int, run: Shell, lm: Path
) -> None:
    text = "literal [brackets] and  [bold]tags[/bold] " * repeated + "said"
    args = ("predict", "-m", lm, *ONE, "--text", text)
    found, shown = on_terminal(run, *args, size=(24, 200))
    assert found.done().out == b""
    assert b"\x1b[" in shown
    (answer,) = run(*args, "--json").done().objects
    words = [f"  {w['word']} {w['probability']:.2f}" for w in answer["predictions"]]
    assert len(words) == 5
    # The end of the text that fits beside the words, from the beginning of a word on.
    line = plain(shown).removesuffix("".join(words) + "\n")
    whole = " ".join(text.split())
    assert line.startswith("…") == (repeated > 1)
    assert f" {whole}".endswith(f" {line.removeprefix('…')}")
    assert len(plain(shown)) - 1 <= 200


class Typist:
    """A user at the terminal of `rnntext predict`."""

    def __init__(self, lm: Path) -> None:
        self._master, slave = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            [*RNNTEXT, "predict", "-m", str(lm), *ONE],
            stdin=slave, stdout=slave, stderr=slave, env=environment(), start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def types(self, keys: str, until: Callable[[str], bool]) -> None:
        """Press keys and read the screen until it is as expected."""
        os.write(self._master, keys.encode())
        deadline = time.monotonic() + 120
        while not until(self.shown):
            assert time.monotonic() < deadline, self.shown
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    data = os.read(self._master, 1 << 16).decode(errors="replace")
                except OSError:  # Linux, after the last writer has closed the terminal
                    return
                if "\x1b[6n" in data:
                    os.write(self._master, b"\x1b[1;1R")  # the position of the cursor
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
    assert typist.process.wait(120) == 0
    assert "> The" in typist.shown
    assert "Traceback" not in typist.shown


def test_ctrl_c_while_one_types(typist: Typist) -> None:
    typist.types("", lambda shown: "Ctrl-D ends" in shown)
    typist.types("\x03", lambda _: typist.process.poll() is not None)
    assert typist.process.wait(120) == 128 + signal.SIGINT
    assert "Traceback" not in typist.shown
