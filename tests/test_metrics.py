"""Every metric against a case worked out by hand, and span scores against conlleval's own rules."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rnntext import metrics
from rnntext.metrics import (
    Span,
    accuracy,
    bits_per_byte,
    classification_metrics,
    classification_tally,
    confusion,
    ece,
    interval,
    is_span_tags,
    language_model_metrics,
    macro_f1,
    majority,
    never_predicted,
    per_label,
    perplexity,
    span_scores,
    spans,
    tagging_metrics,
)

Array = NDArray[Any]

# Language models


def test_perplexity_of_a_fair_die_is_its_number_of_sides() -> None:
    assert perplexity(7 * math.log(6), 7) == pytest.approx(6)
    assert perplexity(0.0, 0) == 1.0


def test_perplexity_stays_finite() -> None:
    assert math.isfinite(perplexity(1e9, 1))


def test_bits_per_byte() -> None:
    assert bits_per_byte(6 * math.log(2), 4) == pytest.approx(1.5)
    assert bits_per_byte(0.0, 0) == 0.0
    # Two of the four bytes are of characters without a token.
    assert bits_per_byte(6 * math.log(2), 4, 2) == pytest.approx((6 + 2 * 8) / 4)


def test_language_model_metrics() -> None:
    result = language_model_metrics(
        total_nats=8 * math.log(4), tokens=8, known_nats=6 * math.log(2), known_tokens=6, n_bytes=32
    )
    assert list(result) == [
        "perplexity",
        "perplexity_known",
        "bits_per_byte",
        "tokens",
        "unknown_rate",
    ]
    assert result == pytest.approx(
        {
            "perplexity": 4,
            "perplexity_known": 2,
            "bits_per_byte": 0.5,
            "tokens": 8,
            "unknown_rate": 0.25,
        }
    )


def test_language_model_metrics_of_a_tokenizer_that_loses_text_and_of_nothing() -> None:
    lossy = language_model_metrics(
        total_nats=1.0, tokens=2, known_nats=1.0, known_tokens=2, n_bytes=None
    )
    assert lossy["bits_per_byte"] is None
    empty = language_model_metrics(
        total_nats=0.0, tokens=0, known_nats=0.0, known_tokens=0, n_bytes=0
    )
    assert [*empty.values()] == [1.0, 1.0, 0.0, 0, 0.0]


# Classifiers

GOLD = ["a", "a", "a", "b", "c", "b"]
PREDICTED = ["a", "b", "a", "b", "a", "a"]


def test_accuracy_and_majority() -> None:
    assert accuracy(GOLD, PREDICTED) == 3 / 6
    assert majority(GOLD) == 3 / 6
    assert majority(["b", "a", "b", "b"]) == 3 / 4
    assert accuracy([], []) == majority([]) == 0.0
    with pytest.raises(ValueError, match="shorter"):
        accuracy(GOLD, PREDICTED[:-1])


def test_a_matrix_of_confusions_has_gold_in_rows() -> None:
    expected = [[0, 0, 0, 0], [0, 2, 1, 0], [0, 1, 1, 0], [0, 1, 0, 0]]
    assert confusion(GOLD, PREDICTED, ["unused", "a", "b", "c"]) == {"confusion": expected}
    with pytest.raises(ValueError, match="shorter"):
        confusion(GOLD, PREDICTED[:-1], ["a", "b", "c"])


def test_confusions_of_many_labels_are_pairs() -> None:
    others = [f"{number}" for number in range(997)]
    assert len(confusion(GOLD, PREDICTED, [*others, "c", "b", "a"])["confusion"]) == 1000
    pairs = [[997, 999, 1], [998, 998, 1], [998, 999, 1], [999, 998, 1], [999, 999, 2]]
    found = confusion(GOLD, PREDICTED, [*others, "c", "b", "a", "more"])
    assert found == {"confusion_pairs": pairs}


def test_per_label_and_macro_f1() -> None:
    scores = per_label(GOLD, PREDICTED, ["a", "b", "c"])
    assert scores == {
        "a": {"precision": 2 / 4, "recall": 2 / 3, "f1": 4 / 7, "support": 3},
        "b": {"precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "support": 2},
        "c": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
    }
    assert macro_f1(GOLD, PREDICTED) == pytest.approx((4 / 7 + 1 / 2 + 0) / 3)


def test_macro_f1_takes_in_labels_that_are_only_predicted() -> None:
    assert macro_f1(["a", "a"], ["a", "b"]) == pytest.approx((2 / 3 + 0) / 2)
    assert macro_f1(["a", "a"], ["a", "a"]) == 1.0
    assert macro_f1([], []) == 0.0


def test_ece_by_hand() -> None:
    # Two bins: (0, .5] has .4 and .5, one of two true; (.5, 1] has .6, .8, 1, two of three true.
    confidences = np.array([0.4, 0.6, 0.5, 0.8, 1.0])
    correct = np.array([True, False, False, True, True])
    expected = 2 / 5 * abs(1 / 2 - 0.45) + 3 / 5 * abs(2 / 3 - 0.8)
    assert ece(confidences, correct, bins=2) == pytest.approx(expected)


def test_ece_has_fifteen_bins_closed_above() -> None:
    # 1/15 belongs to the first bin, just above it to the second; in one bin they would cancel.
    confidences = np.array([1 / 15, 1 / 15 + 1e-6])
    correct = np.array([False, True])
    assert ece(confidences, correct) == pytest.approx((1 / 15 + 14 / 15) / 2, abs=1e-5)
    assert ece(confidences, correct, bins=1) == pytest.approx(1 / 2 - 1 / 15, abs=1e-5)


def test_ece_at_the_ends() -> None:
    assert ece(np.array([0.0, 1.0]), np.array([False, True])) == 0.0
    assert ece(np.array([0.0, 1.0]), np.array([True, False])) == 1.0
    assert ece(np.zeros(0), np.zeros(0, np.bool_)) == 0.0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_ece_equals_its_definition(pairs: list[tuple[float, bool]]) -> None:
    expected = 0.0
    for m in range(1, 16):
        first = m == 1
        within = [(p, t) for p, t in pairs if p * 15 <= m and (p * 15 > m - 1 or first)]
        if within:
            confidence = sum(p for p, _ in within) / len(within)
            rate = sum(t for _, t in within) / len(within)
            expected += len(within) / len(pairs) * abs(rate - confidence)
    confidences, correct = (np.array(column) for column in zip(*pairs, strict=True))
    assert ece(confidences, correct) == pytest.approx(expected, abs=1e-9)


def test_classification_metrics() -> None:
    # Predicted: b, a, b, b; the gold label "new" is not the model's.
    probabilities = np.array([[0.3, 0.7, 0], [0.9, 0.1, 0], [0.2, 0.8, 0], [0, 1, 0]])
    result = classification_metrics(["b", "a", "new", "a"], probabilities, ["a", "b", "c"], False)
    assert [*result] == [
        "accuracy",
        "macro_f1",
        "log_loss",
        "ece",
        "majority",
        "accuracy_interval",
        "thresholds",
        "per_label",
        "confusion",
        "labels",
    ]
    assert result["labels"] == ["a", "b", "c", "new"]
    # The third gold label has no probability and is left out, the fourth a probability of 0.
    nats = -math.log(0.7) - math.log(0.9) - math.log(1e-15)
    assert result["log_loss"] == pytest.approx(nats / 3)
    assert result["accuracy"] == 2 / 4
    assert result["majority"] == 2 / 4
    assert result["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    # Each confidence has a bin of its own.
    assert result["ece"] == pytest.approx((0.3 + 0.1 + 1.0) / 3)
    assert result["confusion"] == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert result["per_label"]["a"] == {
        "precision": 1.0,
        "recall": 1 / 2,
        "f1": 2 / 3,
        "support": 2,
    }
    assert result["per_label"]["c"]["support"] == 0
    json.dumps(result)  # plain numbers, not NumPy's


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_thresholds_of_confidence(kind: type) -> None:
    # Confidences and whether the answer is right: 0.9 yes, 0.95 no, 0.45 yes, 0.6 yes; and one
    # whose gold label the model does not know.
    probabilities = np.array(
        [[0.9, 0.1, 0], [0.05, 0.95, 0], [0.45, 0.3, 0.25], [0.2, 0.2, 0.6], [0, 1, 0]], kind
    )
    gold = ["a", "a", "a", "c", "new"]
    found = classification_metrics(gold, probabilities, ["a", "b", "c"], False)["thresholds"]
    wanted = {
        0.5: (2 / 4, 2 / 5, 4 / 5),
        0.6: (2 / 4, 2 / 5, 4 / 5),
        0.7: (1 / 3, 1 / 5, 3 / 5),
        0.8: (1 / 3, 1 / 5, 3 / 5),
        0.9: (1 / 3, 1 / 5, 3 / 5),
        0.95: (0.0, 0.0, 2 / 5),
        0.99: (0.0, 0.0, 1 / 5),
    }
    names = ("precision", "recall", "coverage")
    assert {row["threshold"]: tuple(row[name] for name in names) for row in found} == wanted


def test_thresholds_equal_their_definition() -> None:
    random = np.random.default_rng(8)
    probabilities = random.dirichlet(np.full(3, 0.3), size=500)
    gold = random.choice(["a", "b", "c", "new"], size=500).tolist()
    found = classification_metrics(gold, probabilities, ["a", "b", "c"], False)["thresholds"]
    right = np.array(["a", "b", "c"])[probabilities.argmax(1)] == gold
    for row in found:
        given = probabilities.max(1) >= row["threshold"]
        assert row["coverage"] == pytest.approx(given.mean())
        assert row["precision"] == pytest.approx(right[given].mean())
        assert row["recall"] == pytest.approx((right & given).mean())


def test_multi_label_metrics() -> None:
    gold = [{"x"}, {"x", "y"}, (), ["x"], ["new"]]
    probabilities = np.array(
        [[0.9, 0.1, 0], [0.8, 0.4, 0], [0.1, 0.1, 0], [0.5, 0.6, 0], [0, 0, 0]]
    )
    result = classification_metrics(gold, probabilities, ["x", "y", "z"], True)
    assert [*result] == [
        "accuracy",
        "macro_f1",
        "micro_f1",
        "log_loss",
        "ece",
        "majority",
        "accuracy_interval",
        "per_label",
        "confusion",
        "labels",
    ]
    # Predicted: {x}, {x}, {}, {x, y}, {}.
    assert result["labels"] == ["x", "y", "z", "new"]
    assert result["accuracy"] == 2 / 5
    assert result["majority"] == 2 / 5
    assert result["macro_f1"] == pytest.approx((1 + 0 + 0) / 3)  # z is seen nowhere
    assert result["micro_f1"] == pytest.approx(2 * 3 / (4 + 5))
    assert result["confusion"] == [
        [[2, 0], [0, 3]],
        [[3, 1], [1, 0]],
        [[5, 0], [0, 0]],
        [[4, 0], [1, 0]],
    ]
    assert result["per_label"]["y"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    # The last row is left out, because the model has no label "new".
    # By bin: four zeros exact, .1 three times wrong by .1, and .9 .8 .4 .5 .6 each on its own.
    gaps = 3 * 0.1 + 0.1 + 0.2 + 0.6 + 0.5 + 0.6
    # Of what is true of each label of the model.
    true = [0.9, 0.9, 0.8, 0.4, 0.9, 0.9, 0.5, 0.4]
    assert result["log_loss"] == pytest.approx(-sum(map(math.log, true)) / 12)
    assert result["ece"] == pytest.approx(gaps / 12)
    json.dumps(result)


def test_multi_label_threshold() -> None:
    probabilities = np.array([[0.3, 0.29]])
    result = classification_metrics([["p"]], probabilities, ["p", "q"], True, threshold=0.3)
    assert result["accuracy"] == 1.0
    assert classification_metrics([["p"]], probabilities, ["p", "q"], True)["accuracy"] == 0.0


@pytest.mark.parametrize("multi_label", [False, True])
def test_classification_metrics_of_nothing(multi_label: bool) -> None:
    result = classification_metrics([], np.zeros((0, 2)), ["a", "b"], multi_label)
    names = ("accuracy", "macro_f1", "log_loss", "ece", "majority")
    assert [result[name] for name in names] == [0.0] * 5
    assert result["labels"] == ["a", "b"]


# Classifiers of many labels


@pytest.mark.parametrize("multi_label", [False, True])
def test_documents_in_parts_give_the_same_metrics_to_the_bit(multi_label: bool) -> None:
    random = np.random.default_rng(4)
    labels = [f"{number}" for number in range(7)]
    probabilities = random.dirichlet(np.ones(7), size=300).astype(np.float32)
    gold: list[Any] = random.choice([*labels, "new", "newer"], size=300).tolist()
    if multi_label:
        probabilities *= 4
        np.clip(probabilities, 0, 1, out=probabilities)
        gold = [random.choice([*labels, "new", "newer"], size=n % 4).tolist() for n in range(300)]
    tally = classification_tally(labels, multi_label, 0.4)
    for part in (slice(0, 1), slice(1, 170), slice(170, 170), slice(170, None)):
        tally.add(gold[part], probabilities[part])
    assert tally.metrics() == classification_metrics(gold, probabilities, labels, multi_label, 0.4)


@pytest.mark.parametrize("multi_label", [False, True])
def test_memory_does_not_grow_with_the_square_of_the_labels(multi_label: bool) -> None:
    """A matrix of 50,000 labels would take 20 GB."""
    labels = [f"{number}" for number in range(50_000)]
    tally = classification_tally(labels, multi_label)
    tracemalloc.start()
    try:
        for start in (0, 50, 100):
            gold: list[Any] = labels[start : start + 50]
            probabilities = np.zeros((50, len(labels)), np.float32)
            probabilities[np.arange(50), np.arange(start, start + 50)] = 0.75
            tally.add([[label] for label in gold] if multi_label else gold, probabilities)
        result = tally.metrics()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result["accuracy"] == 1.0
    assert len(result["per_label"]) == len(result["labels"]) == len(labels)
    assert peak < 300e6


@pytest.mark.parametrize("multi_label", [False, True])
def test_memory_does_not_grow_with_the_documents(multi_label: bool) -> None:
    tally = classification_tally(["a", "b"], multi_label)
    probabilities = np.full((1000, 2), 0.5, np.float32)

    def add() -> None:
        # Each label is a string of its own, as readers give them.
        gold: list[Any] = ["".join(("new ", "label")) for _ in range(1000)]
        tally.add([[label] for label in gold] if multi_label else gold, probabilities)

    add()
    tracemalloc.start()
    try:
        for _ in range(30):
            add()
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert tally.metrics()["per_label"]["new label"]["support"] == 31_000
    assert kept < 100_000


def test_macro_f1_of_many_labels() -> None:
    labels = [f"{number}" for number in range(50_000)]
    tracemalloc.start()
    try:
        assert macro_f1(labels, labels) == 1.0
        assert tagging_metrics([labels], [labels])["accuracy"] == 1.0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 300e6


# Taggers


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", []),
        ("O O", []),
        ("B-X", [(0, 1, "X")]),
        ("B-X I-X O", [(0, 2, "X")]),
        ("O B-X I-X I-X", [(1, 4, "X")]),
        ("B-X B-X I-X", [(0, 1, "X"), (1, 3, "X")]),
        ("I-X I-X O I-X", [(0, 2, "X"), (3, 4, "X")]),  # I- starts a span after O
        ("B-X I-Y I-Y", [(0, 1, "X"), (1, 3, "Y")]),  # and after another type
        ("I-X B-Y I-X", [(0, 1, "X"), (1, 2, "Y"), (2, 3, "X")]),
        ("B I O B B I", [(0, 2, "span"), (3, 4, "span"), (4, 6, "span")]),  # without a type
        ("B-X-1 I-X-1 I-X-2", [(0, 2, "X-1"), (2, 3, "X-2")]),  # a type may hold hyphens
    ],
)
def test_spans(tags: str, expected: list[tuple[int, int, str]]) -> None:
    assert spans(tags.split()) == [Span(*span) for span in expected]


def conlleval(gold: list[list[str]], predicted: list[list[str]]) -> tuple[int, int, int]:
    """Correct, gold and predicted spans, counted tag by tag in the manner of conlleval.pl."""

    def split(tag: str) -> tuple[str, str]:
        prefix, _, kind = tag.partition("-")
        return prefix, kind

    def starts(last: str, now: str) -> bool:
        (last_prefix, last_kind), (prefix, kind) = split(last), split(now)
        return (
            prefix == "B"
            or (last_prefix == "O" and prefix == "I")
            or (prefix != "O" and last_kind != kind)
        )

    def ends(last: str, now: str) -> bool:
        (last_prefix, last_kind), (prefix, kind) = split(last), split(now)
        return (last_prefix in "BI" and prefix in "BO") or (
            last_prefix != "O" and last_kind != kind
        )

    correct = found_gold = found_predicted = 0
    in_correct = False
    # One O separates sentences, as an empty line does for conlleval.
    gold_line = ["O", *(tag for sentence in gold for tag in (*sentence, "O"))]
    predicted_line = ["O", *(tag for sentence in predicted for tag in (*sentence, "O"))]
    for i in range(1, len(gold_line)):
        (g_last, g), (p_last, p) = gold_line[i - 1 : i + 1], predicted_line[i - 1 : i + 1]
        if in_correct:
            both_end = ends(g_last, g) and ends(p_last, p)
            if both_end and split(g_last)[1] == split(p_last)[1]:
                correct, in_correct = correct + 1, False
            elif ends(g_last, g) != ends(p_last, p) or split(g)[1] != split(p)[1]:
                in_correct = False
        if starts(g_last, g) and starts(p_last, p) and split(g)[1] == split(p)[1]:
            in_correct = True
        found_gold += starts(g_last, g)
        found_predicted += starts(p_last, p)
    return correct, found_gold, found_predicted


TAG_PAIRS = st.lists(
    st.lists(st.tuples(*[st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"])] * 2), max_size=9),
    max_size=4,
)


@given(TAG_PAIRS)
def test_span_scores_equal_conlleval(pairs: list[list[tuple[str, str]]]) -> None:
    gold = [[g for g, _ in sentence] for sentence in pairs]
    predicted = [[p for _, p in sentence] for sentence in pairs]
    correct, found_gold, found_predicted = conlleval(gold, predicted)
    overall, by_type = span_scores(gold, predicted)
    assert overall["support"] == found_gold
    assert overall["precision"] == (correct / found_predicted if found_predicted else 0.0)
    assert overall["recall"] == (correct / found_gold if found_gold else 0.0)
    assert sum(scores["support"] for scores in by_type.values()) == found_gold


def test_tagging_metrics_of_spans() -> None:
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O"], ["O"]]
    predicted = [["B-PER", "I-PER", "O", "B-PER"], ["I-LOC", "B-ORG"], ["O"]]
    result = tagging_metrics(gold, predicted)
    assert [*result] == ["accuracy", "precision", "recall", "f1", "per_label"]
    assert result["accuracy"] == 4 / 7
    assert result["precision"] == 2 / 4
    assert result["recall"] == 2 / 3
    assert result["f1"] == pytest.approx(4 / 7)
    assert result["per_label"] == {
        "LOC": {"precision": 1.0, "recall": 1 / 2, "f1": 2 / 3, "support": 2},
        "ORG": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0},
        "PER": {"precision": 1 / 2, "recall": 1.0, "f1": 2 / 3, "support": 1},
    }


def test_tagging_metrics_of_spans_without_a_type() -> None:
    result = tagging_metrics([["B", "I", "O", "B"]], [["B", "O", "O", "B"]])
    scores = {"precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2}
    assert {name: result[name] for name in scores} == scores
    assert result["per_label"] == {"span": {**scores, "support": 2}}


def test_types_of_spans_are_in_the_order_of_the_alphabet() -> None:
    types = [f"{letter}X" for letter in "KCAMFBLDHJEGI"]
    gold, predicted = ([f"B-{name}" for name in part] for part in (types[:7], types[6:]))
    _, by_type = span_scores([gold], [predicted])
    assert [*by_type] == sorted(types)


def test_tagging_metrics_of_words() -> None:
    result = tagging_metrics([["DET", "NOUN"], ["VERB"]], [["DET", "VERB"], ["VERB"]])
    assert [*result] == ["accuracy", "per_label"]
    assert result["accuracy"] == 2 / 3
    assert [*result["per_label"]] == ["DET", "NOUN", "VERB"]
    assert result["per_label"]["VERB"] == {
        "precision": 1 / 2,
        "recall": 1.0,
        "f1": 2 / 3,
        "support": 1,
    }
    json.dumps(result)


def test_tagging_metrics_of_a_file_without_spans() -> None:
    assert "f1" not in tagging_metrics([["O", "O"]], [["O", "O"]])
    result = tagging_metrics([["O", "O"]], [["O", "O"]], span_tags=True)
    assert result == {"accuracy": 1.0, "precision": 0.0, "recall": 0.0, "f1": 0.0, "per_label": {}}


def test_tagging_metrics_of_nothing_and_of_unequal_sentences() -> None:
    assert tagging_metrics([], []) == {"accuracy": 0.0, "per_label": {}}
    with pytest.raises(ValueError, match="differ in length"):
        tagging_metrics([["O"], ["O", "O"]], [["O", "O"], ["O"]])


def test_is_span_tags() -> None:
    assert is_span_tags(["O", "B-PER", "I-PER"])
    assert is_span_tags(["O", "B", "I"])
    assert not is_span_tags(["O"])
    assert not is_span_tags(["B", "BAR"])
    assert not is_span_tags([])
    assert not is_span_tags(["B-PER", "NOUN"])
    assert not is_span_tags(["O", "S-PER"])


# Calibration


def test_the_interval_of_a_rate() -> None:
    """Examples of Newcombe (1998), table I, method 3."""
    assert interval(81, 263) == pytest.approx([0.2553, 0.3662], abs=5e-5)
    assert interval(15, 148) == pytest.approx([0.0624, 0.1605], abs=5e-5)
    assert interval(0, 20) == pytest.approx([0, 0.1611], abs=5e-5)
    assert interval(29, 29) == pytest.approx([0.8830, 1], abs=5e-5)
    assert interval(0, 0) == [0, 1]
    found = classification_metrics(["a", "b"], np.array([[1, 0], [1, 0.0]]), ["a", "b"], False)
    assert found["accuracy_interval"] == interval(1, 2)
    found = classification_metrics([["a"], []], np.array([[1, 0], [1, 0.0]]), ["a", "b"], True)
    assert found["accuracy_interval"] == interval(1, 2)


def test_labels_that_are_never_predicted() -> None:
    labels = ["a", "b", "c", "d"]
    # Predicted a, a, b; c is no gold label, and "new" is none of the model's.
    probabilities = np.array([[0.9, 0.1, 0, 0], [0.9, 0.1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]])
    gold = ["a", "d", "a", "new"]
    found = classification_metrics(gold, probabilities, labels, False)
    assert never_predicted(found) == ["d", "new"]
    several = [{"a"}, {"d"}, {"a", "b"}, {"new"}]
    found = classification_metrics(several, probabilities, labels, True)
    assert never_predicted(found) == ["d", "new"]
    assert never_predicted({"perplexity": 3.0, "labels": ["a"]}) == []


def test_never_predicted_labels_among_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MATRIX_LABELS", 2)
    probabilities = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0]])
    found = classification_metrics(["a", "c"], probabilities, ["a", "b", "c"], False)
    assert "confusion_pairs" in found
    assert never_predicted(found) == ["c"]
