"""How texts are divided into batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rnntext.runtime.model import open_model


@pytest.mark.parametrize(
    ("count", "threads", "sizes"),
    [(0, 2, []), (1, 2, [1]), (16, 2, [16]), (60, 2, [30, 30]), (60, 1, [60]), (700, 2, 3 * [256])],
)
def test_texts_are_divided_among_threads(
    classifier: Path, count: int, threads: int, sizes: list[int]
) -> None:
    lengths = np.random.default_rng(0).integers(1, 30, count)
    found = open_model(classifier, "classify", threads).batches(lengths)
    # The first batch, of the longest texts, may be smaller than the others.
    assert [len(batch) for batch in found[1:]] == sizes[1:]
    assert sorted(np.concatenate([[], *found])) == list(range(count))
    longest = [lengths[batch].max() for batch in found]
    assert longest == sorted(longest, reverse=True)


def test_batches_of_long_texts_are_small(classifier: Path, lm: Path) -> None:
    lengths = np.full(1000, 400)
    for directory, most in ((classifier, 81), (lm, 20)):
        batches = open_model(directory).batches(lengths)
        assert max(map(len, batches)) == most
