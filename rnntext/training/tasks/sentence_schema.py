"""How tagged sentences are read, split and encoded.

Knows: the parts of a tagged sentence that preparation asks for, and where a long one is divided.
Does not know: what becomes of the ids, or the objective.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from rnntext import metrics
from rnntext.text.formats import DataOptions
from rnntext.text.tagged import Tagged, tagged_reader
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.example_schema import EncodedRows, ExampleSchema
from rnntext.training.data.examples import TaggedIds, join_words, words_of, words_of_pieces
from rnntext.training.recipes import TokenizerDefaults

# Maximum length of a sequence, in tokens; a longer sentence is split between words.
MAX_LENGTH = 512


class SentenceSchema(ExampleSchema[Tagged]):
    """How tagged sentences are read, split and encoded."""

    unit, noun, label_noun = "sentences", "sentences", "tag"
    presplit = True
    has_raw_text = True

    def __init__(self, defaults: TokenizerDefaults) -> None:
        self.tokenizer_defaults = defaults

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

    def label_set(self, seen: Iterable[str]) -> tuple[str, ...]:
        tags = set(seen)
        # Where only B-X or only I-X occurs in the data, the other one is a tag too.
        if metrics.is_span_tags(tags):
            types = {tag[1:] for tag in tags - {"O"}}
            tags |= {f"{prefix}{kind}" for kind in types for prefix in "BI"} | {"O"}
        return tuple(sorted(tags))

    def encode(
        self,
        tokenizer: Tokenizer,
        examples: Sequence[Tagged],
        label_ids: Mapping[str, int],
        *,
        keep_whole: bool,
    ) -> EncodedRows:
        encoded = [
            TaggedIds(
                e.ids, e.first, e.last, np.array([label_ids[tag] for tag in s.tags], np.int32)
            )
            for s, e in zip(
                examples, tokenizer.encode_words([s.words for s in examples]), strict=True
            )
        ]
        words: list[Sequence[str]] = [sentence.words for sentence in examples]
        raw = ["" if sentence.raw is None else sentence.raw.serialize() for sentence in examples]
        if not keep_whole:
            pieces = [list(sentence.pieces(MAX_LENGTH)) for sentence in encoded]
            words = [
                part
                for sentence, parts in zip(words, pieces, strict=True)
                for part in words_of_pieces(sentence, parts)
            ]
            encoded = [piece for parts in pieces for piece in parts]
            # The splitter does not learn from a sentence that is divided.
            raw = [
                text if len(parts) == 1 else ""
                for text, parts in zip(raw, pieces, strict=True)
                for _ in parts
            ]
            if metrics.is_span_tags(label_ids):
                _begin_spans(encoded, label_ids)
        return EncodedRows(
            [sentence.ids for sentence in encoded],
            [words_of(sentence) for sentence in encoded],
            [join_words(part) for part in words],
            raw,
        )


def _begin_spans(sentences: Sequence[TaggedIds], label_ids: Mapping[str, int]) -> None:
    """Replace I-X by B-X at the first word of each piece, in place: a span that was split
    continues there."""
    b_of_i = {label_ids[t]: label_ids[f"B{t[1:]}"] for t in label_ids if t.startswith("I")}
    for sentence in sentences:
        first_tag = int(sentence.tags[0])
        sentence.tags[0] = b_of_i.get(first_tag, first_tag)
