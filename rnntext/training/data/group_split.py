"""Seeded splits of examples that belong to groups: films, customers, documents.

Knows: which groups have to stay together, and which of them make up a validation part that has the
proportions of all examples. Does not know: the type of an example, what a group is, or how large a
part should be.

Of each example a fingerprint and a hash of its group are held, 16 bytes, and no text. The examples
are read again to count the labels of the groups, and to assign each example to its part.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from rnntext.training.data.example_split import (
    Split,
    SplitByPosition,
    Splitter,
    Strings,
    units_of,
)
from rnntext.training.data.near_duplicates import fingerprint
from rnntext.training.data.store import Array, RaggedArray
from rnntext.training.data.text_split import require_share

# A label that is so large a share of all examples is validated even if that takes half of them.
FREQUENT = 0.1
_NO_GROUP = 0
_PENDING = 1 << 20  # labels that are counted together


class GroupSplitter(Splitter):
    """Samples whole groups. Groups that share a content, or contents that are near duplicates,
    are one unit; an example without a group is one with those of its content."""

    def __init__(self) -> None:
        super().__init__()
        # Of each example:
        self._fingerprints = array("q")
        self._groups = array("q")

    def groups(self) -> tuple[int, int]:
        """Return the number of groups, and of examples without one."""
        groups = np.frombuffer(self._groups, np.int64)
        grouped = groups[groups != _NO_GROUP]
        return len(np.unique(grouped)), len(groups) - len(grouped)

    def _add(self, content: Strings, labels: Strings, stratum: Strings, group: str | None) -> None:
        self._fingerprints.append(fingerprint(content))
        self._groups.append(_NO_GROUP if group is None else hash(group) or 1)

    def split(
        self,
        share: float,
        max_examples: int,
        seed: int,
        reread: Callable[[], Iterable[tuple[Strings, Strings]]],
    ) -> Split:
        require_share(share)
        if share == 0 or not self._length:
            return SplitByPosition(np.zeros(self._length, np.bool_))
        unit = joined_units(
            np.frombuffer(self._fingerprints, np.int64), np.frombuffer(self._groups, np.int64)
        )
        numbers = {label: number for number, label in enumerate(self.counts)}
        counts = UnitCounts(
            unit,
            ([numbers[label] for label in set(labels)] for _, labels in reread()),
            len(numbers),
        )
        sampled = sample_units(counts, min(share * self._length, max_examples), seed)
        return SplitByPosition(sampled[unit])


def joined_units(fingerprints: Array, groups: Array) -> Array:
    """Return the unit of each example: (examples,), numbered by first appearance.

    Two examples are in one unit if they have the same fingerprint or the same group (but 0, which
    is none), or if others link them.
    """
    first, content = units_of(fingerprints)
    has_group = groups != _NO_GROUP
    members = content[has_group]
    if len(members):
        _, first_member, group = np.unique(
            groups[has_group], return_index=True, return_inverse=True
        )
        content = _smallest_linked(len(first), members, members[first_member][group])[content]
    # Contents are numbered by first appearance, and the smallest number stands for the unit.
    return np.asarray(np.unique(content, return_inverse=True)[1])


def _smallest_linked(count: int, one: Array, other: Array) -> Array:
    """Return the smallest of the numbers that each of 0 to `count` - 1 is linked to, also through
    others: its connected component in the graph with the edges `one`, `other`."""
    linked = np.arange(count)
    while True:
        ends = linked[one], linked[other]
        apart = ends[0] != ends[1]
        if not apart.any():
            return linked
        one, other = one[apart], other[apart]
        low, high = np.minimum(*ends)[apart], np.maximum(*ends)[apart]
        np.minimum.at(linked, high, low)
        while not np.array_equal(further := linked[linked], linked):
            linked = further


class UnitCounts:
    """The number of examples of each unit that have each label, for labels by their number.

    One more label, the last, is that of every example.
    """

    def __init__(self, unit: Array, labels: Iterable[Iterable[int]], label_count: int) -> None:
        """unit: the unit of each example, (examples,); labels: the distinct labels of each."""
        self.units = int(unit.max(initial=-1)) + 1
        self.labels = label_count + 1
        sizes = np.bincount(unit, minlength=self.units)
        self._pairs = np.arange(self.units) * self.labels + label_count  # sorted
        self._counts = sizes
        pending = array("q")
        # A file that has shrunk meanwhile is reported when all is encoded.
        for number, labels_of_one in zip(unit, labels, strict=False):
            base = int(number) * self.labels
            pending.extend(base + label for label in labels_of_one)
            if len(pending) >= _PENDING:
                self._merge(pending)
                pending = array("q")
        self._merge(pending)
        self._starts = np.searchsorted(self._pairs, np.arange(self.units + 1) * self.labels)
        label_of = self._pairs % self.labels
        by_label = np.argsort(label_of, kind="stable")
        self._by_label = RaggedArray(
            self._pairs[by_label] // self.labels,
            np.searchsorted(label_of[by_label], np.arange(self.labels + 1)),
        )

    def _merge(self, pending: array[int]) -> None:
        pairs = np.concatenate([self._pairs, np.array(pending, np.int64)])
        counts = np.concatenate([self._counts, np.ones(len(pending), np.int64)])
        self._pairs, places = np.unique(pairs, return_inverse=True)
        self._counts = np.zeros(len(self._pairs), np.int64)
        np.add.at(self._counts, places, counts)

    def of_unit(self, unit: int) -> list[tuple[int, int]]:
        """Return each label of a unit with the number of examples that have it."""
        part = slice(self._starts[unit], self._starts[unit + 1])
        labels = (self._pairs[part] - unit * self.labels).tolist()
        return list(zip(labels, self._counts[part].tolist(), strict=True))

    def totals(self) -> list[int]:
        """Return the number of examples of each label."""
        totals = np.zeros(self.labels, np.int64)
        np.add.at(totals, self._pairs % self.labels, self._counts)
        return [int(total) for total in totals]

    def units_with(self, label: int) -> list[int]:
        return [int(unit) for unit in self._by_label[label]]


def sample_units(counts: UnitCounts, wanted: float, seed: int) -> NDArray[np.bool_]:
    """Return True for each unit of the validation part: (units,), about `wanted` examples.

    Units are taken in a random order as long as they bring the part nearer to the wanted number of
    examples of each label. Then each label of which the part has none gets one more unit: first the
    labels that are rarer than FREQUENT, as long as the part has no more than twice the wanted
    number, then the frequent ones, of which that of every example is one, up to half of all
    examples. No unit is taken that has all examples of some label, so the part may be empty.
    """
    sample = _Sample(counts, wanted)
    half = sample.totals[-1] / 2
    order = np.random.Generator(np.random.PCG64(seed)).permutation(counts.units).tolist()
    for unit in order:
        if sample.size >= wanted:
            break
        change = sample.change(unit, half)
        if change is not None and change < 0:
            sample.take(unit)
    rank = {unit: place for place, unit in enumerate(order)}
    for label in sorted(range(counts.labels), key=lambda label: sample.totals[label]):
        if sample.taken[label]:
            continue
        is_frequent = sample.totals[label] >= FREQUENT * sample.totals[-1]
        most = half if is_frequent else min(half, 2 * wanted)
        possible = [
            (change, rank[unit], unit)
            for unit in counts.units_with(label)
            if (change := sample.change(unit, most)) is not None
        ]
        if possible:
            sample.take(min(possible)[2])
    return sample.is_taken


class _Sample:
    """The units taken so far, and how far they are from the wanted numbers."""

    def __init__(self, counts: UnitCounts, wanted: float) -> None:
        self._counts = counts
        self.totals = counts.totals()
        share = wanted / max(1, self.totals[-1])
        self._wanted = [share * total for total in self.totals]
        self.taken = [0] * counts.labels  # examples of each label
        self.is_taken = np.zeros(counts.units, np.bool_)

    @property
    def size(self) -> int:
        return self.taken[-1]

    def change(self, unit: int, most: float) -> float | None:
        """Return by how much the distance to the wanted numbers of examples grows with `unit`; None
        if that would take all examples of a label, or be more than `most` examples."""
        change = 0.0
        for label, count in self._counts.of_unit(unit):
            after = self.taken[label] + count
            if after == self.totals[label]:
                return None
            wanted = self._wanted[label]
            change += abs(after - wanted) - abs(self.taken[label] - wanted)
        return None if after > most else change  # the last label is that of every example

    def take(self, unit: int) -> None:
        self.is_taken[unit] = True
        for label, count in self._counts.of_unit(unit):
            self.taken[label] += count
