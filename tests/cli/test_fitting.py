"""Lines that fit: what is left out, and where they break."""

from __future__ import annotations

import pytest

from rnntext.cli.fitting import Part, ending, fitting, shortened, wrapped
from rnntext.text.columns import columns_of

PARTS = [Part("step 3", 0), Part("  loss 你好", 2), Part(" (±1)", 3), Part("  0:09 left", 1)]


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (80, "step 3  loss 你好 (±1)  0:09 left"),
        (33, "step 3  loss 你好 (±1)  0:09 left"),
        (32, "step 3  loss 你好  0:09 left"),
        (28, "step 3  loss 你好  0:09 left"),
        (27, "step 3 (±1)  0:09 left"),  # what fits is shown, though it says less
        (17, "step 3  0:09 left"),
        (16, "step 3 (±1)"),
        (10, "step 3"),
        (2, "step 3"),
    ],
)
def test_parts_of_a_high_rank_are_left_out(columns: int, line: str) -> None:
    assert fitting(PARTS, columns) == line


def test_the_first_part_that_is_left_begins_the_line() -> None:
    assert fitting([Part("one", 1), Part("  two", 0)], 5) == "two"


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (13, ["one  two 你好"]),
        (12, ["one  two", "  你好"]),
        (8, ["one  two", "  你好"]),
        (7, ["one", "  two", "  你好"]),
    ],
)
def test_a_message_breaks_between_words(columns: int, lines: list[str]) -> None:
    assert wrapped("one  two 你好", columns).split("\n") == lines


def test_paths_and_commands_stay_whole() -> None:
    path = "/" + "long/" * 10
    command = "`rnntext train lm --resume -o a`"
    text = f"saved at {path} at last: ({command}), goes on"
    assert wrapped(text, 20).split("\n") == [
        "saved at",
        f"  {path}",
        "  at last:",
        f"  ({command}),",
        "  goes on",
    ]


@pytest.mark.parametrize("name", ["a" * 39 + "b" * 40, "你好" * 30, "é" * 90])
def test_names_are_cut_in_their_middle(name: str) -> None:
    short = shortened(name, 40)
    assert 38 < columns_of(short) <= 40
    begin, end = short.split("…")
    assert (name.startswith(begin), name.endswith(end)) == (True, True)
    assert abs(columns_of(begin) - columns_of(end)) <= 2


def test_short_names_are_as_they_are() -> None:
    assert shortened("a" * 40) == "a" * 40
    assert shortened("你" * 20) == "你" * 20


@pytest.mark.parametrize(
    ("text", "columns", "end"),
    [
        ("the old heron stood", 19, "the old heron stood"),
        ("the old heron stood", 18, "…old heron stood"),
        ("the old heron stood", 16, "…old heron stood"),
        ("the old heron stood", 15, "…heron stood"),
        ("the old heron stood", 7, "…stood"),
        ("the old heron stood", 6, "…stood"),
        ("the old heron stood", 5, "…tood"),  # a word that has no room at all
        ("naïve cafe\u0301 x", 7, "…cafe\u0301 x"),
        ("one 你好 世界", 10, "…你好 世界"),
        ("one 你好 世界", 9, "…世界"),
        ("你好世界", 7, "…好世界"),
        ("你好世界", 6, "…世界"),
        ("xxe\u0301e\u0301", 3, "…e\u0301e\u0301"),
        ("a 🙂🙂", 4, "…🙂"),
        ("ab 👩\u200d🚒!", 6, "…👩\u200d🚒!"),
        ("ab 👩\u200d🚒!", 5, "…!"),
    ],
)
def test_the_end_of_a_text(text: str, columns: int, end: str) -> None:
    assert ending(text, columns) == end
    assert columns_of(end) <= columns
