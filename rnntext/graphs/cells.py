"""One step of a recurrent cell, as nodes in the body of a loop.

Knows: the order of gates (PyTorch's), where biases are added, and products in float32 or int8.
Does not know: where the input of a step comes from, or how many steps there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rnntext.graphs import int8
from rnntext.graphs.common import Weights
from rnntext.graphs.graph_builder import GraphBuilder

# Takes the name of a weight in `model.safetensors`, adds it to the graph as an external
# initializer, and returns its name there.
AddExternal = Callable[[str], str]


class Cell:
    """The cell of one layer and one direction.

    A step has two parts: `project_input` multiplies the input by the input weights, for any number
    of steps in one product; `step` adds the product with the hidden state and applies the gates.
    """

    def __init__(
        self,
        kind: str,
        weights: Weights,
        prefix: str,
        *,
        quantized: bool,
        name: str = "",
        add_external: AddExternal | None = None,
    ) -> None:
        """`prefix` begins the names of the cell's weights, `name` those of its nodes.
        `add_external`: adds float32 matrices to the graph; None: they are stored in the body."""
        self._kind, self._quantized, self._name = kind, quantized, name
        self._add_external = add_external
        self._matrices = {
            letter: (f"{prefix}{tensor}_l0", weights[f"{prefix}{tensor}_l0"])
            for letter, tensor in (("W", "weight_ih"), ("R", "weight_hh"))
        }
        self.input_weights = self._matrices["W"][1]
        bias, self._recurrent_bias = (weights[f"{prefix}bias_{of}_l0"] for of in ("ih", "hh"))
        # A GRU multiplies its reset gate by the hidden state's product and bias, so the two biases
        # stay apart.
        self.input_bias = bias if kind == "gru" else bias + self._recurrent_bias

    def project_input(self, graph: GraphBuilder, x: str) -> str:
        """The input projection of x (N, I) for all gates: (N, gates * H)."""
        if self._quantized:
            name = f"{self._name}W"
            return int8.linear(graph, x, name, self.input_weights, self.input_bias)
        return self._linear(graph, x, "W", graph.constant(f"{self._name}B", self.input_bias))

    def step(
        self, loop: GraphBuilder, projected: str, state: Sequence[str], mask: str = ""
    ) -> list[str]:
        """The next state, (B, H) each, from the projected input (B, gates * H) and the state. It
        is zero in the rows where `mask` (B, 1) is zero."""
        step = {"rnn": self._rnn, "gru": self._gru, "lstm": self._lstm}[self._kind]
        return step(loop, projected, state, mask)

    def _linear(self, graph: GraphBuilder, x: str, letter: str, bias: str) -> str:
        """x (B, K) times the matrix W or R (N, K), plus a bias (N) or (B, N)."""
        tensor, matrix = self._matrices[letter]
        name = f"{self._name}{letter}"
        if self._quantized:
            return graph.add("Add", [int8.linear(graph, x, name, matrix), bias])
        add_external = self._add_external
        weights = add_external(tensor) if add_external else graph.constant(name, matrix)
        return graph.add("Gemm", [x, weights, bias], transB=1)

    def _rnn(
        self, loop: GraphBuilder, projected: str, state: Sequence[str], mask: str
    ) -> list[str]:
        total = self._linear(loop, state[0], "R", projected)
        return [_masked(loop, loop.add("Tanh", [total]), mask)]

    def _gru(
        self, loop: GraphBuilder, projected: str, state: Sequence[str], mask: str
    ) -> list[str]:
        hidden = state[0]
        bias = loop.constant(f"{self._name}bias", self._recurrent_bias)
        recurrent = self._linear(loop, hidden, "R", bias)
        # PyTorch's order: reset, update, candidate.
        from_input = loop.split(projected, f"{self._name}input", 3)
        from_hidden = loop.split(recurrent, f"{self._name}state", 3)
        reset, update = (
            loop.add("Sigmoid", [loop.add("Add", pair)])
            for pair in list(zip(from_input, from_hidden, strict=True))[:2]
        )
        gated = loop.add("Mul", [reset, from_hidden[2]])
        candidate = loop.add("Tanh", [loop.add("Add", [from_input[2], gated])])
        kept = loop.add("Mul", [update, loop.add("Sub", [hidden, candidate])])
        return [_masked(loop, loop.add("Add", [candidate, kept]), mask)]

    def _lstm(
        self, loop: GraphBuilder, projected: str, state: Sequence[str], mask: str
    ) -> list[str]:
        total = self._linear(loop, state[0], "R", projected)
        # PyTorch's order: input, forget, candidate, output.
        gates = loop.split(total, f"{self._name}gate", 4)
        input_gate, forget_gate, candidate, output_gate = gates
        kept = loop.add("Mul", [loop.add("Sigmoid", [forget_gate]), state[1]])
        written = loop.add(
            "Mul", [loop.add("Sigmoid", [input_gate]), loop.add("Tanh", [candidate])]
        )
        cell = _masked(loop, loop.add("Add", [kept, written]), mask)
        # Zero where the cell state is zero, so it needs no mask.
        hidden = loop.add("Mul", [loop.add("Sigmoid", [output_gate]), loop.add("Tanh", [cell])])
        return [hidden, cell]


def _masked(loop: GraphBuilder, states: str, mask: str) -> str:
    return loop.add("Mul", [states, mask]) if mask else states
