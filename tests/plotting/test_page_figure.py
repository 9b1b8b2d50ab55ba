"""Pages as PNG and SVG."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from rnntext.errors import UsageError
from rnntext.plotting import page_style as style
from rnntext.plotting.page import ColouredText, Heatmap, Lines, Note, Page, Panel, Piece
from rnntext.plotting.page_figure import render
from tests.plotting.pages import EMPTY_PANELS, LINES, LOG_LINES, NAUGHTY_PAGE, TABLE

SVG = "{http://www.w3.org/2000/svg}"
HEATMAP = Heatmap(
    "states",
    ("first", "second"),
    ("the", "storm", "你好"),
    np.array([[-1.0, 0.0, 1.0], [np.nan, 0.5, 7.0]]),
    -1.0,
    1.0,
    "unit",
)


def texts(svg: bytes) -> list[str]:
    root = ElementTree.fromstring(svg)  # noqa: S314
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def svg_of(*panels: Panel) -> bytes:
    return render(Page("page", panels), "svg")


def fills(svg: bytes) -> list[str]:
    """The colours of all filled shapes, in their order."""
    return re.findall(r"fill: (#[0-9a-f]{6})", svg.decode())


def test_a_heatmap_has_each_cell_in_its_colour() -> None:
    svg = svg_of(HEATMAP)
    wanted = [
        style.hex_of(style.colour_of(value, -1.0, 1.0) or (217, 217, 217))
        for value in HEATMAP.values.flat
    ]
    found = fills(svg)
    assert wanted in [found[start : start + 6] for start in range(len(found))]
    shown = texts(svg)
    assert {"page", "states", "first", "second", "the", "storm", "你好", "-1", "0", "1"} <= {*shown}
    assert "each row is one unit; grey: no value" in shown


def test_many_steps_are_drawn_in_blocks() -> None:
    heights = []
    for steps in (1, 40, 300):
        values = np.linspace(0, 1, 3 * steps).reshape(3, steps)
        labels = [f"word{step}" for step in range(steps)]
        svg = svg_of(Heatmap("t", "abc", labels, values, 0.0, 1.0))
        assert set(labels) <= set(texts(svg))
        size = re.search(rb'<svg [^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
        assert size
        assert float(size[1]) == 11 * 72
        heights.append(float(size[2]))
    assert heights[0] <= heights[1] < heights[2]


def test_curves_have_their_points_and_errors() -> None:
    root = ElementTree.fromstring(svg_of(LINES))  # noqa: S314
    points = [
        len(re.findall("[ML]", path.get("d", "")))
        for path in root.iter(f"{SVG}path")
        if "clip-path" in path.attrib
        and re.search("stroke: #(1f77b4|ff7f0e)", path.get("style", ""))
    ]
    assert points == [30, 29]  # one point of the second curve is no number
    shown = texts(svg_of(LINES))
    assert {"distance <x>", "effect $y$", "你好", "<script>alert('x')</script>"} <= set(shown)
    assert b"PolyCollection" in svg_of(LINES) or b"FillBetween" in svg_of(LINES)
    assert "0.01" in texts(svg_of(LOG_LINES))


def test_a_coloured_text() -> None:
    pieces = [Piece("The", 0.0), Piece(" storm", 4.0, "not the sun"), Piece(" came", -4.0)]
    words = [piece.text.strip() for piece in pieces]
    svg = svg_of(ColouredText("t", pieces, -4.0, 4.0, "bits"))
    shown = texts(svg)
    assert [text.strip() for text in shown if text.strip() in words] == words
    assert "storm (4): not the sun" in shown
    strong = [style.hex_of(style.colour_of(value, -4.0, 4.0) or (0, 0, 0)) for value in (4.0, -4.0)]
    found = fills(svg)
    assert [colour for colour in found if colour in strong][:2] == strong


def test_long_texts_are_wrapped_and_labels_cut() -> None:
    words = "word " * 60
    lines = [text for text in texts(svg_of(Note(words))) if "word" in text]
    assert len(lines) > 2
    assert " ".join(lines).split() == words.split()
    long = "w" * 300
    cut = [
        text
        for text in texts(svg_of(Heatmap("", [long], [long], np.ones((1, 1)), 0, 1)))
        if "w" in text
    ]
    assert sorted(map(len, cut))[-1] <= 32
    assert all(text.endswith("…") for text in cut if text.startswith("ww"))


def test_a_table() -> None:
    shown = texts(svg_of(TABLE))
    assert {"<word>", "value", "0.1429", "$x_1$ [bold]"} <= set(shown)


@pytest.mark.parametrize("page", [NAUGHTY_PAGE, EMPTY_PANELS, Page("", ())])
def test_the_same_every_time_whatever_the_texts(page: Page) -> None:
    svg = render(page, "svg")
    assert render(page, "svg") == svg
    assert all(char.isprintable() for text in texts(svg) for char in text)
    png = render(page, "png")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert render(page, "png") == png


def test_a_png_shows_the_colours() -> None:
    from matplotlib.image import imread

    pixels = imread(io.BytesIO(render(Page("", [HEATMAP]), "png")), format="png")[..., :3]
    for value in (-1.0, 0.5, 1.0):
        colour = np.array(style.colour_of(value, -1.0, 1.0)) / 255
        assert (np.abs(pixels - colour).max(axis=2) < 0.01).sum() > 500


def test_a_page_that_is_too_long() -> None:
    with pytest.raises(UsageError, match=r"inches high, .* give fewer or shorter texts"):
        render(Page("", [Note("line\n" * 3000)]), "png")


def test_dollar_signs_are_no_formulas() -> None:
    for panel in NAUGHTY_PAGE.panels:
        shown = " ".join(texts(svg_of(panel)))
        assert isinstance(panel, Lines) or "$x_1$" in shown
    values = np.ones((1, 1))
    shown = texts(svg_of(Heatmap("$a_1$", ["$b_2$"], ["$c_3$"], values, 0.0, 1.0)))
    assert {"$a_1$", "$b_2$", "$c_3$"} <= set(shown)
