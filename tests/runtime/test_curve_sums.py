"""The curves of answers of each kind, by hand and by counting all answers at each threshold."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from rnntext.answer_curves import AnswerCurves, Kind
from rnntext.metrics import classification_metrics, ece
from rnntext.runtime.answers import Answer
from rnntext.runtime.curve_sums import AnswerSums
from rnntext.runtime.label_answers import label_answers
from rnntext.text.labelled import Labelled

LABELS = ("a", "b", "naïve")


def answer(gold: Any, predicted: Any, probability: Any, scores: Any = None) -> Answer:
    row = None if scores is None else np.array(scores)
    return Answer("f.csv", 1, {}, gold, predicted, probability, scores=row)


def points(curves: AnswerCurves, label: str) -> list[tuple[float, float]]:
    (found,) = (each for each in curves.labels if each.label == label)
    return [*zip(found.recall.tolist(), found.precision.tolist(), strict=True)]


def test_one_label_by_hand() -> None:
    sums = AnswerSums(LABELS, multi_label=False)
    sums.add([answer("a", "a", 0.7, [0.7, 0.2, 0.1]), answer("b", "a", 0.5, [0.5, 0.4, 0.1])])
    # The model does not know the last label: its answer is wrong, no label is right, and the
    # reliability leaves it out.
    sums.add([answer("new", "b", 0.8, [0.15, 0.8, 0.05])])
    found = sums.curves()
    assert (found.kind, found.answers) == (Kind.LABEL, 3)
    assert [(each.statements, each.accuracy) for each in found.bins] == [(1, 0), (1, 1)]
    assert found.ece == pytest.approx((0.5 + 0.3) / 2)
    assert found.coverage.tolist() == [1 / 3, 2 / 3, 1]
    assert found.accuracy.tolist() == [0, 1 / 2, 1 / 3]
    assert [(each.label, each.support) for each in found.labels] == [("a", 1), ("b", 1)]
    assert points(found, "a") == [(1, 1), (1, 1 / 2), (1, 1 / 3)]
    assert points(found, "b") == [(0, 0), (1, 1 / 2), (1, 1 / 3)]
    assert found.left_out == 1


def test_several_labels_by_hand() -> None:
    """A set is as certain as its least certain label; bins are of texts and labels."""
    sums = AnswerSums(LABELS, multi_label=True)
    sums.add([answer(("a", "b"), ("b", "a"), (0.9, 0.6), [0.6, 0.9, 0.02])])  # certain to 0.6
    sums.add([answer((), ("b",), (0.8,), [0.1, 0.8, 0.05])])  # 0.8
    sums.add([answer(("new",), (), (), [0.1, 0.1, 0.02])])  # 0.9
    found = sums.curves()
    assert (found.kind, found.answers) == (Kind.SET, 3)
    assert found.coverage.tolist() == [1 / 3, 2 / 3, 1]
    assert found.accuracy.tolist() == [0, 0, 1 / 3]
    assert sum(each.statements for each in found.bins) == 6
    confident = [(each.statements, each.accuracy) for each in found.bins if each.confidence > 0.5]
    assert confident == [(1, 1), (1, 0), (1, 1)]
    # What is true is a and b of the first text.
    gap = 0.4 + 0.1 + 0.02 + 0.1 + 0.8 + 0.05
    assert found.ece == pytest.approx(gap / 6)
    assert points(found, "b") == [(1, 1), (1, 1 / 2), (1, 1 / 3)]


def test_tags_by_hand() -> None:
    """A word has the probability of no tag but its own: a curve ends at the recall of the tag."""
    sums = AnswerSums(LABELS, multi_label=False)
    sums.add([answer(("a", "b", "a"), ("a", "a", "a"), (0.9, 0.6, 0.8))])
    sums.add([answer(("a", "new"), ("b", "b"), (0.7, 0.3))])
    found = sums.curves()
    assert (found.kind, found.answers) == (Kind.TAG, 5)
    assert found.coverage.tolist() == [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1]
    assert found.accuracy.tolist() == [1, 1, 2 / 3, 1 / 2, 2 / 5]
    assert points(found, "a") == [(1 / 3, 1), (2 / 3, 1), (2 / 3, 2 / 3)]
    assert points(found, "b") == [(0, 0), (0, 0)]
    assert [(each.label, each.support) for each in found.labels] == [("a", 3), ("b", 1)]
    assert found.left_out == 1
    assert found.ece == pytest.approx((0.1 + 0.6 + 0.2 + 0.7 + 0.3) / 5)


def drawn(several: bool) -> tuple[list[Any], Any, list[Answer]]:
    """300 texts with random probabilities and labels, of which some are unknown."""
    random = np.random.default_rng(3)
    probabilities = random.dirichlet(np.ones(3) / 2, size=300)
    gold = [
        tuple(random.permutation([*LABELS, "new"])[: n % 3 if several else 1].tolist())
        for n in range(300)
    ]
    examples = [Labelled("some text", each, "f.csv", 3) for each in gold]
    answers = label_answers(LABELS, several)(examples, probabilities)
    return (gold if several else [each for (each,) in gold]), probabilities, answers


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("size", [1, 77, 300])
def test_the_curves_agree_with_the_metrics_and_with_a_count(several: bool, size: int) -> None:
    gold, probabilities, answers = drawn(several)
    sums = AnswerSums(LABELS, several)
    for start in range(0, 300, size):
        sums.add(answers[start : start + size])
    found = sums.curves()
    metrics = classification_metrics(gold, probabilities, LABELS, several)
    assert found.ece == metrics["ece"]
    assert found.answers == 300
    assert found.coverage[-1] == 1
    assert found.accuracy[-1] == metrics["accuracy"]
    for mark, row in zip(found.marks, metrics.get("thresholds", ()), strict=not several):
        assert mark.threshold == row["threshold"]
        assert (mark.coverage, mark.accuracy) == (row["coverage"], row["precision"])
    # Each point is that of a threshold: a number of the surest answers, and those are counted.
    sure = np.maximum(probabilities, 1 - probabilities).min(axis=1)
    confidence = sure if several else probabilities.max(axis=1)
    right = np.array([not each.mistakes for each in answers])
    order = np.argsort(-confidence, kind="stable")
    for coverage, accuracy in zip(found.coverage, found.accuracy, strict=True):
        given = round(coverage * 300)
        assert accuracy == pytest.approx(right[order[:given]].mean())
    assert len(found.coverage) > 100
    for label in found.labels:
        column = LABELS.index(label.label)
        has = np.array([label.label in (g if several else (g,)) for g in gold])
        assert label.support == has.sum() == metrics["per_label"][label.label]["support"]
        ranked = has[np.argsort(-probabilities[:, column], kind="stable")]
        hits = np.cumsum(ranked)
        reached = [(hit / has.sum(), hit / n) for n, hit in enumerate(hits.tolist(), 1)]
        shown = [*zip(label.recall.tolist(), label.precision.tolist(), strict=True)]
        assert {*shown} <= {*reached}
        assert len(shown) > 100
        assert shown[-1] == (1, has.sum() / 300)


def test_tags_agree_with_a_count() -> None:
    random = np.random.default_rng(5)
    tags = [*LABELS, "new"]
    answers, words = [], []
    for _ in range(60):
        count = int(random.integers(0, 9))
        gold = tuple(random.choice(tags, count).tolist())
        predicted = tuple(random.choice(LABELS, count).tolist())
        likely = tuple(random.random(count).tolist())
        answers.append(answer(gold, predicted, likely))
        words += zip(gold, predicted, likely, strict=True)
    whole, split = (AnswerSums(LABELS, multi_label=False) for _ in range(2))
    whole.add(answers)
    for each in answers:
        split.add([each])
    found = whole.curves()
    assert found.ece == split.curves().ece
    assert found.coverage.tolist() == split.curves().coverage.tolist()
    right = np.array([gold == predicted for gold, predicted, _ in words])
    assert found.ece == ece(np.array([p for *_, p in words]), right)
    assert (found.answers, found.accuracy[-1]) == (len(words), right.mean())
    for label in found.labels:
        hits = sum(g == p == label.label for g, p, _ in words)
        assert label.recall[-1] == hits / sum(g == label.label for g, *_ in words)
        assert label.precision[-1] == hits / sum(p == label.label for _, p, _ in words)


def test_memory_does_not_grow_with_the_answers() -> None:
    rows = np.random.default_rng(2).dirichlet(np.ones(3), size=2000)
    sums = AnswerSums(LABELS, multi_label=False)

    def add() -> None:
        for row in rows:
            sums.add([answer("a", "b", float(row.max()), row)])

    add()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        add()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert sums.curves().answers == 4000
    assert after - before < 10_000  # 2,000 confidences alone take 16,000 bytes
