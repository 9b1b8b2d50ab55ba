"""Seeded splits of examples into a training and a validation part.

Knows: what must stay together (equal texts, a document, a paragraph) and what must stay in
training (every label). Does not know: where examples come from, or how large a part should be.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rnntext.text.labelled import Labelled
from rnntext.text.lines import Line
from rnntext.text.tagged import Tagged

Item = TypeVar("Item")

FEWEST_UNITS = 20  # documents or paragraphs from which validation text can be drawn
BLOCKS = 100  # pieces of a text that has neither


def split_labelled(
    examples: Sequence[Labelled], share: float, seed: int
) -> tuple[list[Labelled], list[Labelled]]:
    """Return a training and a validation part, about `share` of the distinct texts, 0 to 1.

    Stratified by the labels of an example; each part keeps the order of `examples`. Equal texts
    stand on one side, and every label stands in training, so that validation has nothing that
    cannot be learnt; it may be empty where nearly every example has its own label.
    """
    mask = _validation_mask(
        [example.text for example in examples],
        [tuple(sorted(example.labels)) for example in examples],
        [example.labels for example in examples],
        share,
        seed,
    )
    return _part(examples, mask, False), _part(examples, mask, True)


def split_tagged(
    examples: Sequence[Tagged], share: float, seed: int
) -> tuple[list[Tagged], list[Tagged]]:
    """Return a training and a validation part by sentence, about `share` of the distinct ones.

    Each part keeps the order of `examples`. Sentences of the same words stand on one side, and
    every tag stands in training.
    """
    mask = _validation_mask(
        [example.words for example in examples],
        [() for _ in examples],
        [example.tags for example in examples],
        share,
        seed,
    )
    return _part(examples, mask, False), _part(examples, mask, True)


def split_lines(lines: Iterable[Line], share: float, seed: int) -> tuple[list[Line], list[Line]]:
    """Return a training and a validation part of `lines`, both in memory and in order.

    `validation_lines` says how they are chosen.
    """
    kept = list(lines)
    mask = validation_lines(kept, share, seed)
    return _part(kept, mask, False), _part(kept, mask, True)


def validation_lines(lines: Iterable[Line], share: float, seed: int) -> NDArray[np.bool_]:
    """Say of each line whether it is validation text: (lines,) booleans, near `share` of the text.

    Reads `lines` once and keeps no text, so that a second pass can take the parts from a corpus
    of any size. Whole documents are chosen if there are FEWEST_UNITS of them, else paragraphs
    (lines up to and with the blank lines after them) if there are as many, else BLOCKS stretches
    of lines; documents or paragraphs of which one holds over half of the text are too uneven.
    Some text stays on each side if there are two lines.
    """
    _require_share(share)
    sizes = array("q")  # characters of each line with its end
    documents = array("q")  # number of the first line of each
    paragraphs = array("q")
    document: int | None = None
    blank = False
    for number, line in enumerate(lines):
        new_document = line.document != document
        now_blank = not line.text.strip()
        if new_document:
            documents.append(number)
        if new_document or (blank and not now_blank):
            paragraphs.append(number)
        document, blank = line.document, now_blank
        sizes.append(len(line.text) + 1)
    mask = np.zeros(len(sizes), dtype=np.bool_)
    if share == 0 or len(sizes) < 2:
        return mask
    size_of_line = np.array(sizes, dtype=np.int64)
    starts, unit_sizes = _units(size_of_line, [np.array(documents), np.array(paragraphs)])
    ends = np.append(starts[1:], len(size_of_line))
    generator = np.random.Generator(np.random.PCG64(seed))
    for unit in _near_share(unit_sizes, share, generator):
        mask[starts[unit] : ends[unit]] = True
    return mask


def overlap(train: Iterable[Hashable], valid: Iterable[Hashable]) -> int:
    """Count the items of `valid` that also stand in `train`; memory grows with `valid` alone."""
    counts = Counter(hash(item) for item in valid)
    return sum(counts.pop(hash(item), 0) for item in train)


def _part(examples: Sequence[Item], mask: NDArray[np.bool_], chosen: bool) -> list[Item]:
    return [item for item, valid in zip(examples, mask.tolist(), strict=True) if valid == chosen]


def _require_share(share: float) -> None:
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and less than 1, not {share}")


def _validation_mask(
    keys: Sequence[Hashable],
    strata: Sequence[tuple[str, ...]],
    labels: Sequence[tuple[str, ...]],
    share: float,
    seed: int,
) -> NDArray[np.bool_]:
    """Choose distinct `keys`, evenly over `strata`: (examples,) booleans."""
    _require_share(share)
    mask = np.zeros(len(keys), dtype=np.bool_)
    units: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        units.setdefault(key, []).append(index)
    members = list(units.values())
    if share == 0 or len(members) < 2:
        return mask
    generator = np.random.Generator(np.random.PCG64(seed))
    # Every n-th unit of the strata laid end to end gives each its part, however small it is.
    shuffled = generator.permutation(len(members)).tolist()
    in_strata = sorted(shuffled, key=lambda unit: strata[members[unit][0]])
    count = min(max(1, round(share * len(members))), len(members) - 1)
    positions = (np.arange(count) + generator.random()) * len(members) / count
    for position in positions.astype(np.int64).tolist():
        mask[members[in_strata[position]]] = True
    _give_back_labels(mask, members, labels)
    return mask


def _give_back_labels(
    mask: NDArray[np.bool_], members: Sequence[list[int]], labels: Sequence[tuple[str, ...]]
) -> None:
    """Move to training what holds a label that has no example there."""
    seen = {label for index in np.flatnonzero(~mask).tolist() for label in labels[index]}
    for indices in members:
        here = {label for index in indices for label in labels[index]}
        if mask[indices[0]] and not here <= seen:
            mask[indices] = False
            seen |= here


def _units(
    size_of_line: NDArray[np.int64], candidates: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first line and the size of each unit, of the first kind that will do."""
    total = int(size_of_line.sum())
    for starts in candidates:
        sizes = np.add.reduceat(size_of_line, starts)  # (units,)
        if len(starts) >= FEWEST_UNITS and 2 * int(sizes.max()) <= total:
            return starts, sizes
    count = min(len(size_of_line), BLOCKS)
    starts = np.arange(count, dtype=np.int64) * len(size_of_line) // count
    return starts, np.add.reduceat(size_of_line, starts)


def _near_share(
    sizes: NDArray[np.int64], share: float, generator: np.random.Generator
) -> list[int]:
    """Draw units, at least one and not all, each of which brings the sum nearer to the share."""
    target = share * int(sizes.sum())
    taken: list[int] = []
    total = 0
    for unit in generator.permutation(len(sizes)).tolist():
        size = int(sizes[unit])
        if len(taken) < len(sizes) - 1 and abs(total + size - target) < abs(total - target):
            taken.append(unit)
            total += size
    return taken or [int(sizes.argmin())]
