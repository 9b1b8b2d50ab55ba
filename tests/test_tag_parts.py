"""Tags that are bundles of features, and the parts of which they consist."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.tag_parts import composition, matrix_of_parts

ENCODER = EncoderConfig("gru", 13, 4, 5, 1, True)
TAGS = ("_", "A=1|B=1", "B=2", "A=1|B=2", "A=2|B=1", "A=2|B=2", "C=é|A=1")


def test_each_tag_has_its_parts() -> None:
    found = matrix_of_parts(TAGS)
    assert found is not None
    parts = ["A=1", "A=2", "B=1", "B=2", "C=é", "_"]
    assert found.dtype == np.float32
    assert [[parts[row] for row in np.flatnonzero(column)] for column in found.T] == [
        ["_"], ["A=1", "B=1"], ["B=2"], ["A=1", "B=2"], ["A=2", "B=1"], ["A=2", "B=2"],
        ["A=1", "C=é"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "tags",
    [
        ("NOUN", "VERB", "ADJ"),
        ("B-X", "I-X", "O"),
        ("A|B", "C|D", "E"),  # more parts than tags
        ("A|B", "B|A", "A", "B", "C|A", "C|B"),  # two tags of the same parts
        ("|", "||", "A"),  # a separator is a tag of its own
    ],
)
def test_other_tags_are_no_bundles(tags: tuple[str, ...]) -> None:
    assert matrix_of_parts(tags) is None


def test_a_model_with_a_random_field_scores_whole_tags() -> None:
    config = ModelConfig("tag", ENCODER, TAGS, max_length=9)
    assert composition(config) is None
    assert "crf" not in config.to_json()  # as older versions wrote it
    without = ModelConfig("tag", ENCODER, TAGS, max_length=9, crf=False)
    assert np.array_equal(composition(without), matrix_of_parts(TAGS))
    assert ModelConfig.from_json(without.to_json()) == without
