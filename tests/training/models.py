"""Small models with random weights, and documents, for the tests of the objectives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.text.batches import even_width
from rnntext.training.engine.device import Machine
from rnntext.training.networks.build import build_network
from rnntext.training.networks.encoder import Network

torch.set_num_threads(1)

Array = NDArray[Any]
CPU = Machine(torch.device("cpu"), torch.float32)
V, E, H = 13, 4, 6  # vocabulary, embedding, units
LABELS = ("a", "b", "c")
DOCUMENTS = [
    np.random.default_rng(n).integers(1, V, size=size) for n, size in enumerate((9, 1, 40, 17, 9))
]


def random_model(
    task: str,
    labels: Sequence[str] = LABELS,
    multi: bool = False,
    *,
    bidirectional: bool | None = None,
    backward: bool = False,
) -> Any:
    """`bidirectional`: None is as the task has it; `backward`: a language model with a second
    encoder."""
    both = task != "lm" if bidirectional is None else bidirectional
    config = ModelConfig(
        task,
        EncoderConfig("gru", V, E, H, 2, both),
        () if task == "lm" else tuple(labels),
        multi,
        max_length=99,
        backward_encoder=backward,
    )
    model: Network = build_network(config).eval()
    rng = np.random.default_rng(1)  # PyTorch's generator draws other numbers in other builds
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.5, parameter.shape)))
    return model


def softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))


def realistic(mean: float, deviation: float, count: int = 1500) -> list[Array]:
    """Rows whose lengths are log-normal, as those of texts are."""
    lengths = np.random.default_rng(0).lognormal(mean, deviation, count)
    sizes = np.clip(lengths, 1, 3000).astype(int)
    return [np.full(size, index % V) for index, size in enumerate(sizes)]


def share_of_text(batches: Iterable[Any]) -> float:
    """Return the share of batches, of ids (B, T) and lengths (B), that is not padding."""
    real = room = 0
    for ids, lengths, *_ in batches:
        assert ids.shape == (len(lengths), even_width(int(lengths.max())))
        real += int(lengths.sum())
        room += ids.numel()
    return real / room
