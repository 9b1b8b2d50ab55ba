"""The view of an unrolled network: values, answers, shared weights and gradients of each step."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.errors import UsageError
from rnntext.inspection.unroll import MOST_STEPS, unroll
from rnntext.plotting.page import Note, Table, Unrolled
from rnntext.runtime.classifier import Classifier
from rnntext.runtime.language_model import LanguageModel
from rnntext.runtime.tagger import Tagger
from tests.inspection.models import fixed_model

TEXT = "The heron waited."


def diagram(view: object) -> Unrolled:
    (found,) = [panel for panel in view.page.panels if isinstance(panel, Unrolled)]  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_values_of_every_step(task: str) -> None:
    model = fixed_model(task, "lstm", bidirectional=task != "lm")
    view = unroll(model, TEXT, 3)
    reading = model.read(TEXT)
    traces = model.trace(reading)
    bands = diagram(view).bands
    assert diagram(view).steps == reading.steps
    assert len(bands) == len(traces) + 2
    for band, each in zip(bands[1:-1], traces, strict=True):
        hidden = each.hidden[:, 0]
        most = np.sort(np.argsort(-hidden.std(axis=0), kind="stable")[:3])
        np.testing.assert_array_equal(band.values, hidden[:, most])
        assert band.captions[0][0] == f"|h| {np.linalg.norm(hidden[0]):.2f}"
        assert band.along == {"forward": "→", "backward": "←"}[each.direction]
        # Both directions read what lies below the layer: the second is not fed by the first.
        assert band.is_fed == (each.direction == "forward")
    for step, found in enumerate(view.objects):
        assert found["token"] == reading.steps[step]
        assert found["input"] == traces[0].inputs[step, 0].tolist()
        for layer, each in zip(found["layers"], traces, strict=True):
            assert (layer["layer"], layer["direction"]) == (each.layer + 1, each.direction)
            assert layer["hidden"] == each.hidden[step, 0].tolist()
            assert each.cell is not None
            assert layer["cell"] == each.cell[step, 0].tolist()
    norms = [np.linalg.norm(each.hidden[1, 0]) for each in traces]
    np.testing.assert_allclose(np.array(view.rows[1][3:], float), norms, rtol=1e-6)
    notes = " ".join(panel.text for panel in view.page.panels if isinstance(panel, Note))
    assert ("both directions" in notes) == (task != "lm")


def test_answers_are_those_of_the_model() -> None:
    model = fixed_model("lm")
    answers = [found["answer"] for found in unroll(model, TEXT).objects]
    running = LanguageModel(model.model)
    logits, _ = running.read([model.read(TEXT).ids], running.initial_state())
    probabilities = np.exp(logits[0] - np.logaddexp.reduce(logits[0]))
    (token,) = model.show_tokens(probabilities.argmax()[None])
    assert answers[-1] == f"{token} {probabilities.max():.2f}"

    model = fixed_model("classify", bidirectional=True)
    answers = [found["answer"] for found in unroll(model, TEXT).objects]
    (label,) = Classifier(model.model).classify([TEXT])
    assert answers[-1] == f"{label.label} {label.probability:.2f}"
    assert set(answers[:-1]) == {""}

    model = fixed_model("tag", bidirectional=True)
    answers = [found["answer"] for found in unroll(model, TEXT).objects]
    (tags,) = Tagger(model.model).tag([TEXT])
    shown = [f"{t} {p:.2f}" for t, p in zip(tags.tags, tags.probabilities, strict=True)]
    assert [answers[step] for step in model.read(TEXT).last_steps()] == shown
    assert sum(map(bool, answers)) == len(shown)


def test_shared_weights_are_listed() -> None:
    model = fixed_model("classify", "gru", layers=1, bidirectional=True)
    (table,) = [panel for panel in unroll(model, TEXT).page.panels if isinstance(panel, Table)]
    rows = {str(name): values for name, *values in table.rows}
    assert set(rows) == {
        "layer 1, forward: input to state",
        "layer 1, forward: state to state",
        "layer 1, backward: input to state",
        "layer 1, backward: state to state",
        "state to answer",
    }
    matrix = model.weights["encoder.layers.0.forward_cell.weight_hh_l0"]
    largest = float(np.linalg.svd(matrix, compute_uv=False)[0])
    expected = [15, 5, float(np.abs(matrix).mean()), pytest.approx(largest, rel=1e-5)]
    assert rows["layer 1, forward: state to state"] == expected


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_gradients_flow_back_to_every_state(task: str) -> None:
    model = fixed_model(task, "rnn", layers=1)
    view = unroll(model, TEXT, backward=True)
    gradients = [found["gradient"] for found in view.objects]
    assert all(gradient > 0 for gradient in gradients)
    band = diagram(view).bands[1]
    assert [lines[-1] for lines in band.captions] == [f"∇ {value:.1g}" for value in gradients]
    assert "gradient" not in unroll(model, TEXT).objects[0]


def test_a_text_that_is_too_long() -> None:
    model = fixed_model("lm", kind="char")
    assert len(unroll(model, "a" * (MOST_STEPS - 1)).objects) == MOST_STEPS
    with pytest.raises(UsageError, match=f"{MOST_STEPS + 1} tokens, .* at most {MOST_STEPS}"):
        unroll(model, "a" * MOST_STEPS)
