"""Labelled texts and tagged sentences, from examples to rows of ids.

Knows: the split into a training and a validation part, which labels there are, and which
examples nothing can be learnt from. Does not know: where the rows are kept.

Of an example a hash and its labels' numbers are held, and validation examples as they are. The
data are read four times: to see what there is, for the validation part, to learn a tokenizer,
and to encode.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import compress
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnntext.config import TrainingOptions
from rnntext.errors import DataError
from rnntext.text.cache import Draft
from rnntext.text.formats import DataOptions
from rnntext.text.labelled import Labelled, read_labelled
from rnntext.text.source import source_name
from rnntext.text.splits import Overlap, draw_examples
from rnntext.text.store import Array, Rows, id_type
from rnntext.text.tagged import Tagged, tagged_reader
from rnntext.text.tokenizer import Tokenizer
from rnntext.training import prepare
from rnntext.training.events import Summary
from rnntext.training.examples import TaggedIds, words_of
from rnntext.training.prepare import IDS, TARGETS, TRAIN, VALID, Fingerprint, Write, chunks

Example = TypeVar("Example", Labelled, Tagged)


def plan_examples(options: TrainingOptions, reading: DataOptions, given: Tokenizer | None) -> Write:
    """Look through the examples and learn a tokenizer, if there is none to go on with; what is
    returned encodes them. Raises DataError for whatever is wrong with the data."""
    if options.task == "classify":
        return _plan(_Texts(), options, reading, given)
    return _plan(_Sentences(), options, reading, given)


class _Kind(ABC, Generic[Example]):
    """What is particular to the examples of a task."""

    unit: str
    noun: str  # an example, where there are too few
    label: str
    presplit: bool | None = None

    @abstractmethod
    def reader(self, paths: Sequence[str], reading: DataOptions) -> Callable[[], Iterator[Example]]:
        """What reads `paths`, each time from the start."""

    @abstractmethod
    def content(self, example: Example) -> tuple[str, ...]:
        """What is learned from: of equal ones all stand in one part."""

    @abstractmethod
    def labels(self, example: Example) -> tuple[str, ...]:
        """The labels, one of them maybe several times."""

    @abstractmethod
    def stratum(self, example: Example) -> tuple[str, ...]:
        """Examples of the same stratum give validation their part."""

    @abstractmethod
    def size(self, example: Example) -> int:
        """How many characters it has."""

    @abstractmethod
    def lines(self, example: Example) -> Iterable[str]:
        """What a tokenizer is learned from."""

    @abstractmethod
    def all_labels(self, seen: Iterable[str]) -> tuple[str, ...]:
        """The labels to learn, where these were seen."""

    @abstractmethod
    def encode(
        self, tokenizer: Tokenizer, examples: Sequence[Example], numbers: Mapping[str, int]
    ) -> tuple[list[Array], list[Array]]:
        """The ids of each example, and what is to be learned: by the labels' numbers."""


class _Texts(_Kind[Labelled]):
    unit, noun, label = "documents", "examples", "label"

    def reader(
        self, paths: Sequence[str], reading: DataOptions
    ) -> Callable[[], Iterator[Labelled]]:
        return partial(read_labelled, paths, reading)

    def content(self, example: Labelled) -> tuple[str, ...]:
        return (example.text,)

    def labels(self, example: Labelled) -> tuple[str, ...]:
        return example.labels

    def stratum(self, example: Labelled) -> tuple[str, ...]:
        return tuple(sorted(example.labels))

    def size(self, example: Labelled) -> int:
        return len(example.text)

    def lines(self, example: Labelled) -> Iterable[str]:
        return example.text.split("\n")

    def all_labels(self, seen: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(seen))

    def encode(
        self, tokenizer: Tokenizer, examples: Sequence[Labelled], numbers: Mapping[str, int]
    ) -> tuple[list[Array], list[Array]]:
        # A text without a single token is read as an empty line.
        end = np.array([tokenizer.eos_id], np.int32)
        ids = tokenizer.encode([example.text for example in examples])
        return (
            [row if len(row) else end for row in ids],
            [np.array([numbers[label] for label in e.labels], np.int32) for e in examples],
        )


