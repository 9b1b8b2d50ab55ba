"""How text gets to standard output and standard error: pipes, full disks, terminals."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
import typer

from rnntext.cli import output
from rnntext.errors import RnntextError
from tests.cli.screens import pipe, screen, written


@pytest.fixture(autouse=True)
def _pipes_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that waits for a pipe would wait for ever."""

    def refuse(*_: object) -> None:
        raise AssertionError("the pipe has room")

    monkeypatch.setattr(output.select, "select", refuse)


def test_text_is_written_at_once_and_after_what_was_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = pipe(monkeypatch)
    print("printed")
    output.write("naïve 你好 🙂\n")
    assert os.read(reader, 100).decode() == "printed\nnaïve 你好 🙂\n"
    assert written(reader) == ""


def test_a_lone_surrogate_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    output.write("caf\udce9\n")
    assert written(reader) == "caf?\n"


def test_a_write_that_takes_a_part_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    whole, sizes = os.write, []

    def some(descriptor: int, data: memoryview) -> int:
        sizes.append(len(data))
        return whole(descriptor, data[:4])

    monkeypatch.setattr(output.os, "write", some)
    output.write("0123456789")
    assert sizes == [10, 6, 2]
    output.write("")  # only flushes
    assert sizes == [10, 6, 2]
    assert written(reader) == "0123456789"


def test_a_full_pipe_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    whole, waited = os.write, list[Any]()

    def full_at_first(descriptor: int, data: memoryview) -> int:
        if not waited:
            raise BlockingIOError
        return whole(descriptor, data)

    def wait(*descriptors: list[int]) -> None:
        waited.append(descriptors)

    monkeypatch.setattr(output.os, "write", full_at_first)
    monkeypatch.setattr(output.select, "select", wait)
    output.write("a line\n")
    assert waited == [([], [sys.stdout.fileno()], [])]
    assert written(reader) == "a line\n"


def test_a_reader_that_has_left_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    os.close(pipe(monkeypatch))
    print("in the buffer")
    with pytest.raises(typer.Exit) as caught:
        output.write("a line\n")
    assert caught.value.exit_code == 0
    # What is left goes nowhere; it would fail again when Python flushes the stream at its end.
    print("more", flush=True)
    sys.stdout.close()


def test_a_full_disk_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", open("/dev/full", "w", encoding="utf-8"))  # noqa: SIM115
    print("in the buffer")
    with pytest.raises(RnntextError) as caught:
        output.write("a line\n")
    assert str(caught.value) == "standard output cannot be written: No space left on device"
    print("more", flush=True)
    sys.stdout.close()


def test_without_standard_output_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert not output.on_terminal()
    with pytest.raises(RnntextError) as caught:
        output.write("a line\n")
    assert str(caught.value) == ("standard output is closed: there is nowhere to write the results")


def test_a_line_on_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch, "stderr")
    output.print_stderr("one")
    assert os.read(reader, 100) == b"one\n"  # it does not wait in a buffer
    output.print_stderr("two", quiet=True)
    output.print_stderr("three", quiet=False)
    assert written(reader, "stderr") == "three\n"


def test_a_standard_error_that_fails_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    output.print_stderr("lost")
    monkeypatch.setattr(sys, "stderr", open("/dev/full", "w", encoding="utf-8"))  # noqa: SIM115
    output.print_stderr("lost")
    # It is not tried again, when Python flushes the stream at its end.
    print("more", file=sys.stderr, flush=True)
    sys.stderr.close()


def test_a_terminal_is_told_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    assert not output.on_terminal()
    assert written(reader) == ""
    screen(monkeypatch)
    assert output.on_terminal()


def test_results_on_a_terminal_are_not_wrapped_but_messages_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = screen(monkeypatch, "stdout", 20)
    err = screen(monkeypatch, "stderr", 20)
    words = "1 [word] in 'this' line is past the margin"
    output.console().print(words, markup=False)
    assert out.getvalue() == words + "\n"  # nor is a number or a text coloured
    assert err.getvalue() == ""
    output.console(stderr=True).print(words, markup=False)
    assert out.getvalue() == words + "\n"
    assert err.getvalue().split() == words.split()
    assert max(map(len, err.getvalue().splitlines())) <= 20


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("", True), ("1", False)])
def test_colours_and_bold_unless_no_color(
    no_color: str | None, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = screen(monkeypatch)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    output.console().print("word", style="bold")
    assert out.shown == "word\n"
    assert ("\x1b" in out.getvalue()) == coloured


def test_a_line_for_the_terminal_knows_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.text import Text

    out = screen(monkeypatch, "stdout", 33)
    line = output.terminal_formatter(lambda a, b, width: Text(f"{a} [b]{b} {width}", "bold"))
    assert line("x", 7) == "\x1b[1mx [b]7 33\x1b[0m\n"
    assert out.getvalue() == ""  # the caller writes it


def test_pairs_in_a_pipe_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    output.print_pairs({"a\tb": 0.25, "steps": 30, "unknown": None, "text": "x\ny"}, "title")
    assert written(reader) == "a b\t0.25\nsteps\t30\nunknown\t\ntext\tx y\n"


def test_pairs_on_a_terminal_are_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    out = screen(monkeypatch)
    output.print_pairs({"a [b] name": 0.25, "steps": 30}, "the [i] title")
    title, _, first, second, _ = out.shown.splitlines()
    assert title.strip() == "the [i] title"
    assert title.startswith("the")
    assert first.strip("│ ").split("│")[0].strip() == "a [b] name"
    assert [cell.strip() for cell in first.split("│")] == ["", "a [b] name", "0.25", ""]
    assert [cell.strip() for cell in second.split("│")] == ["", "steps", "30", ""]


def test_scores_of_labels_are_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    out = screen(monkeypatch)
    scores = {
        "a [b]": {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 4},
        "long label": {"precision": 1.0, "recall": 0.125, "f1": 0.2, "support": 12345},
    }
    output.print_label_table(scores, "by [i] label")
    lines = out.shown.splitlines()
    assert lines[0].rstrip() == "by [i] label"
    rows = [line.strip("│┃") for line in lines if line[0] in "│┃"]
    cells = [[cell.strip() for cell in row.replace("┃", "│").split("│")] for row in rows]
    assert cells == [
        ["label", "precision", "recall", "f1", "support"],
        ["a [b]", "0.5000", "0.2500", "0.3333", "4"],
        ["long label", "1.0000", "0.1250", "0.2000", "12345"],
    ]
    assert rows[1].startswith(" a [b]  ")  # words to the left, numbers to the right
    assert rows[1].endswith("       4 ")
