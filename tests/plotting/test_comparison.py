"""The view of a comparison: its table, its curves and what a pipe gets."""

from __future__ import annotations

import numpy as np

from rnntext.comparison import Comparison
from rnntext.plotting.comparison import comparison_view
from rnntext.plotting.page import Lines, Note, Table
from tests.test_comparison import BAG, NGRAMS, RNN, found


def with_curves(*curves: tuple[tuple[int, float], ...]) -> Comparison:
    """A comparison with a run of the RNN for each curve."""
    from dataclasses import replace

    comparison = found({RNN: [0.5] * len(curves)})
    runs = (replace(run, curve=each) for run, each in zip(comparison.runs, curves, strict=True))
    return replace(comparison, runs=tuple(runs))


def test_the_rows_of_a_pipe() -> None:
    view = comparison_view(found({RNN: [0.5], BAG: [0.25, 0.25], NGRAMS: [0.75]}))
    assert view.rows == [
        ["rnn", 0.5, "", 12, 2.0, 50.0, 48],
        ["bag", 0.25, 0.0, 12, 2.5, 10.5, 48],
        ["ngrams", 0.75, 0.0, 12, 2.0, 10.0, 48],
    ]
    assert [each["model"] for each in view.objects] == ["rnn", "bag", "ngrams"]


def test_the_table_and_the_answer_below_it() -> None:
    comparison = found({RNN: [0.5], BAG: [0.25, 0.25], NGRAMS: [0.75]})
    table, answer, *_ = comparison_view(comparison).page.panels
    assert isinstance(table, Table)
    assert table.header[1] == "accuracy"
    assert table.header[-2] == "texts/s"
    assert [row[:3] for row in table.rows] == [
        ["RNN", "0.5000", ""],
        ["bag", "0.2500", "0.0000"],
        ["n-grams", "0.7500", ""],  # it was trained once
    ]
    assert {len(row) for row in table.rows} == {len(table.header)}
    assert answer == Note(comparison.answer())


def test_a_curve_has_the_steps_of_all_seeds() -> None:
    view = comparison_view(with_curves(((2, 0.1), (4, 0.3), (6, 0.9)), ((2, 0.3), (4, 0.5))))
    (panel,) = (each for each in view.page.panels if isinstance(each, Lines))
    (line,) = panel.lines
    assert line.x.tolist() == [2, 4]
    np.testing.assert_allclose(line.y, [0.2, 0.4])
    assert line.error is not None
    np.testing.assert_allclose(line.error, [0.02**0.5, 0.02**0.5])


def test_one_evaluation_is_no_curve() -> None:
    view = comparison_view(with_curves(((2, 0.1),)))
    assert not any(isinstance(each, Lines) for each in view.page.panels)
