"""Which words decided an answer, as numbers: the share of each word in the answer's log-odds.

Knows: of which sum the log-odds of a label or a tag consist, over the words of a text and over the
two halves of a model. Does not know: how gradients are computed (`training/gradients.py`, which is
imported when an explainer is made, and needs PyTorch), or how an explanation is shown.

The log-odds of a label are log(p / (1 - p)). Where one label of several is right they are the
label's logit less the log of the sum of the exponentials of the others, which is no sum of shares.
But with q_j, the probability of label j if the answer were not the label, they equal

    logit of the label - sum over j of q_j (logit of j) + sum over j of q_j log q_j

where q is that of the text and is held fixed: a sum of logits each times a coefficient, and a
constant, which is 0 for two labels. The coefficients are also the derivatives of the log-odds with
respect to the logits. So the shares of the network (integrated gradients of that sum of its logits)
and of a linear half (exact) add up to the model's own log-odds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext.config import listed
from rnntext.errors import UsageError
from rnntext.inspection.reading import END_OF_LINE, MOST_STEPS, InspectedModel, Reading
from rnntext.ngrams import NgramModel
from rnntext.probabilities import label_probabilities, softmax
from rnntext.runtime.classifier import Classifier
from rnntext.runtime.tagger import TaggedSentence, Tagger
from rnntext.text.batches import split_into_windows
from rnntext.word_features import WordModel

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Halves:
    """Numbers of logits from the network and from the linear half; 0 where there is none."""

    network: Array
    linear: Array

    @property
    def total(self) -> Array:
        return np.asarray(self.network + self.linear)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The share of each of W words in the log-odds of an answer. `log_odds` is the sum of the
    words' shares, of `without` and of `others`, but for `difference`."""

    # As the model reads them; `<eos>` at the end stands for tokens that are of no word.
    words: Sequence[str]
    places: Sequence[tuple[int, int]]  # of the words but `<eos>` in the text: from, to
    label: str
    probability: float  # as `classify` and `tag` print it
    log_odds: float  # of the label by the running model; of a tag by the emissions of its word
    shares: Halves  # (W)
    has_linear: bool
    without: Halves  # scalars: what the model says without any word
    others: float  # how the other labels share what is left, sum of q log q; 0 for two labels
    steps: int  # points of the path of the integral
    word: int | None = None  # of a tagger: the place of the tagged word among the words

    @property
    def difference(self) -> float:
        """How far the shares are from being complete, in logits: less than 1 % of what the words
        change, unless the output jumps on the path, and rounding of the running model."""
        total = self.shares.total.sum() + self.without.total + self.others
        return float(total - self.log_odds)

    def strongest(self, most: int) -> list[int]:
        """Return the places of the words with the largest shares of either sign."""
        return [int(i) for i in np.argsort(-np.abs(self.shares.total), kind="stable")[:most]]

    def as_objects(self) -> list[dict[str, Any]]:
        """Return one object a word for JSON; `linear` is None where the model has no such half."""
        columns = (self.shares.network, self.shares.linear, self.shares.total)
        return [
            {
                "word": word,
                "network": network,
                "linear": linear if self.has_linear else None,
                "total": total,
            }
            for word, network, linear, total in zip(
                self.words, *(column.tolist() for column in columns), strict=True
            )
        ]


class Explainer:
    """What the explainers of both tasks share: the network, and the sum over both halves."""

    def __init__(self, model: InspectedModel) -> None:
        from rnntext.training.gradients import integrated_gradients
        from rnntext.training.networks.build import network_of

        self.model = model
        self.labels = model.config.labels
        self._network = network_of(model.config, model.weights)
        self._attribute = integrated_gradients
        self._scale = 1.0
        # An int8 classifier has a temperature of its own; that of float32 is in its weights.
        saved = model.model.saved
        if saved is not None and saved.precision == "int8" and saved.quantization is not None:
            self._scale = 1 / (saved.quantization.temperature or 1.0)

    def _label(self, label: str) -> int:
        if label not in self.labels:
            raise UsageError(
                f"{self.model.name} does not know the label {label!r}: it has {listed(self.labels)}"
            )
        return self.labels.index(label)

    def _explain(
        self,
        reading: Reading,
        label: int,
        probability: float,
        logits: Array,
        linear: tuple[Array, Array] | None,
        word: tuple[int, tuple[int, int]] | None = None,
    ) -> Explanation:
        """logits: (L), those of the sum; linear: what each word adds to them (W + 1, L), the last
        row without a word, and what is added anyway (L); word: of a tagger its place, and its first
        and last token."""
        coefficients, others = against_others(logits, label, self.model.config.multi_label)
        tokens = word[1] if word else None
        found = [
            self._attribute(self._network, window, coefficients * self._scale * weight, tokens)
            for window, weight in self._windows(reading.ids)
        ]
        count = len(reading.words)
        of_tokens = np.concatenate([window.tokens for window in found])
        network = np.bincount(reading.owner, of_tokens, minlength=count + 1)
        added, anyway = linear if linear is not None else (np.zeros((count + 1, len(logits))), 0.0)
        shares = Halves(network, added @ coefficients)
        words = [*reading.words, END_OF_LINE]
        if not ((reading.owner == count).any() or shares.linear[-1]):
            words.pop()
            shares = Halves(shares.network[:-1], shares.linear[:-1])
        return Explanation(
            words,
            places_of(reading.text, reading.words),
            self.labels[label],
            probability,
            float(coefficients @ logits) + others,
            shares,
            linear is not None,
            Halves(
                np.array(sum(window.baseline for window in found)),
                np.asarray(np.sum(anyway * coefficients)),
            ),
            others,
            max(window.steps for window in found),
            word[0] if word else None,
        )

    def _windows(self, ids: Array) -> list[tuple[Array, float]]:
        """Divide a text as the running model does, with the weight of each part: a bidirectional
        classifier takes the mean of the logits of its windows, another reads the whole."""
        config = self.model.config
        if not config.encoder.bidirectional:
            return [(ids, 1.0)]
        windows, _ = split_into_windows([ids], config.max_length)
        return [(window, len(window) / len(ids)) for window in windows]


