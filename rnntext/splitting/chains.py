"""Which characters of a text may begin a token or not, and the likeliest way to decide on them.

Knows: the pairs of classes of characters between which tokens always end, or never, and how chains
of the other characters are decoded. Does not know: features, or where scores come from.

In a language with spaces few characters are in doubt: no token ends between two letters, each ends
at a space. Only the others are nodes of chains, which makes both learning and splitting several
times faster. Between two nodes of one chain all characters continue a token; where a token surely
ends, a chain ends too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnntext.splitting.features import CLASS_PAIRS, Characters

Array = npt.NDArray[Any]

# What a character does: it begins a token or is white space outside of one, or continues one.
BOUNDARY, INSIDE, IN_DOUBT = 0, 1, 2

# A pair of classes is decided if it was seen so often, and at most this share of it differs.
_LEAST_SEEN, _MOST_DIFFERENT = 50, 1e-4
_LONGEST_CHAIN = 256  # nodes; a longer one is divided


class Nodes(NamedTuple):
    """The characters in doubt, M in C chains, and what the others do."""

    decided: Array  # (N) BOUNDARY, INSIDE or IN_DOUBT of each character
    copied: Array  # (N) bool: white space's continuation, which does what the character before does
    places: Array  # (M) the number of each node's character
    lengths: Array  # (C) nodes of each chain


def decide_pairs(pairs: Array, inside: Array) -> Array:
    """Return what each pair of classes decides: (CLASS_PAIRS) uint32. `pairs`, `inside`: of the
    characters of training data, the pair, and whether they continue a token."""
    seen = np.bincount(pairs, minlength=CLASS_PAIRS)
    continued = np.bincount(pairs, inside, minlength=CLASS_PAIRS)
    most_different = seen * _MOST_DIFFERENT
    found = np.full(CLASS_PAIRS, IN_DOUBT, np.uint32)
    found[continued <= most_different] = BOUNDARY
    found[seen - continued <= most_different] = INSIDE
    found[seen < _LEAST_SEEN] = IN_DOUBT
    return found


def find_nodes(characters: Characters, of_pair: Array) -> Nodes:
    """Find the characters in doubt. `of_pair`: what `decide_pairs` returns."""
    lengths = characters.lengths
    decided = of_pair[characters.pairs()]
    starts = (np.cumsum(lengths) - lengths)[lengths > 0]
    decided[starts] = BOUNDARY
    space = characters.is_space()
    # What follows white space is inside a token if that is.
    copied = np.zeros(len(space), np.bool_)
    copied[1:] = space[:-1]
    copied[starts] = False
    doubted = (decided == IN_DOUBT) & ~copied
    places = np.flatnonzero(doubted)
    ends = (decided == BOUNDARY) & ~copied
    # A chain goes on where no token surely ends between two nodes.
    block = np.cumsum(ends)[places]
    begins = np.ones(len(places), np.bool_)
    begins[1:] = block[1:] != block[:-1]
    chain_start = np.flatnonzero(begins)
    position = np.arange(len(places)) - np.repeat(
        chain_start, np.diff(np.append(chain_start, len(places)))
    )
    chain_start = np.flatnonzero(position % _LONGEST_CHAIN == 0)
    return Nodes(decided, copied, places, np.diff(np.append(chain_start, len(places))))


def fill_in(nodes: Nodes, labels: Array) -> Array:
    """Return which characters continue a token, (N) bool, given the labels of the nodes, (M)."""
    found = nodes.decided.copy()
    found[nodes.places] = labels
    sources = np.arange(len(found))
    sources[nodes.copied] = 0
    sources = np.maximum.accumulate(sources)
    return np.asarray(found[sources] == INSIDE)


def decode(scores: Array, lengths: Array, start: Array, transitions: Array) -> Array:
    """Return the likeliest labels of chains with two labels (Viterbi 1967): (M) uint8.

    scores: (M) of INSIDE at each node, one chain after the other; those of BOUNDARY are 0.
    lengths: (C); start: (2); transitions: (2, 2), from, to. No operation mixes chains.
    """
    order = np.argsort(-lengths, kind="stable")
    first = (np.cumsum(lengths) - lengths)[order]
    steps = int(lengths.max(initial=0))
    # How many chains have a node at each step: the longest come first.
    active = len(lengths) - np.searchsorted(np.sort(lengths), np.arange(steps), "right")
    boundary = np.full(len(lengths), start[BOUNDARY], np.float64)
    inside = start[INSIDE].astype(np.float64) + scores[first] if steps else boundary
    # By node: whether the best path before it was INSIDE, given its own label.
    origins = np.zeros((2, len(scores)), np.bool_)
    for step in range(1, steps):
        count = active[step]
        place = first[:count] + step
        before, within = boundary[:count], inside[:count]
        best = []
        for label in (BOUNDARY, INSIDE):
            stay = before + transitions[BOUNDARY, label]
            change = within + transitions[INSIDE, label]
            origins[label, place] = change > stay
            best.append(np.maximum(stay, change))
        boundary[:count] = best[BOUNDARY]
        inside[:count] = best[INSIDE] + scores[place]
    labels = np.zeros(len(scores), np.uint8)
    current = inside > boundary
    for step in range(steps - 1, -1, -1):
        count = active[step]
        place = first[:count] + step
        labels[place] = current[:count]
        current[:count] = np.where(
            current[:count], origins[INSIDE, place], origins[BOUNDARY, place]
        )
    return labels
