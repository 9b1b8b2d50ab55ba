"""The comparison of a tagger's graph with its network.

Knows: what both are asked for. Does not know: how the graph is built
(`graphs/tagger.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rnntext.config import ModelConfig
from rnntext.probabilities import softmax
from rnntext.tag_parts import composition
from rnntext.training.onnx.common import GraphCheck, RandomBatch, SidecarParts
from rnntext.word_features import OFFSETS

if TYPE_CHECKING:
    from rnntext.runtime.session import Session
    from rnntext.training.networks.tagger import Tagger


_PATH_SCORES = ("start", "transitions", "end")


def _difference(model: Tagger, session: Session, batch: RandomBatch) -> float:
    import torch

    rows, steps = batch.feeds["ids"].shape
    # Words of two tokens each; the last word of an odd row has one.
    end = batch.feeds["lengths"][:, None] - 1  # (B, 1)
    first = np.minimum(np.arange(0, steps, 2)[None, :], end)  # (B, W)
    last = np.minimum(first + 1, end)
    row = np.arange(rows)[:, None]
    feeds = {
        **batch.feeds,
        "first": (first * rows + row).ravel(),
        "last": (last * rows + row).ravel(),
    }
    states, _ = model.encoder(batch.ids, batch.lengths, batch.state)
    expected = model.head(states, torch.from_numpy(first), torch.from_numpy(last)).numpy()
    parameters = model.head.crf.paths()
    found, *crf = session.run(["emissions", *_PATH_SCORES[: len(parameters)]], feeds)
    differences = [
        softmax(found) - softmax(expected.reshape(found.shape)),
        *(given - scores.numpy() for given, scores in zip(crf, parameters, strict=True)),
    ]
    return max(float(np.abs(difference).max()) for difference in differences)


def _path_scores(config: ModelConfig) -> tuple[str, ...]:
    return _PATH_SCORES if config.crf else ()


def _linear(config: ModelConfig) -> dict[str, object]:
    features = [(place, form) for place, forms in OFFSETS.items() for form in forms]
    parts = composition(config)
    if parts is None:
        return {"features": features}
    return {"features": features, "parts": [np.flatnonzero(tag).tolist() for tag in parts.T]}


CHECK = GraphCheck(_difference)
SIDECAR = SidecarParts(
    empty=lambda tokenizer: tokenizer.fallback_id, path_scores=_path_scores, linear=_linear
)
