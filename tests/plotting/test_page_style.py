"""Colours of values, texts that are safe to show, and the flow of coloured text."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from rnntext.plotting import page_style as style
from rnntext.plotting.page import ColouredText, Heatmap, Line, Piece

NAN = float("nan")


def luminance(colour: style.Colour | None) -> float:
    assert colour is not None
    return float(np.dot(colour, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize(
    ("value", "low", "high", "wanted"),
    [
        (0.25, 0.0, 1.0, 0.25),
        (3.0, 2.0, 4.0, 0.5),
        (9.0, 2.0, 4.0, 1.0),
        (0.0, 2.0, 4.0, 0.0),
        (-0.5, -1.0, 1.0, 0.5),
        (0.5, -2.0, 1.0, 0.25),  # both signs have one scale
        (NAN, 0.0, 1.0, 0.0),
        (1.0, 1.0, 1.0, 0.0),
        (float("inf"), 0.0, 1.0, 1.0),
    ],
)
def test_strength(value: float, low: float, high: float, wanted: float) -> None:
    assert style.strength(value, low, high) == wanted


@pytest.mark.parametrize("stepped", [False, True])
def test_signs_have_two_colours_and_zero_is_white(stepped: bool) -> None:
    assert style.colour_of(0.0, -1.0, 1.0, stepped) == style.WHITE
    red, _, blue = style.colour_of(0.8, -1.0, 1.0, stepped) or style.WHITE
    assert red > blue + 100
    red, _, blue = style.colour_of(-0.8, -1.0, 1.0, stepped) or style.WHITE
    assert blue > red + 100
    for sign in (1, -1):
        shades = [luminance(style.colour_of(sign * s / 6, -1, 1, stepped)) for s in range(7)]
        assert all(darker < lighter for lighter, darker in pairwise(shades))


def test_shares_rise_in_lightness() -> None:
    shades = [luminance(style.colour_of(share / 40, 0.0, 1.0)) for share in range(41)]
    assert all(darker < lighter for darker, lighter in pairwise(shades))
    steps = {style.colour_of(share / 40, 0.0, 1.0, stepped=True) for share in range(41)}
    assert len(steps) == 9
    # Each of them a terminal with 256 colours shows as it is.
    assert {part for colour in steps if colour for part in colour} <= {0, 95, 135, 175, 215, 255}


def test_nothing_has_no_colour_and_weak_pieces_have_none() -> None:
    assert style.colour_of(NAN, 0.0, 1.0) is None
    assert style.text_colour(NAN, -1.0, 1.0) is None
    assert style.text_colour(0.1, -1.0, 1.0) is None
    assert style.text_colour(-0.2, -1.0, 1.0) == style.colour_of(-0.2, -1.0, 1.0)


def test_letters_can_be_read_on_every_colour() -> None:
    assert style.ink_on(style.WHITE) == style.BLACK
    assert style.ink_on((0, 0, 95)) == style.WHITE
    for value in np.linspace(-1, 1, 41).tolist():
        for low in (-1.0, 0.0):
            colour = style.colour_of(value, low, 1.0) or style.WHITE
            ink = style.ink_on(colour)
            light, dark = sorted((relative(colour), relative(ink)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) > 4.5  # WCAG 2.1, level AA


def relative(colour: style.Colour) -> float:
    parts = np.array(colour) / 255
    linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_legends() -> None:
    assert style.scale_marks(-2.0, 1.0) == [-2.0, 0.0, 1.0]
    assert style.scale_marks(0.0, 5.0) == [0.0, 5.0]
    assert style.gradient(0.0, 1.0, 3) == [0.0, 0.5, 1.0]
    panel = Heatmap("", (), (), np.zeros((0, 0)), 0.0, 1.0, "unit", "token\x1b")
    assert style.describe(panel) == "each row is one unit, each column is one token\ufffd"
    assert style.describe(Heatmap("", (), (), panel.values, 0.0, 1.0)) == ""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("naïve 你好 🙂", "naïve 你好 🙂"),
        ("\x1b[31m\x07\x9b", "\ufffd[31m\ufffd\ufffd"),
        ("a\tb\nc\u3000d\u00a0e", "a b c d e"),
        ("\u202eabc\u200d\ud800", "\ufffdabc\ufffd\ufffd"),
    ],
)
def test_one_line(text: str, wanted: str) -> None:
    assert style.one_line(text) == wanted


def test_lines_of_a_text_stay() -> None:
    assert style.flowing("a\r\nb\n\x1bc\td\u2028e") == "a\nb\n\ufffdc d e"


@pytest.mark.parametrize(
    ("text", "most", "wanted"),
    [
        ("storm", 5, "storm"),
        ("storms", 5, "stor…"),
        ("你好", 4, "你好"),
        ("你好吗", 5, "你好…"),
        ("你好吗", 4, "你…"),
        ("e\u0301toile", 6, "e\u0301toile"),
    ],
)
def test_cut(text: str, most: int, wanted: str) -> None:
    assert style.cut(text, most) == wanted


def test_numbers() -> None:
    assert style.show_number(0.123456) == "0.1235"
    assert style.show_number(NAN) == style.show_exactly(NAN) == "no value"
    assert style.show_exactly(0.123456789) == "0.1234568"
    fields: list[str | float] = ["<x>", 3, 0.25, np.float32(0.5)]  # type: ignore[list-item]
    assert [style.show_field(field) for field in fields] == ["<x>", "3", "0.25", "0.5"]
    assert style.is_numeric([1, 0.5])
    assert not style.is_numeric([1, "0.5"])


def test_the_strongest_pieces() -> None:
    values = (0.2, -0.9, NAN, 0.05, 0.5)
    pieces = [Piece(f"{i}", v, "said" * (i != 4)) for i, v in enumerate(values)]
    signed = ColouredText("", pieces, -1.0, 1.0, "")
    assert [piece.text for piece in style.strongest(signed, 2)] == ["1", "4"]
    assert [piece.text for piece in style.strongest(signed, 9)] == ["1", "4", "0"]
    assert [piece.text for piece in style.written_notes(signed)] == ["1", "0"]
    rising = ColouredText("", pieces, 0.0, 1.0, "")
    assert [piece.text for piece in style.strongest(rising, 9)] == ["4", "0"]


def test_points_that_can_be_drawn() -> None:
    inf = float("inf")
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([0.5, NAN, -1, inf, 0])
    line = Line("a", x, y, np.array([0.1, 0.2, NAN, 0.4, 0.5]))
    found = style.drawable(line, log_y=False)
    assert (found.x.tolist(), found.y.tolist()) == ([1, 3, 5], [0.5, -1, 0])
    assert found.error is not None
    assert found.error.tolist() == [0.1, 0, 0.5]
    found = style.drawable(line, log_y=True)
    assert (found.x.tolist(), found.y.tolist()) == ([1], [0.5])


A, B = (1, 1, 1), (2, 2, 2)


@pytest.mark.parametrize(
    ("fragments", "width", "wanted"),
    [
        ([("one two", None)], 7, [[("one two", None)]]),
        ([("one two", None)], 6, [[("one ", None)], [("two", None)]]),
        # A space that does not fit is left out.
        ([("one two", None)], 3, [[("one", None)], [("two", None)]]),
        # A word of two colours is not broken where the colour changes.
        ([("one t", A), ("wo", B)], 6, [[("one ", A)], [("t", A), ("wo", B)]]),
        ([("abcdefg", A)], 3, [[("abc", A)], [("def", A)], [("g", A)]]),
        ([("你好吗", A)], 5, [[("你好", A)], [("吗", A)]]),
        ([("a\n\nb", None)], 5, [[("a", None)], [], [("b", None)]]),
        ([("你", A)], 1, [[("你", A)]]),
        ([], 5, [[]]),
    ],
)
def test_flow(
    fragments: list[style.Fragment], width: int, wanted: list[list[style.Fragment]]
) -> None:
    assert style.flow(fragments, width) == wanted
