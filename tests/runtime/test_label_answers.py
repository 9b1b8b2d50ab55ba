"""Answers of a classifier by its probabilities, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rnntext.metrics import classification_metrics
from rnntext.runtime.answers import Answer, Mistake
from rnntext.runtime.label_answers import label_answers
from rnntext.text.labelled import Labelled

LABELS = ("a", "b", "naïve")


def example(*labels: str, **more: Any) -> Labelled:
    return Labelled("some text", labels, "f.csv", 3, **more)


def test_one_label() -> None:
    row = {"id": 7, "text": "some text", "label": "new"}
    examples = [example("b"), example("a"), example("new", row=row)]
    probabilities = np.array([[0.25, 0.5, 0.25], [0.125, 0.125, 0.75], [0.5, 0.25, 0.25]])
    found = label_answers(LABELS, False)(examples, probabilities)
    text = {"text": "some text"}
    where = ("f.csv", 3, "some text")
    assert found == [
        Answer("f.csv", 3, text, "b", "b", 0.5),
        Answer("f.csv", 3, text, "a", "naïve", 0.75, (Mistake(0.75, "a", "naïve", *where, 0.125),)),
        # A label that the model does not know has no probability.
        Answer("f.csv", 3, row, "new", "a", 0.5, (Mistake(0.5, "new", "a", *where, 0.0),)),
    ]


@pytest.mark.parametrize(
    ("gold", "row", "predicted", "likely", "wrong"),
    [
        (("b", "a"), [0.5, 0.75, 0.25], ("b", "a"), (0.75, 0.5), None),
        ((), [0.25, 0.25, 0.25], (), (), None),
        # One label too many, one too few, and the surer of both.
        (("a",), [0.5, 0.75, 0.25], ("b", "a"), (0.75, 0.5), (0.75, "b")),
        (("a", "naïve"), [0.5, 0.25, 0.125], ("a",), (0.5,), (0.875, "naïve")),
        (("naïve",), [0.625, 0.25, 0.25], ("a",), (0.625,), (0.75, "naïve")),
        # A label that the model does not know is surely missed.
        (("a", "new"), [0.75, 0.25, 0.25], ("a",), (0.75,), (1.0, "new")),
    ],
)
def test_several_labels(
    gold: tuple[str, ...],
    row: list[float],
    predicted: tuple[str, ...],
    likely: tuple[float, ...],
    wrong: tuple[float, str] | None,
) -> None:
    (found,) = label_answers(LABELS, True)([example(*gold)], np.array([row]))
    assert (found.gold, found.predicted, found.probability) == (gold, predicted, likely)
    said = [(each.probability, each.label) for each in found.mistakes]
    assert said == ([] if wrong is None else [wrong])


@pytest.mark.parametrize("several", [False, True])
def test_an_answer_has_the_probability_of_each_label(several: bool) -> None:
    probabilities = np.array([[0.25, 0.5, 0.25], [0.125, 0.125, 0.75], [0.1, 0.9, 0.0]])
    examples = [example("b"), example("a"), example("b")]
    found = label_answers(LABELS, several)(examples, probabilities)
    assert [each.scores.tolist() for each in found if each.scores is not None] == (
        probabilities.tolist()
    )


@pytest.mark.parametrize("several", [False, True])
def test_answers_agree_with_the_metrics(several: bool) -> None:
    random = np.random.default_rng(3)
    probabilities = random.dirichlet(np.ones(3), size=200)
    gold = [
        tuple(random.permutation([*LABELS, "new"])[: n % 3 if several else 1]) for n in range(200)
    ]
    found = label_answers(LABELS, several)([example(*each) for each in gold], probabilities)
    answers: Any = gold if several else [each[0] for each in gold]
    metrics = classification_metrics(answers, probabilities, LABELS, several)
    right = [not each.mistakes for each in found]
    assert right == [set(each.gold) == set(each.predicted) for each in found]
    assert sum(right) / 200 == metrics["accuracy"]
