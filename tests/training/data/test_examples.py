"""Encoded examples that are read on demand equal those that were stored."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.training.data.examples import LabelledIds, LabelledRows, TaggedIds, TaggedRows

INDICES = [[0, 1, 2, 3], [2], [3, 0, 3], []]


@pytest.mark.parametrize("index", INDICES)
def test_documents_with_their_labels(index: list[int]) -> None:
    ids = [np.arange(length, dtype=np.int32) for length in (3, 0, 1, 5)]
    labels = np.array([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]])
    rows = LabelledRows.of(LabelledIds(ids, labels))
    assert len(rows) == 4
    found = rows.read(np.array(index, np.int64))
    assert [row.tolist() for row in found.ids] == [ids[number].tolist() for number in index]
    assert found.labels.tolist() == labels[index].tolist()
    assert (found.labels.dtype, found.labels.shape) == (np.float32, (len(index), 5))


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
