"""Preparation of data that all tasks share: chunks and fingerprints."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext.training.data import prepare
from rnntext.training.data.prepare import Fingerprint, chunks, encode_deadline, scan_deadline

TEXTS = st.lists(st.text(st.sampled_from("aé好🙂\ud800"), max_size=8), max_size=30)


@given(texts=TEXTS, most=st.integers(1, 6), characters=st.integers(1, 20))
def test_chunks_are_bounded_by_their_number_and_their_characters(
    texts: list[str], most: int, characters: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "CHUNK", most)
        patch.setattr(prepare, "CHUNK_CHARACTERS", characters)
        found = list(chunks(iter(texts), len))
    assert [text for chunk in found for text in chunk] == texts
    for chunk in found:
        assert 1 <= len(chunk) <= most
        assert sum(map(len, chunk[:-1])) < characters
    for chunk in found[:-1]:
        assert len(chunk) == most or sum(map(len, chunk)) >= characters


@given(texts=TEXTS, at=st.integers(0, 30))
def test_a_fingerprint_covers_all_texts_in_order(texts: list[str], at: int) -> None:
    fingerprint = Fingerprint()
    fingerprint.add(texts[:at])
    fingerprint.add(iter(texts[at:]))
    content = b"".join(text.encode("utf-8", "surrogatepass") + b"\0" for text in texts)
    assert fingerprint.hexdigest() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("spent", "reading", "encoding"), [(0.0, 0.06, 0.35), (0.02, 0.07, 0.35), (0.3, 0.35, 0.45)]
)
def test_reading_and_encoding_end_at_a_fixed_share_but_have_some_time_in_any_case(
    spent: float, reading: float, encoding: float
) -> None:
    assert scan_deadline(lambda: spent) == pytest.approx(reading)
    assert encode_deadline(lambda: spent) == pytest.approx(encoding)
