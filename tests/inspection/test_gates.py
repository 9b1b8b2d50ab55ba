"""The view of gates: means over units, and what is kept."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.errors import UsageError
from rnntext.inspection.gates import gates
from rnntext.plotting.page import Heatmap, Table
from tests.inspection.models import fixed_model

TEXT = "The heron waited."


@pytest.mark.parametrize(("cell", "kept"), [("gru", "update"), ("lstm", "forget")])
def test_means_of_every_layer_and_direction(cell: str, kept: str) -> None:
    model = fixed_model("classify", cell, bidirectional=True)
    view = gates(model, [TEXT])
    traces = model.trace(model.read(TEXT))
    steps = len(traces[0].hidden)
    assert len(view.objects) == len(view.rows) == 4 * steps
    for number, each in enumerate(traces):
        of_layer = view.objects[number * steps : (number + 1) * steps]
        assert {o["layer"] for o in of_layer} == {each.layer + 1}
        assert {o["direction"] for o in of_layer} == {each.direction}
        assert [o["step"] for o in of_layer] == list(range(1, steps + 1))
        for step, found in enumerate(of_layer):
            assert found["kept"] == found["gates"][kept]
            for gate, values in each.gates.items():
                assert found["units"][gate] == values[step, 0].tolist()
                assert found["gates"][gate] == pytest.approx(values[step, 0].mean(), abs=1e-6)
    pictures = [panel for panel in view.page.panels if isinstance(panel, Heatmap)]
    assert len(pictures) == 4
    assert (pictures[0].low, pictures[0].high) == (0, 1)
    np.testing.assert_allclose(
        pictures[-1].values, [traces[-1].gates[g].mean(axis=(1, 2)) for g in pictures[-1].rows]
    )


def test_shares_of_closed_and_open_gates() -> None:
    model = fixed_model("lm", "lstm", layers=1)
    (table,) = [p for p in gates(model, [TEXT]).page.panels if isinstance(p, Table)]
    (layer,) = model.trace(model.read(TEXT))
    for name, mean, closed, opened in table.rows:
        values = layer.gates[str(name)].ravel().tolist()
        assert mean == pytest.approx(sum(values) / len(values))
        assert closed == sum(value < 0.1 for value in values) / len(values)
        assert opened == sum(value > 0.9 for value in values) / len(values)
    assert len(table.rows) == 3


def test_several_texts_are_told_apart() -> None:
    view = gates(fixed_model("lm", "gru", layers=1), [TEXT, "Mara rowed home."])
    titles = [panel.title for panel in view.page.panels if isinstance(panel, Heatmap)]
    assert titles == ["layer 1, forward, text 1", "layer 1, forward, text 2"]
    assert [o["text"] for o in view.objects] == sorted(o["text"] for o in view.objects)


def test_a_vanilla_rnn_has_no_gates() -> None:
    with pytest.raises(UsageError, match="no gates: `inspect states`"):
        gates(fixed_model("lm", "rnn"), [TEXT])
