"""What an evaluation takes from a model: its labels, and how its training data were read."""

from __future__ import annotations

import pytest

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.runtime.evaluate import label_names, unknown_labels

ENCODER = EncoderConfig("lstm", 300, 4, 5, 1, False)


@pytest.mark.parametrize(
    ("task", "labels", "names"),
    [
        ("lm", (), ()),
        ("classify", ("pos", "B-x"), ("pos", "B-x")),
        ("tag", ("NOUN", "O"), ("NOUN", "O")),
        ("tag", ("O", "B-place-name", "I-place-name", "B-naïve"), ("naïve", "place-name")),
    ],
)
def test_names_of_labels(task: str, labels: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert label_names(ModelConfig(task, ENCODER, labels, max_length=9)) == names


def test_unknown_labels_are_counted() -> None:
    supports = {"a": 3, "new": 2, "only predicted": 0, "newer": 1}
    table = {label: {"f1": 0.0, "support": support} for label, support in supports.items()}
    assert unknown_labels({"per_label": table}, ("a", "b")) == {"new": 2, "newer": 1}
    assert unknown_labels({"perplexity": 2.0}, ()) == {}
