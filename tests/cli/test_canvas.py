"""Braille dots and round numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnntext.cli.canvas import Canvas, Scale


def drawn(canvas: Canvas) -> list[str]:
    return ["".join(cell.braille if cell else " " for cell in row) for row in canvas.rows()]


def test_dots_from_the_lower_left() -> None:
    canvas = Canvas(3, 2)
    for dot in ((0, 0), (5, 7), (3, 2)):
        canvas.draw_line([dot], pen=0)
    assert drawn(canvas) == ["  ⠈", "⡀⠐ "]


def test_lines_between_dots() -> None:
    canvas = Canvas(3, 2)
    canvas.draw_line([(0, 0), (5, 5), (5, 5), (5, 0)], pen=0)
    assert drawn(canvas) == ["  ⣠", "⡠⠊⢸"]
    level = Canvas(2, 1)
    level.draw_line([(3, 1), (0, 1)], pen=0)
    assert drawn(level) == ["⠤⠤"]


def test_a_cell_belongs_to_the_last_pen() -> None:
    canvas = Canvas(2, 1)
    canvas.draw_line([(0, 0), (3, 0)], pen=0)
    canvas.draw_line([(2, 3)], pen=1)
    canvas.draw_marker(0, 0, pen=2)
    left, right = canvas.rows()[0]
    assert left
    assert right
    assert (left.pen, left.is_marker) == (2, True)
    assert (right.pen, right.is_marker, right.braille) == (1, False, "⣁")


def test_a_scale_is_filled() -> None:
    scale = Scale.over([np.array([3.0, 5.0]), np.array([1.0])], 41)
    assert [scale.dot(value) for value in (1.0, 2.0, 5.0)] == [0, 10, 40]
    assert Scale(1.0, 10_000.0, 41, is_log=True).dot(10.0) == 10
    for only in (7.0, 0.0, -3.0):
        assert Scale.over([np.array([only])], 41).dot(only) == 20


@pytest.mark.parametrize(
    ("scale", "most", "labels"),
    [
        (Scale(0.0, 4000.0, 100), 6, ["0", "1000", "2000", "3000", "4000"]),
        (Scale(4.5, 9.6, 40), 5, ["5", "6", "7", "8", "9"]),
        (Scale(4.5, 9.6, 40), 4, ["6", "8"]),
        (Scale(0.81, 0.94, 40), 5, ["0.85", "0.90"]),
        (Scale(0.0, 0.0003, 40), 4, ["0.0000", "0.0001", "0.0002", "0.0003"]),
        (Scale(-30.0, 60.0, 40), 3, ["0", "50"]),
        (Scale(95.0, 1800.0, 40, is_log=True), 5, ["100", "200", "500", "1000"]),
        (Scale(95.0, 180_000.0, 40, is_log=True), 5, ["100", "1000", "10000", "100000"]),
        (Scale(2.0, 2e8, 40, is_log=True), 5, ["1000", "1e+06"]),
        (Scale(104.0, 180.0, 40, is_log=True), 4, ["120", "140", "160", "180"]),
    ],
)
def test_round_numbers(scale: Scale, most: int, labels: list[str]) -> None:
    assert [label for _, label in scale.ticks(most)] == labels


@given(
    st.floats(-1e9, 1e9),
    st.floats(1e-9, 1e9),
    st.integers(3, 12),
    st.integers(8, 300),
    st.booleans(),
)
# A width that is rounded to less than a power of ten.
@example(low=0.0, span=1e-9, most=10, dots=8, is_log=True)
def test_ticks_are_where_they_say(
    low: float, span: float, most: int, dots: int, is_log: bool
) -> None:
    if is_log:
        low = abs(low) + 1e-3
        span = min(span, low * 1e6)
    # In a narrower scale the labels have too few digits to distinguish two ticks.
    scale = Scale(low, low + max(span, abs(low) * 1e-6), dots, is_log)
    ticks = scale.ticks(most)
    assert 1 <= len(ticks) <= most
    values = [float(label) for _, label in ticks]
    assert values == sorted(set(values))
    for (dot, _), value in zip(ticks, values, strict=True):
        assert 0 <= dot < dots
        assert abs(scale.dot(value) - dot) <= 1
