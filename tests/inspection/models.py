"""Models to look into whose weights are the same on every machine, as in `runtime/models.py`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.inspection.reading import InspectedModel
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.session import Session
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.networks.build import build_network
from rnntext.training.onnx.build import build
from rnntext.training.onnx.from_network import numpy_weights
from tests.conftest import CORPORA

LABELS = {"lm": (), "classify": ("neg", "pos"), "tag": ("NOUN", "VERB", "X")}


@cache
def fixed_model(
    task: str = "lm",
    cell: str = "lstm",
    *,
    layers: int = 2,
    bidirectional: bool = False,
    kind: str = "bpe",
) -> InspectedModel:
    """A model with random weights from a seeded generator, over a vocabulary of the stories."""
    lines = (CORPORA / "stories.txt").read_text("utf-8").splitlines()
    tokenizer = Tokenizer.train(kind, lines, vocab_size=400, min_frequency=2)
    encoder = EncoderConfig(cell, tokenizer.vocab_size, 6, 5, layers, bidirectional)
    config = ModelConfig(task, encoder, LABELS[task], max_length=300 if LABELS[task] else 0)
    random = np.random.default_rng(7)
    weights: dict[str, NDArray[Any]] = {
        name: random.normal(0, 0.8, array.shape).astype(np.float32)
        for name, array in numpy_weights(build_network(config)).items()
    }
    model = TrainedModel.from_session(config, tokenizer, Session(build(config, weights), 1))
    return InspectedModel(replace(model, weights=lambda: weights), "fixed")
