"""The classifiers that are compared.

Knows: which there are, and how they read documents. Does not know: how they are trained.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

import numpy as np
from torch import nn

from rnntext.comparison import Kind, Metric, Model, Question
from rnntext.ngrams import Tables
from rnntext.training.comparison.base import ComparedTask, Linear
from rnntext.training.comparison.labelled import learn_half
from rnntext.training.comparison.networks import BagOfEmbeddings, DocumentConvolution
from rnntext.training.networks.classifier import Classifier
from rnntext.training.setup import Setup
from rnntext.training.tasks.document_reader import DocumentReader
from rnntext.training.tasks.ngram_half import NgramHalf


class ComparedClassifiers(ComparedTask):
    """Classifiers of documents. Whatever reads a document from its start to its end, or windows of
    it, sees an order; n-grams see that of pairs of words."""

    question = Question("reading in order", "the order-blind model", "texts")
    networks: ClassVar = {
        Model("bag", "the bag of embeddings", Kind.BLIND): BagOfEmbeddings,
        Model("convolution", "the convolution", Kind.ORDERED): DocumentConvolution,
    }
    linear_model = Model("ngrams", "the n-grams", Kind.OTHER, seeded=False)
    without_linear: ClassVar = {"ngrams": False}

    def metric(self, setup: Setup) -> Metric:
        name = "micro_f1" if setup.options.multi_label else "accuracy"
        return Metric(name, setup.objective.answers(name))

    def read(self, setup: Setup, network: nn.Module) -> int:
        ids = setup.data.examples.valid.ids
        reader = DocumentReader(setup.machine, setup.recipe.max_length)
        reader.logits(cast(Classifier, network), ids).argmax(1).cpu()
        return len(ids)

    def learn_linear(self, setup: Setup) -> Linear | None:
        texts = setup.data.examples.valid_texts.read(range(len(setup.data.examples.valid.ids)))

        def read(half: Any) -> int:
            cast(NgramHalf, half).model(1.0).logits(texts).argmax(1)
            return len(texts)

        def weights(content: bytes) -> int:
            tables = Tables.parse(content)
            arrays = (tables.words, tables.pairs, tables.characters, tables.bias)
            return sum(map(np.size, arrays))

        return learn_half(setup, self.metric(setup), weights, read)


COMPARED = ComparedClassifiers()
