"""A language model whose weights are the same on every machine.

What a trained model says depends on the processor and on the build of PyTorch, down to the words.
These weights come from NumPy's generator, which draws the same numbers everywhere.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.runtime.language_model import LanguageModel
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.session import Session
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.networks.build import build_network
from rnntext.training.onnx.build import build, other_graphs
from rnntext.training.onnx.from_network import numpy_weights
from tests.conftest import CORPORA

Array = NDArray[Any]


@cache
def fixed_language_model(kind: str = "bpe", *, with_sampler: bool = True) -> LanguageModel:
    """An LSTM over subwords with random weights. A bias makes the end of a line likely enough that
    some samples of 70 tokens hold one and others do not.

    `kind`: of the tokenizer. `with_sampler=False` leaves out the graph that samples by itself.
    """
    lines = (CORPORA / "stories.txt").read_text("utf-8").splitlines()
    tokenizer = Tokenizer.train(kind, lines, vocab_size=400, min_frequency=2)
    config = ModelConfig("lm", EncoderConfig("lstm", tokenizer.vocab_size, 12, 16, 2, False))
    random = np.random.default_rng(7)
    weights = {
        name: random.normal(0, 0.8, array.shape).astype(np.float32)
        for name, array in numpy_weights(build_network(config)).items()
    }
    weights["head.bias"][:] = 0
    weights["head.bias"][tokenizer.eos_id] = 3
    model = TrainedModel.from_session(config, tokenizer, Session(build(config, weights), 1))
    if with_sampler:
        (graph,) = other_graphs(config, weights).values()
        matrices = {name: array for name, array in weights.items() if array.ndim == 2}
        sampler = Session(graph, 1, intra_op=True, weights=matrices)
        model = replace(model, generation=lambda: sampler)
    return LanguageModel(model)
