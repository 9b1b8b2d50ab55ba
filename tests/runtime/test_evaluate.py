"""What an evaluation takes from a model: its labels, and how its training data were read."""

from __future__ import annotations

import pytest

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.runtime.evaluate import label_names

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
