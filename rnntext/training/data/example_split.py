"""Seeded splits of examples into a training and a validation part.

Knows: what must stay together (equal texts) and what must stay in training (every label). Does
not know: what an example is, or how large a part should be.

No text is held: of each example a hash and its labels' numbers, and of more than MOST_HELD
examples nothing but how many have each label. What was chosen is then taken from the examples
as they are read again.
"""

from __future__ import annotations

import hashlib
import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnntext.training.data.store import Array, Rows, counts_of
from rnntext.training.data.text_split import require_share

MOST_HELD = 1 << 18

Item = TypeVar("Item")
Strings = tuple[str, ...]


class Split(Protocol):
    """Which examples are for validation."""

    def part(
        self, examples: Iterable[Item], content: Callable[[Item], Strings], *, valid: bool
    ) -> Iterator[Item]:
        """Those of `examples`, all of them in their order, that are for validation or not;
        `content` is what an example was added with."""


class ExampleSplitter:
    """What is known of examples while their parts are chosen."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}  # examples that have each label, as they came
        self._length = 0
        self._forget()

    def __len__(self) -> int:
        return self._length

    def _forget(self) -> None:
        self._strata: dict[Strings, int] = {}
        self._numbers: dict[str, int] = {}  # of labels
        # By example:
        self._keys = array("q")
        self._stratum = array("i")
        self._labels = array("i")
        self._offsets = array("q", [0])

    def add(self, content: Strings, labels: Strings, stratum: Strings = ()) -> None:
        """Tell of the next example: of those with equal `content` all stand in one part, and of
        each `stratum` about the same share is for validation."""
        distinct = dict.fromkeys(labels)
        for label in distinct:
            self.counts[label] = self.counts.get(label, 0) + 1
        self._length += 1
        if self._length > MOST_HELD:
            self._forget()
            return
        self._labels.extend(self._numbers.setdefault(x, len(self._numbers)) for x in distinct)
        self._offsets.append(len(self._labels))
        self._keys.append(hash(content))
        self._stratum.append(self._strata.setdefault(stratum, len(self._strata)))

    def split(
        self,
        share: float,
        most: int,
        seed: int,
        again: Callable[[], Iterable[tuple[Strings, Strings]]],
    ) -> Split:
        """Choose `share` of the distinct contents, but about `most` examples at most.

        Every label stands in training, so that validation has nothing that cannot be learnt;
        there may be none where nearly every example has its own label. Of very many examples
        `again` reads contents and labels again, and the strata get their share by chance alone.
        """
        if self._length > MOST_HELD:
            chosen = _smallest((_number(content, seed) for content, _ in again()), share, most)
            _give_back_contents(chosen, seed, again(), dict(self.counts))
            return _ByContent(chosen, seed)
        order = {stratum: rank for rank, stratum in enumerate(sorted(self._strata))}
        ranks = np.array([order[stratum] for stratum in self._strata], np.int32)
        labels = Rows(np.frombuffer(self._labels, np.int32), np.frombuffer(self._offsets, np.int64))
        return _ByPlace(
            choose_examples(
                np.frombuffer(self._keys, np.int64),
                ranks[np.frombuffer(self._stratum, np.int32)],
                labels,
                len(self._numbers),
                min(share, most / max(1, self._length)),
                seed,
            )
        )


# Few examples


@dataclass(frozen=True, slots=True)
class _ByPlace:
    chosen: NDArray[np.bool_]  # of each example

    def part(
        self, examples: Iterable[Item], content: Callable[[Item], Strings], *, valid: bool
    ) -> Iterator[Item]:
        return compress(examples, (self.chosen == valid).tobytes())


def choose_examples(
    keys: Array, strata: Array, labels: Rows, label_count: int, share: float, seed: int
) -> NDArray[np.bool_]:
    """Say of each example whether it is for validation: (examples,) booleans, near `share` of
    the distinct `keys`.

    Examples of equal `keys`, numbers that stand for their texts, stand on one side. Each of the
    `strata`, a number an example, gives its share. Every one of the `labels`, numbers an
    example, stands in training, so that validation has nothing that cannot be learnt; there may
    be none where nearly every example has its own label.
    """
    require_share(share)
    mask = np.zeros(len(keys), dtype=np.bool_)
    first, unit = _units_of(keys)
    if share == 0 or len(first) < 2:
        return mask
    generator = np.random.Generator(np.random.PCG64(seed))
    # Every n-th unit of the strata laid end to end gives each its part, however small it is.
    shuffled = generator.permutation(len(first))
    in_strata = shuffled[np.argsort(strata[first[shuffled]], kind="stable")]
    count = min(max(1, round(share * len(first))), len(first) - 1)
    positions = (np.arange(count) + generator.random()) * len(first) / count
    drawn = np.zeros(len(first), dtype=np.bool_)
    drawn[in_strata[positions.astype(np.int64)]] = True
    _give_back_labels(drawn, unit, labels, label_count)
    return drawn[unit]


def _units_of(keys: Array) -> tuple[Array, Array]:
    """Number the distinct keys as they come; the first example of each, and each example's."""
    _, first, unit = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return first[order], number[unit]


def _give_back_labels(drawn: NDArray[np.bool_], unit: Array, labels: Rows, count: int) -> None:
    """Move to training what holds a label that has no example there."""
    outside = counts_of(labels.values, count)
    held: dict[int, set[int]] = {}  # by each unit that was drawn
    for example in np.flatnonzero(drawn[unit]).tolist():
        outside[labels[example]] -= 1
        held.setdefault(int(unit[example]), set()).update(labels[example].tolist())
    missing = set(np.flatnonzero(outside == 0).tolist())
    for number, here in sorted(held.items()):
        if here & missing:
            drawn[number] = False
            missing -= here


# Very many examples


@dataclass(frozen=True, slots=True)
class _ByContent:
    chosen: set[int]  # contents, by `_number`
    seed: int

    def part(
        self, examples: Iterable[Item], content: Callable[[Item], Strings], *, valid: bool
    ) -> Iterator[Item]:
        return (
            example
            for example in examples
            if (_number(content(example), self.seed) in self.chosen) == valid
        )


def _number(content: Strings, seed: int) -> int:
    """A number as good as random, the same for the same content and seed."""
    text = "\0".join(content).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8, key=seed.to_bytes(8, "big"))
    return int.from_bytes(digest.digest(), "big")


def _smallest(numbers: Iterable[int], share: float, most: int) -> set[int]:
    """The smallest of distinct numbers: `share` of them, but at most `most`."""
    held: set[int] = set()
    heap: list[int] = []  # the same, negated: the largest comes first
    for number in numbers:
        if number in held:
            continue
        if share * len(heap) < most:
            heapq.heappush(heap, -number)
        elif number < -heap[0]:
            held.remove(-heapq.heapreplace(heap, -number))
        else:
            continue
        held.add(number)
    count = min(max(1, round(share * len(held))), len(held) - 1)
    return set(sorted(held)[:count])


def _give_back_contents(
    chosen: set[int], seed: int, examples: Iterable[tuple[Strings, Strings]], left: dict[str, int]
) -> None:
    """Move to training what holds a label that has no example there; `left` is of all examples."""
    held: dict[int, set[str]] = {}
    for content, labels in examples:
        number = _number(content, seed)
        if number in chosen:
            held.setdefault(number, set()).update(labels)
            for label in set(labels):
                left[label] -= 1
    missing = {label for label, count in left.items() if not count}
    for number, here in held.items():
        if here & missing:
            chosen.discard(number)
            missing -= here
