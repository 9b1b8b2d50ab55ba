"""A language model that goes on with texts by itself: the content of `generation.onnx`.

Knows: how a token is drawn from scores within the graph, and the loops of reading, and of stepping
and drawing. Does not know: what a cell computes, filters between scores and a choice, or when a
text is over.

One call draws several tokens of each row, because a call and a choice made outside cost as much
as a small model's step. Inputs and outputs, for K tokens of each of B rows:
    hidden, cell (layers, B, H)     what was read before
    ids (T, B), lengths (B) int64   what is read now: as many steps of each row
    token (B) int64                 what comes after that
    uniforms (K, B) float64         numbers from 0 up to but not including 1, one for each draw
    rate () float32                 1 / temperature
    excluded (N) int64              ids that are never drawn
    -> tokens (K, B) int64, next_hidden, next_cell: what has been read before the last of them
In float32 the file holds the structure and the biases; the matrices are those of
`model.safetensors`, by the same names, and are handed to the session. In int8 it holds them.

A token is the place at which the running sum of the probabilities first exceeds the uniform number,
in the order of the ids, as in `runtime/sampling.py`. Sums of blocks come first, so that only one
block is walked through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from rnntext import checkpoint
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.training.onnx import int8
from rnntext.training.onnx.cells import Cell, Placed
from rnntext.training.onnx.graph import Graph

Array = npt.NDArray[Any]
Weights = Mapping[str, Array]

_BLOCK = 128
_EMBEDDING = "encoder.embedding.weight"
_PROJECTION = "head.projection"


def generation_files(
    config: ModelConfig, weights: Weights, precision: str = "float32"
) -> dict[str, bytes]:
    """`generation.onnx` by its name in a language model's checkpoint; another model has none.
    `weights` are named as in `model.safetensors`."""
    if config.task != "lm":
        return {}
    return {checkpoint.GENERATION: _build(config, weights, precision)}


def _build(config: ModelConfig, weights: Weights, precision: str) -> bytes:
    graph = Graph()
    encoder = config.encoder
    shape: list[int | str] = [encoder.num_layers, "B", encoder.hidden_size]
    for part in encoder.state_names:
        graph.input(part, TensorProto.FLOAT, shape)
    graph.input("ids", TensorProto.INT64, ["T", "B"])
    graph.input("lengths", TensorProto.INT64, ["B"])
    graph.input("token", TensorProto.INT64, ["B"])
    graph.input("uniforms", TensorProto.DOUBLE, ["K", "B"])
    graph.input("rate", TensorProto.FLOAT, [])
    graph.input("excluded", TensorProto.INT64, ["N"])
    _Loops(graph, encoder, weights, small=precision == "int8").add()
    return graph.to_bytes("", {})


class _Loops:
    """Those that read what there is, and the one that steps and draws."""

    def __init__(
        self, graph: Graph, config: EncoderConfig, weights: Weights, *, small: bool
    ) -> None:
        self._graph, self._config, self._weights, self._small = graph, config, weights, small
        placed: Placed | None = None if small else self._given
        self._cells = [
            Cell(
                config.cell,
                weights,
                f"encoder.layers.{number}.forward_cell.",
                small=small,
                name=f"layer{number}.",
                placed=placed,
            )
            for number in range(config.num_layers)
        ]

    def _given(self, name: str) -> str:
        return self._graph.given(name, self._weights[name])

    def add(self) -> None:
        """All of them, and what they are given and give."""
        graph, config = self._graph, self._config
        # By layer and part: (B, H) each.
        starts = [
            graph.add("Gather", [part, graph.integer(layer)], axis=0)
            for layer in range(config.num_layers)
            for part in config.state_names
        ]
        read = self._reading(starts)
        ends = self._drawing(read)
        for place, part in enumerate(config.state_names):
            layers = [graph.add("Unsqueeze", [end, graph.integers(0)]) for end in ends]
            graph.add("Concat", layers[place :: config.state_parts], f"next_{part}", axis=0)
            graph.output(
                f"next_{part}", TensorProto.FLOAT, [config.num_layers, "B", config.hidden_size]
            )

    def _reading(self, starts: Sequence[str]) -> Sequence[str]:
        """The states after each row's own `ids`. Layer after layer, so that what enters a layer is
        multiplied for all steps at once: a step then reads half of the weights."""
        graph, parts = self._graph, self._config.state_parts
        count = graph.add("Squeeze", [graph.add("Shape", ["ids"], start=0, end=1)])
        own = graph.add("Less", [graph.steps("ids"), "lengths"])
        own = graph.add("Unsqueeze", [own, graph.integers(2)])  # (T, B, 1)
        x = graph.add("Reshape", ["ids", graph.integers(-1)])
        ends: list[str] = []
        for layer, cell in enumerate(self._cells):
            gates = self._entering(graph, layer, x)  # (T * B, gates * H)
            width = graph.integers(len(cell.input_bias))
            shape = graph.add("Concat", [graph.add("Shape", ["ids"]), width], axis=0)
            gates = graph.add("Reshape", [gates, shape])
            loop = graph.subgraph(f"read{layer}", sharing=True)
            number, before = self._begun(loop, [layer])
            new = cell.step(loop, loop.add("Gather", [gates, number]), before)
            now = loop.add("Gather", [own, number])
            after = [loop.add("Where", [now, *pair]) for pair in zip(new, before, strict=True)]
            # What is carried on and what is given out are two outputs of the loop.
            self._carried(loop, [*after, loop.add("Identity", [after[0]])])
            names = [f"read{layer}.{place}" for place in range(parts)]
            states = f"read{layer}.states"  # (T, B, H)
            given = [count, "", *starts[layer * parts : (layer + 1) * parts]]
            graph.add_many("Loop", given, [*names, states], body=loop.body())
            x = graph.add("Reshape", [states, graph.integers(-1, self._config.hidden_size)])
            ends += names
        return ends

    def _drawing(self, starts: Sequence[str]) -> Sequence[str]:
        """The states after all tokens but the last, which are given out."""
        graph = self._graph
        bias = self._bias()
        count = graph.add("Squeeze", [graph.add("Shape", ["uniforms"], start=0, end=1)])
        uniforms = graph.add("Unsqueeze", ["uniforms", graph.integers(2)])  # (K, B, 1)
        loop = graph.subgraph("draw", sharing=True)
        number, before = self._begun(loop, range(self._config.num_layers))
        token = loop.input("token", TensorProto.INT64, ["B"])
        after: list[str] = []
        x, parts = token, self._config.state_parts
        for layer, cell in enumerate(self._cells):
            gates = self._entering(loop, layer, x)
            after += cell.step(loop, gates, before[layer * parts : (layer + 1) * parts])
            x = after[-parts]
        uniform = loop.add("Gather", [uniforms, number])
        drawn = _draw(loop, self._logits(loop, x, bias), uniform)
        self._carried(loop, after)
        loop.output(drawn, TensorProto.INT64, ["B"])
        # What is carried on and what is given out are two outputs of the loop.
        loop.output(loop.add("Identity", [drawn]), TensorProto.INT64, ["B"])
        ends = [f"end{place}" for place in range(len(starts))]
        graph.add_many(
            "Loop", [count, "", *starts, "token"], [*ends, "last", "tokens"], body=loop.body()
        )
        graph.output("tokens", TensorProto.INT64, ["K", "B"])
        return ends

    def _begun(self, loop: Graph, layers: Iterable[int]) -> tuple[str, list[str]]:
        """The number of a loop's step, and the states before it by layer and part."""
        config = self._config
        number = loop.input("number", TensorProto.INT64, [])
        going = loop.input("going", TensorProto.BOOL, [])
        loop.output(loop.add("Identity", [going]), TensorProto.BOOL, [])
        states = [
            loop.input(f"{part}{layer}", TensorProto.FLOAT, ["B", config.hidden_size])
            for layer in layers
            for part in config.state_names
        ]
        return number, states

    def _carried(self, loop: Graph, states: Sequence[str]) -> None:
        for state in states:
            loop.output(state, TensorProto.FLOAT, ["B", self._config.hidden_size])

    def _bias(self) -> str:
        """What is added to products with the vocabulary, divided by the temperature (V): minus
        infinity for what is excluded."""
        graph = self._graph
        bias = graph.constant("head.bias", self._weights["head.bias"])
        never = graph.add("Expand", [graph.number(-np.inf), graph.add("Shape", ["excluded"])])
        return graph.add("ScatterElements", [graph.add("Mul", [bias, "rate"]), "excluded", never])

    def _entering(self, graph: Graph, layer: int, x: str) -> str:
        """What enters a layer's gates (N, gates * H): of tokens x (N), or of states (N, H)."""
        cell = self._cells[layer]
        if layer:
            return cell.entering(graph, x)
        if self._small:
            return self._int8_first(graph, cell, x)
        return cell.entering(graph, graph.add("Gather", [self._given(_EMBEDDING), x]))

    def _int8_first(self, graph: Graph, cell: Cell, tokens: str) -> str:
        """What the embeddings of tokens (N) give to the gates. Embeddings have one scale, as in
        `model.onnx`, and are stored as the operator reads them."""
        table = self._weights[_EMBEDDING]
        scale = max(float(np.abs(table).max()), 1e-8) / int8.LARGEST
        stored = (np.round(table / scale) + int8.MIDDLE).astype(np.uint8)
        x = graph.add("Gather", [graph.constant("embedding.uint8", stored), tokens])
        quantized, of_rows = int8.quantize(cell.input_weights)
        return int8.multiplied(
            graph,
            x,
            "embedding.W",
            quantized,
            graph.constant("embedding.scale", np.array(scale, np.float32)),
            graph.constant("embedding.W.scale", of_rows),
            graph.constant("embedding.W.bias", cell.input_bias),
        )

    def _logits(self, loop: Graph, x: str, bias: str) -> str:
        """x (B, H) -> (B, V), divided by the temperature; V is made up to whole blocks by tokens
        that cannot be drawn."""
        weights, short = self._weights, -self._config.vocab_size % _BLOCK
        if f"{_PROJECTION}.weight" in weights:
            name = f"{_PROJECTION}.weight"
            matrix = loop.constant(name, weights[name]) if self._small else self._given(name)
            offset = loop.constant(f"{_PROJECTION}.bias", weights[f"{_PROJECTION}.bias"])
            x = loop.add("Gemm", [x, matrix, offset], transB=1)
        if self._small:
            return self._int8_logits(loop, x, bias, short)
        x = loop.add("Mul", [x, "rate"])
        logits = loop.add("Gemm", [x, self._given(_EMBEDDING), bias], transB=1)
        if not short:
            return logits
        return loop.add("Pad", [logits, loop.integers(0, 0, 0, short), loop.number(-np.inf)])

    def _int8_logits(self, loop: Graph, x: str, bias: str, short: int) -> str:
        graph = self._graph
        quantized, scale = int8.quantize(np.pad(self._weights[_EMBEDDING], [(0, short), (0, 0)]))
        if short:
            bias = graph.add("Pad", [bias, graph.integers(0, short), graph.number(-np.inf)])
        scales = graph.constant("output.scale", scale)
        # Scaled once for all steps, as the product is.
        bias = graph.add("Div", [bias, scales])
        rate = graph.add("Mul", ["rate", int8.step(graph)])
        largest = ""
        if f"{_PROJECTION}.weight" in self._weights:
            # What it makes of states has no range of its own: each row's is its largest entry.
            largest = loop.add("ReduceMax", [loop.add("Abs", [x])], axes=[1], keepdims=1)
            largest = loop.add("Max", [largest, loop.number(1e-8)])
            x = loop.add("Div", [x, largest])
        # With one scale for all rows: see `int8.product_of_few`.
        one, start = loop.number(1), "" if largest else bias
        x = int8.rounded(loop, x)
        logits = int8.multiplied(loop, x, "output", quantized, rate, one, start)
        if largest:
            logits = loop.add("Add", [loop.add("Mul", [logits, largest]), bias])
        return loop.add("Mul", [logits, scales])


