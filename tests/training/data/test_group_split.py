"""Splits of examples with groups: what stays together, labels on both sides, sizes and seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext.training.data import group_split
from rnntext.training.data.group_split import GroupSplitter, UnitCounts, joined_units


class Row(NamedTuple):
    text: str
    labels: tuple[str, ...]
    group: str | None


def split(
    rows: Sequence[Row], share: float = 0.1, seed: int = 0, most: int = 10**6
) -> tuple[list[Row], list[Row]]:
    """The training and the validation part."""
    splitter = GroupSplitter()
    for row in rows:
        splitter.add((row.text,), row.labels, row.labels, row.group)
    found = splitter.split(share, most, seed, lambda: (((row.text,), row.labels) for row in rows))

    def part(valid: bool) -> list[Row]:
        return list(found.part(rows, lambda row: (row.text,), valid=valid))

    return part(False), part(True)


def groups(*given: tuple[str | None, str]) -> list[Row]:
    """Rows with texts of their own, from groups and the labels of their rows, one a character."""
    rows = [(group, label) for group, labels in given for label in labels]
    return [Row(f"text {n}", (label,), group) for n, (group, label) in enumerate(rows)]


def keeps_its_promises(rows: Sequence[Row], train: list[Row], valid: list[Row]) -> None:
    """No group or near duplicate is on both sides, and every label is in training."""
    assert sorted(map(str, train + valid)) == sorted(map(str, rows))
    assert not ({row.group for row in train} & {row.group for row in valid}) - {None}
    assert not {row.text.lower() for row in train} & {row.text.lower() for row in valid}
    every = {label for row in rows for label in row.labels}
    assert {label for row in train for label in row.labels} == every
    assert 2 * len(valid) <= len(rows)


ROWS = st.lists(
    st.builds(
        Row,
        st.sampled_from(["naïve", "Naïve", "café", "CAFÉ", "你好", "🙂", "a", "b", "c"]),
        st.lists(st.sampled_from("xyz"), max_size=2, unique=True).map(tuple),
        st.sampled_from([None, "f", "g", "h", "i"]),
    ),
    max_size=25,
)


@given(rows=ROWS, share=st.floats(0, 0.5), seed=st.integers(0, 3))
def test_a_split_keeps_its_promises(rows: list[Row], share: float, seed: int) -> None:
    train, valid = split(rows, share, seed)
    keeps_its_promises(rows, train, valid)
    assert (train, valid) == split(rows, share, seed)


def linked_one_by_one(rows: Sequence[Row]) -> list[int]:
    """The unit of each row, computed by merging sets."""
    units: list[set[str]] = []
    for row in rows:
        keys = {f"text {row.text.lower()}"} | ({f"group {row.group}"} if row.group else set())
        for unit in [unit for unit in units if unit & keys]:
            units.remove(unit)
            keys |= unit
        units.append(keys)
    of_row = [
        next(n for n, unit in enumerate(units) if f"text {row.text.lower()}" in unit)
        for row in rows
    ]
    order = list(dict.fromkeys(of_row))
    return [order.index(unit) for unit in of_row]


@given(rows=ROWS)
def test_units_are_linked_by_texts_and_groups(rows: list[Row]) -> None:
    texts = {text: n for n, text in enumerate(dict.fromkeys(row.text.lower() for row in rows))}
    fingerprints = np.array([-7 * texts[row.text.lower()] for row in rows], np.int64)
    given_groups = np.array([ord(row.group) if row.group else 0 for row in rows], np.int64)
    assert joined_units(fingerprints, given_groups).tolist() == linked_one_by_one(rows)


@pytest.mark.parametrize("order", ["in order", "reversed", "shuffled"])
def test_a_long_chain_is_one_unit(order: str) -> None:
    """Each text is in two groups, and each group has two texts."""
    length = 3000
    place = np.random.Generator(np.random.PCG64(1)).permutation(length)
    place = {"in order": np.arange(length), "reversed": np.arange(length)[::-1]}.get(order, place)
    fingerprints, given_groups = np.repeat(place, 2), np.repeat(place, 2)
    given_groups[1::2] = place + 1
    assert set(joined_units(fingerprints, given_groups + 1).tolist()) == {0}
    # Without its middle it is two.
    kept = place != length // 2
    fingerprints, given_groups = fingerprints[np.repeat(kept, 2)], given_groups[np.repeat(kept, 2)]
    assert set(joined_units(fingerprints, given_groups + 1).tolist()) == {0, 1}


@pytest.mark.parametrize("pending", [1, 4, 1 << 20])
def test_labels_are_counted_by_unit(pending: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_split, "_PENDING", pending)
    unit = np.array([0, 1, 0, 2, 1, 0])
    counts = UnitCounts(unit, [[0], [1, 0], [1], [], [1], [0]], 2)
    assert [counts.of_unit(n) for n in range(3)] == [
        [(0, 2), (1, 1), (2, 3)],
        [(0, 1), (1, 2), (2, 2)],
        [(2, 1)],
    ]
    assert counts.totals() == [3, 3, 6]
    assert [counts.units_with(label) for label in range(3)] == [[0, 1], [0, 1], [0, 1, 2]]


# Small data sets


@pytest.mark.parametrize("seed", range(5))
def test_every_label_is_on_both_sides_where_each_group_has_one_label(seed: int) -> None:
    rows = groups(("f", "aaa"), ("g", "aaa"), ("h", "bbb"), ("i", "bbb"))
    train, valid = split(rows, seed=seed)
    keeps_its_promises(rows, train, valid)
    assert Counter(row.labels for row in valid) == {("a",): 3, ("b",): 3}


@pytest.mark.parametrize("seed", range(5))
def test_a_label_of_one_group_stays_in_training(seed: int) -> None:
    """Also where its group has other labels too."""
    rows = groups(
        ("f", "ab"), ("g", "ab"), ("h", "ab"), ("i", "ccab"), (None, "abab"), ("j", "abab")
    )
    train, valid = split(rows, seed=seed)
    keeps_its_promises(rows, train, valid)
    assert {row.labels for row in valid} == {("a",), ("b",)}


@pytest.mark.parametrize("seed", range(5))
def test_a_huge_group_does_not_become_the_validation_part(seed: int) -> None:
    rows = groups(("huge", "ab" * 400), *((f"g{n}", "ab") for n in range(200)))
    train, valid = split(rows, seed=seed)
    keeps_its_promises(rows, train, valid)
    assert len(valid) == 120
    assert Counter(row.labels for row in valid) == {("a",): 60, ("b",): 60}


def test_the_smaller_of_two_groups_is_held_out() -> None:
    rows = groups(("f", "ab" * 6), ("g", "ab" * 4))
    assert {row.group for row in split(rows)[1]} == {"g"}


@pytest.mark.parametrize("labels", ["ab", "ba"])
def test_no_more_than_half_is_held_out(labels: str) -> None:
    """The smaller group has the only examples of a label."""
    assert split(groups(("f", labels * 6), ("g", labels * 4 + "c")))[1] == []


@pytest.mark.parametrize(
    "rows",
    [
        [],
        groups(("f", "ab" * 20)),
        groups(("f", "aaa"), ("g", "bbb"), ("h", "ccc")),
        [Row(f"text {n % 3}", ("a",), f"g{n // 2}") for n in range(12)],  # linked by their texts
    ],
)
def test_nothing_can_be_held_out(rows: list[Row]) -> None:
    assert split(rows) == (rows, [])


def test_rows_without_a_group_are_split_by_their_texts() -> None:
    rows = [Row(f"Text {n // 2}", ("a",), None) for n in range(200)]
    train, valid = split([*rows[:-1], rows[-1]._replace(text="text 99!")])
    keeps_its_promises(rows[:-1], [row for row in train if row.text != "text 99!"], valid[:])
    assert len(valid) == 20
    assert set(Counter(row.text for row in valid).values()) == {2}


def test_a_near_duplicate_brings_its_group_along() -> None:
    rows = groups(*((f"g{n}", "aabb") for n in range(100)))
    rows = [
        row._replace(text=f"Again {n // 8}!") if n % 4 == 0 else row for n, row in enumerate(rows)
    ]
    rows = [
        row._replace(text=row.text.lower()) if n % 8 == 0 else row for n, row in enumerate(rows)
    ]
    for seed in range(5):
        _, valid = split(rows, seed=seed)
        held_out = {int(str(row.group)[1:]) for row in valid}
        assert len(held_out) == 10
        assert held_out == {n ^ 1 for n in held_out}


@pytest.mark.parametrize(("count", "validated"), [(49, False), (50, True)])
def test_only_for_a_frequent_label_the_part_becomes_large(count: int, validated: bool) -> None:
    """The label has two large groups, and a tenth of 1,000 rows is wanted."""
    common = [(f"g{n}", "a") for n in range(1000 - 2 * 120)]
    large = [(name, "b" * count + "a" * (120 - count)) for name in ("f", "h")]
    rows = groups(*common, *large)
    train, valid = split(rows)
    keeps_its_promises(rows, train, valid)
    found = Counter(row.labels[0] for row in valid)
    assert found["b"] == (count if validated else 0)
    assert (len(valid) > 200) == validated


@pytest.mark.parametrize("seed", range(5))
def test_a_large_group_that_is_less_than_half_is_not_taken_either(seed: int) -> None:
    rows = groups(("large", "ab" * 200), *((f"g{n}", "ab") for n in range(300)))
    assert len(split(rows, seed=seed)[1]) == 100


def test_rare_labels_are_served_before_the_frequent_ones() -> None:
    """Of 75 rows 15 leave room for both of them, but not after another group, as where another seed
    takes the last one first."""
    large = [("f", "a" * 12 + "d"), ("g", "a" * 10 + "b" * 12 + "cc")]
    large += [("h", "a" * 8 + "b" * 9 + "ccd")]
    rows = groups(*large, ("i", "aaaaad"), ("j", "bbbbbcc"), ("k", "aaaab"))
    _, valid = split(rows, seed=1)
    assert {row.group for row in valid} == {"i", "j"}


def test_the_group_that_fits_best_is_taken() -> None:
    """Each has more rows than are wanted."""
    rows = groups(("f", "ab" * 5), ("g", "ab" * 4), ("h", "a" * 8), ("i", "ab" * 5))
    assert {row.group for row in split(rows)[1]} == {"g"}


def test_a_label_counts_once_in_an_example() -> None:
    rows = of_many_groups(40)
    repeated = [row._replace(labels=row.labels * (n % 5 + 1)) for n, row in enumerate(rows)]
    for seed in range(5):
        found = {row.text for row in split(repeated, seed=seed)[1]}
        assert found == {row.text for row in split(rows, seed=seed)[1]}


def test_a_rare_label_is_on_both_sides() -> None:
    """Its two groups are small, and hardly ever among the first that are taken."""
    rows = groups(*((f"g{n}", "a") for n in range(200)), ("f", "bb"), ("h", "bb"))
    for seed in range(20):
        train, valid = split(rows, seed=seed)
        keeps_its_promises(rows, train, valid)
        assert Counter(row.labels[0] for row in valid)["b"] == 2


def test_examples_without_labels() -> None:
    rows = [Row(f"text {n}", (), f"g{n % 10}") for n in range(100)]
    train, valid = split(rows)
    assert (len(train), len(valid)) == (90, 10)


# Large ones


def of_many_groups(count: int) -> list[Row]:
    """Groups of one to nine rows; a common, a usual and a rare label."""
    draw = np.random.Generator(np.random.PCG64(5))
    given = []
    for n, size in enumerate(draw.integers(1, 10, count).tolist()):
        labels = draw.choice(list("abc"), size, p=[0.78, 0.2, 0.02])
        given.append((f"film {n}", "".join(labels)))
    return groups(*given)


def test_ten_thousand_groups() -> None:
    rows = of_many_groups(10_000)
    train, valid = split(rows)
    keeps_its_promises(rows, train, valid)
    assert abs(len(valid) - len(rows) / 10) < 5
    every, held_out = (Counter(row.labels[0] for row in part) for part in (rows, valid))
    for label in "abc":
        assert abs(held_out[label] - every[label] / 10) < 20
    assert valid != split(rows, seed=1)[1]
    # Groups of every size are held out.
    sizes = Counter(row.group for row in valid)
    assert set(sizes.values()) == set(range(1, 10))


def test_no_more_than_the_maximum_is_sampled() -> None:
    _, valid = split(of_many_groups(500), most=40)
    assert 36 <= len(valid) <= 48


def test_every_group_has_its_turn() -> None:
    rows = groups(*((f"g{n}", "ab") for n in range(20)))
    turns = Counter(row.group for seed in range(200) for row in split(rows, seed=seed)[1])
    assert len(turns) == 20
    assert min(turns.values()) > 20  # 40 expected, two rows a group and 10 % of 200 splits


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_is_a_fraction(share: float) -> None:
    with pytest.raises(ValueError, match="share must be at least 0"):
        split(groups(("f", "ab")), share)


def test_sixteen_bytes_of_each_example_are_held() -> None:
    splitter = GroupSplitter()
    for n in range(1000):
        splitter.add((f"text {n}",), ("a", "b"), ("a",), f"g{n}" if n % 2 else None)
    held = [value for value in vars(splitter).values() if hasattr(value, "itemsize")]
    assert sum(len(value) * value.itemsize for value in held) == 16 * len(splitter)
    assert splitter.groups() == (500, 500)
    assert splitter.counts == {"a": 1000, "b": 1000}
