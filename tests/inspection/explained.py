"""Classifiers and taggers with fixed weights in both halves, to explain their answers."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.inspection.reading import InspectedModel
from rnntext.ngrams import NgramModel, Tables
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.session import Session
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.networks.build import build_network
from rnntext.training.onnx.build import build
from rnntext.training.onnx.from_network import numpy_weights
from rnntext.word_features import Forms, Weights, WordModel
from tests.conftest import CORPORA

Array = NDArray[Any]
TWO, FOUR = ("neg", "pos"), ("NOUN", "VERB", "naïve", "X")
SENTENCE = "Mara can't row the boat, naïve café 你好 🙂."
WINDOWS = {"classify": 30, "tag": 99}  # tokens


@cache
def _tokenizer(kind: str) -> Tokenizer:
    lines = (CORPORA / "stories.txt").read_text("utf-8").splitlines()
    return Tokenizer.train(kind, lines, vocab_size=400, min_frequency=2)


def explained_model(
    task: str,
    labels: tuple[str, ...] = FOUR,
    *,
    cell: str = "gru",
    both: bool = True,
    multi: bool = False,
    linear: bool = True,
    pairs: bool = True,
    kind: str = "bpe",
    max_length: int = 0,
) -> InspectedModel:
    """`linear`: with a linear half; `pairs`: of a classifier, one that knows pairs of words."""
    tokenizer = _tokenizer(kind)
    encoder = EncoderConfig(cell, tokenizer.vocab_size, 6, 5, 2, both)
    config = ModelConfig(task, encoder, labels, multi, max_length or WINDOWS[task])
    random = np.random.default_rng(7)
    # With larger weights a vanilla RNN is chaotic, and no number of points is enough.
    weights = {
        name: random.normal(0, 0.5 if ".layers." in name else 0.8, array.shape).astype(np.float32)
        for name, array in numpy_weights(build_network(config)).items()
    }
    model = TrainedModel.from_session(config, tokenizer, Session(build(config, weights), 1))
    half: Any = None
    if linear and task == "classify":
        half = _ngrams(random, labels, multi, pairs)
    elif linear:
        half = _words(random, labels)
    return InspectedModel(replace(model, weights=lambda: weights, ngrams=lambda: half), "fixed")


def _ngrams(
    random: np.random.Generator, labels: tuple[str, ...], multi: bool, pairs: bool
) -> NgramModel:
    columns = 1 if len(labels) == 2 and not multi else len(labels)
    tables = [random.normal(0, 0.3, (size, columns)).astype(np.float16) for size in (64, 128, 256)]
    if not pairs:
        tables[1][:] = 0
    bias = random.normal(size=columns).astype(np.float32)
    return NgramModel(Tables(*tables, bias, 0.7), len(labels))


def _words(random: np.random.Generator, labels: tuple[str, ...]) -> WordModel:
    """A model with weights for what the words of the sentence give to each other."""
    forms = Forms(["Mara", "ca", "n't", "row", "the", "boat", ",", "naïve", "café", ".", ""])
    hashes = np.unique(np.concatenate([forms.features(offset)[1] for offset in range(-2, 3)]))
    count = len(labels)
    sizes = ((count,), (count,), (count, count), (count,))
    bias, *paths = (random.normal(size=size).astype(np.float32) for size in sizes)
    weights = random.normal(0, 0.3, (len(hashes), count)).astype(np.float16)
    return WordModel(Weights(hashes.astype(np.uint32), weights, bias, tuple(paths), 0.7), count)
