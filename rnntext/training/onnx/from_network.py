"""A trained network as a graph, and the check that the graph computes what the network does.

Knows: that a network's weights make a graph, and the runtime's session to compare the two in.
Does not know: files, how a graph is built, or any one task.
"""

from __future__ import annotations

import numpy as np
import torch

from rnntext.errors import TrainingError
from rnntext.graphs.graph_builder import Array
from rnntext.runtime.session import Session
from rnntext.training.networks.encoder import Network
from rnntext.training.onnx.build import build
from rnntext.training.onnx.common import TOLERANCE, RandomBatch, graph_check

# Weights of a model that has learned something are at most about 20.
_LARGEST_WEIGHT = 1000.0
# Rows and steps of the batches on which a graph is compared with its network.
_BATCHES = ((1, 1), (1, 2), (3, 7), (2, 40))


def numpy_weights(model: Network) -> dict[str, Array]:
    """The weights in float32, by their names in `model.safetensors`."""
    return {
        name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()
    }


def export(model: Network) -> bytes:
    """The graph of `model` in float32, as the content of `model.onnx`."""
    return build(model.config, numpy_weights(model))


def verify(model: Network, graph: bytes) -> float:
    """The largest difference in a probability between model and graph, over random inputs of
    several lengths; of a language model also that of its generation graph. Raises TrainingError
    where it is above TOLERANCE: for weights that have diverged their rounding errors alone are."""
    model = model.cpu().eval()
    session = Session(graph, threads=1)
    generator = np.random.default_rng(0)
    task = graph_check(model.config)
    with torch.no_grad():
        differences = [
            task.difference(model, session, _random_batch(model, generator, rows, steps))
            for rows, steps in _BATCHES
        ]
        differences.append(task.difference_of_others(model, generator))
    largest = float(np.max(differences))  # NaN, if any of them is
    if not largest <= TOLERANCE:
        weight = _largest_weight(model)
        if not weight <= _LARGEST_WEIGHT:
            raise TrainingError(
                f"training diverged: the largest weight is {weight:.2g}, so nothing was saved; "
                "train again with a smaller --lr"
            )
        raise TrainingError(
            f"the exported graph differs from the trained model by {largest:.2g} in probability "
            f"(at most {TOLERANCE:g} is allowed), so nothing was saved: please report this"
        )
    return largest


def _largest_weight(model: Network) -> float:
    """The largest absolute weight, NaN if one is NaN; without the CRF, which has large scores for
    what it forbids."""
    largest = [p.detach().abs().max() for name, p in model.named_parameters() if "crf" not in name]
    return float(torch.stack(largest).max())


def _random_batch(
    model: Network, generator: np.random.Generator, rows: int, steps: int
) -> RandomBatch:
    config = model.config.encoder
    ids = generator.integers(config.vocab_size, size=(rows, steps))
    lengths = generator.integers(1, steps + 1, size=rows)
    lengths[0] = steps
    feeds: dict[str, Array] = {"ids": ids, "lengths": lengths.astype(np.int32)}
    if config.bidirectional:
        return RandomBatch(feeds, None, generator)
    shape = (config.num_layers, rows, config.hidden_size)
    state = [generator.uniform(-1, 1, shape).astype(np.float32) for _ in config.state_names]
    feeds.update(zip(config.state_names, state, strict=True))
    return RandomBatch(feeds, tuple(map(torch.from_numpy, state)), generator)
