"""What a recurrent cell computes in one step, as nodes of a loop's body.

Knows: the order of gates, which is PyTorch's, where biases stand, and products in float32 or int8.
Does not know: where a step's input comes from, or how often a step is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from rnntext.training.onnx import int8
from rnntext.training.onnx.graph import Graph

Array = npt.NDArray[Any]
Weights = Mapping[str, Array]
# A weight by its name in `model.safetensors` -> its name in a graph.
Placed = Callable[[str], str]


class Cell:
    """A layer's cell of one direction."""

    def __init__(
        self,
        kind: str,
        weights: Weights,
        prefix: str,
        *,
        small: bool,
        name: str = "",
        placed: Placed | None = None,
    ) -> None:
        """`prefix` begins the names of the cell's weights, `name` those of its nodes; `small`: in
        int8; `placed`: where matrices in float32 are, None: in the body."""
        self._kind, self._small, self._name, self._placed = kind, small, name, placed
        self._matrices = {
            letter: (f"{prefix}{tensor}_l0", weights[f"{prefix}{tensor}_l0"])
            for letter, tensor in (("W", "weight_ih"), ("R", "weight_hh"))
        }
        self.input_weights = self._matrices["W"][1]
        bias, self._recurrent_bias = (weights[f"{prefix}bias_{of}_l0"] for of in ("ih", "hh"))
        # A GRU's reset gate stands before the other bias.
        self.input_bias = bias if kind == "gru" else bias + self._recurrent_bias

    def entering(self, loop: Graph, x: str) -> str:
        """What x (B, I) gives to each gate: (B, gates * H)."""
        if self._small:
            matrix = self._matrices["W"][1]
            return int8.product(loop, x, f"{self._name}W", matrix, self.input_bias)
        bias = loop.constant(f"{self._name}B", self.input_bias)
        return self._product(loop, x, "W", bias)

    def step(self, loop: Graph, gates: str, before: Sequence[str], own: str = "") -> list[str]:
        """The state (B, H) each after a step, of what enters the gates and the state before; zero
        in the rows where `own` (B, 1) is."""
        step = {"rnn": self._rnn, "gru": self._gru, "lstm": self._lstm}[self._kind]
        return step(loop, gates, before, own)

    def _product(self, loop: Graph, states: str, letter: str, bias: str) -> str:
        """states (B, K) times a matrix (N, K), and a bias (N) or (B, N) added."""
        tensor, matrix = self._matrices[letter]
        name = f"{self._name}{letter}"
        if self._small:
            return loop.add("Add", [int8.product(loop, states, name, matrix), bias])
        place = self._placed(tensor) if self._placed else loop.constant(name, matrix)
        return loop.add("Gemm", [states, place, bias], transB=1)

    def _rnn(self, loop: Graph, gates: str, before: Sequence[str], own: str) -> list[str]:
        total = self._product(loop, before[0], "R", gates)
        return [_masked(loop, loop.add("Tanh", [total]), own)]

    def _gru(self, loop: Graph, gates: str, before: Sequence[str], own: str) -> list[str]:
        hidden = before[0]
        bias = loop.constant(f"{self._name}bias", self._recurrent_bias)
        recurrent = self._product(loop, hidden, "R", bias)
        # PyTorch's order: reset, update, new.
        inputs = loop.split(gates, f"{self._name}input", 3)
        states = loop.split(recurrent, f"{self._name}state", 3)
        reset, update = (
            loop.add("Sigmoid", [loop.add("Add", pair)])
            for pair in list(zip(inputs, states, strict=True))[:2]
        )
        new = loop.add("Add", [inputs[2], loop.add("Mul", [reset, states[2]])])
        new = loop.add("Tanh", [new])
        kept = loop.add("Mul", [update, loop.add("Sub", [hidden, new])])
        return [_masked(loop, loop.add("Add", [new, kept]), own)]

    def _lstm(self, loop: Graph, gates: str, before: Sequence[str], own: str) -> list[str]:
        total = self._product(loop, before[0], "R", gates)
        # PyTorch's order: input, forget, cell, output.
        entering, forgetting, new, leaving = loop.split(total, f"{self._name}gate", 4)
        kept = loop.add("Mul", [loop.add("Sigmoid", [forgetting]), before[1]])
        new = loop.add("Mul", [loop.add("Sigmoid", [entering]), loop.add("Tanh", [new])])
        cell = _masked(loop, loop.add("Add", [kept, new]), own)
        hidden = loop.add("Mul", [loop.add("Sigmoid", [leaving]), loop.add("Tanh", [cell])])
        return [hidden, cell]


def _masked(loop: Graph, states: str, own: str) -> str:
    return loop.add("Mul", [states, own]) if own else states
