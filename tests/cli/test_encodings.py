"""Every command on a terminal that does not know UTF-8, and into a pipe under such a locale."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from rnntext.cli.encodings import encodable, prepare_streams
from rnntext.cli.main import COMMANDS, main
from rnntext.cli.progress import Progress
from tests.cli.run_events import PREPARED, STEP
from tests.cli.test_progress import LONGEST
from tests.conftest import CORPORA, RNNTEXT, environment

TEXT = "naïve café 你好 🙂 The heron"
ENCODINGS = ("ascii", "latin-1", "cp1252")
# What stands for MODEL, and then the rest of the command.
LINES = (
    ("lm", "score -m MODEL --text TEXT"),
    ("lm", "score --words -m MODEL --text TEXT"),
    ("lm", "predict -m MODEL --text TEXT"),
    ("lm", "generate -m MODEL -n 3 --seed 1 TEXT"),
    ("lm", "inspect states -m MODEL --text TEXT"),
    ("lm", "inspect gates -m MODEL --text TEXT"),
    ("lm", "inspect surprise -m MODEL --text TEXT"),
    ("lm", "inspect unroll -m MODEL --text TEXT"),
    ("lm", "inspect neighbours -m MODEL the"),
    ("lm", "info MODEL"),
    ("lm", "plot MODEL"),
    ("classifier", "classify --with-text -m MODEL --text TEXT"),
    ("classifier", "classify --explain -m MODEL --text TEXT"),
    ("classifier", "embed -m MODEL --text TEXT"),
    ("classifier", "inspect explain -m MODEL --text TEXT"),
    ("classifier", "evaluate -m MODEL TABLE --errors 2"),
    ("tagger", "tag -m MODEL --text TEXT"),
    ("tagger", "info MODEL"),
    ("tagger", "evaluate -m MODEL TAGGED"),
    ("lm", "score -m MODEL TEXT"),  # no such file
    ("lm", "compare classify TEXT"),
    ("lm", "train lm TEXT -o MODEL/TEXT"),
    ("lm", "export MODEL/TEXT --int8"),
    ("lm", "demo -o MODEL"),
    *(("lm", f"{name} --help") for name in COMMANDS),
)


class Stream(TextIOWrapper):
    """A file that takes the place of standard output or standard error: a terminal or not."""

    def __init__(self, path: Path, encoding: str, *, terminal: bool, errors: str) -> None:
        super().__init__(path.open("wb", buffering=0), encoding, errors, write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


Shown = Callable[..., tuple[bytes, bytes]]


@pytest.fixture
def shown(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Runs a command; returns what stdout and stderr got."""
    table, tagged = tmp_path / "table.csv", tmp_path / "tagged.conllu"
    table.write_text(f"label,text\npos,{TEXT}\nné你,{TEXT} again\n", "utf-8")
    whole = (CORPORA / "tagged.conllu").read_text("utf-8")
    tagged.write_text("\n\n".join(whole.split("\n\n")[:3]) + "\n\n", "utf-8")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")

    def shown(model: str, line: str, encoding: str, *, terminal: bool) -> tuple[bytes, bytes]:
        directory = str(request.getfixturevalue(model))
        values = {"TEXT": TEXT, "TABLE": str(table), "TAGGED": str(tagged)}
        words = [values.get(w, w).replace("MODEL", directory) for w in line.split(" ")]
        monkeypatch.setattr(sys, "argv", ["rnntext", *(w.replace("/TEXT", TEXT) for w in words)])
        out, err = tmp_path / "out", tmp_path / "err"
        with (
            Stream(out, encoding, terminal=terminal, errors="strict") as stdout,
            Stream(err, encoding, terminal=terminal, errors="backslashreplace") as stderr,
            monkeypatch.context() as patch,
        ):
            patch.setattr(sys, "stdout", stdout)
            patch.setattr(sys, "stderr", stderr)
            with pytest.raises(SystemExit):
                main()
        return out.read_bytes(), err.read_bytes()

    return shown


