"""The comparison of a language model's graph with its network.

Knows: what both are asked for. Does not know: how the graph is built
(`graphs/language_model.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rnntext.probabilities import softmax
from rnntext.training.onnx import generation
from rnntext.training.onnx.common import GraphCheck, RandomBatch, SidecarParts

if TYPE_CHECKING:
    from rnntext.runtime.session import Session
    from rnntext.training.networks.language_model import LanguageModel


def _difference(model: LanguageModel, session: Session, batch: RandomBatch) -> float:
    rows, steps = batch.feeds["ids"].shape
    # Every token that is not padding.
    step, row = np.nonzero(np.arange(steps)[:, None] < batch.feeds["lengths"])
    targets = batch.generator.integers(model.config.encoder.vocab_size, size=len(step))
    positions = step * rows + row
    expected, _ = model(batch.ids, batch.state)
    logits = expected.numpy()[row, step]
    found, scores = session.run(
        ["logits", "log_probabilities"],
        {**batch.feeds, "positions": positions, "scored": positions, "targets": targets},
    )
    chosen = np.take_along_axis(softmax(logits), targets[:, None], 1)[:, 0]
    return max(
        float(np.abs(softmax(found) - softmax(logits)).max()),
        float(np.abs(np.exp(scores) - chosen).max()),
    )


CHECK = GraphCheck(_difference, generation.difference)
SIDECAR = SidecarParts()