class _Sentences(_Kind[Tagged]):
    unit, noun, label = "sentences", "sentences", "tag"
    presplit = True

    def reader(self, paths: Sequence[str], reading: DataOptions) -> Callable[[], Iterator[Tagged]]:
        return tagged_reader(paths, reading)

    def content(self, example: Tagged) -> tuple[str, ...]:
        return example.words

    def labels(self, example: Tagged) -> tuple[str, ...]:
        return example.tags

    def stratum(self, example: Tagged) -> tuple[str, ...]:
        return ()

    def size(self, example: Tagged) -> int:
        return sum(map(len, example.words)) + len(example.words)

    def lines(self, example: Tagged) -> Iterable[str]:
        return (" ".join(example.words),)

    def all_labels(self, seen: Iterable[str]) -> tuple[str, ...]:
        tags = set(seen)
        # A span that begins can also go on, and the other way round, though no example does.
        spans = {tag[2:] for tag in tags if tag.startswith(("B-", "I-"))}
        if spans and all(tag == "O" or tag[:2] in ("B-", "I-") for tag in tags):
            tags |= {f"{mark}-{kind}" for kind in spans for mark in "BI"} | {"O"}
        return tuple(sorted(tags))

    def encode(
        self, tokenizer: Tokenizer, examples: Sequence[Tagged], numbers: Mapping[str, int]
    ) -> tuple[list[Array], list[Array]]:
        encoded = [
            TaggedIds(e.ids, e.first, e.last, np.array([numbers[tag] for tag in s.tags], np.int32))
            for s, e in zip(
                examples, tokenizer.encode_words([s.words for s in examples]), strict=True
            )
        ]
        return [sentence.ids for sentence in encoded], [words_of(s) for s in encoded]


def _plan(
    kind: _Kind[Example],
    options: TrainingOptions,
    reading: DataOptions,
    given: Tokenizer | None,
) -> Write:
    name = source_name(options.data[0])
    read = kind.reader(options.data, reading)
    census = _Census()
    for example in read():
        census.add(kind, example)
    labels = kind.all_labels(census.places)
    _require_two_labels(options, labels)
    if options.task == "classify" and not options.multi_label:
        census.require_second_examples()
    if options.valid is None:
        share = min(prepare.VALID_SHARE, prepare.VALID_EXAMPLES / len(census))
        chosen = census.draw(share, options.seed)
        if not chosen.any():
            raise DataError(
                f"{name}: {len(census)} {kind.noun} are too few to keep some for "
                "validation: give more, or name a validation file with --valid"
            )
        valid = list(compress(read(), chosen.tobytes()))
    else:
        chosen = np.zeros(len(census), np.bool_)
        valid = list(kind.reader([options.valid], reading)())
    left = (~chosen).tobytes()

    def train() -> Iterator[Example]:
        return compress(read(), left)

    known = set(labels)
    for example in valid:
        unseen = set(kind.labels(example)) - known
        if unseen:
            raise DataError(
                f"{example.source}, line {example.line}: the {kind.label} {min(unseen)!r} is not "
                f"in the training data, which has {_listed(labels)}"
            )
    characters = census.characters
    if options.valid is None:
        characters -= sum(map(kind.size, valid))
    tokenizer = given or prepare.learn_tokenizer(
        options,
        (line for example in train() for line in kind.lines(example)),
        characters,
        kind.presplit,
    )

    def write(draft: Draft) -> bool:
        counts: Counter[str] = Counter()
        overlap, fingerprint = Overlap(), Fingerprint()
        overlap.add_valid(map(kind.content, valid))
        _write_part(kind, draft, VALID, tokenizer, labels, [valid])
        count = 0

        def seen() -> Iterator[list[Example]]:
            nonlocal count
            for chunk in chunks(train(), kind.size):
                count += len(chunk)
                counts.update(label for example in chunk for label in kind.labels(example))
                overlap.add_train(map(kind.content, chunk))
                for example in chunk:
                    fingerprint.add(kind.content(example))
                    fingerprint.add(kind.labels(example))
                yield chunk

        _write_part(kind, draft, TRAIN, tokenizer, labels, seen())
        summary = Summary(
            unit=kind.unit,
            train=count,
            valid=len(valid),
            characters=characters,
            duplicates=overlap.count,
            fingerprint=fingerprint.hexdigest(),
            labels=dict(counts),
            sampled=prepare.sampled(characters, given),
        )
        prepare.write_meta(draft, tokenizer, summary, labels=labels)
        return True

    return write


