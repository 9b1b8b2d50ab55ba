"""Pages for a browser."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from rnntext.plotting import page_style as style
from rnntext.plotting.page import ColouredText, Heatmap, Line, Lines, Note, Page, Piece, Table
from rnntext.plotting.page_html import render
from tests.plotting.pages import EMPTY_PANELS, NAUGHTY, NAUGHTY_PAGE, heatmap

_ALONE = ("meta", "br")  # elements without an end


class Tree(HTMLParser):
    """Checks that elements are closed in order, and keeps them with their attributes and texts."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.content = render(page).decode()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[int] = []
        self.feed(self.content)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, []))
        if tag not in _ALONE:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for index in self._open:
            self.elements[index][2].append(data)

    def all(self, tag: str) -> list[tuple[dict[str, str], str]]:
        """The attributes and the text of each element."""
        return [(attrs, "".join(text)) for name, attrs, text in self.elements if name == tag]


def test_a_heatmap() -> None:
    values = np.array([[-1.0, 0.123456789], [np.nan, 1.0]])
    panel = Heatmap("states", ("3", "9"), ("the", "你好"), values, -1.0, 1.0, "unit", "token")
    tree = Tree(Page("page", [panel]))
    cells = [attrs for attrs, _ in tree.all("td") if "title" in attrs]
    assert [cell["title"] for cell in cells] == [
        "unit 3, token the: -1",
        "unit 3, token 你好: 0.1234568",
        "unit 9, token the: no value",
        "unit 9, token 你好: 1",
    ]
    colours = [cell.get("style") for cell in cells]
    assert colours[0] == f"background:{style.hex_of(style.colour_of(-1, -1, 1) or style.WHITE)}"
    assert colours[2] is None
    assert [text for _, text in tree.all("th")] == ["the", "你好", "3", "9"]
    (legend,) = [text for attrs, text in tree.all("p") if attrs.get("class") == "quiet"]
    assert " ".join(legend.split()) == (
        "-11 (white: 0) each row is one unit, each column is one token; grey: no value"
    )


def test_labels_of_many_steps_stand_downwards() -> None:
    few, many = (Tree(Page("", [heatmap(n)])) for n in (5, 300))
    assert not [attrs for attrs, _ in few.all("th") if attrs.get("class") == "down"]
    assert len([attrs for attrs, _ in many.all("th") if attrs.get("class") == "down"]) == 300


def test_curves() -> None:
    x = np.arange(1.0, 4.0)
    rising = Line("GRU", x, 10.0**x, np.array([1.0, 99.0, 2000.0]))
    tree = Tree(Page("", [Lines("memory", "back", "norm", (rising, Line("RNN", x, -x)), True)]))
    points = [text for attrs, text in tree.all("circle")]
    assert points == ["GRU: 10 at 1", "GRU: 100 at 2", "GRU: 1000 at 3"]
    places = [(float(attrs["cx"]), float(attrs["cy"])) for attrs, _ in tree.all("circle")]
    # Equal factors are equal distances on a logarithmic axis, and higher is nearer to the top.
    (x1, y1), (x2, y2), (x3, y3) = places
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    assert y1 > y2 > y3
    (band,) = [attrs["points"].split() for attrs, _ in tree.all("polygon")]
    assert len(band) == 6
    # An error that reaches zero ends at the curve.
    assert band[3] == f"{x3},{y3}"
    lines = [attrs for attrs, _ in tree.all("polyline")]
    assert lines[0]["points"] == " ".join(f"{a},{b}" for a, b in places)
    assert lines[0]["stroke"] != lines[1]["stroke"]
    assert {"back", "norm", "10", "100", "1000"} <= {text for _, text in tree.all("text")}


def test_a_coloured_text() -> None:
    pieces = [Piece("The", 0.0), Piece(" <storm>\n", 4.0, "not the “sun”"), Piece("came", np.nan)]
    tree = Tree(Page("", [ColouredText("t", pieces, 0.0, 4.0, "bits")]))
    spans = [(attrs, text) for attrs, text in tree.all("span") if "title" in attrs]
    assert [text for _, text in spans] == ["The", "<storm>", "came"]
    assert [attrs["title"] for attrs, _ in spans] == [
        "bits: 0",
        "bits: 4; not the “sun”",
        "bits: no value",
    ]
    assert ["style" in attrs for attrs, _ in spans] == [False, True, False]
    (text,) = [text for attrs, text in tree.all("p") if attrs.get("class") == "text"]
    assert text == "The <storm>\ncame"
    assert [text for _, text in tree.all("li")] == ["<storm> (4): not the “sun”"]


def test_a_table_and_a_note() -> None:
    table = Table("near", ("word", "similarity"), [("<i>storm", 0.12345678), ("sun", 2)])
    tree = Tree(Page("", [table, Note("a < b\nc")]))
    assert [text for _, text in tree.all("td")] == ["<i>storm", "0.1235", "sun", "2"]
    assert [attrs.get("title") for attrs, _ in tree.all("td")] == [None, "0.1234568", None, None]
    assert "a &lt; b<br>c" in tree.content


def test_nothing_of_a_user_becomes_part_of_the_page() -> None:
    tree = Tree(NAUGHTY_PAGE)
    tags = {tag for tag, _, _ in tree.elements}
    assert "script" not in tags
    names = {name for _, attrs, _ in tree.elements for name in attrs}
    assert not [name for name in names if name.startswith("on")]
    assert all(char.isprintable() or char == "\n" for char in tree.content)
    shown = {text.strip() for tag in ("th", "td", "span") for _, text in tree.all(tag)}
    assert {NAUGHTY[2], "你好吗", "e\u0301toile", "$x_1$ [bold]"} <= shown
    assert NAUGHTY[3] in {text for _, text in tree.all("td")}


def test_it_loads_nothing_and_follows_the_preference_for_dark() -> None:
    tree = Tree(NAUGHTY_PAGE)
    assert "default-src 'none'" in tree.content
    assert not re.search(r"https?:|url\(|@import|<(?:link|img|iframe)", tree.content)
    names = {name for _, attrs, _ in tree.elements for name in attrs}
    assert not names & {"src", "href"}
    assert "@media (prefers-color-scheme: dark)" in tree.content


def test_the_same_every_time() -> None:
    assert render(NAUGHTY_PAGE) == render(NAUGHTY_PAGE)


def test_pages_without_values() -> None:
    assert Tree(EMPTY_PANELS).content.count("no values") == 3
    assert [text for _, text in Tree(Page("<p>", ())).all("h1")] == ["<p>"]


def test_one_value_alone_stands_in_the_middle() -> None:
    one = np.array([5.0])
    tree = Tree(Page("", [Lines("", "", "", (Line("a", one, one),))]))
    ((attrs, text),) = tree.all("circle")
    assert text == "a: 5 at 5"
    ticks = [
        float(attrs["y"]) for attrs, _ in tree.all("text") if attrs.get("text-anchor") == "end"
    ]
    assert all(upper < lower for lower, upper in pairwise(ticks))
    assert ticks[-1] < float(attrs["cy"]) < ticks[0]


def test_it_needs_no_matplotlib() -> None:
    code = (
        "import sys; import rnntext.plotting.page_html as page;"
        "assert not {'matplotlib', 'rich', 'typer', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
