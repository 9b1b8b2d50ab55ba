"""The view of `compare memory`: rows, objects, and what the page draws and says."""

from __future__ import annotations

import numpy as np

from rnntext.long_memory import Measured, MemoryOptions
from rnntext.plotting.long_memory import long_memory_view, summary
from rnntext.plotting.page import Lines, Note, Table

RNN = Measured("recall", "rnn", 1234, 0.125, {3: [1.0, 0.9], 6: [0.2, 0.1]})
GRU = Measured("recall", "gru", 5678, 0.125, {3: [1.0, 1.0], 6: [1.0, 0.9]})
WINDOW = Measured("agreement", "window", 9, 0.5, {3: [0.5, 0.6], 6: [0.5, 0.5]})
OPTIONS = MemoryOptions(distances=(3, 6), steps=700, seeds=2)


def test_rows_and_objects_have_a_line_for_each_model_and_distance() -> None:
    view = long_memory_view([RNN, GRU, WINDOW], OPTIONS)
    assert [row[:3] for row in view.rows] == [
        [each.task, each.model, distance] for each in (RNN, GRU, WINDOW) for distance in (3, 6)
    ]
    assert np.allclose([float(number) for number in view.rows[1][3:]], [0.15, 0.1 / 2**0.5])
    assert list(view.objects) == [*RNN.to_json(), *GRU.to_json(), *WINDOW.to_json()]


def test_with_one_seed_there_is_no_spread() -> None:
    one = Measured("recall", "lstm", 9, 0.125, {3: [0.75]})
    view = long_memory_view([one], MemoryOptions(seeds=1))
    assert view.rows == [["recall", "lstm", 3, 0.75, ""]]
    (lines,) = (panel for panel in view.page.panels if isinstance(panel, Lines))
    assert lines.lines[0].error is None
    notes = [panel.text for panel in view.page.panels if isinstance(panel, Note)]
    assert "one seed" in notes[-1]


def test_the_page_has_a_picture_and_a_table_of_each_task_that_was_measured() -> None:
    panels = long_memory_view([RNN, GRU, WINDOW], OPTIONS).page.panels
    recall, agreement = (panel for panel in panels if isinstance(panel, Lines))
    assert [line.name for line in recall.lines] == ["vanilla RNN", "GRU", "chance"]
    assert [line.name for line in agreement.lines] == ["feed-forward window", "chance"]
    rnn, _, chance = recall.lines
    assert rnn.x.tolist() == [3, 6]
    assert np.allclose(rnn.y, [0.95, 0.15])
    assert rnn.error is not None
    assert np.allclose(rnn.error, 0.1 / 2**0.5)
    assert chance.y.tolist() == [0.125, 0.125]
    tables = [panel for panel in panels if isinstance(panel, Table)]
    assert tables[0].header == ("model", "parameters", "3", "6")
    assert tables[0].rows[1] == ("GRU", "5,678", "1.00", "0.95")
    assert "700 steps" in panels[-1].text  # type: ignore[union-attr]
    assert "2 seeds" in panels[-1].text  # type: ignore[union-attr]
    only = long_memory_view([RNN], OPTIONS).page.panels
    assert sum(isinstance(panel, Lines) for panel in only) == 1


def test_the_summary_names_how_far_each_model_remembers() -> None:
    assert summary("recall", [RNN, GRU]) == (
        "Letters across which a model remembers (right more often than half way from chance, "
        "0.125, to 1): vanilla RNN 3; GRU 6, the longest tested."
    )
    assert summary("agreement", [WINDOW]).endswith("feed-forward window not at all.")
