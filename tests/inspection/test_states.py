"""The view of states: which units are shown, in which order, and what they follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rnntext.errors import DataError, RnntextError, UsageError
from rnntext.inspection.reading import InspectedModel
from rnntext.inspection.states import (
    PROPERTIES,
    StateOptions,
    _inside_quotes,
    _is_word,
    _readable_order,
    states,
)
from rnntext.plotting.page import Heatmap, Table
from tests.inspection.models import fixed_model

TEXT = "The heron waited by the old lamp, and Mara rowed home."


@pytest.mark.parametrize(
    ("options", "layer"),
    [
        (StateOptions(), 2),
        (StateOptions(layer=1, part="cell"), 0),
        (StateOptions(layer=1, direction="backward"), 1),
    ],
)
def test_values_are_those_of_the_layer(options: StateOptions, layer: int) -> None:
    model = fixed_model("classify", "lstm", bidirectional=True)
    view = states(model, [TEXT], options)
    each = model.trace(model.read(TEXT))[layer]
    values = each.cell if options.part == "cell" else each.hidden
    assert values is not None
    for step, found in enumerate(view.objects):
        assert found["step"] == step + 1
        assert len(found["units"]) == 5  # all of them
        for unit, value in found["units"].items():
            assert value == values[step, 0, int(unit) - 1]
    (picture,) = [panel for panel in view.page.panels if isinstance(panel, Heatmap)]
    order = [int(unit) - 1 for unit in picture.rows]
    np.testing.assert_array_equal(picture.values, values[:, 0, order].T)
    assert view.rows[0] == (1, 1, view.objects[0]["token"], order[0] + 1, values[0, 0, order[0]])
    largest = float(np.abs(values).max())
    assert picture.high == (1.0 if options.part == "hidden" else pytest.approx(largest))
    assert picture.low == -picture.high


def test_the_units_that_change_most_are_shown() -> None:
    model = fixed_model("lm", "gru", layers=1)
    (layer,) = model.trace(model.read(TEXT))
    most = np.argsort(-layer.hidden[:, 0].std(axis=0))[:2] + 1
    view = states(model, [TEXT], StateOptions(units=2))
    assert set(view.objects[0]["units"]) == {str(unit) for unit in most}


def test_units_that_rise_and_fall_together_are_neighbours() -> None:
    random = np.random.default_rng(3)
    steps = np.linspace(0, 6, 40)[:, None]
    groups = [np.sin(steps), np.cos(steps), -np.sin(steps)]
    values = np.hstack([group + random.normal(0, 0.05, (40, 4)) for group in groups])
    shuffled = random.permutation(12)
    order = _readable_order(values[:, shuffled])
    assert sorted(order) == list(range(12))
    group_of_row = shuffled[order] // 4
    assert np.count_nonzero(np.diff(group_of_row)) == 2


@pytest.mark.parametrize("shape", [(1, 5), (2, 5), (9, 1), (9, 2), (5, 4)])
def test_few_or_constant_values_have_an_order(shape: tuple[int, int]) -> None:
    assert sorted(_readable_order(np.ones(shape))) == list(range(shape[1]))


def _counting() -> InspectedModel:
    """A vanilla RNN over characters: unit 0 grows with every step, unit 1 is 0.5 after an `a` and
    near 0 after others, unit 2 is constant."""
    model = fixed_model("lm", "rnn", layers=1, kind="char")
    weights = {name: np.zeros_like(array) for name, array in model.weights.items()}
    cell = "encoder.layers.0.forward_cell"
    weights[f"{cell}.weight_hh_l0"][0, 0] = 1
    weights[f"{cell}.bias_ih_l0"][0] = 0.001
    weights[f"{cell}.weight_ih_l0"][1, 0] = 1
    weights[f"{cell}.bias_ih_l0"][2] = 0.3
    (a,) = model.tokenizer.encode(["a"])[0]
    weights["encoder.embedding.weight"][a, 0] = 0.5
    return InspectedModel(replace(model.model, weights=lambda: weights), "counting")


def test_units_that_follow_a_property() -> None:
    view = states(_counting(), ["gave a sharp warning"], StateOptions(track="position", units=3))
    correlations = view.objects[0]["correlations"]
    assert next(iter(correlations)) == "1"
    assert correlations["1"] > 0.99
    # A unit that does not vary is correlated with nothing.
    values = list(correlations.values())
    assert sorted(values, key=abs, reverse=True) == values
    (table,) = [panel for panel in view.page.panels if isinstance(panel, Table)]
    assert table.rows[0] == ("1", correlations["1"])


def test_units_that_react_to_a_word() -> None:
    corpus = ["he saw a heron", "she had a lamp, a", "Ask for a: it is red"]
    view = states(_counting(), ["a lamp"], StateOptions(word="A", units=1), corpus)
    assert list(view.objects[0]["units"]) == ["2"]
    with pytest.raises(DataError, match="the word 'zebra' does not vary over the 3 lines"):
        states(_counting(), ["a lamp"], StateOptions(word="zebra"), corpus)


@pytest.mark.parametrize(
    ("kind", "word", "last"),
    [
        ("word", ",", ","),
        ("word", "LAMP", "lamp"),
        ("bpe", "lamp", "“lamp”,"),
        ("bpe", "“lamp”,", "“lamp”,"),
    ],
)
def test_a_word_may_have_marks_or_be_one(kind: str, word: str, last: str) -> None:
    reading = fixed_model("lm", kind=kind).read("the “lamp”, and")
    (step,) = np.flatnonzero(_is_word(reading, word))
    assert step == reading.last_steps()[reading.words.index(last)]


def test_correlation_is_pearsons_over_all_lines() -> None:
    model = fixed_model("lm", "lstm", layers=1)
    lines = ["The heron waited.", "", "Mara rowed home by the old lamp, and slept."]
    found = states(model, [TEXT], StateOptions(track="length", units=5), lines).objects[0]
    hidden, lengths = [], []
    for line in filter(None, lines):
        reading = model.read(line)
        hidden.append(model.trace(reading)[0].hidden[:, 0])
        lengths.append(np.cumsum([len(token) for token in reading.spelled]))
    units = np.concatenate(hidden).astype(float)
    for unit, value in found["correlations"].items():
        expected = np.corrcoef(units[:, int(unit) - 1], np.concatenate(lengths))[0, 1]
        assert value == pytest.approx(expected, abs=1e-6)


def test_a_long_line_of_the_corpus_is_read_in_part() -> None:
    long = "The heron waited. " * 2000
    found = states(fixed_model("lm"), [TEXT], StateOptions(track="position"), [long])
    assert len(found.objects[0]["correlations"]) == 5
    with pytest.raises(UsageError, match="at most"):
        states(fixed_model("lm"), [long], StateOptions())


def test_inside_quotes() -> None:
    reading = fixed_model("lm", kind="char").read('he "said" it')
    inside = "".join(
        token for token, on in zip(reading.steps, _inside_quotes(reading), strict=True) if on
    )
    assert inside == '"said'


@pytest.mark.parametrize("kind", ["word", "byte", "bpe"])
def test_inside_quotes_that_no_token_shows(kind: str) -> None:
    """A curly quote is three tokens of bytes, or an unknown word."""
    reading = fixed_model("lm", kind=kind).read("he “said” it")
    assert not {"“", "”"} & set("".join(reading.steps))
    inside = np.flatnonzero(_inside_quotes(reading))
    words = {reading.words[word] for word in reading.owner[inside]}
    assert words == ({"“", "said"} if kind == "word" else {"“said”"})
    assert inside.tolist() == list(range(inside[0], inside[-1] + 1))
    assert inside[-1] < len(reading.ids) - 1


@pytest.mark.parametrize(
    ("kind", "length"), [("word", 13), ("char", 15), ("byte", 15), ("bpe", 16)]
)
def test_the_length_of_a_line_is_that_of_its_text(kind: str, length: int) -> None:
    """Not of `<eos>`, `<unk>` and the dot before a part of a word. Words have no spaces between
    them, and of subwords the first begins with one."""
    reading = fixed_model("lm", kind=kind).read("zqxj “é” waited")
    assert {"<eos>"} < set(reading.steps)
    lengths = PROPERTIES["length"](reading)
    assert lengths[0] == 0
    assert lengths[-1] == length


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (StateOptions(layer=3), "--layer 3: fixed has 2"),
        (StateOptions(part="cell"), "only an LSTM has a cell state"),
        (StateOptions(part="gate"), "--part is one of hidden, cell, not 'gate'"),
        (StateOptions(direction="backward"), "fixed reads forward only"),
        (StateOptions(direction="up"), "--direction is one of forward, backward, not 'up'"),
        (StateOptions(track="mood"), "--track is one of quotes, length, position, not 'mood'"),
        (StateOptions(track="length", word="a"), "--word and --track exclude each other"),
    ],
)
def test_options_that_cannot_be(options: StateOptions, message: str) -> None:
    with pytest.raises(RnntextError, match=message) as caught:
        states(fixed_model("lm", "gru"), [TEXT], options)
    assert isinstance(caught.value, UsageError)
