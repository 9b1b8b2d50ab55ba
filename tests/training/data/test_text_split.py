"""Splits of running text: units that stay together, order, shares and seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext.text.lines import Line
from rnntext.training.data import text_split
from rnntext.training.data.text_split import Overlap, TextSplitter, select_part

Item = TypeVar("Item")
SHARE = st.floats(0, 0.99)


def splitter_of(lines: Iterable[Line]) -> TextSplitter:
    splitter = TextSplitter()
    for line in lines:
        splitter.add(line)
    return splitter


def validation_lines(lines: Sequence[Line], share: float, seed: int) -> Any:
    """A mask of the validation lines."""
    ranges, characters = splitter_of(lines).choose_validation(share, seed)
    mask = np.zeros(len(lines), np.bool_)
    for start, stop in ranges.tolist():
        assert start < stop
        mask[start:stop] = True
    assert np.all(np.diff(ranges.ravel()) >= 0)
    chosen = [line for line, valid in zip(lines, mask, strict=True) if valid]
    assert characters == sum(len(line.text) + 1 for line in chosen)
    return mask


def split_lines(lines: Sequence[Line], share: float, seed: int) -> tuple[list[Line], list[Line]]:
    ranges, _ = splitter_of(lines).choose_validation(share, seed)
    train = select_part(iter(lines), ranges, valid=False)
    return list(train), list(select_part(iter(lines), ranges, valid=True))


def in_documents(sizes: list[int]) -> list[Line]:
    return [Line(d, f"document {d} line {n}") for d, size in enumerate(sizes) for n in range(size)]


def test_lines_are_split_by_document_where_there_are_enough() -> None:
    lines = in_documents([3, 5] * 15)
    train, valid = split_lines(lines, 0.2, 1)
    assert {line.document for line in train}.isdisjoint(line.document for line in valid)
    assert sorted(train + valid, key=lines.index) == lines
    assert [*train] == [line for line in lines if line in set(train)]
    assert 0.15 < len(valid) / len(lines) < 0.25


def test_lines_are_split_by_paragraph_where_documents_are_few() -> None:
    lines = []
    for paragraph in range(40):
        lines += [Line(0, f"{paragraph} naïve"), Line(0, f"{paragraph} café"), Line(0, " ")]
    mask = validation_lines(lines, 0.1, 2)
    # Each paragraph, with the blank line after it, is on one side.
    assert np.array_equal(mask.reshape(40, 3).all(axis=1), mask.reshape(40, 3).any(axis=1))
    assert mask.sum() == 12


def test_several_blank_lines_belong_to_the_paragraph_before() -> None:
    lines = [Line(0, text) for _ in range(30) for text in ("a", "", "", "")]
    mask = validation_lines(lines, 0.2, 2).reshape(30, 4)
    assert np.array_equal(mask.all(axis=1), mask.any(axis=1))


def test_a_paragraph_ends_with_its_document() -> None:
    lines = [Line(number, text) for number in range(15) for text in ("a", "", "b", "c")]
    for seed in range(5):
        mask = validation_lines(lines, 0.2, seed).reshape(30, 2)
        assert np.array_equal(mask.all(axis=1), mask.any(axis=1))


def test_the_seed_chooses_the_lines() -> None:
    lines = [Line(0, str(n)) for n in range(10)]
    masks = {tuple(validation_lines(lines, 0.2, seed).tolist()) for seed in range(40)}
    assert len(masks) > 10
    assert np.any(list(masks), axis=0).all()


def test_lines_without_documents_or_paragraphs_are_split_in_blocks() -> None:
    lines = [Line(0, f"{n:05}") for n in range(1000)]
    mask = validation_lines(lines, 0.1, 3).reshape(100, 10)
    assert np.array_equal(mask.all(axis=1), mask.any(axis=1))
    assert mask.sum() == 100


def test_many_units_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, documents stay whole, and the size is near the share."""
    monkeypatch.setattr(text_split, "MAX_UNITS", 64)
    lines = in_documents([1 + n % 5 for n in range(3000)])
    splitter = splitter_of(lines)
    for units in (splitter._documents, splitter._paragraphs, splitter._lines):
        assert 32 <= len(units._starts) <= 64
    assert (splitter.lines, splitter.characters) == (
        len(lines),
        sum(len(x.text) + 1 for x in lines),
    )
    masks = set()
    for seed in range(9):
        mask = validation_lines(lines, 0.1, seed)
        assert 0.07 < mask.mean() < 0.13
        chosen = {line.document for line, valid in zip(lines, mask, strict=True) if valid}
        left = {line.document for line, valid in zip(lines, mask, strict=True) if not valid}
        assert not chosen & left
        masks.add(tuple(mask))
    assert len(masks) > 5


