"""The batches of an epoch, of rows and of a stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext.text.batches import buckets
from rnntext.training.data import epochs as epochs_module
from rnntext.training.data.epochs import BucketedEpochs, contiguous_columns
from rnntext.training.data.store import RaggedArray

LENGTHS = st.lists(st.integers(0, 60), max_size=80).map(lambda x: np.array(x, np.int64))


def rows_of(lengths: np.ndarray) -> RaggedArray:
    return RaggedArray.from_arrays(np.zeros(length, np.int32) for length in lengths)


@given(lengths=LENGTHS.filter(len), longest=st.none() | st.integers(1, 40), seed=st.integers(0, 9))
def test_an_epoch_of_few_rows_is_their_buckets(
    lengths: np.ndarray, longest: int | None, seed: int
) -> None:
    limits = {"max_rows": 6, "max_tokens": 90}
    epochs = BucketedEpochs(rows_of(lengths), longest=longest, **limits)
    counted = lengths if longest is None else np.minimum(lengths, longest)
    wanted = list(buckets(counted, **limits, shuffle=np.random.default_rng(seed)))
    found = list(epochs.batches(np.random.default_rng(seed)))
    assert [batch.tolist() for batch in found] == [batch.tolist() for batch in wanted]
    assert epochs.count(np.random.default_rng(seed)) == len(found)


def test_an_epoch_of_very_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row comes once, in batches of similar length; a window has rows from everywhere."""
    monkeypatch.setattr(epochs_module, "WINDOW", 200)
    monkeypatch.setattr(epochs_module, "NEIGHBOURS", 8)
    lengths = np.random.default_rng(3).integers(1, 300, size=3001)
    epochs = BucketedEpochs(rows_of(lengths), 16, 10**6, 200)
    orders = []
    for seed in (0, 1):
        found = list(epochs.batches(np.random.default_rng(seed)))
        order = np.concatenate(found)
        orders.append(order.tolist())
        assert sorted(orders[-1]) == list(range(3001))
        assert max(map(len, found)) == 16
        assert epochs.count(np.random.default_rng(seed)) == pytest.approx(len(found), rel=0.05)
        room = sum(len(b) * int(np.minimum(lengths[b], 200).max()) for b in found)
        assert np.minimum(lengths, 200).sum() / room > 0.8
        # Data may be sorted by label, so the first batches must not have the first rows.
        assert 1000 < order[:200].mean() < 2000
        assert order[:200].std() > 500
    assert orders[0] != orders[1]
    again = np.concatenate(list(epochs.batches(np.random.default_rng(1))))
    assert again.tolist() == orders[1]


@pytest.mark.parametrize(("size", "rows"), [(17, 3), (15, 3), (5, 5), (4, 1), (3, 7)])
def test_columns(size: int, rows: int) -> None:
    stream, length = np.arange(100, 100 + size), size // rows
    found = contiguous_columns(stream, rows, 0, length)
    assert found.shape == (rows, length)
    assert found.ravel().tolist() == list(range(100, 100 + rows * length))
    for start in range(length):
        assert np.array_equal(
            contiguous_columns(stream, rows, start, start + 2), found[:, start : start + 2]
        )
