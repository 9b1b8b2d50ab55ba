"""Preparation of data that all tasks share: chunks and fingerprints."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data import prepare
from rnntext.training.data.prepare import (
    Fingerprint,
    Learned,
    chunks,
    encode_deadline,
    learn_tokenizer,
    limits,
    scan_deadline,
)
from rnntext.training.options import TrainingOptions
from rnntext.training.tasks.base import get_task

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
    ("spent", "reading", "encoding"), [(0.0, 0.06, 0.25), (0.04, 0.07, 0.25), (0.3, 0.33, 0.35)]
)
def test_reading_and_encoding_end_at_a_fixed_share_but_have_some_time_in_any_case(
    spent: float, reading: float, encoding: float
) -> None:
    assert scan_deadline(lambda: spent) == pytest.approx(reading)
    assert encode_deadline(lambda: spent) == pytest.approx(encoding)


LINES = ["a line of text"] * 1000  # 15,000 characters with their ends
OPTIONS = TrainingOptions("lm", ("x",), tokenizer="char", vocab_size=50)


class Budget:
    """A time budget; a character that a tokenizer is learned from takes `share` of it."""

    def __init__(self, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.learned = 0.01, list[int]()
        real = Tokenizer.train

        def train(kind: str, lines: Iterable[str], **more: Any) -> Tokenizer:
            texts = list(lines)
            self.learned.append(sum(len(text) + 1 for text in texts))
            self.now += share * self.learned[-1]
            return real(kind, texts, **more)

        monkeypatch.setattr(Tokenizer, "train", train)

    def spent(self) -> float:
        return self.now


@pytest.fixture
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "PROBE_CHARACTERS", 300)
    monkeypatch.setattr(prepare, "TOKENIZER_CHARACTERS", 12_000)
    monkeypatch.setattr("rnntext.training.data.text_sample._STRETCH", 15)


def learn(budget: Budget, options: TrainingOptions = OPTIONS) -> Learned:
    defaults = get_task("lm").tokenizer_defaults
    return learn_tokenizer(options, lambda: iter(LINES), 15_000, defaults, budget.spent, None)


@pytest.mark.usefixtures("small_sizes")
@pytest.mark.parametrize(
    ("share", "sampled"),
    [(0.07 / 6000, 6000), (0.07 / 100, 1200), (0.07 / 12_000, 12_000), (0.07 / 50_000, 12_000)],
)
def test_a_tokenizer_is_learned_from_what_its_share_of_the_time_allows(
    share: float, sampled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But from no less than four times what its speed is measured on."""
    budget = Budget(share, monkeypatch)
    learned = learn(budget)
    assert abs(learned.sampled - sampled) <= 1
    assert learned.sample_cut == (sampled < 12_000)
    probe, whole = budget.learned
    assert 300 <= probe < 320
    assert abs(whole - sampled) < 100


@pytest.mark.usefixtures("small_sizes")
def test_a_run_without_a_budget_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(0.0, monkeypatch)
    budget.now = 0.0
    learned = learn(budget)
    assert (learned.sampled, learned.sample_cut) == (12_000, False)
    assert len(budget.learned) == 1


@pytest.mark.usefixtures("small_sizes")
def test_a_repeated_run_learns_from_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(1.0, monkeypatch)
    learned = learn(budget, replace(OPTIONS, part=(0, 0, 4500)))
    assert (learned.sampled, learned.sample_cut) == (4500, True)
    assert len(budget.learned) == 1
    assert learn(budget, replace(OPTIONS, part=(9, 8, 0))).sampled == 12_000


@pytest.mark.usefixtures("small_sizes")
def test_bytes_need_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    learned = learn(Budget(1.0, monkeypatch), replace(OPTIONS, tokenizer="byte"))
    assert (learned.sampled, learned.sample_cut) == (0, False)


def test_what_is_read_and_encoded_of_a_part() -> None:
    assert limits(OPTIONS) == (None, None)
    assert limits(replace(OPTIONS, part=(9, 8, 7))) == (9, 8)
    assert limits(replace(OPTIONS, part=(0, 0, 7))) == (None, None)
