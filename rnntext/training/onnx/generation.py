"""The comparison of the graph that generates text with a language model's network.

Knows: that both must sample the same tokens from the same random numbers. Does not know: how the
graph is built (`graphs/generation.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rnntext.config import BACKWARD_WEIGHTS
from rnntext.graphs.generation import generation_graphs
from rnntext.graphs.graph_builder import Array
from rnntext.probabilities import softmax
from rnntext.training.onnx.common import TOLERANCE
from rnntext.training.onnx.protobuf import to_bytes

if TYPE_CHECKING:
    from rnntext.training.networks.language_model import LanguageModel


def difference(model: LanguageModel, generator: np.random.Generator) -> float:
    """The largest distance of a uniform number from the interval of the token that it sampled, in
    the network's cumulative distribution; a state that is off by 1 % counts as TOLERANCE."""
    import torch

    from rnntext.runtime.session import Session

    config, rows, steps, temperature = model.config.encoder, 3, 20, 0.8
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    (graph,) = generation_graphs(model.config, weights, "float32").values()
    matrices = {
        name: array
        for name, array in weights.items()
        if array.ndim == 2 and not name.startswith(BACKWARD_WEIGHTS)
    }
    session = Session(to_bytes(graph), threads=1, weights=matrices)
    shape = (config.num_layers, rows, config.hidden_size)
    state = [generator.uniform(-1, 1, shape).astype(np.float32) for _ in config.state_names]
    # The prompt, up to four tokens of a row, and the token after it.
    prompt = generator.integers(config.vocab_size, size=(rows, 4))
    lengths = np.array([4, 0, 2])
    first = generator.integers(config.vocab_size, size=rows)
    uniforms = generator.random((steps, rows))
    sampled, *next_state = session.run(
        ["tokens", *(f"next_{part}" for part in config.state_names)],
        {
            "ids": prompt.T.copy(),
            "lengths": lengths,
            "token": first,
            **dict(zip(config.state_names, state, strict=True)),
            "uniforms": uniforms,
            "rate": np.array(1 / temperature, np.float32),
            "excluded": np.zeros(0, np.int64),
        },
    )
    differences: list[Array] = []
    for row, tokens in enumerate(sampled.T):
        ids = np.concatenate([prompt[row, : lengths[row]], first[[row]], tokens[:-1]])
        logits, end = model(
            torch.from_numpy(ids[None]),
            tuple(torch.from_numpy(part[:, [row]]) for part in state),
        )
        probabilities = softmax(logits[0, -steps:].double().numpy() / temperature)
        mass = np.take_along_axis(probabilities, tokens[:, None], 1)[:, 0]
        upper = np.take_along_axis(probabilities.cumsum(1), tokens[:, None], 1)[:, 0]
        differences.append(np.maximum(uniforms[:, row] - upper, upper - mass - uniforms[:, row]))
        # States have no scale of their own. One that is off by 1 % is far from what a wrong graph
        # would give, and how much that matters shows in the probabilities.
        differences += [
            (
                np.abs(found[:, row] - part[:, 0].numpy())
                / np.maximum(np.abs(part[:, 0].numpy()), 1)
                * (TOLERANCE / 1e-2)
            ).ravel()
            for found, part in zip(next_state, end, strict=True)
        ]
    return float(np.max(np.concatenate(differences)))
