"""Charts as lines of text for a terminal."""

from __future__ import annotations

import numpy as np
import pytest
from rich.cells import cell_len

from rnntext.cli.chart import COLOURED, PLAIN, Look, render
from rnntext.plotting.curves import Chart, Curve, Panel

STEPS = np.arange(0.0, 41.0)


def curve(run: int, y: np.ndarray, best: int | None = None) -> Curve:
    return Curve(run, STEPS, y, y, best)


LOSS = Panel("loss", (curve(0, 5.0 - STEPS / 10), curve(1, 1.0 + STEPS / 10)))
PERPLEXITY = Panel("perplexity", (curve(1, np.exp(STEPS / 10), 40),), is_log=True)
CHART = Chart("steps", ("first", "naïve 你好 🙂 [bold]"), (LOSS, PERPLEXITY))


def test_every_line_of_a_chart() -> None:
    lines = [line.plain.rstrip() for line in render(CHART, PLAIN, 30, 17)]
    assert lines == [
        "* first",
        "+ naïve 你好 🙂 [bold]",
        "      loss",
        "     |******            ++++++",
        "    4|      ******++++++",
        "    2|      ++++++******",
        "     |++++++            ******",
        "     ++-----------+----------+",
        "      perplexity",
        "     |                  +++++@",
        "   10|            ++++++",
        "     |      ++++++",
        "    1|++++++",
        "     ++-----------+----------+",
        "steps 0          20         40",
    ]


@pytest.mark.parametrize("look", [COLOURED, PLAIN])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (40, 20), (20, 5), (6, 2)])
def test_it_fits(look: Look, width: int, height: int) -> None:
    lines = render(CHART, look, width, height)
    assert max(cell_len(line.plain) for line in lines) <= width
    # Two legend lines, two panels of three rows with a title and a bottom line, the tick labels.
    assert len(lines) <= max(height - 1, 13)
    if height >= 20:
        assert len(lines) >= height - 2
        assert max(cell_len(line.plain.rstrip()) for line in lines) == width


def test_each_run_has_its_colour() -> None:
    lines = render(CHART, COLOURED, 80, 24)
    for line, style in zip(lines, ("cyan", "magenta"), strict=False):
        assert [(span.start, span.end, span.style) for span in line.spans] == [(0, 1, style)]
    used = {str(span.style) for line in lines[3:12] for span in line.spans}
    assert used == {"cyan", "magenta"}
    (best,) = [line for line in lines if "●" in line.plain]
    assert str(best.spans[-1].style) == "magenta"
    # The best evaluation is the last and the highest.
    assert best.plain.endswith("●")


def test_numbers_stand_at_their_ticks() -> None:
    lines = [line.plain for line in render(CHART, COLOURED, 80, 24)]
    ticks = [i for i, char in enumerate(lines[-2]) if char == "┬"]
    words = lines[-1].split()
    assert words == ["steps", "0", "10", "20", "30", "40"]
    assert [lines[-1].index(f" {word}") + 1 for word in words[2:-1]] == [t - 1 for t in ticks[1:-1]]
    assert lines[-1].endswith("40")


def test_one_point() -> None:
    point = np.array([5.0])
    chart = Chart("seconds", ("a",), (Panel("loss", (Curve(0, point, point, point, None),)),))
    lines = [line.plain for line in render(chart, COLOURED, 40, 12)]
    assert sum(0x2800 < ord(char) <= 0x28FF for line in lines for char in line) == 1