class TextExplainer(Explainer):
    """Explains the labels of a classifier."""

    def __init__(self, model: InspectedModel) -> None:
        super().__init__(model)
        self.classifier = Classifier(model.model)

    def read(self, text: str) -> Reading | None:
        """Return how the model reads a text; None if it has more than MOST_STEPS tokens, and is
        not explained."""
        reading = self.model.read_whole(text)
        return reading if len(reading.ids) <= MOST_STEPS else None

    def explain(self, reading: Reading, label: str | None = None) -> Explanation:
        """Explain a label of a text (None: the likeliest). Raises UsageError for a label that the
        model does not have."""
        wanted = None if label is None else self._label(label)
        (logits,) = self.classifier.logits([reading.ids])
        added = self.classifier.ngram_logits([reading.text])
        if added is not None:
            logits = logits + added[0]
        (probabilities,) = label_probabilities(logits[None], self.classifier.multi_label)
        answer = int(probabilities.argmax()) if wanted is None else wanted
        linear = self._linear_shares(reading)
        return self._explain(reading, answer, float(probabilities[answer]), logits, linear)

    def _linear_shares(self, reading: Reading) -> tuple[Array, Array] | None:
        """Return what each word adds to the logits (W + 1, L), and the bias. The n-grams' words may
        be parts of those that the network reads: each is of the word in which it begins."""
        ngrams: NgramModel | None = self.model.model.ngrams()
        if ngrams is None:
            return None
        found = ngrams.shares(reading.text)
        starts = [start for start, _ in places_of(reading.text, reading.words)]
        owners = np.searchsorted(starts, found.starts, side="right") - 1
        added = np.zeros((len(starts) + 1, len(self.labels)))
        np.add.at(added, owners, found.words + found.pairs)  # -1, before any word, is the last row
        return added, found.bias


class SentenceExplainer(Explainer):
    """Explains the tags of a tagger, by the scores of the tagged word: a tag's log-odds before
    those of the tags around it count."""

    def __init__(self, model: InspectedModel) -> None:
        super().__init__(model)
        self._tagger = Tagger(model.model)

    def tag(self, text: str) -> TaggedSentence:
        """Return the model's answer."""
        (answer,) = self._tagger.tag([text])
        return answer

    def explain(
        self, reading: Reading, answer: TaggedSentence, word: int, label: str | None = None
    ) -> Explanation:
        """Explain the tag of a word, given by its place in the `answer` to the sentence. `label`:
        a tag (None: that of the answer); the probability of another is that of the word by itself.
        Raises UsageError for a tag that the model does not have."""
        tag = self._label(answer.tags[word] if label is None else label)
        (tokens,) = self.model.tokenizer.encode_words([reading.words])
        emissions = self._tagger.emissions(tokens, reading.words)[word].astype(np.float64)
        is_answer = self.labels[tag] == answer.tags[word]
        probability = answer.probabilities[word] if is_answer else softmax(emissions)[tag]
        linear: WordModel | None = self.model.model.ngrams()
        shares = None
        if linear is not None:
            added, anyway = linear.shares(reading.words, word)
            shares = np.vstack([added, np.zeros((1, len(self.labels)))]), anyway
        span = int(tokens.first[word]), int(tokens.last[word])
        return self._explain(reading, tag, float(probability), emissions, shares, (word, span))


def against_others(logits: Array, label: int, multi_label: bool) -> tuple[Array, float]:
    """Return coefficients (L) and a constant with which the log-odds of a label are the sum of the
    logits (L), each times its coefficient, and the constant (see above)."""
    coefficients = np.zeros(len(logits))
    constant = 0.0
    rivals = np.delete(np.arange(len(logits)), label)
    if not multi_label and len(rivals):
        weights = softmax(np.asarray(logits, np.float64)[rivals])
        coefficients[rivals] = -weights
        known = weights[weights > 0]
        constant = float((known * np.log(known)).sum())
    coefficients[label] = 1
    return coefficients, constant


def places_of(text: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """Return where in the text each of its words begins and ends."""
    found, end = [], 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        found.append((start, end))
    return found
