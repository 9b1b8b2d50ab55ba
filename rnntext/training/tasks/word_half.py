"""The linear model of a tagger, whose scores are added to those of the recurrent network.

Knows: which sentences it is learned from, and how much each of the two counts in the sum. Does not
know: the network, or the loop that trains it.

The sum of two conditional random fields, each with a weight, is one too: a product of experts
(Hinton 2002). Each of the two is trained to its own best, and the weights are fitted on validation
data.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnntext.checkpoint import NGRAMS
from rnntext.ngrams import read_notes
from rnntext.training.data.examples import TaggedRows, TextRows, split_joined_words
from rnntext.training.data.store import Array
from rnntext.training.linear.chains import Chains, PathScores
from rnntext.training.linear.tagging import MAX_SCORES, MAX_TAGS, SPEED, TagLearner, most_words
from rnntext.training.tasks.labelled import LinearHalf
from rnntext.training.tasks.ngram_half import WEIGHT, one_thread
from rnntext.word_features import Weights, WordModel

# The logarithm of each weight is taken to be normal around that of a half with this precision, so
# that a few sentences do not make one model silent or the sum too certain.
_PRIOR_MEAN, _PRIOR_PRECISION = np.log(0.5), 4.0
_SEARCH_STEPS = 40
# What is noted in the file of a model: the number of sentences.
_SENTENCES = "sentences"
# The time to learn once more from somewhat more, as a share of the first time.
_AGAIN = 0.7


class Scored(NamedTuple):
    """What one of the two models says of some sentences."""

    emissions: list[Array]  # (words, labels) of each sentence
    paths: tuple[Array, Array, Array]  # scores of the first tag, of transitions, of the last tag

    def times(self, weight: float) -> Scored:
        """Return all scores multiplied by `weight`."""
        start, transitions, end = (weight * scores for scores in self.paths)
        return Scored([weight * each for each in self.emissions], (start, transitions, end))

    def plus(self, other: Scored) -> Scored:
        """Return the sum of the scores of two models on the same sentences."""
        start, transitions, end = map(np.add, self.paths, other.paths)
        emissions = list(map(np.add, self.emissions, other.emissions))
        return Scored(emissions, (start, transitions, end))


class Fitted(NamedTuple):
    """The weights of a sum."""

    network: float
    linear: float
    log_loss: float  # of the sum: nats per word


class LogLoss(NamedTuple):
    """The negative log-likelihood of tags."""

    nats: float
    words: int


def log_loss(scored: Scored, tags: Sequence[Array], labels: int) -> LogLoss:
    """Return the negative log-likelihood of these tags of sentences. Sentences with a tag of which
    there is no score tell nothing and do not count."""
    known = [number for number, each in enumerate(tags) if each.max() < labels]
    if not known:
        return LogLoss(0.0, 0)
    gold = [tags[number] for number in known]
    chains = Chains(list(map(len, gold)), np.concatenate(gold), labels)
    emissions = torch.from_numpy(np.concatenate([scored.emissions[n] for n in known])).float()
    nats = chains.loss(emissions, PathScores(*map(torch.from_numpy, scored.paths)))
    return LogLoss(float(nats), chains.words)


class WordHalf(LinearHalf):
    """The linear model of one run."""

    def __init__(
        self,
        train: TaggedRows,
        train_texts: TextRows,
        valid_words: Sequence[Sequence[str]],
        forbidden: PathScores,
    ) -> None:
        """`valid_words`: the words of the validation sentences; `forbidden`: what is added to the
        scores of paths where a path is invalid."""
        self._train, self._train_texts = train, train_texts
        self.valid_words, self._forbidden = valid_words, forbidden
        self.labels = len(forbidden.start)
        self.texts = 0
        self.seconds = 0.0  # that this took
        self._weights: Weights | None = None
        self._model: WordModel | None = None  # unscaled

    @staticmethod
    def is_possible(labels: int) -> bool:
        """Return True if so many tags can have a linear model."""
        return labels <= MAX_TAGS

    def learn(self, minutes: float | None, seed: int, sentences: int | None = None) -> None:
        """Learn from so many training sentences (None: from all, or a random part of them where
        they are many for memory or `minutes`)."""
        started = time.perf_counter()
        lengths = self._train.words.lengths() // 3
        chosen = np.random.default_rng(seed).permutation(len(lengths))
        if sentences is None:
            most = most_words(minutes, self.labels)
            sentences = int(np.searchsorted(np.cumsum(lengths[chosen]), most)) + 1
        chosen = np.sort(chosen[:sentences])
        words, tags = self._read(chosen)
        with one_thread():
            self._take(TagLearner(words, np.concatenate(tags), self._forbidden).fit())
        self.texts = len(chosen)
        self.seconds = time.perf_counter() - started

    def _read(self, chosen: Array) -> tuple[list[list[str]], list[Array]]:
        words = [split_joined_words(text) for text in self._train_texts.read(chosen)]
        return words, [sentence.tags for sentence in self._train.read(chosen)]

    @property
    def learns_from_all(self) -> bool:
        return self.texts == len(self._train)

    def learn_from_validation_too(
        self, valid_tags: Sequence[Array], weight: float
    ) -> dict[str, bytes]:
        """Return the file of a model with scores multiplied by `weight`, which was learned from the
        training and validation sentences together. `valid_tags`: the tags of the latter."""
        words, tags = self._read(np.arange(len(self._train)))
        known = [n for n, each in enumerate(valid_tags) if each.max() < self.labels]
        words += [list(self.valid_words[n]) for n in known]
        tags += [valid_tags[n] for n in known]
        with one_thread():
            learner = TagLearner(words, np.concatenate(tags), self._forbidden)
            weights = learner.fit(self._weights)
        notes = {_SENTENCES: len(words)}
        return {NGRAMS: weights._replace(scale=weight).serialize(notes)}

    def seconds_to_learn_again(self) -> float:
        scores = len(self._train.words.values) / 3 * self.labels
        return _AGAIN * max(self.seconds, scores / SPEED)

    def restore(self, content: bytes) -> None:
        self._take(Weights.parse(content)._replace(scale=1.0))
        self.texts = read_notes(content).get(_SENTENCES, 0)

    def _take(self, weights: Weights) -> None:
        self._weights, self._model = weights, WordModel(weights, self.labels)

    def scores(self, sentences: Sequence[Sequence[str]]) -> Scored:
        """Return the scores of sentences of words."""
        assert self._model is not None  # noqa: S101
        ends = np.cumsum([len(words) for words in sentences])[:-1]
        emissions = np.split(self._model.emissions(sentences), ends)
        start, transitions, end = (
            score + fixed.numpy()
            for score, fixed in zip(self._model.path_scores(), self._forbidden, strict=True)
        )
        return Scored(emissions, (start, transitions, end))

    def fit_weights(self, network: Scored, linear: Scored, tags: Sequence[Array]) -> Fitted:
        """Find the weights of both models with which these tags of sentences are likeliest."""
        # Sentences with a tag that the model lacks tell nothing; of many, the first are enough.
        chosen = [number for number, each in enumerate(tags) if each.max() < self.labels]
        if not chosen:
            half = float(np.exp(_PRIOR_MEAN))
            return Fitted(half, half, 0.0)
        words = np.cumsum([len(tags[number]) for number in chosen])
        chosen = chosen[: int(np.searchsorted(words, MAX_SCORES // self.labels)) + 1]
        gold = [tags[number] for number in chosen]
        chains = Chains(list(map(len, gold)), np.concatenate(gold), self.labels)
        models = [
            (
                torch.from_numpy(np.concatenate([scored.emissions[n] for n in chosen])).float(),
                # A tag sequence of the data may be forbidden: that must not pull the weights down.
                [
                    torch.where(fixed == 0, torch.from_numpy(path), 0.0)
                    for path, fixed in zip(scored.paths, self._forbidden, strict=True)
                ],
            )
            for scored in (network, linear)
        ]
        logs = torch.full((2,), float(_PRIOR_MEAN), dtype=torch.float64, requires_grad=True)
        search = torch.optim.LBFGS([logs], max_iter=_SEARCH_STEPS, line_search_fn="strong_wolfe")

        def log_loss() -> Tensor:
            first, second = logs.exp().float()
            (emissions, paths), (more, more_paths) = models
            scores = [
                first * one + second * other + fixed
                for one, other, fixed in zip(paths, more_paths, self._forbidden, strict=True)
            ]
            return chains.loss(first * emissions + second * more, PathScores(*scores))

        def evaluate() -> float:
            search.zero_grad()
            prior = _PRIOR_PRECISION / 2 * (logs - _PRIOR_MEAN).square().sum()
            total = log_loss() + prior
            total.backward()
            return float(total.detach())

        with one_thread():
            search.step(evaluate)  # type: ignore[no-untyped-call]
            nats = float(log_loss().detach())
        first, second = logs.detach().exp().tolist()
        return Fitted(first, second, nats / max(1, chains.words))

    def model(self, weight: float) -> WordModel:
        """The model with its scores multiplied by `weight`."""
        assert self._weights is not None  # noqa: S101
        return WordModel(self._weights._replace(scale=weight), self.labels)

    def files(self, metrics: Mapping[str, Any]) -> dict[str, bytes]:
        if self._weights is None:
            return {}
        weighted = self._weights._replace(scale=metrics.get(WEIGHT, 1.0))
        return {NGRAMS: weighted.serialize({_SENTENCES: self.texts})}
