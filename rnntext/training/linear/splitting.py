"""Learns from the texts of sentences where their tokens begin and end.

Knows: which features it keeps, which tokens count as known while it learns, and how many characters
it reads. Does not know: how a text becomes features (`rnntext/splitting/features.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rnntext.splitting.chains import Nodes, decide_pairs, find_nodes
from rnntext.splitting.characters import CharacterWeights
from rnntext.splitting.features import Characters, known_slots, known_tokens
from rnntext.splitting.weights import SlotWeights
from rnntext.text.raw_text import RawText
from rnntext.training.data.store import Array
from rnntext.training.linear.chains import Chains, PathScores
from rnntext.training.linear.logistic import Incidence, fit

# A feature that one character of the training data has says nothing of others.
_MIN_COUNT = 2
# Of the search for weights, at most.
_ITERATIONS = 100
# Weights are held near 0 in units of this: half of it holds them four times as strongly.
_SCALE = 2.0
# In so many parts of the data the known tokens are those of the other parts. If its own counted,
# every token of the training data would be known, and a new text's would not: with them the F1 of
# words fell from 81 to 66 in Chinese, and this way it rose to 84.
_FOLDS = 8


def learn_characters(sentences: Sequence[RawText]) -> CharacterWeights:
    """Learn to split texts as these are."""
    texts = [sentence.text for sentence in sentences]
    characters = Characters(texts)
    inside = _inside(sentences, characters)
    of_pair = decide_pairs(characters.pairs(), inside)
    slots, nodes = _features(sentences, of_pair)
    labels = inside[nodes.places]
    kept, incidence = keep_frequent(slots)
    chains = Chains(nodes.lengths, labels, 2)
    count = len(nodes.places)

    def loss(weights: Sequence[Tensor]) -> Tensor:
        own, bias, start, transitions = weights
        scores = incidence.times(_SCALE * own) + bias  # (nodes, 1)
        emissions = torch.cat([torch.zeros_like(scores), scores], dim=1)
        return chains.loss(emissions, PathScores(start, transitions, torch.zeros(2)))

    features, bias, start, transitions = (
        weight.numpy()
        for weight in fit([(len(kept), 1), (1,), (2,), (2, 2)], loss, count, _ITERATIONS)
    )
    known = known_slots({token for sentence in sentences for token in sentence.tokens()})
    weights = SlotWeights(kept, (_SCALE * features[:, 0]).astype(np.float16), float(bias[0]))
    return CharacterWeights(weights, start, transitions, of_pair, known)


def _inside(sentences: Sequence[RawText], characters: Characters) -> Array:
    """Return which characters continue a token: (N) bool."""
    inside = np.zeros(int(characters.lengths.sum()), np.bool_)
    first = 0
    for sentence in sentences:
        for start, stop in sentence.spans:
            inside[first + start + 1 : first + stop] = True
        first += len(sentence.text)
    return inside


def _features(sentences: Sequence[RawText], of_pair: Array) -> tuple[Array, Nodes]:
    """Return the slots of the features of all nodes, (features, M), and the nodes."""
    folds = min(_FOLDS, len(sentences))
    tokens = [set(sentence.tokens()) for sentence in sentences]
    found, nodes = [], []
    for fold in range(folds):
        own = [n for n in range(len(sentences)) if n * folds // len(sentences) == fold]
        others = set().union(*(each for n, each in enumerate(tokens) if not own[0] <= n <= own[-1]))
        characters = Characters([sentences[n].text for n in own])
        part = find_nodes(characters, of_pair)
        found.append(characters.features(part.places, known_tokens(known_slots(others))))
        nodes.append((part, int(characters.lengths.sum())))
    shifts = np.cumsum([0, *(size for _, size in nodes)])
    joined = Nodes(
        np.concatenate([part.decided for part, _ in nodes]),
        np.concatenate([part.copied for part, _ in nodes]),
        np.concatenate(
            [part.places + shift for (part, _), shift in zip(nodes, shifts, strict=False)]
        ),
        np.concatenate([part.lengths for part, _ in nodes]),
    )
    return np.concatenate(found, axis=1), joined


def keep_frequent(slots: Array) -> tuple[Array, Incidence]:
    """Return the features that several columns of `slots`, (features, N), have, (F) uint32 in
    order, and which column has which."""
    count = slots.shape[1]
    distinct, number = np.unique(slots, return_inverse=True)
    number = number.reshape(-1)
    kept = np.bincount(number, minlength=len(distinct)) >= _MIN_COUNT
    column = np.cumsum(kept) - 1
    there = kept[number]
    rows = np.tile(np.arange(count), len(slots))[there]
    incidence = Incidence(rows, column[number[there]], (count, int(kept.sum())))
    return distinct[kept].astype(np.uint32), incidence
