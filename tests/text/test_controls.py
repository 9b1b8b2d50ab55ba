"""What is written in place of characters that would make a column, a row or a terminal command."""

from __future__ import annotations

import json

import pytest

from rnntext.text.controls import CSV_FIELD, LINES, ONE_LINE, json_text, one_line, visible

KEPT = "naïve café 你好 🙂 👩\u200d👩\u200d👧 a\u00a0b"
COMMANDS = ["\x1b[31m", "\x9b2J", "\x1b]0;title\x07", "\x08", "\x7f", "\0", "\x0e"]
ENDS = ["\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


def unsafe(text: str, kept: str = "") -> list[str]:
    """The characters that a terminal obeys, or that end a line, but `kept` ones."""
    return [
        c
        for c in text
        if c not in kept and (c in "\u2028\u2029" or ord(c) < 32 or 127 <= ord(c) < 160)
    ]


@pytest.mark.parametrize("bad", [*COMMANDS, *ENDS, "\t", "\n"])
def test_every_form_is_safe(bad: str) -> None:
    text = f"a{bad}b"
    assert unsafe(text.translate(ONE_LINE)) == []
    assert unsafe(text.translate(LINES), "\n\t") == []
    assert unsafe(text.translate(CSV_FIELD), "\n\t\r") == []
    assert unsafe(one_line(text)) == []
    assert unsafe(visible(text), "\n\t") == []
    written = json_text({text: [text]})
    assert unsafe(written) == []
    assert json.loads(written) == {text: [text]}


def test_other_text_stays() -> None:
    for table in (ONE_LINE, LINES, CSV_FIELD):
        assert KEPT.translate(table) == KEPT
    assert "a\tb\nc".translate(LINES) == "a\tb\nc"
    assert "a\tb\r\nc".translate(CSV_FIELD) == "a\tb\r\nc"
    assert visible(f"{KEPT}\n\t") == f"{KEPT}\n\t"
    assert json_text({"a": KEPT}) == f'{{"a": "{KEPT}"}}'


def test_what_is_in_its_place() -> None:
    assert "a\tb\r\nc\x1b[1m".translate(ONE_LINE) == "a b  c [1m"
    assert one_line(" a \r\n\x9b\tb ") == "a b"
    assert visible("no \x1b[2J.txt\u2028") == r"no \x1b[2J.txt\u2028"
