"""The taggers that are compared.

Knows: which there are, and how they read sentences. Does not know: how they are trained.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import nn

from rnntext.comparison import Kind, Metric, Model, Question
from rnntext.text.batches import buckets, pad
from rnntext.training.comparison.base import ComparedTask, Linear
from rnntext.training.comparison.labelled import learn_half
from rnntext.training.comparison.networks import SentenceConvolution, WordAlone
from rnntext.training.networks.crf import IndependentTags, field_with
from rnntext.training.setup import Setup
from rnntext.training.tasks.tagging import Tagging
from rnntext.training.tasks.word_half import WordHalf
from rnntext.word_features import Weights

# Sentences that are read together, and their tokens.
_ROWS, _TOKENS = 256, 1 << 15


class ComparedTaggers(ComparedTask):
    """Taggers of sentences. The word alone sees no other word; the linear model sees two words on
    either side."""

    question = Question("seeing the words around a word", "the word alone", "sentences")
    networks: ClassVar = {
        Model("word", "the word alone", Kind.BLIND): WordAlone,
        Model("convolution", "the convolution", Kind.ORDERED): SentenceConvolution,
    }
    linear_model = Model("features", "the linear model of words", Kind.OTHER, seeded=False)
    without_linear: ClassVar = {"ngrams": False}

    def metric(self, setup: Setup) -> Metric:
        name = "f1" if cast(Tagging, setup.objective).spans else "accuracy"
        return Metric(name, setup.objective.answers(name))

    def read(self, setup: Setup, network: Any) -> int:
        sentences = setup.data.examples.valid
        pieces = [piece for each in sentences for piece in each.pieces(setup.recipe.max_length)]
        lengths = np.array([len(piece.ids) for piece in pieces])
        with torch.no_grad():
            for index in buckets(lengths, max_rows=_ROWS, max_tokens=_TOKENS):
                rows = [pieces[i] for i in index]
                padded = pad([row.ids for row in rows])
                of_words = pad([row.first for row in rows])
                last, _ = pad([row.last for row in rows])
                ids, tokens, first, words, last_token = (
                    torch.from_numpy(each.astype(np.int64)).to(setup.machine.device)
                    for each in (*padded, *of_words, last)
                )
                emissions = network(ids, tokens, first, last_token)
                network.head.crf.decode(emissions.float(), words).cpu()
        return len(sentences)

    def learn_linear(self, setup: Setup) -> Linear | None:
        def read(half: Any) -> int:
            return _read_with_features(cast(WordHalf, half))

        def weights(content: bytes) -> int:
            found = Weights.parse(content)
            arrays = (found.weights, found.bias, *found.paths)
            return sum(map(np.size, arrays))

        return learn_half(setup, self.metric(setup), weights, read)


def _read_with_features(half: WordHalf) -> int:
    # A new model: the one that was measured remembers the scores of the words.
    model, sentences = half.model(1.0), half.valid_words
    lengths = np.array([len(words) for words in sentences])
    scores = np.split(model.emissions(sentences), np.cumsum(lengths)[:-1])
    paths = model.path_scores()
    decoder = field_with(paths) if paths else IndependentTags()
    with torch.no_grad():
        for index in buckets(lengths, max_rows=_ROWS, max_tokens=_TOKENS):
            rows = nn.utils.rnn.pad_sequence(
                [torch.from_numpy(scores[i]) for i in index], batch_first=True
            )
            decoder.decode(rows, torch.from_numpy(lengths[index]))
    return len(sentences)


COMPARED = ComparedTaggers()
