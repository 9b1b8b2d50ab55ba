"""Seeded splits of examples into a training and a validation part.

Knows: what must stay together (texts that are equal or near duplicates) and what must stay in
training (every label). Does not know: the type of an example, or how large a part should be.

No text is held, only a fingerprint and the label indices of each example; with more than
MAX_IN_MEMORY examples only the counts of labels. The examples are read again to assign each to
its part.
"""

from __future__ import annotations

import hashlib
import heapq
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnntext.training.data.near_duplicates import fingerprint
from rnntext.training.data.store import Array, RaggedArray, counts_of
from rnntext.training.data.text_split import require_share

MAX_IN_MEMORY = 1 << 18

Item = TypeVar("Item")
Strings = tuple[str, ...]


class Split(Protocol):
    """An assignment of examples to the training and the validation part."""

    def part(
        self, examples: Iterable[Item], content: Callable[[Item], Strings], *, valid: bool
    ) -> Iterator[Item]:
        """Yield the examples of one part: validation if `valid`, else training.

        `examples` are all examples in the order in which they were added, and `content` returns the
        content with which an example was added.
        """


class Splitter(ABC):
    """Counts examples by label, collects what a split needs of them, and samples the validation
    part."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}  # examples with each label, in order of appearance
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(
        self, content: Strings, labels: Strings, stratum: Strings = (), group: str | None = None
    ) -> None:
        """Add the next example.

        Examples with equal or nearly equal `content` are in the same part. So are those of one
        `group`, or otherwise each `stratum` has about the same share of validation examples.
        """
        distinct = tuple(dict.fromkeys(labels))
        for label in distinct:
            self.counts[label] = self.counts.get(label, 0) + 1
        self._length += 1
        self._add(content, distinct, stratum, group)

    @abstractmethod
    def _add(
        self, content: Strings, labels: Strings, stratum: Strings, group: str | None
    ) -> None: ...

    @abstractmethod
    def split(
        self,
        share: float,
        max_examples: int,
        seed: int,
        reread: Callable[[], Iterable[tuple[Strings, Strings]]],
    ) -> Split:
        """Sample about `share` of the examples, but at most about `max_examples`.

        Every label stays in training, so that validation has no label that cannot be learned; the
        validation part may be empty. `reread` yields contents and labels again.
        """


class ExampleSplitter(Splitter):
    """Samples contents, which have no groups, from each stratum."""

    def __init__(self) -> None:
        super().__init__()
        self._clear()

    def _clear(self) -> None:
        self._stratum_indices: dict[Strings, int] = {}
        self._label_indices: dict[str, int] = {}
        # Of each example:
        self._fingerprints = array("q")
        self._strata = array("i")
        self._labels = array("i")  # concatenated
        self._offsets = array("q", [0])

    def _add(self, content: Strings, labels: Strings, stratum: Strings, _: str | None) -> None:
        if self._length > MAX_IN_MEMORY:
            self._clear()
            return
        indices = self._label_indices
        self._labels.extend(indices.setdefault(label, len(indices)) for label in labels)
        self._offsets.append(len(self._labels))
        self._fingerprints.append(fingerprint(content))
        self._strata.append(self._stratum_indices.setdefault(stratum, len(self._stratum_indices)))

    def split(
        self,
        share: float,
        max_examples: int,
        seed: int,
        reread: Callable[[], Iterable[tuple[Strings, Strings]]],
    ) -> Split:
        """Sample `share` of the distinct contents, but at most about `max_examples` examples.

        Every label stays in training, so that validation has no label that cannot be learned; the
        validation part may be empty if nearly every example has its own label. With more than
        MAX_IN_MEMORY examples `reread` yields contents and labels again, and the sample is not
        stratified.
        """
        if self._length > MAX_IN_MEMORY:
            numbered = (
                (_seeded_hash(content, seed), fingerprint(content)) for content, _ in reread()
            )
            sampled = _smallest(numbered, share, max_examples)
            _remove_fingerprints_of_unseen_labels(sampled, reread(), dict(self.counts))
            return _SplitByFingerprint(sampled)
        order = {stratum: rank for rank, stratum in enumerate(sorted(self._stratum_indices))}
        ranks = np.array([order[stratum] for stratum in self._stratum_indices], np.int32)
        return SplitByPosition(
            sample_examples(
                np.frombuffer(self._fingerprints, np.int64),
                ranks[np.frombuffer(self._strata, np.int32)],
                RaggedArray(
                    np.frombuffer(self._labels, np.int32), np.frombuffer(self._offsets, np.int64)
                ),
                len(self._label_indices),
                min(share, max_examples / max(1, self._length)),
                seed,
            )
        )


# Splits in memory


@dataclass(frozen=True, slots=True)
class SplitByPosition:
    """A split that is known for each position of the examples."""

    is_valid: NDArray[np.bool_]  # (examples,)

    def part(
        self, examples: Iterable[Item], content: Callable[[Item], Strings], *, valid: bool
    ) -> Iterator[Item]:
        return compress(examples, (self.is_valid == valid).tobytes())


def sample_examples(
    keys: Array, strata: Array, labels: RaggedArray, label_count: int, share: float, seed: int
) -> NDArray[np.bool_]:
    """Return True for each validation example: (examples,), about `share` of the distinct `keys`.

    Examples with equal `keys` are in the same part. The sample is systematic over the examples
    sorted by `strata`, so that each stratum gets its share. Every label stays in training, so that
    validation has no label that cannot be learned; the validation part may be empty if nearly
    every example has its own label.
    """
    require_share(share)
    first, unit = units_of(keys)
    if share == 0 or len(first) < 2:
        return np.zeros(len(keys), dtype=np.bool_)
    generator = np.random.Generator(np.random.PCG64(seed))
    # Every n-th unit of the concatenated strata: even a small stratum gets its share.
    shuffled = generator.permutation(len(first))
    by_stratum = shuffled[np.argsort(strata[first[shuffled]], kind="stable")]
    count = min(max(1, round(share * len(first))), len(first) - 1)
    positions = (np.arange(count) + generator.random()) * len(first) / count
    sampled = np.zeros(len(first), dtype=np.bool_)
    sampled[by_stratum[positions.astype(np.int64)]] = True
    _remove_units_of_unseen_labels(sampled, unit, labels, label_count)
    return sampled[unit]


def units_of(keys: Array) -> tuple[Array, Array]:
    """Group the examples by key into units, numbered by first appearance.

    Returns the first example of each unit, and the unit of each example.
    """
    _, first, unit = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return first[order], number[unit]


def _remove_units_of_unseen_labels(
    sampled: NDArray[np.bool_], unit: Array, labels: RaggedArray, label_count: int
) -> None:
    """Move units from the sample back to training until every label has a training example."""
    train_counts = counts_of(labels.values, label_count)
    labels_of: dict[int, set[int]] = {}  # of each sampled unit
    for example in np.flatnonzero(sampled[unit]).tolist():
        train_counts[labels[example]] -= 1
        labels_of.setdefault(int(unit[example]), set()).update(labels[example].tolist())
    unseen = set(np.flatnonzero(train_counts == 0).tolist())
    for number, unit_labels in sorted(labels_of.items()):
        if unit_labels & unseen:
            sampled[number] = False
            unseen -= unit_labels


# Splits of more examples than are held in memory


@dataclass(frozen=True, slots=True)
class _SplitByFingerprint:
    sampled: set[int]  # fingerprints of contents

    def part(
        self, examples: Iterable[Item], content: Callable[[Item], Strings], *, valid: bool
    ) -> Iterator[Item]:
        return (
            example
            for example in examples
            if (fingerprint(content(example)) in self.sampled) == valid
        )


def _seeded_hash(content: Strings, seed: int) -> int:
    """Return a 64-bit pseudo-random number that depends on content and seed."""
    text = "\0".join(content).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8, key=seed.to_bytes(8, "big"))
    return int.from_bytes(digest.digest(), "big")


def _smallest(numbered: Iterable[tuple[int, int]], share: float, max_count: int) -> set[int]:
    """Return the units with the smallest numbers: `share` of the units, but at most `max_count`.

    `numbered` are numbers, each with its unit. The smallest of its numbers stands for a unit.
    """
    numbers: dict[int, int] = {}  # of the candidates: unit -> its smallest number
    # The candidates, negated, so that the largest is the first. An entry is outdated once its unit
    # has a smaller number.
    heap: list[tuple[int, int]] = []
    for number, unit in numbered:
        known = numbers.get(unit)
        if known is not None:
            if known <= number:
                continue
        elif share * len(numbers) >= max_count:
            while numbers.get(heap[0][1]) != -heap[0][0]:
                heapq.heappop(heap)
            if number > -heap[0][0]:
                continue
            del numbers[heapq.heappop(heap)[1]]
        heapq.heappush(heap, (-number, unit))
        numbers[unit] = number
    count = min(max(1, round(share * len(numbers))), len(numbers) - 1)
    return set(sorted(numbers, key=numbers.__getitem__)[:count])


def _remove_fingerprints_of_unseen_labels(
    sampled: set[int], examples: Iterable[tuple[Strings, Strings]], train_counts: dict[str, int]
) -> None:
    """Like `_remove_units_of_unseen_labels`, given the label counts of all examples."""
    labels_of: dict[int, set[str]] = {}  # of each sampled unit
    for content, labels in examples:
        unit = fingerprint(content)
        if unit in sampled:
            labels_of.setdefault(unit, set()).update(labels)
            for label in set(labels):
                train_counts[label] -= 1
    unseen = {label for label, count in train_counts.items() if not count}
    for unit, unit_labels in labels_of.items():
        if unit_labels & unseen:
            sampled.discard(unit)
            unseen -= unit_labels