def _write_part(
    kind: _Kind[Example],
    draft: Draft,
    part: str,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    examples: Iterable[Sequence[Example]],
) -> None:
    numbers = {label: number for number, label in enumerate(labels)}
    ids = draft.rows(IDS + part, id_type(tokenizer.vocab_size))
    targets = draft.rows(TARGETS + part, np.int32)
    for chunk in examples:
        encoded, learned = kind.encode(tokenizer, chunk, numbers)
        ids.extend(encoded)
        targets.extend(learned)


class _Census:
    """What is held of all examples while their parts are chosen."""

    def __init__(self) -> None:
        self.characters = 0
        self.places: dict[str, tuple[str, int]] = {}  # where each label first stands
        self._numbers: dict[str, int] = {}
        self._strata: dict[tuple[str, ...], int] = {}
        # By example:
        self._keys = array("q")
        self._stratum = array("i")
        self._labels = array("i")
        self._edges = array("q", [0])

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, kind: _Kind[Example], example: Example) -> None:
        for label in dict.fromkeys(kind.labels(example)):
            if label not in self._numbers:
                self._numbers[label] = len(self._numbers)
                self.places[label] = (example.source, example.line)
            self._labels.append(self._numbers[label])
        self._edges.append(len(self._labels))
        self._keys.append(hash(kind.content(example)))
        self._stratum.append(self._strata.setdefault(kind.stratum(example), len(self._strata)))
        self.characters += kind.size(example)

    def require_second_examples(self) -> None:
        """Raise DataError for a label of one example."""
        counts = np.bincount(np.frombuffer(self._labels, np.int32)).tolist()
        for (label, (source, line)), count in zip(self.places.items(), counts, strict=True):
            if count == 1:
                raise DataError(
                    f"{source}, line {line}: the label {label!r} is seen only here: "
                    "give it a second example or take it out"
                )

    def draw(self, share: float, seed: int) -> NDArray[np.bool_]:
        """Say of each example whether it is for validation."""
        order = {stratum: rank for rank, stratum in enumerate(sorted(self._strata))}
        ranks = np.array([order[stratum] for stratum in self._strata], np.int32)
        labels = np.frombuffer(self._labels, np.int32)
        return draw_examples(
            np.frombuffer(self._keys, np.int64),
            ranks[np.frombuffer(self._stratum, np.int32)],
            Rows(labels, np.frombuffer(self._edges, np.int64)),
            len(self._numbers),
            share,
            seed,
        )


def _require_two_labels(options: TrainingOptions, labels: Sequence[str]) -> None:
    name = source_name(options.data[0])
    if len(labels) < 2 and not options.multi_label:
        only = f"only the label {labels[0]!r}" if labels else "no labels"
        raise DataError(f"{name} has {only}: there is nothing to tell apart")
    if not labels:
        raise DataError(f"{name} has no labels: there is nothing to learn")


def _listed(labels: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(labels[:most])
    return shown if len(labels) <= most else f"{shown} and {len(labels) - most} more"
