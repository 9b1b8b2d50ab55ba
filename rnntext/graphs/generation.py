"""A language model that generates text inside the graph: the content of `generation.onnx`.

Knows: how a token is sampled from logits by ONNX operators, the loops that read a prompt, and the
loop that steps and samples. Does not know: what a cell computes, top-k and other filters, or when
a text is complete.

One call generates several tokens for each row, because a call to the session, and sampling outside
of it, cost as much as a step of a small model. Inputs and outputs, for K tokens of each of B rows:
    hidden, cell (layers, B, H)     state before the prompt
    ids (T, B), lengths (B) int64   prompt: the first `lengths` steps of each row are read
    token (B) int64                 token after the prompt, from which the first logits are computed
    uniforms (K, B) float64         uniform random numbers in [0, 1), one for each token
    rate () float32                 1 / temperature
    excluded (N) int64              ids that are never sampled
    -> tokens (K, B) int64, next_hidden, next_cell: state before the last of these tokens
In float32 the file holds the structure and the biases. The matrices have the names that they have
in `model.safetensors`, and are passed to the session. In int8 the file holds everything.

Sampling inverts the cumulative distribution: the token is the first id, in the order of the ids, at
which the cumulative sum of the probabilities exceeds the uniform number, as in
`runtime/sampling.py`. The sums of blocks are cumulated first, so that only one block is searched
id by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rnntext import checkpoint
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.graphs import int8
from rnntext.graphs.cells import AddExternal, Cell
from rnntext.graphs.common import Weights
from rnntext.graphs.graph_builder import ElementType, GraphBuilder

_BLOCK = 128
_EMBEDDING = "encoder.embedding.weight"
_PROJECTION = "head.projection"


def generation_graphs(
    config: ModelConfig, weights: Weights, precision: str = "float32"
) -> dict[str, GraphBuilder]:
    """The graph of `generation.onnx` by its file name in the checkpoint of a language model;
    `weights` are named as in `model.safetensors`."""
    return {checkpoint.GENERATION: _build(config, weights, precision)}


def _build(config: ModelConfig, weights: Weights, precision: str) -> GraphBuilder:
    graph = GraphBuilder()
    encoder = config.encoder
    shape: list[int | str] = [encoder.num_layers, "B", encoder.hidden_size]
    for part in encoder.state_names:
        graph.input(part, ElementType.FLOAT, shape)
    graph.input("ids", ElementType.INT64, ["T", "B"])
    graph.input("lengths", ElementType.INT64, ["B"])
    graph.input("token", ElementType.INT64, ["B"])
    graph.input("uniforms", ElementType.DOUBLE, ["K", "B"])
    graph.input("rate", ElementType.FLOAT, [])
    graph.input("excluded", ElementType.INT64, ["N"])
    _Generator(graph, encoder, weights, quantized=precision == "int8").add()
    return graph


class _Generator:
    """Adds the loops to a graph that has its inputs: one for each layer that reads the prompt, and
    one that steps through all layers and samples."""

    def __init__(
        self, graph: GraphBuilder, config: EncoderConfig, weights: Weights, *, quantized: bool
    ) -> None:
        self._graph, self._config, self._weights = graph, config, weights
        self._quantized = quantized
        add_external: AddExternal | None = None if quantized else self._external
        self._cells = [
            Cell(
                config.cell,
                weights,
                f"encoder.layers.{number}.forward_cell.",
                quantized=quantized,
                name=f"layer{number}.",
                add_external=add_external,
            )
            for number in range(config.num_layers)
        ]

    def _external(self, name: str) -> str:
        return self._graph.constant(name, self._weights[name], external=True)

    def add(self) -> None:
        """Add all loops and the outputs of the graph."""
        graph, config = self._graph, self._config
        # By layer, then hidden before cell: (B, H) each.
        starts = [
            graph.add("Gather", [part, graph.int_scalar(layer)], axis=0)
            for layer in range(config.num_layers)
            for part in config.state_names
        ]
        prompt_state = self._read_prompt(starts)
        final_state = self._sample_tokens(prompt_state)
        for place, part in enumerate(config.state_names):
            layers = [graph.add("Unsqueeze", [s, graph.int_vector(0)]) for s in final_state]
            graph.add("Concat", layers[place :: config.state_parts], f"next_{part}", axis=0)
            graph.output(
                f"next_{part}", ElementType.FLOAT, [config.num_layers, "B", config.hidden_size]
            )

    def _read_prompt(self, starts: Sequence[str]) -> Sequence[str]:
        """The state after each row's prompt. The layers run one after the other, so that the input
        projection of a layer is one product for all steps, and a step reads only half of the
        weights."""
        graph, parts = self._graph, self._config.state_parts
        count = graph.add("Squeeze", [graph.add("Shape", ["ids"], start=0, end=1)])
        valid = graph.add("Less", [graph.step_numbers("ids"), "lengths"])
        valid = graph.add("Unsqueeze", [valid, graph.int_vector(2)])  # (T, B, 1)
        x = graph.add("Reshape", ["ids", graph.int_vector(-1)])
        ends: list[str] = []
        for layer, cell in enumerate(self._cells):
            projected = self._project_input(graph, layer, x)  # (T * B, gates * H)
            width = graph.int_vector(len(cell.input_bias))
            shape = graph.add("Concat", [graph.add("Shape", ["ids"]), width], axis=0)
            projected = graph.add("Reshape", [projected, shape])  # (T, B, gates * H)
            loop = graph.subgraph(f"read{layer}", share_constants=True)
            number, state = self._start_loop(loop, [layer])
            stepped = cell.step(loop, loop.add("Gather", [projected, number]), state)
            valid_now = loop.add("Gather", [valid, number])
            # A row keeps its state after the end of its prompt.
            next_state = [
                loop.add("Where", [valid_now, *pair]) for pair in zip(stepped, state, strict=True)
            ]
            # The loop has separate outputs for the next state and for the states of all steps.
            self._state_outputs(loop, [*next_state, loop.add("Identity", [next_state[0]])])
            names = [f"read{layer}.{place}" for place in range(parts)]
            states = f"read{layer}.states"  # (T, B, H)
            inputs = [count, "", *starts[layer * parts : (layer + 1) * parts]]
            graph.add_with_outputs("Loop", inputs, [*names, states], body=loop.body())
            x = graph.add("Reshape", [states, graph.int_vector(-1, self._config.hidden_size)])
            ends += names
        return ends

    def _sample_tokens(self, starts: Sequence[str]) -> Sequence[str]:
        """Add the output `tokens`. Returns the state before the last of them."""
        graph = self._graph
        bias = self._logit_bias()
        count = graph.add("Squeeze", [graph.add("Shape", ["uniforms"], start=0, end=1)])
        uniforms = graph.add("Unsqueeze", ["uniforms", graph.int_vector(2)])  # (K, B, 1)
        loop = graph.subgraph("draw", share_constants=True)
        number, state = self._start_loop(loop, range(self._config.num_layers))
        token = loop.input("token", ElementType.INT64, ["B"])
        next_state: list[str] = []
        x, parts = token, self._config.state_parts
        for layer, cell in enumerate(self._cells):
            projected = self._project_input(loop, layer, x)
            next_state += cell.step(loop, projected, state[layer * parts : (layer + 1) * parts])
            x = next_state[-parts]
        uniform = loop.add("Gather", [uniforms, number])
        sampled = _sample(loop, self._logits(loop, x, bias), uniform)
        self._state_outputs(loop, next_state)
        # The loop has separate outputs for the next token and for all tokens.
        loop.output(sampled, ElementType.INT64, ["B"])
        loop.output(loop.add("Identity", [sampled]), ElementType.INT64, ["B"])
        ends = [f"end{place}" for place in range(len(starts))]
        graph.add_with_outputs(
            "Loop", [count, "", *starts, "token"], [*ends, "last", "tokens"], body=loop.body()
        )
        graph.output("tokens", ElementType.INT64, ["K", "B"])
        return ends

    def _start_loop(self, loop: GraphBuilder, layers: Iterable[int]) -> tuple[str, list[str]]:
        """Add a loop's inputs, and its condition, which stays true. Returns the number of the step,
        and the state by layer, then hidden before cell."""
        config = self._config
        number = loop.input("number", ElementType.INT64, [])
        condition = loop.input("going", ElementType.BOOL, [])
        loop.output(loop.add("Identity", [condition]), ElementType.BOOL, [])
        state = [
            loop.input(f"{part}{layer}", ElementType.FLOAT, ["B", config.hidden_size])
            for layer in layers
            for part in config.state_names
        ]
        return number, state

    def _state_outputs(self, loop: GraphBuilder, states: Sequence[str]) -> None:
        for state in states:
            loop.output(state, ElementType.FLOAT, ["B", self._config.hidden_size])

    def _logit_bias(self) -> str:
        """The bias of the logits divided by the temperature (V): minus infinity for excluded
        ids."""
        graph = self._graph
        bias = graph.constant("head.bias", self._weights["head.bias"])
        shape = graph.add("Shape", ["excluded"])
        minus_infinity = graph.add("Expand", [graph.float_scalar(-np.inf), shape])
        scaled = graph.add("Mul", [bias, "rate"])
        return graph.add("ScatterElements", [scaled, "excluded", minus_infinity])

    def _project_input(self, graph: GraphBuilder, layer: int, x: str) -> str:
        """The input projection of a layer (N, gates * H). x: tokens (N) for the first layer, hidden
        states (N, H) for the others."""
        cell = self._cells[layer]
        if layer:
            return cell.project_input(graph, x)
        if self._quantized:
            return self._project_int8_embeddings(graph, cell, x)
        embeddings = graph.add("Gather", [self._external(_EMBEDDING), x])
        return cell.project_input(graph, embeddings)

    def _project_int8_embeddings(self, graph: GraphBuilder, cell: Cell, tokens: str) -> str:
        """The input projection of tokens (N). The embeddings have one scale, as in `model.onnx`,
        and are stored as uint8, because the operator takes uint8."""
        rounded, scale = int8.quantize_embeddings(self._weights[_EMBEDDING])
        table = graph.constant("embedding.uint8", (rounded + int8.ZERO_POINT).astype(np.uint8))
        x = graph.add("Gather", [table, tokens])
        weights_int8, weight_scale = int8.quantize(cell.input_weights)
        return int8.matmul(
            graph,
            x,
            "embedding.W",
            weights_int8,
            graph.constant("embedding.scale", np.array(scale, np.float32)),
            graph.constant("embedding.W.scale", weight_scale),
            graph.constant("embedding.W.bias", cell.input_bias),
        )

    def _logits(self, loop: GraphBuilder, x: str, bias: str) -> str:
        """x (B, H) -> logits divided by the temperature (B, V). V is padded to whole blocks with
        ids of probability 0."""
        weights, padding = self._weights, -self._config.vocab_size % _BLOCK
        if f"{_PROJECTION}.weight" in weights:
            name = f"{_PROJECTION}.weight"
            matrix = loop.constant(name, weights[name]) if self._quantized else self._external(name)
            offset = loop.constant(f"{_PROJECTION}.bias", weights[f"{_PROJECTION}.bias"])
            x = loop.add("Gemm", [x, matrix, offset], transB=1)
        if self._quantized:
            return self._int8_logits(loop, x, bias, padding)
        x = loop.add("Mul", [x, "rate"])
        logits = loop.add("Gemm", [x, self._external(_EMBEDDING), bias], transB=1)
        if not padding:
            return logits
        limits = loop.int_vector(0, 0, 0, padding)
        return loop.add("Pad", [logits, limits, loop.float_scalar(-np.inf)])

    def _int8_logits(self, loop: GraphBuilder, x: str, bias: str, padding: int) -> str:
        """x (B, E) -> (B, V). All steps use the same bias and scales, so they are computed once,
        outside of the loop."""
        graph, table = self._graph, self._weights[_EMBEDDING]
        weights_int8, scale = int8.quantize(np.pad(table, [(0, padding), (0, 0)]))
        if padding:
            limits = graph.int_vector(0, padding)
            bias = graph.add("Pad", [bias, limits, graph.float_scalar(-np.inf)])
        scales = graph.constant("output.scale", scale)
        bias = graph.add("Div", [bias, scales])
        x_scale = graph.add("Mul", ["rate", int8.state_scale(graph)])
        if f"{_PROJECTION}.weight" in self._weights:
            x, largest = int8.normalize_rows(loop, x)
            normalized = int8.matmul_unscaled(loop, x, "output", weights_int8, x_scale)
            logits = loop.add("Add", [loop.add("Mul", [normalized, largest]), bias])
        else:
            logits = int8.matmul_unscaled(loop, x, "output", weights_int8, x_scale, bias)
        return loop.add("Mul", [logits, scales])


def _sample(loop: GraphBuilder, logits: str, uniform: str) -> str:
    """Sample a token of each row by the inverse CDF: logits (B, blocks * _BLOCK), uniform (B, 1)
    -> (B)."""
    axis = loop.int_scalar(1)
    probabilities = loop.add("Softmax", [logits], axis=1)
    blocks = loop.add("Reshape", [probabilities, loop.int_vector(0, -1, _BLOCK)])
    sums = _to_float64(loop, loop.add("ReduceSum", [blocks, loop.int_vector(2)], keepdims=0))
    ends = loop.add("CumSum", [sums, axis])  # (B, blocks)
    # The probabilities may not sum to exactly 1.
    threshold = loop.add("Mul", [uniform, _last(loop, ends)])
    block = _count_reached(loop, ends, threshold)  # (B, 1)
    # A block starts exactly where the one before it ends, so the rest is never negative.
    starts = loop.add("CumSum", [sums, axis], exclusive=1)
    start = loop.add("GatherElements", [starts, block], axis=1)
    rest = loop.add("Sub", [threshold, start])
    cumulative = _to_float64(loop, loop.add("GatherND", [blocks, block], batch_dims=1))
    cumulative = loop.add("CumSum", [cumulative, axis])  # (B, _BLOCK)
    # The block's sum in float32 may be rounded up. The limit keeps the search from running past
    # the block's end, to ids of probability 0.
    below_one = loop.constant("below", np.array(1 - 1e-7, np.float64))
    limit = loop.add("Mul", [_last(loop, cumulative), below_one])
    rest = loop.add("Min", [rest, limit])
    first = loop.add("Mul", [block, loop.int_scalar(_BLOCK)])
    token = loop.add("Add", [first, _count_reached(loop, cumulative, rest)])
    return loop.add("Squeeze", [token, loop.int_vector(1)])


def _to_float64(loop: GraphBuilder, values: str) -> str:
    return loop.add("Cast", [values], to=ElementType.DOUBLE)


def _last(loop: GraphBuilder, sums: str) -> str:
    """The last column of (B, n): (B, 1)."""
    return loop.add("Gather", [sums, loop.int_vector(-1)], axis=1)


def _count_reached(loop: GraphBuilder, sums: str, threshold: str) -> str:
    """The number of cumulative sums (B, n) that are at most the threshold (B, 1): (B, 1), the
    index of the first sum above it."""
    reached = loop.add("LessOrEqual", [sums, threshold])
    counted = loop.add("Cast", [reached], to=ElementType.INT64)
    return loop.add("ReduceSum", [counted, loop.int_vector(1)], keepdims=1)
