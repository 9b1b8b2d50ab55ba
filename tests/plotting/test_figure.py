"""Charts as PNG and SVG."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from rnntext.plotting.curves import Chart, Row, Run, make_chart
from rnntext.plotting.figure import render

NAMES = ("naïve café 你好 🙂", "_under $a_b$ <&>", "[bold]\x1b")
SVG = "{http://www.w3.org/2000/svg}"


def run(name: str, points: int, evaluations: int) -> Run:
    losses = np.random.default_rng(points).normal(5.0, 1.0, points)
    rows = [Row("step", n, 0, n, False, {"loss": loss}) for n, loss in enumerate(losses.tolist())]
    for n in range(evaluations):
        values = {"perplexity": 1000.0 / (n + 1)}
        rows.append(Row("evaluation", n * 7, 0, n * 7, n == evaluations - 2, values))
    return Run(name, "lm", tuple(rows))


@pytest.fixture(scope="module")
def chart() -> Chart:
    points = zip(NAMES, (61, 83, 205), (5, 7, 1), strict=True)
    return make_chart([run(*one) for one in points])


def lines(svg: str) -> list[int]:
    """The number of points of each curve."""
    found = []
    for path in ElementTree.fromstring(svg).iter(f"{SVG}path"):  # noqa: S314
        style = path.get("style", "")
        # Only curves have these colours of Matplotlib's cycle; ticks, frames and grids do not.
        if "clip-path" in path.attrib and re.search("stroke: #(1f77b4|ff7f0e|2ca02c)", style):
            found.append(len(re.findall("[ML]", path.get("d", ""))))
    return found


def test_an_svg_holds_every_point_and_the_names(chart: Chart) -> None:
    svg = render(chart, "svg").decode()
    # The loss of the third run is smoothed, so it has two curves.
    assert lines(svg) == [61, 83, 205, 205, 5, 7, 1]
    texts = {"".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")}  # noqa: S314
    assert {"loss, smoothed", "perplexity", "steps"} <= texts
    assert f"{NAMES[0]} (best: perplexity 250 at step 21)" in texts
    assert f"{NAMES[1]} (best: perplexity 166.7 at step 35)" in texts
    assert "[bold]\ufffd" in texts


def test_the_same_every_time(chart: Chart, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {form: render(chart, form) for form in ("svg", "png")}
    assert b"<dc:date>" not in wanted["svg"]
    assert mpl.rcParams["path.simplify"]
    # The user's own settings do not change it either.
    monkeypatch.setitem(mpl.rcParams, "lines.linewidth", 9.0)
    monkeypatch.setitem(mpl.rcParams, "savefig.dpi", 30)
    assert {form: render(chart, form) for form in ("svg", "png")} == wanted
    assert mpl.rcParams["lines.linewidth"] == 9.0


def test_a_png_shows_curves_of_each_colour(chart: Chart) -> None:
    from matplotlib.image import imread

    content = render(chart, "png")
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    pixels = imread(io.BytesIO(content), format="png")[..., :3]  # [height, width, RGB]
    assert pixels.shape[0] > 600
    assert pixels.shape[1] > 1000
    half = pixels.shape[0] // 2
    for colour in ("C0", "C1", "C2"):
        wanted = np.array(mpl.colors.to_rgb(colour), np.float32)
        is_colour = np.abs(pixels - wanted).max(axis=2) < 0.01  # [height, width]
        assert is_colour[:half].sum() > 300, colour
        assert is_colour[half:].sum() > 20, colour


def test_one_panel_alone() -> None:
    svg = render(make_chart([run("a", 3, 0)]), "svg").decode()
    assert lines(svg) == [3]
