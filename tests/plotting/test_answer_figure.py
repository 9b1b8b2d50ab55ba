"""The picture of an evaluation: what is drawn is what the curves hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from rnntext.answer_curves import AnswerCurves, CurveSums, Kind
from rnntext.plotting.answer_figure import _draw, render_answers

SVG = "{http://www.w3.org/2000/svg}"


def curves_of(count: int, kind: Kind = Kind.LABEL, unseen: int = 0) -> AnswerCurves:
    """Curves of 200 answers with so many labels, and labels that the data lack."""
    random = np.random.default_rng(count)
    names = ["naïve café 你好 🙂 $a_b$", "[bold]\x1b", *(f"label {n}" for n in range(2, count))]
    sums = CurveSums([*names[:count], *(f"unseen {n}" for n in range(unseen))])
    confidences, right = random.random(200), random.random(200) < 0.5
    sums.add_statements(confidences, right)
    sums.add_answers(confidences, right)
    columns = np.arange(200) % count
    sums.add_scores(columns, random.random(200), right)
    sums.add_gold(columns)
    return sums.curves(kind)


def texts(curves: AnswerCurves) -> set[str]:
    svg = render_answers(curves, "the $model_1$", "svg")
    found = ElementTree.fromstring(svg).iter(f"{SVG}text")  # noqa: S314
    return {"".join(text.itertext()) for text in found}


def test_what_is_drawn_is_what_the_curves_hold() -> None:
    curves = curves_of(3)
    figure: Figure = _draw(curves, "a")
    reliability, coverage, labels = figure.axes
    bars: list[Any] = [*reliability.patches]
    heights = [(bar.get_x(), bar.get_x() + bar.get_width(), bar.get_height()) for bar in bars]
    for (low, high, height), each in zip(heights, curves.bins, strict=True):
        assert (low, height) == (each.low, each.accuracy)
        assert high == pytest.approx(each.high)
    diagonal, dots = (line.get_xydata() for line in reliability.lines)
    np.testing.assert_array_equal(diagonal, [[0, 0], [1, 1]])
    np.testing.assert_array_equal(dots, [[b.confidence, b.accuracy] for b in curves.bins])
    counts = [text.get_text() for text in reliability.texts]
    assert counts == [str(each.statements) for each in curves.bins]
    line, marks = (line.get_xydata() for line in coverage.lines)
    np.testing.assert_array_equal(line, np.stack([curves.coverage, curves.accuracy], axis=1))
    np.testing.assert_array_equal(marks, [[m.coverage, m.accuracy] for m in curves.marks])
    for line_of_label, label in zip(labels.lines, curves.labels, strict=True):
        drawn = line_of_label.get_xydata()
        np.testing.assert_array_equal(drawn, np.stack([label.recall, label.precision], axis=1))
        assert line_of_label.get_drawstyle() == "steps-pre"
    # Nothing is cut off.
    assert reliability.get_ylim()[1] >= 1
    assert coverage.get_ylim()[0] <= curves.accuracy.min()


def test_names_and_numbers() -> None:
    curves = replace(curves_of(3), answers=12345)
    found = texts(curves)
    assert {"the $model_1$: 12,345 texts", "each label", "confidence", "recall"} <= found
    assert f"reliability: ECE {curves.ece:.4g} (with the number in each bin)" in found
    assert "answers of at least some confidence (dots: 0.5 … 0.99)" in found
    assert "coverage: share of texts that are answered" in found
    # Names of labels are text, whatever they hold, with how often they are the gold label.
    assert {"naïve café 你好 🙂 $a_b$ (67)", "[bold]\ufffd (67)", "label 2 (66)"} <= found
    of_sets = texts(replace(curves, kind=Kind.SET))
    assert {"probability of a label", "accuracy of whole sets of labels"} <= of_sets
    of_tags = texts(replace(curves, kind=Kind.TAG))
    assert {"the $model_1$: 12,345 words", "each tag"} <= of_tags


def test_labels_that_are_left_out_are_said_to_be() -> None:
    assert "each label" in texts(curves_of(10))
    found = texts(curves_of(12))
    assert "the 10 most frequent labels (2 are left out)" in found
    assert sum(text.startswith("label ") for text in found) == 8
    assert "each label (3 that the data lack are left out)" in texts(curves_of(4, unseen=3))
    many = texts(curves_of(12, Kind.TAG, unseen=1000))
    assert "the 10 most frequent tags (1,002 are left out)" in many


def test_thresholds_are_written_where_there_is_room() -> None:
    def written(*confidences: float) -> list[str]:
        sums = CurveSums(["a"])
        sums.add_answers(np.array(confidences), np.ones(len(confidences), np.bool_))
        figure = _draw(sums.curves(Kind.LABEL), "a")
        return [text.get_text() for text in figure.axes[1].texts]

    assert written(0.995, 0.92, 0.7, 0.3) == ["0.99", "0.9", "0.5"]
    # Of those in one place the highest.
    assert written(0.995, 0.996) == ["0.99"]
    assert written(0.92, 0.3) == ["0.9"]
    assert written(0.3) == []


@pytest.mark.parametrize("file_format", ["png", "svg"])
def test_a_picture_without_answers_and_of_one(file_format: str) -> None:
    """It is the same bytes every time."""
    nothing = CurveSums(["a", "b"]).curves(Kind.LABEL)
    sums = CurveSums(["a"])
    one, right = np.array([0.75]), np.array([True])
    sums.add_statements(one, right)
    sums.add_answers(one, right)
    sums.add_scores(np.array([0]), one, right)
    sums.add_gold(np.array([0]))
    for curves in (nothing, sums.curves(Kind.LABEL)):
        content = render_answers(curves, "a\x1b" * 99, file_format)
        assert content == render_answers(curves, "a\x1b" * 99, file_format)
    assert content.startswith(b"\x89PNG" if file_format == "png" else b"<?xml")
    # A curve of one point is a dot.
    assert [line.get_marker() for line in _draw(curves, "a").axes[2].lines] == ["."]