def _draw(loop: Graph, logits: str, uniform: str) -> str:
    """A token of each row: logits (B, blocks * _BLOCK), uniform (B, 1) -> (B)."""
    axis = loop.integer(1)
    masses = loop.add("Softmax", [logits], axis=1)
    blocks = loop.add("Reshape", [masses, loop.integers(0, -1, _BLOCK)])
    sums = _precise(loop, loop.add("ReduceSum", [blocks, loop.integers(2)], keepdims=0))
    ends = loop.add("CumSum", [sums, axis])  # (B, blocks)
    share = loop.add("Mul", [uniform, _last(loop, ends)])
    block = _passed(loop, ends, share)  # (B, 1)
    # Each is the end of the one before to the bit, so that no share is below its block.
    starts = loop.add("CumSum", [sums, axis], exclusive=1)
    rest = loop.add("Sub", [share, loop.add("GatherElements", [starts, block], axis=1)])
    inside = _precise(loop, loop.add("GatherND", [blocks, block], batch_dims=1))
    inside = loop.add("CumSum", [inside, axis])  # (B, _BLOCK)
    # The block's sum may be rounded to more than that: what has no probability is not come to.
    below = loop.constant("below", np.array(1 - 1e-7, np.float64))
    rest = loop.add("Min", [rest, loop.add("Mul", [_last(loop, inside), below])])
    start = loop.add("Mul", [block, loop.integer(_BLOCK)])
    place = loop.add("Add", [start, _passed(loop, inside, rest)])
    return loop.add("Squeeze", [place, loop.integers(1)])


def _precise(loop: Graph, values: str) -> str:
    return loop.add("Cast", [values], to=TensorProto.DOUBLE)


def _last(loop: Graph, sums: str) -> str:
    """(B, n) -> (B, 1)"""
    return loop.add("Gather", [sums, loop.integers(-1)], axis=1)


def _passed(loop: Graph, sums: str, share: str) -> str:
    """How many of a row's running sums (B, n) its share (B, 1) reaches: (B, 1)."""
    reached = loop.add("LessOrEqual", [sums, share])
    counted = loop.add("Cast", [reached], to=TensorProto.INT64)
    return loop.add("ReduceSum", [counted, loop.integers(1)], keepdims=1)
