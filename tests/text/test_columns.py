"""How many columns of a terminal characters take."""

from __future__ import annotations

import pytest

from rnntext.text.columns import columns_of, columns_of_character


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", 0),
        ("plain", 5),
        ("naïve café", 10),
        ("nai\u0308ve cafe\u0301", 10),
        ("你好", 4),
        ("🙂", 2),
        ("ก็", 1),
        ("\u2764\ufe0f!", 3),
        ("🙂\ufe0f", 2),
        ("\u200bx\xad", 2),
        ("ｗｉｄｅ", 8),
        ("…", 1),
    ],
)
def test_columns(text: str, columns: int) -> None:
    assert columns_of(text) == columns


def test_of_a_character() -> None:
    assert [columns_of_character(char) for char in "a你\u0301\u200d"] == [1, 2, 0, 0]
