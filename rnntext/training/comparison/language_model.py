"""The language models that are compared.

Knows: which there are, and how they read text. Does not know: how they are trained.
"""

from __future__ import annotations

import math
import time
from typing import ClassVar, cast

from torch import nn

from rnntext.comparison import Kind, Metric, Model, Question
from rnntext.training.comparison.base import ComparedTask, Linear
from rnntext.training.comparison.networks import (
    CAUSAL_CONTEXT,
    CONTEXT,
    causal_convolution,
    fixed_window,
)
from rnntext.training.linear.kneser_ney import KneserNey
from rnntext.training.networks.language_model import LanguageModel
from rnntext.training.setup import Setup
from rnntext.training.tasks.language_model import LanguageModelling

# Tokens of the longest n-gram, and of the text that n-grams are counted in, which takes some
# 200 bytes of memory for each: the last of them, if there are more.
_NGRAM, _MOST_TOKENS = 4, 1 << 22


class ComparedLanguageModels(ComparedTask):
    """Language models. All see an order; those beside the recurrent ones see a fixed number of
    tokens."""

    question = Question("a state without a fixed limit", "the best fixed window", "tokens")
    networks: ClassVar = {
        Model("window", f"the window of {CONTEXT} tokens", Kind.BLIND): fixed_window,
        Model(
            "convolution", f"the convolution over {CAUSAL_CONTEXT} tokens", Kind.BLIND
        ): causal_convolution,
    }
    linear_model = Model("ngrams", f"the {_NGRAM}-grams", Kind.BLIND, seeded=False)

    def metric(self, setup: Setup) -> Metric:
        return Metric("perplexity", setup.objective.answers("perplexity"))

    def read(self, setup: Setup, network: nn.Module) -> int:
        objective = cast(LanguageModelling, setup.objective)
        objective.evaluate(cast(LanguageModel, network), quick=True)
        return _tokens(objective)

    def learn_linear(self, setup: Setup) -> Linear | None:
        objective, stream = cast(LanguageModelling, setup.objective), setup.data.examples.stream
        started = time.perf_counter()
        ids = stream[max(0, len(stream) - _MOST_TOKENS) : len(stream)]
        model = KneserNey(ids, setup.data.tokenizer.vocab_size, _NGRAM)
        seconds = time.perf_counter() - started
        pieces = objective.pieces(quick=False)
        nats = sum(-float(model.log_probabilities(piece.ids).sum()) for piece in pieces)
        tokens = sum(len(piece.ids) - 1 for piece in pieces)

        def read() -> int:
            for piece in objective.pieces(quick=True):
                model.log_probabilities(piece.ids)
            return _tokens(objective)

        return Linear(math.exp(nats / tokens), model.ngrams, seconds, model.size, read)


def _tokens(objective: LanguageModelling) -> int:
    """Return the number of tokens that a quick evaluation predicts, those of contexts included."""
    return sum(len(piece.ids) - 1 for piece in objective.pieces(quick=True))


COMPARED = ComparedLanguageModels()
