"""The comparison of a classifier's graph with its network.

Knows: what both are asked for. Does not know: how the graph is built
(`graphs/classifier.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rnntext.config import POOLING_FLOOR, EncoderConfig
from rnntext.ngrams import WORD_PATTERN
from rnntext.probabilities import label_probabilities
from rnntext.training.onnx.common import Carried, GraphCheck, RandomBatch, SidecarParts

if TYPE_CHECKING:
    from rnntext.runtime.session import Session
    from rnntext.training.networks.classifier import Classifier


def _difference(model: Classifier, session: Session, batch: RandomBatch) -> float:
    states, _ = model.encoder(batch.ids, batch.lengths, batch.state)
    logits = model.head(states, batch.lengths).numpy()
    feeds = dict(batch.feeds)
    if batch.state is not None:
        zeros = np.zeros((len(feeds["ids"]), model.config.encoder.hidden_size), np.float32)
        feeds.update(largest=zeros + POOLING_FLOOR, total=zeros, count=zeros[:, 0])
    (found,) = session.run(["logits"], feeds)
    several = model.config.multi_label
    return float(
        np.abs(label_probabilities(found, several) - label_probabilities(logits, several)).max()
    )


CHECK = GraphCheck(_difference)


def _pooled(config: EncoderConfig) -> dict[str, Carried]:
    sums = (1, config.hidden_size)
    return {
        "largest": Carried(sums, POOLING_FLOOR),
        "total": Carried(sums),
        "count": Carried((1,)),
    }


SIDECAR = SidecarParts(
    _pooled,
    lambda tokenizer: tokenizer.eos_id,
    linear=lambda config: {"word_pattern": WORD_PATTERN},
)
