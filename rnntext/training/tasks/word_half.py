"""The linear model of a tagger, whose scores are added to those of the recurrent network.

Knows: which sentences it is learned from, and how much each of the two counts in the sum. Does not
know: the network, or the loop that trains it.

The sum of two conditional random fields, each with a weight, is one too: a product of experts
(Hinton 2002). So is that of two models that choose each tag by itself. Each of the two is trained
to its own best, and the weights are fitted on validation data.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnntext import metrics
from rnntext.checkpoint import NGRAMS
from rnntext.config import ModelConfig
from rnntext.ngrams import read_notes
from rnntext.tag_parts import composition
from rnntext.training.data.examples import TaggedRows, TextRows, split_joined_words
from rnntext.training.data.store import Array
from rnntext.training.linear.chains import Chains, PathScores
from rnntext.training.linear.tagging import (
    MAX_COLUMNS,
    MAX_SCORES,
    TagLearner,
    TagSet,
    most_words,
)
from rnntext.training.linear.words import Words
from rnntext.training.networks.crf import ConditionalRandomField, forbid_broken_spans
from rnntext.training.networks.tagger import Tagger
from rnntext.training.tasks.labelled import LinearHalf
from rnntext.training.tasks.ngram_half import WEIGHT, one_thread
from rnntext.word_features import Weights, WordModel

# The logarithm of each weight is taken to be normal around that of a half with this precision, so
# that a few sentences do not make one model silent or the sum too certain.
_PRIOR_MEAN, _PRIOR_PRECISION = np.log(0.5), 4.0
_SEARCH_STEPS = 40
# Scores of words without transitions that tell the two weights.
_MAX_FITTED = 1 << 21
# What is noted in the file of a model: the number of sentences.
_SENTENCES = "sentences"
# The time to learn once more from somewhat more, as a share of the first time.
_AGAIN = 0.7


def tag_set(config: ModelConfig) -> TagSet:
    """Return how the linear model scores the tags of a configuration."""
    labels = config.labels
    if not config.crf:
        return TagSet(len(labels), None, composition(config))
    return TagSet(len(labels), forbidden_paths(labels))


def forbidden_paths(labels: Sequence[str]) -> PathScores:
    """Return what is added to scores of paths: FORBIDDEN_SCORE where they break rules, else 0."""
    crf = ConditionalRandomField(len(labels))
    if metrics.is_span_tags(labels):
        forbid_broken_spans(crf, list(labels))
    return PathScores(*(score.detach() for score in crf.paths()))


class Scored(NamedTuple):
    """What one of the two models says of some sentences."""

    emissions: list[Array]  # (words, labels) of each sentence
    # Scores of the first tag, of transitions, of the last tag; none without transitions.
    paths: tuple[Array, ...]

    def times(self, weight: float) -> Scored:
        """Return all scores multiplied by `weight`."""
        paths = tuple(weight * scores for scores in self.paths)
        return Scored([weight * each for each in self.emissions], paths)

    def plus(self, other: Scored) -> Scored:
        """Return the sum of the scores of two models on the same sentences."""
        paths = tuple(map(np.add, self.paths, other.paths))
        return Scored(list(map(np.add, self.emissions, other.emissions)), paths)


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
    likelihood = _Likelihood([tags[n] for n in known], labels, has_paths=bool(scored.paths))
    emissions = torch.from_numpy(np.concatenate([scored.emissions[n] for n in known])).float()
    nats = likelihood.loss(emissions, list(map(torch.from_numpy, scored.paths)))
    return LogLoss(float(nats), likelihood.words)


class _Likelihood:
    """The tags of sentences, of which the likelihood is asked."""

    def __init__(self, tags: Sequence[Array], labels: int, *, has_paths: bool) -> None:
        flat = np.concatenate(tags)
        self.words, self._labels = len(flat), labels
        self._gold = Chains(list(map(len, tags)), flat, labels) if has_paths else Words(flat)

    def loss(self, emissions: Tensor, paths: Sequence[Tensor]) -> Tensor:
        """Return the summed negative log-likelihood of the tags, in nats, differentiable.
        `emissions`: (words, labels); `paths`: as in `Scored`."""
        if isinstance(self._gold, Words):
            return self._gold.loss(emissions, torch.zeros(self._labels))
        return self._gold.loss(emissions, PathScores(*paths))


class WordHalf(LinearHalf):
    """The linear model of one run."""

    def __init__(
        self,
        train: TaggedRows,
        train_texts: TextRows,
        valid_words: Sequence[Sequence[str]],
        tags: TagSet,
    ) -> None:
        """`valid_words`: the words of the validation sentences."""
        self._train, self._train_texts = train, train_texts
        self.valid_words, self._tags = valid_words, tags
        self.labels = tags.size
        self.texts = 0
        self.seconds = 0.0  # that this took
        self._weights: Weights | None = None
        self._model: WordModel | None = None  # unscaled

    @staticmethod
    def is_possible(tags: TagSet) -> bool:
        """Return True if such tags can have a linear model."""
        return tags.columns <= MAX_COLUMNS

    def learn(self, minutes: float | None, seed: int, sentences: int | None = None) -> None:
        """Learn from so many training sentences (None: from all, or a random part of them where
        they are many for memory or `minutes`)."""
        started = time.perf_counter()
        lengths = self._train.words.lengths() // 3
        chosen = np.random.default_rng(seed).permutation(len(lengths))
        if sentences is None:
            most = most_words(minutes, self._tags)
            sentences = int(np.searchsorted(np.cumsum(lengths[chosen]), most)) + 1
        chosen = np.sort(chosen[:sentences])
        words, tags = self._read(chosen)
        with one_thread():
            self._take(TagLearner(words, np.concatenate(tags), self._tags).fit())
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
            learner = TagLearner(words, np.concatenate(tags), self._tags)
            weights = learner.fit(self._weights)
        notes = {_SENTENCES: len(words)}
        return {NGRAMS: weights._replace(scale=weight).serialize(notes)}

    def seconds_to_learn_again(self) -> float:
        scores = len(self._train.words.values) / 3 * self.labels
        return _AGAIN * max(self.seconds, scores / self._tags.speed)

    def restore(self, content: bytes) -> None:
        self._take(Weights.parse(content)._replace(scale=1.0))
        self.texts = read_notes(content).get(_SENTENCES, 0)

    def _take(self, weights: Weights) -> None:
        self._weights, self._model = weights, WordModel(weights, self.labels, self._tags.parts)

    def scores(self, sentences: Sequence[Sequence[str]]) -> Scored:
        """Return the scores of sentences of words."""
        assert self._model is not None  # noqa: S101
        ends = np.cumsum([len(words) for words in sentences])[:-1]
        emissions = np.split(self._model.emissions(sentences), ends)
        paths = zip(self._model.path_scores(), self._tags.forbidden or (), strict=True)
        return Scored(emissions, tuple(score + fixed.numpy() for score, fixed in paths))

    def fit_weights(self, network: Scored, linear: Scored, tags: Sequence[Array]) -> Fitted:
        """Find the weights of both models with which these tags of sentences are likeliest."""
        # Sentences with a tag that the model lacks tell nothing; of many, the first are enough.
        chosen = [number for number, each in enumerate(tags) if each.max() < self.labels]
        if not chosen:
            half = float(np.exp(_PRIOR_MEAN))
            return Fitted(half, half, 0.0)
        words = np.cumsum([len(tags[number]) for number in chosen])
        forbidden = self._tags.forbidden or ()
        most = (MAX_SCORES if forbidden else _MAX_FITTED) // self.labels
        chosen = chosen[: int(np.searchsorted(words, most)) + 1]
        gold = [tags[number] for number in chosen]
        likelihood = _Likelihood(gold, self.labels, has_paths=bool(forbidden))
        models = [
            (
                torch.from_numpy(np.concatenate([scored.emissions[n] for n in chosen])).float(),
                # A tag sequence of the data may be forbidden: that must not pull the weights down.
                [
                    torch.where(fixed == 0, torch.from_numpy(path), 0.0)
                    for path, fixed in zip(scored.paths, forbidden, strict=True)
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
                for one, other, fixed in zip(paths, more_paths, forbidden, strict=True)
            ]
            return likelihood.loss(first * emissions + second * more, scores)

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
        return Fitted(first, second, nats / max(1, likelihood.words))

    def model(self, weight: float) -> WordModel:
        """The model with its scores multiplied by `weight`."""
        assert self._weights is not None  # noqa: S101
        weighted = self._weights._replace(scale=weight)
        return WordModel(weighted, self.labels, self._tags.parts)

    def files(self, metrics: Mapping[str, Any]) -> dict[str, bytes]:
        if self._weights is None:
            return {}
        weighted = self._weights._replace(scale=metrics.get(WEIGHT, 1.0))
        return {NGRAMS: weighted.serialize({_SENTENCES: self.texts})}


def scale_scores(model: Tagger, factor: float, labels: Sequence[str]) -> None:
    """Multiply the scores of a model by `factor`, in place; what is forbidden stays so."""
    with torch.no_grad():
        for parameter in model.head.output.parameters():
            parameter.mul_(factor)
        paths = model.head.crf.paths()
        for score, fixed in zip(paths, forbidden_paths(labels) if paths else (), strict=True):
            score.copy_(torch.where(fixed.to(score.device) == 0, factor * score, score))
