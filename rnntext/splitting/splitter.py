"""Divides raw text into words as training data did.

Knows: how a splitter is stored, and that tokens are found first and then their words. Does not
know: either model, or what a splitter was learned from (`training/tasks/split_half.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple, Self

from rnntext.ngrams import read_tensors, write_tensors
from rnntext.splitting.characters import CharacterSplitter, CharacterWeights
from rnntext.splitting.ranges import RangeModel, RangeWeights
from rnntext.text.raw_text import RawText


class SplitterWeights(NamedTuple):
    """What a splitter is made of."""

    characters: CharacterWeights
    ranges: RangeWeights | None  # None: no token is written for several words

    def serialize(self, notes: Mapping[str, int] | None = None) -> bytes:
        """Return the content of a safetensors file. `notes`: see `ngrams.read_notes`."""
        ranges = {} if self.ranges is None else self.ranges.tensors()
        return write_tensors({**self.characters.tensors(), **ranges}, notes)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The inverse of `serialize`. Raises ValueError for weights that cannot be used."""
        tensors = read_tensors(content)
        characters = CharacterWeights.parse(tensors)
        rest = tensors.keys() - characters.tensors().keys()
        found = cls(characters, RangeWeights.parse(tensors) if rest else None)
        if found.ranges is not None and rest - found.ranges.tensors().keys():
            raise ValueError("not the weights of a splitter")
        return found


class Divided(NamedTuple):
    """A text and its words."""

    raw: RawText
    words: list[str]


class Splitter:
    """Divides texts. It is safe to share between threads."""

    def __init__(self, weights: SplitterWeights) -> None:
        self._characters = CharacterSplitter(weights.characters)
        self._ranges = None if weights.ranges is None else RangeModel(weights.ranges)

    def divide(self, texts: Sequence[str]) -> list[Divided]:
        """Return the words of each text. White space alone has none."""
        spans = self._characters.spans(texts)
        tokens = [
            [text[start:stop] for start, stop in own]
            for text, own in zip(texts, spans, strict=True)
        ]
        if self._ranges is None:
            ranges: list[dict[int, tuple[str, ...]]] = [{}] * len(texts)
        else:
            ranges = self._ranges.words(tokens)
        return [_divided(*each) for each in zip(texts, spans, tokens, ranges, strict=True)]


def _divided(
    text: str,
    spans: list[tuple[int, int]],
    tokens: list[str],
    ranges: Mapping[int, tuple[str, ...]],
) -> Divided:
    if not ranges:
        return Divided(RawText(text, tuple(spans), (1,) * len(spans)), tokens)
    words = [ranges.get(number, (token,)) for number, token in enumerate(tokens)]
    raw = RawText(text, tuple(spans), tuple(map(len, words)))
    return Divided(raw, list(chain.from_iterable(words)))
