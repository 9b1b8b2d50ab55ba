"""Words of two divisions of one text, aligned and counted as the CoNLL 2018 shared task does."""

from __future__ import annotations

import pytest

from rnntext.raw_text_metrics import RawTextCounts, align, placed_words
from tests.text.divided import division

Given = list[str | tuple[str, list[str]]]  # a token, or a token with the words it is written for


def aligned(text: str, gold: Given, found: Given) -> list[tuple[int, int]]:
    one, other = (placed_words(*division(text, *each)) for each in (gold, found))
    return sorted(align(one, other))


def test_places_count_no_white_space() -> None:
    words = placed_words(*division("a bc  du", "a", "bc", ("du", ["de", "le"])))
    assert [(word.start, word.stop, word.form, word.is_in_range) for word in words] == [
        (0, 1, "a", False), (1, 3, "bc", False), (3, 5, "de", True), (3, 5, "le", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "gold", "found", "same"),
    [
        ("ab c", ["ab", "c"], ["a", "b", "c"], [(1, 2)]),
        ("ab c", ["ab c"], ["ab", "c"], []),
        ("ab c", ["ab c"], ["ab c"], [(0, 0)]),
        # Forms of small letters are compared, by the longest common subsequence.
        ("Du", [("Du", ["De", "le"])], [("Du", ["de", "le"])], [(0, 0), (1, 1)]),
        ("du x", [("du", ["de", "le"]), "x"], ["du", "x"], [(2, 1)]),
        ("du x", ["du", "x"], [("du", ["de", "le"]), "x"], [(1, 2)]),
        ("abc", [("abc", ["a", "b", "c"])], [("abc", ["c", "a", "b"])], [(0, 1), (1, 2)]),
        # A range of one side and tokens of the other that it covers are one stretch.
        ("abx", [("abx", ["ab", "x"])], ["ab", "x"], [(0, 0), (1, 1)]),
        # A word that leaves the stretch is not the other's.
        ("abcd", [("abc", ["ab", "cd"]), "d"], ["ab", "cd"], [(0, 0)]),
        ("abc", [("ab", ["a", "b"]), "c"], [("abc", ["a", "c"])], [(0, 0), (2, 1)]),
    ],
)  # fmt: skip
def test_words_are_aligned(
    text: str, gold: Given, found: Given, same: list[tuple[int, int]]
) -> None:
    assert aligned(text, gold, found) == same


def test_metrics_are_of_all_sentences_together() -> None:
    counts = RawTextCounts()
    one = placed_words(*division("ab c", "ab", "c"))
    counts.add(one, placed_words(*division("ab c", "a", "b", "c")), ["X", "Y"], ["X", "X", "Y"])
    counts.add(one, one, ["X", "Y"], ["X", "Z"])
    # 3 of 4 gold words are among the 5 found; 2 of them have the right tag.
    assert counts.words_f1 == pytest.approx(2 * 3 / 9)
    assert counts.tags_f1 == pytest.approx(2 * 2 / 9)
    assert counts.sentences_f1 == 1
    counts.add(one, [])
    assert counts.sentences_f1 == pytest.approx(2 / 3)
    assert RawTextCounts().words_f1 == RawTextCounts().tags_f1 == 0
