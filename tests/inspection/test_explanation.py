"""The shares of words in an answer, and the sum that they make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rnntext.checkpoint_config import Quantization
from rnntext.errors import UsageError
from rnntext.graphs.classifier import apply_temperature
from rnntext.inspection.explanation import (
    Explanation,
    SentenceExplainer,
    TextExplainer,
    against_others,
    places_of,
)
from rnntext.inspection.reading import InspectedModel
from rnntext.runtime.classifier import Classifier
from rnntext.runtime.tagger import Tagger
from tests.inspection.explained import FOUR, SENTENCE, TWO, explained_model

LONG = f"{SENTENCE} " * 5  # several windows


def explain(model: InspectedModel, text: str = SENTENCE, label: str | None = None) -> Explanation:
    explainer = TextExplainer(model)
    reading = explainer.read(text)
    assert reading is not None
    return explainer.explain(reading, label)


def assert_complete(found: Explanation, windows: int = 1) -> None:
    """The shares sum to the log-odds, up to 1 % of what the network's words change, or 0.001 in
    each window, and to what float32 rounds."""
    change = abs(found.shares.network.sum())
    assert abs(found.difference) <= max(0.0101 * change, 1e-3 * windows) + 1e-5
    total = found.shares.total.sum() + found.without.total + found.others
    assert found.difference == pytest.approx(total - found.log_odds, abs=1e-12)


@pytest.mark.parametrize("text", [SENTENCE, LONG, "", " "])
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize(
    ("labels", "multi"), [(TWO, False), (FOUR, False), (TWO, True), (FOUR, True)]
)
def test_shares_sum_to_the_log_odds_of_what_classify_prints(
    labels: tuple[str, ...], multi: bool, linear: bool, text: str
) -> None:
    model = explained_model("classify", labels, multi=multi, linear=linear)
    found = explain(model, text)
    (answer,) = Classifier(model.model).classify([text])
    assert found.label == answer.label
    assert found.probability == pytest.approx(answer.probability, abs=1e-6)
    odds = answer.probability / (1 - answer.probability)
    assert found.log_odds == pytest.approx(np.log(odds), abs=1e-5)
    assert_complete(found)
    assert found.has_linear == linear
    assert found.shares.linear.any() == (linear and bool(text.strip()))
    assert (found.others == 0) == (multi or labels == TWO)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_text_of_several_windows_is_explained_as_it_is_read(cell: str, both: bool) -> None:
    model = explained_model("classify", cell=cell, both=both)
    assert len(model.read_whole(LONG).ids) > 3 * model.config.max_length
    assert_complete(explain(model, LONG), windows=7)


def test_any_label_can_be_explained() -> None:
    model = explained_model("classify")
    (answer,) = Classifier(model.model).classify([SENTENCE])
    for label in FOUR:
        found = explain(model, label=label)
        assert (found.label, found.probability) == (label, pytest.approx(answer.labels[label]))
        assert_complete(found)
    with pytest.raises(
        UsageError, match="does not know the label 'Y': it has NOUN, VERB, naïve, X"
    ):
        explain(model, label="Y")


def test_with_two_labels_one_speaks_against_the_other() -> None:
    model = explained_model("classify", TWO)
    one, other = (explain(model, label=label) for label in TWO)
    np.testing.assert_allclose(one.shares.total, -other.shares.total, atol=1e-9)


@pytest.mark.parametrize("labels", [TWO, FOUR])
def test_linear_shares_are_those_of_the_logits(labels: tuple[str, ...]) -> None:
    model = explained_model("classify", labels)
    found = explain(model)
    ngrams: Any = model.model.ngrams()
    logits = Classifier(model.model).logits([model.read_whole(SENTENCE).ids])[0]
    added = ngrams.logits([SENTENCE])[0]
    coefficients, _ = against_others(logits + added, labels.index(found.label), False)
    total = found.shares.linear.sum() + found.without.linear
    assert total == pytest.approx(coefficients @ added, abs=1e-6)
    network = found.shares.network.sum() + found.without.network
    assert network == pytest.approx(coefficients @ logits, abs=0.05)


def test_the_words_of_n_grams_belong_to_those_that_the_network_reads() -> None:
    model = explained_model("classify", TWO, pairs=False)
    ngrams: Any = model.model.ngrams()
    text = "can't  row—the\tboat."
    found = explain(model, text, "pos")
    assert list(found.words) == ["can't", "row—the", "boat."]

    def share(*words: str) -> float:
        """Each word by itself, without the bias."""
        bias = ngrams.logits([""])[0]
        each = [np.subtract(*(ngrams.logits([w])[0] - bias)[::-1]) for w in words]
        return float(np.sum(each))

    expected = [share("can", "'", "t"), share("row", "—", "the"), share("boat", ".")]
    np.testing.assert_allclose(found.shares.linear, expected, atol=1e-5)


def test_the_order_of_words_counts_for_the_network_alone() -> None:
    model = explained_model("classify", TWO, pairs=False)
    one = explain(model, "the heron sat near the boat", "pos")
    words = ["boat", "near", "the", "sat", "heron", "the"]
    other = explain(model, " ".join(words), "pos")
    assert list(other.words) == words
    moved = []
    for word in ("heron", "sat", "near", "boat"):
        first, second = list(one.words).index(word), words.index(word)
        assert one.shares.linear[first] == pytest.approx(other.shares.linear[second], abs=1e-9)
        moved.append(abs(one.shares.network[first] - other.shares.network[second]))
    assert max(moved) > 0.01


@pytest.mark.parametrize("kind", ["bpe", "word", "char", "byte"])
def test_every_tokenizer_gives_words(kind: str) -> None:
    model = explained_model("classify", TWO, kind=kind, max_length=99)
    found = explain(model)
    assert_complete(found)
    assert [SENTENCE[start:stop] for start, stop in found.places] == list(found.words)
    assert "".join(found.words) == SENTENCE.replace(" ", "")


def test_what_is_of_no_word_stands_at_the_end() -> None:
    model = explained_model("classify", TWO)
    found = explain(model, "row\nthe boat")
    assert list(found.words) == ["row", "the", "boat", "<eos>"]
    assert len(found.places) == 3
    assert found.shares.network[-1] != 0
    assert list(explain(model, "").words) == ["<eos>"]
    assert [each["word"] for each in found.as_objects()] == list(found.words)


def test_objects_tell_whether_there_is_a_linear_half() -> None:
    for linear in (False, True):
        found = explain(explained_model("classify", TWO, linear=linear), "the boat")
        for number, each in enumerate(found.as_objects()):
            assert list(each) == ["word", "network", "linear", "total"]
            assert each["network"] == found.shares.network[number]
            assert each["linear"] == (found.shares.linear[number] if linear else None)
            assert each["total"] == each["network"] + (each["linear"] or 0)


def test_the_strongest_words_have_the_largest_shares_of_either_sign() -> None:
    found = explain(explained_model("classify", TWO))
    order = found.strongest(3)
    sizes = np.abs(found.shares.total)
    assert len(order) == 3
    assert sorted(sizes, reverse=True)[:3] == [sizes[i] for i in order]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("both", [False, True])
def test_shares_sum_to_the_log_odds_of_a_tag(both: bool, linear: bool, cell: str) -> None:
    model = explained_model("tag", cell=cell, both=both, linear=linear)
    explainer = SentenceExplainer(model)
    reading, answer = model.read(SENTENCE), explainer.tag(SENTENCE)
    (printed,) = Tagger(model.model).tag([SENTENCE])
    (tokens,) = model.tokenizer.encode_words([reading.words])
    emissions = Tagger(model.model).emissions(tokens, reading.words)
    for word, row in enumerate(emissions.astype(float)):
        found = explainer.explain(reading, answer, word)
        assert (found.word, list(found.words)) == (word, printed.words)
        assert found.label == printed.tags[word]
        assert found.probability == pytest.approx(printed.probabilities[word], abs=1e-6)
        odds = np.exp(row - row.max())
        share = odds[FOUR.index(found.label)] / odds.sum()
        assert found.log_odds == pytest.approx(np.log(share / (1 - share)), abs=1e-5)
        assert_complete(found)
        assert found.shares.linear.any() == linear
        if not both:
            assert not found.shares.network[word + 1 :].any()


def test_another_tag_than_that_of_the_answer() -> None:
    model = explained_model("tag")
    explainer = SentenceExplainer(model)
    reading, answer = model.read(SENTENCE), explainer.tag(SENTENCE)
    found = [explainer.explain(reading, answer, 2, label) for label in FOUR]
    for each in found:
        assert_complete(each)
        if each.label != answer.tags[2]:
            odds = np.exp(each.log_odds)
            assert each.probability == pytest.approx(odds / (1 + odds), abs=1e-6)


def test_an_int8_classifier_has_a_temperature_of_its_own() -> None:
    model = explained_model("classify", TWO)
    plain = explain(model)
    # The graph of float32 weights divided by the temperature stands in for that of int8.
    saved: Any = type(
        "Saved", (), {"precision": "int8", "quantization": Quantization(temperature=2.0)}
    )()
    cold = InspectedModel(replace(model.model, saved=saved), "cold")
    found = explain(cold, label=plain.label)
    np.testing.assert_allclose(found.shares.network, plain.shares.network / 2, atol=2e-2)
    assert found.without.network == pytest.approx(plain.without.network / 2)
    halved = apply_temperature(dict(model.weights), 2.0)
    changed = [name for name in halved if halved[name] is not model.weights[name]]
    assert changed == ["head.output.weight", "head.output.bias"]


def test_a_text_that_is_too_long_is_not_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    explainer = TextExplainer(explained_model("classify", TWO, kind="char"))
    monkeypatch.setattr("rnntext.inspection.explanation.MOST_STEPS", 8)
    assert explainer.read("12345678") is not None
    assert explainer.read("123456789") is None


def test_log_odds_are_a_sum_of_logits() -> None:
    logits = np.array([0.5, -1.0, 2.0, 0.25])
    odds = np.exp(logits)
    for label in range(4):
        coefficients, constant = against_others(logits, label, False)
        expected = np.log(odds[label] / (odds.sum() - odds[label]))
        assert coefficients @ logits + constant == pytest.approx(expected, abs=1e-12)
        assert coefficients.sum() == pytest.approx(0)
        # They are the derivatives of the log-odds too.
        for other in range(4):
            moved = np.exp(logits + 1e-6 * np.eye(4)[other])
            slope = (np.log(moved[label] / (moved.sum() - moved[label])) - expected) / 1e-6
            assert slope == pytest.approx(coefficients[other], abs=1e-5)
    coefficients, constant = against_others(logits, 2, True)
    assert (coefficients.tolist(), constant) == ([0, 0, 1, 0], 0)
    # A label that cannot be adds nothing.
    coefficients, constant = against_others(np.array([0.0, 1.0, -1e4]), 0, False)
    assert (coefficients.tolist(), constant) == ([1, -1, 0], 0)


def test_where_words_stand() -> None:
    assert places_of(" a  ba a", ["a", "ba", "a"]) == [(1, 2), (4, 6), (7, 8)]
