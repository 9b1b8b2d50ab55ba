"""Encoded examples that are read on demand equal those that were stored."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.training.data.examples import (
    LabelledIds,
    LabelledRows,
    TaggedIds,
    TaggedRows,
    one_hot,
)

INDICES = [[0, 1, 2, 3], [2], [3, 0, 3], []]


@pytest.mark.parametrize("index", INDICES)
def test_documents_with_their_labels(index: list[int]) -> None:
    ids = [np.arange(length, dtype=np.int32) for length in (3, 0, 1, 5)]
    labels = [np.array(row, np.int32) for row in ([1, 4], [], [0, 1, 2, 3, 4], [4])]
    rows = LabelledRows.of(LabelledIds(ids, labels))
    assert len(rows) == 4
    found = rows.read(np.array(index, np.int64))
    assert [row.tolist() for row in found.ids] == [ids[number].tolist() for number in index]
    assert [row.tolist() for row in found.labels] == [labels[n].tolist() for n in index]


def test_labels_as_zeros_and_ones() -> None:
    found = one_hot([np.array(row, np.int32) for row in ([1, 4], [], [2])], 5)
    assert found.tolist() == [[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0]]
    assert found.dtype == np.float32
    assert one_hot([], 5).shape == (0, 5)


@pytest.mark.parametrize("index", INDICES)
def test_sentences_with_their_words(index: list[int]) -> None:
    sentences = []
    for words in (2, 1, 4, 3):
        last = 2 * np.arange(1, words + 1) - 1
        sentences.append(TaggedIds(np.arange(2 * words), last - 1, last, np.arange(words) % 3))
    rows = TaggedRows.of(sentences)
    assert len(rows) == 4
    found = rows.read(np.array(index, np.int64))
    for given, number in zip(found, index, strict=True):
        for name in ("ids", "first", "last", "tags"):
            assert getattr(given, name).tolist() == getattr(sentences[number], name).tolist()
