"""How labelled documents are read, split and encoded.

Knows: the parts of a labelled document that preparation asks for. Does not know: what becomes of
the ids, or the objective.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from rnntext.text.formats import DataOptions
from rnntext.text.labelled import Labelled, has_fasttext, read_labelled
from rnntext.text.tokenizer import Tokenizer
from rnntext.text.unlabelled import read_unlabelled
from rnntext.training.data.example_schema import EncodedRows, ExampleSchema
from rnntext.training.recipes import TokenizerDefaults


class DocumentSchema(ExampleSchema[Labelled]):
    """How labelled documents are read, split and encoded."""

    unit, noun, label_noun = "documents", "examples", "label"

    def __init__(self, defaults: TokenizerDefaults, *, multi_label: bool) -> None:
        self.tokenizer_defaults = defaults
        self.requires_second_example = not multi_label

    def reader(
        self, paths: Sequence[str], reading: DataOptions
    ) -> Callable[[], Iterator[Labelled]]:
        return partial(read_labelled, paths, reading)

    def unlabelled_reader(
        self, paths: Sequence[str], labelled: Sequence[str], reading: DataOptions
    ) -> Callable[[], Iterator[Labelled]]:
        fasttext = bool(paths) and has_fasttext(labelled, reading)
        return partial(read_unlabelled, paths, reading, fasttext=fasttext)

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

    def label_set(self, seen: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(seen))

    def encode(
        self,
        tokenizer: Tokenizer,
        examples: Sequence[Labelled],
        label_ids: Mapping[str, int],
        *,
        keep_whole: bool,
    ) -> EncodedRows:
        # A text without tokens is encoded as an empty line.
        end = np.array([tokenizer.eos_id], np.int32)
        ids = tokenizer.encode([example.text for example in examples])
        return EncodedRows(
            [row if len(row) else end for row in ids],
            [np.array([label_ids[label] for label in e.labels], np.int32) for e in examples],
            [example.text for example in examples],
        )
