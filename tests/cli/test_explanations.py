"""How the shares of words look in a column and on a terminal."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.cli.explanations import coloured, column
from rnntext.inspection.explanation import Explanation, Halves, places_of


def explanation(text: str, words: list[str], totals: list[float], rest: int = 0) -> Explanation:
    """`rest`: how many of the words at the end do not stand in the text."""
    zeros = np.zeros(len(words))
    return Explanation(
        words,
        places_of(text, words[: len(words) - rest]),
        "pos",
        0.75,
        1.0986,
        Halves(np.array(totals), zeros),
        False,
        Halves(np.zeros(()), np.zeros(())),
        0.0,
        16,
    )


TEXT = "  A [warm],\tnaïve\n café "
WORDS = ["A", "[warm],", "naïve", "café"]
FOUND = explanation(TEXT, WORDS, [0.5, -2.0, 0.1, 1.0])


def test_a_column_has_the_strongest_words_first() -> None:
    assert column(FOUND) == "[warm],:-2.00 café:+1.00 A:+0.50 naïve:+0.10"
    words = list("abcdefg")
    many = explanation(" ".join(words), words, [0.1, 0.7, 0.3, -0.4, 0.5, 0.6, 0.2])
    assert column(many) == "b:+0.70 f:+0.60 e:+0.50 d:-0.40 c:+0.30"
    assert column(None) == ""


def test_a_terminal_has_the_words_for_and_against_in_colours() -> None:
    line = coloured(TEXT, FOUND)
    assert line.plain == "A [warm],(-2.00) naïve café(+1.00)"
    styles = {line.plain[span.start : span.end]: span.style for span in line.spans}
    assert styles == {
        "A": "green",
        "[warm],": "bold red",
        "(-2.00)": "dim red",
        "café": "bold green",
        "(+1.00)": "dim green",
    }


@pytest.mark.parametrize(
    ("found", "plain"),
    [
        (None, "A [warm], naïve café"),
        (explanation(TEXT, WORDS, [0.0] * 4), "A [warm], naïve café"),
        # What is of no word is not printed, nor are words that stand together parted.
        (explanation("a, b", ["a", ",", "b", "<eos>"], [1, 0, 0, 9], rest=1), "a, b"),
        (explanation("", ["<eos>"], [1.0], rest=1), ""),
    ],
)
def test_words_without_shares(found: Explanation | None, plain: str) -> None:
    text = TEXT if found is None or len(found.places) == 4 else "a, b"
    line = coloured(text, found)
    assert (line.plain, line.spans) == (plain, [])
