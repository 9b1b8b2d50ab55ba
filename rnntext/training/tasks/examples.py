"""What is particular to labelled texts and to tagged sentences.

Knows: which part of an example is what, and how it becomes ids and what is to be learned. Does
not know: how examples are split, where they come from, or what becomes of their ids.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from rnntext.metrics import is_span_tags
from rnntext.text.formats import DataOptions
from rnntext.text.labelled import Labelled, read_labelled
from rnntext.text.tagged import Tagged, tagged_reader
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.examples import TaggedIds, words_of
from rnntext.training.data.store import Array
from rnntext.training.presets import LONGEST_SENTENCE

Example = TypeVar("Example", Labelled, Tagged)


class Kind(ABC, Generic[Example]):
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
        self,
        tokenizer: Tokenizer,
        examples: Sequence[Example],
        numbers: Mapping[str, int],
        *,
        whole: bool,
    ) -> tuple[list[Array], list[Array]]:
        """The ids of each example, and what is to be learned: by the labels' numbers. Where they
        need not stay `whole`, a long one may become several."""


class Texts(Kind[Labelled]):
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
        self,
        tokenizer: Tokenizer,
        examples: Sequence[Labelled],
        numbers: Mapping[str, int],
        *,
        whole: bool,
    ) -> tuple[list[Array], list[Array]]:
        # A text without a single token is read as an empty line.
        end = np.array([tokenizer.eos_id], np.int32)
        ids = tokenizer.encode([example.text for example in examples])
        return (
            [row if len(row) else end for row in ids],
            [np.array([numbers[label] for label in e.labels], np.int32) for e in examples],
        )


class Sentences(Kind[Tagged]):
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
        self,
        tokenizer: Tokenizer,
        examples: Sequence[Tagged],
        numbers: Mapping[str, int],
        *,
        whole: bool,
    ) -> tuple[list[Array], list[Array]]:
        encoded = [
            TaggedIds(e.ids, e.first, e.last, np.array([numbers[tag] for tag in s.tags], np.int32))
            for s, e in zip(
                examples, tokenizer.encode_words([s.words for s in examples]), strict=True
            )
        ]
        if not whole:
            encoded = [piece for s in encoded for piece in s.pieces(LONGEST_SENTENCE)]
            if is_span_tags(numbers):
                _begin_spans(encoded, numbers)
        return [sentence.ids for sentence in encoded], [words_of(s) for s in encoded]


def _begin_spans(sentences: Sequence[TaggedIds], numbers: Mapping[str, int]) -> None:
    """No sentence begins inside a span: what goes on in the first word of one begins there."""
    begins = {numbers[tag]: numbers[f"B-{tag[2:]}"] for tag in numbers if tag.startswith("I-")}
    for sentence in sentences:
        first = int(sentence.tags[0])
        sentence.tags[0] = begins.get(first, first)
