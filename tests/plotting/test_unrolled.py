"""An unrolled network in a picture and on a web page."""

from __future__ import annotations

import re

import pytest

from rnntext.plotting.page import Page
from rnntext.plotting.page_figure import render
from rnntext.plotting.unrolled_figure import Layout
from rnntext.plotting.unrolled_html import draw
from tests.plotting.test_page_html import Tree
from tests.plotting.unrolled import unrolled


def test_a_page_has_every_box() -> None:
    tree = Tree(Page("page", [unrolled()]))
    boxes = [text for attrs, text in tree.all("div") if attrs.get("class") == "box"]
    states = ["|h| 0.5", "|h| 1.5", "|h| 2.5"]
    assert boxes == ["pos 0.98", *states, *states, *states]
    assert len([attrs for attrs, _ in tree.all("i") if "title" in attrs]) == 3 * 3 * 4
    arrows = [text for attrs, text in tree.all("td") if attrs.get("class") == "arrow"]
    # From below into the answer and into the forward states, and along the states.
    assert (arrows.count("↑"), arrows.count("→"), arrows.count("←")) == (1 + 3, 2, 2)


def test_a_page_escapes_texts() -> None:
    content = "".join(draw(unrolled(text="<script>&")))
    assert "<script>" not in content
    assert "&lt;script&gt;&amp;0" in content


@pytest.mark.parametrize("steps", [1, 3, 24])
def test_a_picture_has_every_text(steps: int) -> None:
    page = Page("page", [unrolled(steps, text="$x_")])
    content = render(page, "svg").decode()
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", content)
    assert texts.count("pos 0.98") == 1
    for step in range(steps):
        assert texts.count(f"$x_{step}") == 1
        assert texts.count(f"|h| {step}.5") == 3
    assert render(page, "png")[:4] == b"\x89PNG"


def test_a_layout_has_blocks_that_fit() -> None:
    layout = Layout(unrolled(24), 6.0)
    assert [step for block in layout.blocks for step in block] == list(range(24))
    assert len(layout.blocks) > 1
    widest = max(map(len, layout.blocks))
    assert layout.margin + widest * layout.box + (widest - 1) * 0.26 <= 6.0
