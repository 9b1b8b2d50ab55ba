"""How long a model remembers: effects against the network itself, and against theory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import DataError
from rnntext.inspection.memory import (
    MemoryOptions,
    Windows,
    distances_to,
    half_life,
    mean_curve,
    measure,
    memory,
    ratio_curve,
)
from rnntext.inspection.reading import InspectedModel
from rnntext.plotting.page import Lines, Note, Table
from rnntext.runtime.model import TrainedModel
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.backward import gradient_norms
from rnntext.training.networks.build import build_network, network_of
from rnntext.training.onnx.from_network import numpy_weights

torch.set_num_threads(1)

Array = NDArray[Any]
E, H = 4, 6
LINES = [
    "".join(np.random.default_rng(n).choice(list("abcdefgh 你é"), size)).strip() + "🙂"
    for n, size in enumerate((30, 9, 41, 17, 0, 60, 25))
]
CHARACTERS = Tokenizer.train("char", LINES, vocab_size=40, min_frequency=1)
# A half-life of five steps.
DECAY = 0.5 ** (1 / 5)


def model(
    task: str = "lm",
    cell: str = "gru",
    layers: int = 1,
    *,
    both: bool = False,
    tokenizer: Tokenizer = CHARACTERS,
    name: str = "a model",
) -> InspectedModel:
    """A model with random weights."""
    labels = () if task == "lm" else ("x", "y", "z")
    encoder = EncoderConfig(cell, tokenizer.vocab_size, E, H, layers, both)
    config = ModelConfig(task, encoder, labels, max_length=0 if task == "lm" else 99)
    random = np.random.default_rng(3)
    weights = {
        each: random.normal(0, 0.6, array.shape).astype(np.float32)
        for each, array in numpy_weights(build_network(config)).items()
    }
    trained = TrainedModel(config, tokenizer, _no_session, weights=lambda: weights)
    return InspectedModel(trained, name)


def _no_session() -> Any:
    raise AssertionError("memory is measured without the graph")


def with_decay(decay: float) -> InspectedModel:
    """A vanilla RNN whose state loses the same share at each step, with inputs so small that tanh
    is nearly linear."""
    found = model("lm", "rnn")
    weights = {name: array.copy() for name, array in found.weights.items()}
    cell = "encoder.layers.0.forward_cell"
    weights["encoder.embedding.weight"] *= 0.1
    weights[f"{cell}.weight_ih_l0"] *= 0.03
    weights[f"{cell}.weight_hh_l0"] = decay * np.eye(H, dtype=np.float32)
    weights[f"{cell}.bias_ih_l0"] *= 0
    weights[f"{cell}.bias_hh_l0"] *= 0
    return InspectedModel(replace(found.model, weights=lambda: weights), "decay")


def windows(texts: list[Array], distance: int, spare: int = 0, seed: int = 1) -> Windows:
    return Windows(texts, distance, spare, CHARACTERS.eos_id, np.random.default_rng(seed))


# What theory says


def test_a_known_decay_has_the_half_life_of_theory() -> None:
    options = MemoryOptions(distance=30, gradient=True)
    found = measure(with_decay(DECAY), LINES, options)
    assert found.gradient is not None
    expected = DECAY ** found.distances.astype(float)
    assert found.state.values == pytest.approx(expected, rel=0.01)
    assert found.gradient.values == pytest.approx(expected, rel=0.01)
    half_lives = found.half_lives()
    assert half_lives["state"] == pytest.approx(5, rel=0.01)
    assert half_lives["gradient"] == pytest.approx(5, rel=0.01)
    # To the second order a divergence is a square of the difference.
    assert half_lives["prediction"] == pytest.approx(2.5, rel=0.05)


def test_a_model_that_ignores_its_state_has_no_effect_beyond_the_token() -> None:
    found = measure(with_decay(0.0), LINES, MemoryOptions(distance=9, gradient=True))
    assert found.distances.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert found.prediction is not None
    for curve in (found.state, found.gradient):
        assert curve is not None
        assert curve.values.tolist() == [1, *[0] * 9]
    assert found.prediction.values[0] > 0
    assert found.prediction.values[1:].tolist() == [0] * 9
    assert set(found.half_lives().values()) == {0.5}


def test_a_perfect_memory_has_no_half_life() -> None:
    view = memory([with_decay(1.0)], LINES, MemoryOptions(distance=9))
    assert view.objects[0]["half_life"] == {"state": None, "prediction": None}
    (table,) = (panel for panel in view.page.panels if isinstance(panel, Table))
    assert table.rows[0][2:] == ("over 9", "over 9")


# What the network itself says


@pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("gru", 2), ("lstm", 2)])
def test_a_language_model_against_its_network(cell: str, layers: int) -> None:
    found = model("lm", cell, layers)
    network: Any = network_of(found.config, found.weights)
    stream = np.concatenate([[CHARACTERS.eos_id], *CHARACTERS.encode_lines(LINES)])
    differences, bits, gradients = [], [], []
    for batch in windows([stream], 11, spare=1).batches():
        start = batch.ids.shape[1] - 12
        inputs = [torch.from_numpy(ids).long() for ids in (batch.ids, batch.changed)]
        states = [network.encoder(ids)[0][start:] for ids in inputs]
        differences.append((states[0] - states[1]).norm(dim=-1))  # (D, B)
        p, q = (network(ids)[0].log_softmax(-1)[:, start:] for ids in inputs)  # (B, D, V)
        bits.append((p.exp() * (p - q) / np.log(2)).sum(-1))
        gradients.append(gradient_norms(network, batch.ids, 11, batch.following))
    of_state = torch.cat(differences, dim=1).mean(1).numpy()
    at = distances_to(11)
    measured = measure(found, LINES, MemoryOptions(distance=11, gradient=True))
    assert measured.prediction is not None
    assert measured.gradient is not None
    norms = np.concatenate(gradients, axis=1).mean(1)  # (D)
    assert measured.gradient.values == pytest.approx((norms / norms[0])[at], rel=1e-6)
    assert measured.state.values == pytest.approx((of_state / of_state[0])[at], rel=1e-4)
    expected = torch.cat(bits).mean(0).numpy()[at]
    assert measured.prediction.values == pytest.approx(expected, rel=1e-3)
    assert measured.places == sum(len(part) for part in bits) > 32


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_a_bidirectional_model_is_measured_by_its_forward_states(task: str) -> None:
    words = [" ".join(line) for line in LINES]  # for the tagger each character is a word
    tokenizer = Tokenizer.train("word", words, vocab_size=40, min_frequency=1)
    found = model(task, "gru", 2, both=True, tokenizer=tokenizer)
    network = network_of(found.config, found.weights)
    differences = []
    sampled = Windows(tokenizer.encode(words), 10, 0, tokenizer.eos_id, np.random.default_rng(1))
    for batch in sampled.batches():
        states = [
            network.encoder(torch.from_numpy(ids).long())[0][-11:, :, :H]
            for ids in (batch.ids, batch.changed)
        ]
        differences.append((states[0] - states[1]).norm(dim=-1))
    of_state = torch.cat(differences, dim=1).mean(1).numpy()
    measured = measure(found, words, MemoryOptions(distance=10))
    assert measured.state.values == pytest.approx(
        (of_state / of_state[0])[distances_to(10)], rel=1e-4
    )
    assert measured.prediction is None


# Windows of the corpus


def test_windows_differ_in_one_token_at_the_largest_distance() -> None:
    texts = [np.array([0, 5, 0, 6, *range(7, 60)]), np.arange(60, 90), np.arange(90, 95)]
    every = np.concatenate(texts)
    found = windows(texts, 7, spare=1)
    contexts = []
    for batch in found.batches():
        assert batch.following is not None
        for ids, changed, following in zip(batch.ids, batch.changed, batch.following, strict=True):
            (place,) = np.flatnonzero(ids != changed)
            assert len(ids) - 1 - place == 7
            assert ids[place] != CHARACTERS.eos_id != changed[place]
            assert changed[place] in every
            # The window and the token after it are consecutive in the corpus.
            start = int(np.flatnonzero(every == ids[place])[0]) - place
            assert every[start : start + len(ids) + 1].tolist() == [*ids, following]
            contexts.append(place)
    # Of the first text, without its two line ends, and the second; the third is too short.
    assert found.count == len(contexts) == (57 - 8 - 2) + (30 - 8)
    # Each is read with all that stands before it in its text, up to 32 tokens.
    assert contexts.count(32) == (57 - 8) - 32
    assert [contexts.count(context) for context in (0, 1, 2, 3, 21, 22, 31)] == [
        1,
        2,
        1,
        2,
        2,
        1,
        1,
    ]


def test_long_texts_are_sampled_without_replacement() -> None:
    found = windows([np.arange(1, 2000)], 3)
    places = [int(row[-4]) for batch in found.batches() for row in batch.ids]
    assert found.count == len(set(places)) == 256
    assert max(places) > 1500


def test_replacements_are_as_frequent_as_in_the_corpus() -> None:
    text = np.array([1, 2, 2, 2] * 300)
    changed = [
        row[-2]
        for batch in windows([np.concatenate([np.full(300, 3), text])], 1).batches()
        for ids, row in zip(batch.ids, batch.changed, strict=True)
        if ids[-2] == 3
    ]
    assert len(changed) > 30
    assert 0.55 < np.mean(np.array(changed) == 2) < 0.95


# How far, and how much text


def test_distances_are_dense_at_first() -> None:
    assert distances_to(1).tolist() == [0, 1]
    assert distances_to(11).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    assert distances_to(64)[9:].tolist() == [10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64]


def test_the_default_distance_is_what_the_texts_allow() -> None:
    lines = ["abcdefgh" * 3] * 10  # 24 characters each
    classifier = model("classify")
    # A quarter of the 240 tokens have 18 tokens after them, and 32 tokens have 20.
    assert measure(classifier, lines, MemoryOptions()).distances[-1] == 18
    assert measure(classifier, lines, MemoryOptions(distance=20)).distances[-1] == 20
    with pytest.raises(DataError, match=r"distance of 21: of the 240 tokens .* 30 have") as caught:
        measure(classifier, lines, MemoryOptions(distance=21))
    assert str(caught.value).endswith("give more or longer text, or a smaller --distance")
    # A language model reads the lines as one text.
    assert measure(model(), lines, MemoryOptions()).distances[-1] == 64
    assert measure(model(), lines, MemoryOptions(distance=90)).distances[-1] == 90


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
@pytest.mark.parametrize("lines", [[], ["", ""], ["abc abc"]])
def test_too_little_text(task: str, lines: list[str]) -> None:
    with pytest.raises(DataError, match="too little text to measure memory") as caught:
        measure(model(task), lines, MemoryOptions())
    assert str(caught.value).endswith("give more or longer text")


def test_a_text_of_one_token() -> None:
    with pytest.raises(DataError, match="all tokens of the text are the same"):
        measure(model(), ["a" * 200], MemoryOptions())


# Numbers


def test_a_half_life_lies_between_two_distances() -> None:
    assert half_life(np.array([0, 1, 2]), np.array([4.0, 3.0, 1.0])) == 1.5
    assert half_life(np.array([0, 8, 12]), np.array([1.0, 0.75, 0.25])) == 10
    assert half_life(np.array([0, 1]), np.array([1.0, 0.5])) is None  # half is not below half
    assert half_life(np.array([0, 1, 2]), np.zeros(3)) is None
    # It is the first; what rises again is not forgotten later.
    assert half_life(np.array([0, 1, 2, 3]), np.array([1.0, 0.0, 2.0, 0.0])) == 0.5


def test_standard_errors_by_hand() -> None:
    samples = np.array([[2.0, 1.0], [4.0, 1.0]])
    curve = mean_curve(samples)
    assert (curve.values.tolist(), curve.errors) == ([3, 1], pytest.approx([1, 0]))
    curve = ratio_curve(samples)
    assert curve.values == pytest.approx([1, 1 / 3])
    assert curve.errors == pytest.approx([0, 1 / 9])
    assert ratio_curve(np.zeros((2, 3))).values.tolist() == [0, 0, 0]


def test_the_same_seed_gives_the_same_numbers() -> None:
    first, again, other = (
        memory([model()], LINES, MemoryOptions(distance=5, seed=seed)).objects for seed in (4, 4, 5)
    )
    assert first == again
    assert first != other


# The view


def test_several_models_in_one_view() -> None:
    models = [model(name="one"), model("classify", "lstm", both=True, name="two")]
    view = memory(models, LINES, MemoryOptions(distance=4, gradient=True))
    assert len(view.objects) == len(view.rows) == 10
    first, second = view.objects[1], view.objects[6]
    assert first.keys() == second.keys()
    assert (first["model"], first["cell"], first["distance"]) == ("one", "gru", 1)
    assert (second["model"], second["cell"], second["distance"]) == ("two", "lstm", 1)
    assert second["prediction"] is second["prediction_error"] is None
    assert second["half_life"].keys() == {"state", "prediction", "gradient"}
    assert first["gradient_log10"] == pytest.approx(np.log10(first["gradient"]))
    assert view.rows[6] == ("two", 1, f"{second['state']:.4g}", "", f"{second['gradient']:.4g}")
    curves = [panel for panel in view.page.panels if isinstance(panel, Lines)]
    assert [[line.name for line in panel.lines] for panel in curves] == [
        ["one (GRU)", "two (LSTM)"],
        ["one (GRU)"],
        ["one (GRU)", "two (LSTM)"],
    ]
    assert [panel.log_y for panel in curves] == [False, True, True]
    notes = " ".join(panel.text for panel in view.page.panels if isinstance(panel, Note))
    assert "each model's own tokens" in notes
    assert "A classifier's loss is that of its own answer" in notes


def test_without_gradient_it_is_not_spoken_of() -> None:
    view = memory([model("tag")], [" ".join(LINES)], MemoryOptions(distance=4))
    assert "gradient" not in view.objects[0]
    assert len(view.rows[0]) == 4
    (state,) = (panel for panel in view.page.panels if isinstance(panel, Lines))
    assert state.lines[0].x.tolist() == [0, 1, 2, 3, 4]
    notes = " ".join(panel.text for panel in view.page.panels if isinstance(panel, Note))
    assert "Gradient" not in notes
    assert "Prediction" not in notes
