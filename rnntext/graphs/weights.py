"""The weights that a graph holds, by their names in `model.safetensors`.

Knows: where the builders of this package put each weight, and in which layout: the inverse of
`unidirectional.py`, `bidirectional.py`, `cells.py`, `int8.py` and the heads. Does not know: files,
or what the weights are used for.

A float32 graph holds every weight as it is, with one exception: a bidirectional LSTM or vanilla RNN
has the sum of its two biases alone, which is given back as the first, and the second is zero. The
graph that is built of these weights is the same, byte for byte. An int8 graph gives the values that
it computes with: integers times their scales. Of the two roundings of a language model's embeddings
they are those of the input, which have eight bits. A language model's second encoder is in no
graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rnntext.config import ModelConfig
from rnntext.graphs.common import task_graph
from rnntext.graphs.expected import compare, expected_graph, weight_shapes
from rnntext.graphs.graph_builder import Array, Graph, Tensor
from rnntext.graphs.unidirectional import GATES, SENTINELS
from rnntext.graphs.wire import Data, read_model

# Weights of the heads whose names in a graph are others than in `model.safetensors`.
_IN_GRAPH = {
    "head.bias": "output.bias",  # in int8, where nothing stands between the states and the logits
    "head.crf.start": "crf.start",
    "head.crf.transitions": "crf.transitions",
    "head.crf.end": "crf.end",
}


def weights_of(content: Data, config: ModelConfig, precision: str) -> dict[str, Array]:
    """The weights, in float32, of the main graph of this configuration, from the content of its
    file. Raises WireError if it holds another graph."""
    model = read_model(content, with_weights=True)
    compare(model, expected_graph(config, precision))
    tensors = {tensor.name: tensor.value for tensor in _tensors(model.graph) if not tensor.external}
    return _Weights(config, tensors).all()  # type: ignore[arg-type]


def _tensors(graph: Graph) -> Iterator[Tensor]:
    """The tensors of a graph and of the bodies of its nodes; no name is in two of them."""
    yield from graph.tensors
    for node in graph.nodes:
        for value in node.attributes.values():
            if isinstance(value, Graph):
                yield from _tensors(value)


class _Weights:
    """Finds the weights of a configuration among the tensors of its graph."""

    def __init__(self, config: ModelConfig, tensors: Mapping[str, Array]) -> None:
        self._config, self._tensors = config, tensors

    def all(self) -> dict[str, Array]:
        encoder = self._config.encoder
        # The int8 LSTM's table has columns for its sentinel units.
        table = self._matrix("embedding")[:, : encoder.embed_size]
        found = {"encoder.embedding.weight": table}
        layer = self._two_directions if encoder.bidirectional else self._one_direction
        for number in range(encoder.num_layers):
            found.update(layer(number))
        for name in task_graph(self._config).head_shapes(self._config):
            found[name] = self._tensors[name if name in self._tensors else _IN_GRAPH[name]]
        # Copies, so that the content of the file can go.
        return {name: np.array(found[name], np.float32) for name in weight_shapes(self._config)}

    def _matrix(self, name: str) -> Array:
        """(..., rows, K) in float32."""
        if name in self._tensors:
            return self._tensors[name]
        rounded = self._tensors[f"{name}.int8"].astype(np.float32)
        scale = self._tensors[f"{name}.scale"]
        if scale.ndim == rounded.ndim - 1:
            # An operator that wants (..., K, rows), and one scale for each row.
            return np.asarray(rounded.swapaxes(-1, -2) * scale[..., None])
        return np.asarray(rounded * scale)

    def _two_directions(self, number: int) -> Iterator[tuple[str, Array]]:
        for direction in ("forward", "backward"):
            name = f"encoder.layers.{number}.{direction}_cell"
            outside = f"layer{number}.{direction}."
            loop = f"{outside}step."
            # The first layer's input is projected before the loop.
            of_input = loop if number else outside
            yield f"{name}.weight_ih_l0", self._matrix(f"{of_input}W")
            yield f"{name}.weight_hh_l0", self._matrix(f"{loop}R")
            bias = self._tensors.get(f"{of_input}B")
            if bias is None:
                bias = self._tensors[f"{of_input}W.bias"]
            yield f"{name}.bias_ih_l0", bias
            yield f"{name}.bias_hh_l0", self._tensors.get(f"{loop}bias", np.zeros_like(bias))

    def _one_direction(self, number: int) -> Iterator[tuple[str, Array]]:
        name, encoder = f"encoder.layers.{number}.forward_cell", self._config.encoder
        width = encoder.hidden_size if number else encoder.embed_size
        of_input, of_state = (self._matrix(f"layer{number}.{letter}")[0] for letter in "WR")
        yield f"{name}.weight_ih_l0", self._in_order(of_input)[:, :width]
        yield f"{name}.weight_hh_l0", self._in_order(of_state)[:, : encoder.hidden_size]
        input_bias, state_bias = np.split(self._tensors[f"layer{number}.B"][0], 2)
        yield f"{name}.bias_ih_l0", self._in_order(input_bias)
        yield f"{name}.bias_hh_l0", self._in_order(state_bias)

    def _in_order(self, rows: Array) -> Array:
        """Rows (gates * units, ...) of ONNX's operators, in PyTorch's order of gates, without the
        sentinel units that an int8 LSTM has."""
        encoder = self._config.encoder
        order, hidden = GATES[encoder.cell], encoder.hidden_size
        gates = rows.reshape(len(order), -1, *rows.shape[1:])  # (gates, units, ...)
        assert gates.shape[1] in (hidden, hidden + SENTINELS)  # noqa: S101
        kept = gates[np.argsort(order), :hidden]
        return kept.reshape(-1, *rows.shape[1:])