@given(count=st.integers(0, 400), most=st.integers(1, 9).map(lambda n: 2 * n))
def test_neighbours_are_merged_evenly(count: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_split, "MAX_UNITS", most)
        units = text_split._UnitPositions()
        for number in range(count):
            units.add(number, 10 * number)
    starts, offsets = units.arrays()
    assert len(starts) <= most
    assert len(starts) > most // 2 or len(starts) == count
    assert set(np.diff(starts)) <= {units._merged}
    assert np.array_equal(offsets, 10 * starts)
    assert count == 0 or starts[0] == 0
    assert count == 0 or count - starts[-1] <= units._merged


def test_documents_too_long_for_the_share_give_way_to_paragraphs() -> None:
    """A thousandth of twenty-five books is less than one book."""
    lines = [Line(d, t) for d in range(25) for n in range(200) for t in (f"{d} {n} café", "")]
    for seed in range(5):
        mask = validation_lines(lines, 0.002, seed)
        assert 0.001 < mask.mean() < 0.003
        assert np.array_equal(mask[::2], mask[1::2])


def test_of_a_text_without_paragraphs_a_small_share_is_small() -> None:
    lines = [Line(0, f"{n:05}") for n in range(20_000)]
    for share in (0.001, 0.01, 0.05):
        assert validation_lines(lines, share, 1).mean() == pytest.approx(share, rel=0.5)


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=25),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 3),
)
def test_each_line_is_in_one_part(sizes: list[int], share: float, seed: int) -> None:
    lines = in_documents(sizes)
    train, valid = split_lines(lines, share, seed)
    assert Counter(train + valid) == Counter(lines)
    mask = validation_lines(lines, share, seed)
    assert valid == [line for line, chosen in zip(lines, mask, strict=True) if chosen]
    assert train == [line for line, chosen in zip(lines, mask, strict=True) if not chosen]


def test_one_huge_document_does_not_become_the_validation_part() -> None:
    for seed in range(20):
        mask = validation_lines(in_documents([2000] + [2] * 30), 0.1, seed)
        assert 0.08 < mask.mean() < 0.12


@given(
    sizes=st.lists(st.integers(1, 4), max_size=25),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 3),
)
def test_both_parts_of_a_text_have_lines(sizes: list[int], share: float, seed: int) -> None:
    lines = in_documents(sizes)
    mask = validation_lines(lines, share, seed)
    assert mask.shape == (len(lines),)
    if len(lines) >= 2:
        assert 0 < mask.sum() < len(lines)
    else:
        assert not mask.any()
    assert np.array_equal(mask, validation_lines(lines, share, seed))


def test_no_share_is_no_validation_part() -> None:
    assert split_lines(in_documents([1] * 30), 0, 1)[1] == []


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_is_a_fraction(share: float) -> None:
    with pytest.raises(ValueError, match="share must be at least 0"):
        validation_lines([], share, 1)


def overlap(train: list[Any], valid: list[Any]) -> int:
    counted = Overlap()
    counted.add_valid(valid[:1])
    counted.add_valid(valid[1:])
    for item in train:
        counted.add_train([item])
    return counted.count


def test_the_overlap_counts_validation_items() -> None:
    assert overlap(["a", "🙂", "a"], ["🙂", "a", "a", "b"]) == 3
    assert overlap([("a", "b")], [("a", "b"), ("b", "a")]) == 1
    assert overlap([], ["a"]) == 0
