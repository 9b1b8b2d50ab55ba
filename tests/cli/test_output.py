"""How results are written: in parts, and of many labels some."""

from __future__ import annotations

import os

import pytest
from rich.table import Table
from rich.text import Text

from rnntext.cli.output import (
    cell,
    console,
    in_chunks,
    most_frequent,
    print_label_table,
    print_pairs,
    print_stderr,
    shown,
    terminal_formatter,
    with_errors,
)
from rnntext.text.records import Record
from tests.cli.screens import screen

HOSTILE = "a\x1b[2J\x9b31m\n│ b\r\u2028c\x07"


def test_long_output_is_joined_into_parts() -> None:
    lines = [f"{number} {'x' * (number % 2_000)}\n" for number in range(3_000)]
    chunks = list(in_chunks(lines))
    assert "".join(chunks) == "".join(lines)
    assert 5 < len(chunks) < 30
    assert max(map(len, chunks)) < 300_000
    assert list(in_chunks([])) == []
    # A line is not held back by the next one.
    endless = in_chunks("x" * 300_000 for _ in iter(int, 1))
    assert len(next(endless)) == 300_000


def test_a_dumb_terminal_is_as_wide_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich says 80 columns of each."""
    for stream in ("stdout", "stderr"):
        terminal = screen(monkeypatch, stream, columns=50)
        monkeypatch.setenv("TERM", "dumb")
        assert console(stderr=stream == "stderr").width == 50
        monkeypatch.delenv("COLUMNS")
        assert console(stderr=stream == "stderr").width == 80  # none says how many
        monkeypatch.setattr(terminal, "fileno", lambda: 7)
        monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((fd * 9, 20)))
        assert console(stderr=stream == "stderr").width == 63
        monkeypatch.undo()


def test_few_labels_are_all_shown_in_their_order() -> None:
    counts = {f"{number}": number for number in range(20)}
    shown, remark = most_frequent(counts)
    assert list(shown.items()) == list(counts.items())
    assert remark == ""


def test_of_many_labels_the_most_frequent_are_shown() -> None:
    shown, remark = most_frequent({f"{number}": number % 1000 for number in range(2000)})
    assert list(shown)[:4] == ["999", "1999", "998", "1998"]
    assert len(shown) == 20
    assert remark == "the 20 most frequent of 2,000 labels; --json gives all of them"


def test_no_part_of_an_answer_leaves_its_line_or_drives_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = screen(monkeypatch)

    def compose(word: str, width: int) -> Text:
        return Text().append(word, "bold").append("/X", "cyan")

    line = terminal_formatter(compose)(HOSTILE)
    assert line == "\x1b[1ma [2J 31m │ b c\x1b[0m\x1b[36m/X\x1b[0m\n"
    assert terminal.getvalue() == ""


def test_a_record_that_could_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def line(record: Record, answer: str) -> str:
        return f"{record.text} {answer}\n"

    bad = Record("", error="line 2 is\tnot JSON", line=2)
    tsv = with_errors(line, "\t\n", json=False)
    assert tsv(Record("a"), "b") == "a b\n"
    assert tsv(bad, "b") == "\t\n"
    json_form = with_errors(line, "\t\n", json=True)(bad, None)
    assert json_form == '{"error": "line 2 is\\tnot JSON", "line": 2}\n'
    screen(monkeypatch)
    styled = with_errors(line, "\t\n", json=False)(bad, None)
    assert styled == "\x1b[31mline 2 is not JSON\x1b[0m\n"


def test_a_table_has_a_row_for_each_label_whatever_is_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = screen(monkeypatch, columns=100)
    print_pairs({HOSTILE: HOSTILE}, HOSTILE)
    scores = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 1}
    print_label_table({HOSTILE: scores}, HOSTILE)
    assert sum(line.startswith("│") for line in terminal.shown.splitlines()) == 2
    assert "\x1b[2J" not in terminal.getvalue()
    assert not set("\x9b\r\u2028\x07") & set(terminal.getvalue())


def test_a_console_passes_on_colours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = screen(monkeypatch)
    table = Table(show_header=False)
    table.add_row(Text("a\x1b[2Jb\x9bc", "bold"), "d")
    console().print(table)
    rows = [line for line in terminal.shown.splitlines() if line.startswith("│")]
    assert rows == ["│ a[2Jbc │ d │"]
    assert "\x1b[1m" in terminal.getvalue()
    assert cell("a\nb").plain == "a b"


def test_messages_show_what_is_in_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    print_stderr("rnntext: no \x1b[2J\x9b.txt")
    assert capsys.readouterr().err == "rnntext: no \\x1b[2J\\x9b.txt\n"


def test_generated_text_keeps_its_lines_and_does_not_drive_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shown("a\n\tb\x1b[2J") == "a\n\tb\x1b[2J"  # a pipe gets the text as it is
    screen(monkeypatch)
    assert shown("a\n\tb\x1b[2J") == "a\n\tb [2J"
