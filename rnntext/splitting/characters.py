"""Splits raw text into tokens by its characters.

Knows: how the weights of the linear model over characters are stored, and how tokens follow from
them. Does not know: how the weights are learned (`training/linear/splitting.py`), or what words a
token is written for (`ranges.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from rnntext.splitting.chains import IN_DOUBT, decode, fill_in, find_nodes
from rnntext.splitting.features import CLASS_PAIRS, SLOTS, Characters, known_tokens
from rnntext.splitting.weights import SlotWeights, tensor

Array = npt.NDArray[Any]
Spans = list[tuple[int, int]]

# Characters of a text that are split together: their features take 20 MB.
PIECE = 1 << 16


class CharacterWeights(NamedTuple):
    """The weights of a splitter."""

    features: SlotWeights
    start: Array  # (2) float32: scores of the first label of a chain, and of transitions
    transitions: Array  # (2, 2), from, to
    of_pair: Array  # (CLASS_PAIRS) uint32, see `decide_pairs`
    known: Array  # (K) uint32, see `known_slots`

    def tensors(self) -> dict[str, Array]:
        own = {name: getattr(self, name) for name in self._fields[1:]}
        return {**self.features.tensors(""), **own}

    @classmethod
    def parse(cls, tensors: Mapping[str, Array]) -> Self:
        """The inverse of `tensors`. Raises ValueError for weights that cannot be used."""
        found = cls(
            SlotWeights.parse(tensors, ""),
            tensor(tensors, "start", np.float32, (2,)),
            tensor(tensors, "transitions", np.float32, (2, 2)),
            tensor(tensors, "of_pair", np.uint32, (CLASS_PAIRS,)),
            tensor(tensors, "known", np.uint32, (None,)),
        )
        if (found.known >= SLOTS).any() or (found.of_pair > IN_DOUBT).any():
            raise ValueError("known or of_pair is out of range")
        return found


class CharacterSplitter:
    """Splits texts. It is safe to share between threads."""

    def __init__(self, weights: CharacterWeights) -> None:
        self._weights = weights
        self._table, self._known = weights.features.table(), known_tokens(weights.known)

    def spans(self, texts: Sequence[str]) -> list[Spans]:
        """Return where the tokens of each text begin and end. A text of more than PIECE characters
        is split in pieces, so that memory does not grow with it."""
        pieces = [_pieces(text) for text in texts]
        of_piece = iter(self._in_batches([piece for own in pieces for piece in own]))
        found = []
        for own in pieces:
            spans, shift = next(of_piece), len(own[0])
            for piece in own[1:]:
                spans += [(start + shift, end + shift) for start, end in next(of_piece)]
                shift += len(piece)
            found.append(spans)
        return found

    def _in_batches(self, texts: Sequence[str]) -> list[Spans]:
        found: list[Spans] = []
        start = size = 0
        for number, text in enumerate(texts):
            size += len(text)
            if size >= PIECE or number == len(texts) - 1:
                found += self._spans(texts[start : number + 1])
                start, size = number + 1, 0
        return found

    def _spans(self, texts: Sequence[str]) -> list[Spans]:
        characters = Characters(texts)
        own = self._weights
        nodes = find_nodes(characters, own.of_pair)
        slots = characters.features(nodes.places, self._known)
        scores = self._table[slots].sum(0) + own.features.bias
        labels = decode(scores, nodes.lengths, own.start, own.transitions)
        return spans_of(fill_in(nodes, labels), characters, texts)


def _pieces(text: str) -> list[str]:
    """Cut a text into pieces of at most PIECE characters, after a space where there is one in the
    second half of a piece."""
    pieces, start = [], 0
    while len(text) - start > PIECE:
        end = text.rfind(" ", start + PIECE // 2, start + PIECE) + 1 or start + PIECE
        pieces.append(text[start:end])
        start = end
    return [*pieces, text[start:]]


def spans_of(inside: Array, characters: Characters, texts: Sequence[str]) -> list[Spans]:
    """Return the tokens of each text, given which characters of all continue a token, (N) bool; the
    first of each text does not. White space at the end of a text is part of no token."""
    starts = np.flatnonzero(~inside & ~characters.is_space())
    closings = np.append(np.flatnonzero(~inside), len(inside))
    ends = closings[np.searchsorted(closings, starts, "right")]
    firsts = np.cumsum(characters.lengths) - characters.lengths
    owner = np.searchsorted(firsts, starts, "right") - 1
    counts = np.bincount(owner, minlength=len(firsts)).tolist()
    shift = firsts[owner]
    pairs = iter(zip((starts - shift).tolist(), (ends - shift).tolist(), strict=True))
    found = []
    for text, count in zip(texts, counts, strict=True):
        spans = list(islice(pairs, count))
        if spans:
            start, end = spans[-1]
            spans[-1] = start, start + len(text[start:end].rstrip())
        found.append(spans)
    return found
