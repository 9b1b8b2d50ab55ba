"""Splits: what stays together, what stays in training, order, shares and seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext.text.labelled import Labelled
from rnntext.text.lines import Line
from rnntext.text.splits import Outline, Overlap, draw_examples, part_of
from rnntext.text.store import Rows
from rnntext.text.tagged import Tagged

Item = TypeVar("Item")
EXAMPLES = st.lists(
    st.tuples(
        st.sampled_from(["naïve", "café", "你好", "🙂", "a", "b", "c"]),
        st.lists(st.sampled_from("xyz"), max_size=2, unique=True).map(tuple),
    ),
    max_size=25,
)
SHARE = st.floats(0, 0.99)


def drawn(
    keys: Sequence[Hashable],
    strata: Sequence[tuple[str, ...]],
    labels: Sequence[tuple[str, ...]],
    share: float,
    seed: int,
) -> list[bool]:
    """Which examples `draw_examples` chooses of these, whose labels are strings."""
    number = {label: n for n, label in enumerate({label for given in labels for label in given})}
    rank = {stratum: n for n, stratum in enumerate(sorted(set(strata)))}
    rows = [np.array([number[label] for label in dict.fromkeys(g)], np.int32) for g in labels]
    mask = draw_examples(
        np.array([hash(key) for key in keys], np.int64),
        np.array([rank[stratum] for stratum in strata], np.int32),
        Rows.of(rows),
        len(number),
        share,
        seed,
    )
    return list(mask.tolist())


def parts(examples: Sequence[Item], mask: Sequence[bool]) -> tuple[list[Item], list[Item]]:
    pairs = list(zip(examples, mask, strict=True))
    return [e for e, chosen in pairs if not chosen], [e for e, chosen in pairs if chosen]


def split_labelled(
    examples: Sequence[Labelled], share: float, seed: int
) -> tuple[list[Labelled], list[Labelled]]:
    texts, labels = [e.text for e in examples], [e.labels for e in examples]
    strata = [tuple(sorted(given)) for given in labels]
    return parts(examples, drawn(texts, strata, labels, share, seed))


def split_tagged(
    examples: Sequence[Tagged], share: float, seed: int
) -> tuple[list[Tagged], list[Tagged]]:
    words, tags = [e.words for e in examples], [e.tags for e in examples]
    return parts(examples, drawn(words, [()] * len(words), tags, share, seed))


def outline_of(lines: Iterable[Line]) -> Outline:
    outline = Outline()
    for line in lines:
        outline.add(line)
    return outline


def validation_lines(lines: Sequence[Line], share: float, seed: int) -> Any:
    """A mask of what is drawn."""
    ranges, characters = outline_of(lines).draw(share, seed)
    mask = np.zeros(len(lines), np.bool_)
    for start, stop in ranges.tolist():
        assert start < stop
        mask[start:stop] = True
    assert np.all(np.diff(ranges.ravel()) >= 0)
    chosen = [line for line, valid in zip(lines, mask, strict=True) if valid]
    assert characters == sum(len(line.text) + 1 for line in chosen)
    return mask


def split_lines(lines: Sequence[Line], share: float, seed: int) -> tuple[list[Line], list[Line]]:
    ranges, _ = outline_of(lines).draw(share, seed)
    train = part_of(iter(lines), ranges, valid=False)
    return list(train), list(part_of(iter(lines), ranges, valid=True))


def labelled(pairs: list[tuple[str, tuple[str, ...]]]) -> list[Labelled]:
    return [Labelled(text, labels, "f", line) for line, (text, labels) in enumerate(pairs)]


@given(pairs=EXAMPLES, share=SHARE, seed=st.integers(0, 3))
def test_a_labelled_split_keeps_its_promises(
    pairs: list[tuple[str, tuple[str, ...]]], share: float, seed: int
) -> None:
    examples = labelled(pairs)
    train, valid = split_labelled(examples, share, seed)
    assert sorted(train + valid, key=lambda example: example.line) == examples
    for part in (train, valid):
        assert [e.line for e in part] == sorted(e.line for e in part)
    assert not {e.text for e in train} & {e.text for e in valid}
    every_label = {label for e in examples for label in e.labels}
    assert {label for e in train for label in e.labels} == every_label
    assert bool(train) == bool(examples)
    assert (train, valid) == split_labelled(examples, share, seed)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25, 0.5])
def test_every_class_gives_its_share(share: float) -> None:
    sizes = {"common": 1000, "usual": 200, "rare": 40}
    pairs = [(f"{label} {n}", (label,)) for label, size in sizes.items() for n in range(size)]
    _, valid = split_labelled(labelled(pairs), share, 5)
    assert len(valid) == round(share * len(pairs))
    got = Counter(example.labels[0] for example in valid)
    for label, size in sizes.items():
        assert abs(got[label] - share * size) <= 1


def test_another_seed_gives_another_split_and_every_example_has_its_turn() -> None:
    examples = labelled([(str(n), ("x",)) for n in range(20)])
    turns = Counter(
        example.line for seed in range(400) for example in split_labelled(examples, 0.2, seed)[1]
    )
    assert set(turns) == set(range(20))
    assert min(turns.values()) > 40  # 80 expected, standard deviation 8
    assert max(turns.values()) < 120


def test_an_example_of_a_rare_kind_also_has_its_turn() -> None:
    # Every example has labels of its own, as with --multi-label, but no label is of one alone.
    pairs = [(str(n), (f"{n}", f"{(n + 1) % 12}")) for n in range(12)]
    turns = {
        example.line
        for seed in range(200)
        for example in split_labelled(labelled(pairs), 0.1, seed)[1]
    }
    assert turns == set(range(12))


def test_neighbours_may_be_drawn_together() -> None:
    examples = labelled([(str(n), ("x",)) for n in range(20)])
    drawn = [[e.line for e in split_labelled(examples, 0.2, seed)[1]] for seed in range(50)]
    assert any(later - line == 1 for lines in drawn for line, later in pairwise(lines))


def test_some_text_stays_in_training_even_without_labels() -> None:
    train, valid = split_labelled(labelled([("a", ()), ("b", ())]), 0.9, 1)
    assert (len(train), len(valid)) == (1, 1)


def test_a_label_whose_only_text_was_drawn_goes_back_to_training() -> None:
    pairs = [(str(n), ("x",)) for n in range(9)] + [("same", ("y",)), ("same", ("y",))]
    for seed in range(30):
        train, _ = split_labelled(labelled(pairs), 0.5, seed)
        assert sum(example.labels == ("y",) for example in train) == 2


@given(
    pairs=st.lists(
        st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("XYZ")), min_size=1, max_size=3),
        max_size=12,
    ),
    share=SHARE,
)
def test_a_tagged_split_keeps_its_promises(
    pairs: list[list[tuple[str, str]]], share: float
) -> None:
    sentences = [
        Tagged(tuple(w for w, _ in pair), tuple(t for _, t in pair), "f", line)
        for line, pair in enumerate(pairs)
    ]
    train, valid = split_tagged(sentences, share, 1)
    assert sorted(train + valid, key=lambda sentence: sentence.line) == sentences
    assert not {s.words for s in train} & {s.words for s in valid}
    assert {t for s in train for t in s.tags} == {t for s in sentences for t in s.tags}


def test_a_tagged_split_takes_its_share() -> None:
    sentences = [Tagged((str(n),), ("X",), "f", n) for n in range(200)]
    train, valid = split_tagged(sentences, 0.1, 1)
    assert (len(train), len(valid)) == (180, 20)


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
    assert split_labelled(labelled([("a", ("x",)), ("b", ("x",))]), 0, 1)[1] == []


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_is_a_fraction(share: float) -> None:
    with pytest.raises(ValueError, match="share must be at least 0"):
        split_labelled([], share, 1)
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