@pytest.mark.parametrize(("model", "line"), LINES)
def test_every_command(model: str, line: str, shown: Shown) -> None:
    """A terminal gets its own encoding, in which what it lacks is replaced; a pipe gets UTF-8."""
    expected, errors = shown(model, line, "utf-8", terminal=False)
    assert shown(model, line, "ascii", terminal=False)[0] == expected
    for encoding in ENCODINGS:
        drawn = [stream.decode(encoding) for stream in shown(model, line, encoding, terminal=True)]
        assert "".join(drawn)
        assert "Traceback" not in drawn[1]
        assert "\\u" not in drawn[1]  # what Python writes for a character that is not encodable
        assert "\ufffd" not in "".join(drawn)
    assert "Traceback" not in errors.decode()


def test_text_is_replaced_column_by_column(shown: Shown) -> None:
    line = "classify --with-text -m MODEL --text TEXT"
    drawn = shown("classifier", line, "latin-1", terminal=True)[0].decode("latin-1")
    assert "naïve café ???? ?? The heron" in drawn
    drawn = shown("classifier", line, "ascii", terminal=True)[0].decode("ascii")
    assert "na?ve caf? ???? ?? The heron" in drawn
    piped = shown("classifier", line, "ascii", terminal=False)[0]
    assert TEXT in piped.decode()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_tables_have_ascii_frames(encoding: str, shown: Shown) -> None:
    table = shown("classifier", "info MODEL", encoding, terminal=True)[0].decode(encoding)
    assert "+--" in table
    assert all(line[0] == line[-1] == "|" for line in table.splitlines()[2:-1])
    assert "?" not in table


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_progress(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    for terminal in (True, False):
        path = tmp_path / "err"
        with Stream(path, encoding, terminal=terminal, errors="backslashreplace") as stderr:
            monkeypatch.setattr(sys, "stderr", stderr)
            with Progress(quiet=False) as progress:
                for event in (*LONGEST, PREPARED, replace(STEP, step=21)):
                    progress.show(event)
            monkeypatch.undo()
        drawn = path.read_bytes().decode(encoding)
        assert "perplexity 1.235e+06" in drawn
        assert ("\\u" in drawn) == (not terminal)
        assert ("--------------------" in drawn) == terminal


@pytest.mark.parametrize(
    ("text", "encoding", "replaced"),
    [
        ("naïve ┏━┳━┓ │ ⣿ … ±", "utf-8", "naïve ┏━┳━┓ │ ⣿ … ±"),
        ("naïve ┏━┳━┓ │ ⣿ … ±", "latin-1", "naïve +-+-+ | * . ±"),
        ("naïve ┏━┳━┓ │ ⣿ … ±", "ascii", "na?ve +-+-+ | * . ~"),
        ("你e\u0301🙂", "ascii", "??e??"),
        ("\udcc3x", "utf-8", "?x"),
        ("x", None, "x"),
    ],
)
def test_replacements(text: str, encoding: str | None, replaced: str) -> None:
    assert encodable(text, encoding) == replaced


@pytest.mark.parametrize(("terminal", "got"), [(True, b"na?ve"), (False, "naïve".encode())])
def test_what_libraries_print_is_no_error(
    terminal: bool, got: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Stream(tmp_path / "out", "ascii", terminal=terminal, errors="strict") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO("ï\n".encode()), "ascii"))
        prepare_streams()
        print("naïve", end="")
        assert sys.stdin.readline() == "\ufffd\ufffd\n"
        monkeypatch.undo()
    assert (tmp_path / "out").read_bytes() == got


def test_a_locale_without_any_encoding(classifier: Path, tmp_path: Path) -> None:
    """Arguments and names of files are bytes, which Python cannot decode there."""
    file = tmp_path / "naïve 你好.txt"
    file.write_text(f"{TEXT}\n", "utf-8")
    posix = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def run(*words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*RNNTEXT, "classify", "--with-text", "-m", str(classifier), *words],
            env=environment(posix),
            capture_output=True,
            check=False,
        )

    read, given = run(str(file)), run("--text", TEXT)
    assert (read.returncode, read.stderr, given.stderr) == (0, b"", b"")
    assert read.stdout == given.stdout
    assert read.stdout.endswith(b"\t" + os.fsencode(TEXT) + b"\n")
    missing = run(str(file) + "x")
    assert missing.returncode == 1
    assert missing.stderr.count(b"\n") == 1
