"""The columns of answers."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.runtime.answer_columns import (
    LabelPairs,
    score_columns,
    tag_columns,
    vector_columns,
)
from rnntext.runtime.classifier import Classification
from rnntext.runtime.score import LineScore, WordScore
from rnntext.runtime.tagger import TaggedSentence

LABELS = ("neg", "pos", "odd")
ANSWER = Classification("text", {"pos": 0.6, "neg": 0.5, "odd": 0.1})


@pytest.mark.parametrize(
    ("multi_label", "top_k", "threshold", "values"),
    [
        (False, None, None, ["pos", 0.6]),
        (False, None, 0.7, [None, None]),
        (False, 2, None, ["pos", 0.6, "neg", 0.5]),
        (False, 9, 0.2, ["pos", 0.6, "neg", 0.5, None, None]),
        (True, None, None, ["pos", 0.6, "neg", 0.5, None, None]),
        (True, 1, None, ["pos", 0.6]),
        (True, None, 0.05, ["pos", 0.6, "neg", 0.5, "odd", 0.1]),
    ],
)
def test_pairs_of_labels(
    multi_label: bool, top_k: int | None, threshold: float | None, values: list[object]
) -> None:
    columns = LabelPairs(LABELS, multi_label, top_k, threshold).columns()
    assert columns.values(ANSWER) == values
    names = ["label", "probability", "label_2", "probability_2", "label_3", "probability_3"]
    assert list(columns.kinds) == names[: len(values)]
    assert list(columns.kinds.values()) == [str, float] * (len(values) // 2)


def test_a_text_beside_the_labels() -> None:
    columns = LabelPairs(LABELS, False, None, None).columns()
    more = columns.with_text("explanation", lambda answer: answer.text)
    assert more.as_object(ANSWER) == {"label": "pos", "probability": 0.6, "explanation": "text"}
    assert more.kinds["explanation"] is str


def test_scores() -> None:
    line = LineScore("ab", 8.0, 2, 3.0, 1, 4, [WordScore("ab", 7.0), WordScore("<eos>", 1.0)])
    wanted = {
        "perplexity": pytest.approx(16.0), "bits_per_byte": 2.0, "tokens": 2, "bits": 8.0,
        "unknown": 1, "perplexity_known": pytest.approx(8.0),
    }  # fmt: skip
    assert score_columns(words=False).as_object(line) == wanted
    words = [{"word": "ab", "bits": 7.0}, {"word": "<eos>", "bits": 1.0}]
    assert score_columns(words=True).as_object(line) == {**wanted, "words": words}


def test_tags_and_vectors() -> None:
    sentence = TaggedSentence("a b", ["a", "b"], ["X", "Y"], [0.5, 0.25])
    found = tag_columns().as_object(sentence)
    assert found == {"words": ["a", "b"], "tags": ["X", "Y"], "probabilities": [0.5, 0.25]}
    assert vector_columns().as_object(np.array([1, 0.5], np.float32)) == {"vector": [1.0, 0.5]}
