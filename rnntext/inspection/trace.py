"""What happens inside a recurrent encoder at each step: gates, cell states and hidden states.

Knows: layers, directions, and the names of their weights in a checkpoint. Does not know: the
equations of a step (`runtime/cells.py`), text, tasks, or views.

The graph of a model gives only its states. Here every step is computed once more in NumPy from the
weights in float32, also of a model that runs in int8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext.config import EncoderConfig
from rnntext.runtime.cells import STEPS

Array = NDArray[Any]
State = tuple[Array, ...]  # hidden, and for the LSTM cell, each (layers, B, H)

# Gates lie between 0 and 1; the candidate, what could be written, between -1 and 1.
GATES = {"rnn": (), "gru": ("reset", "update"), "lstm": ("input", "forget", "output")}
# The gate that says which share of the last state is kept, and which is let through.
KEEPING = {"gru": "update", "lstm": "forget"}


@dataclass(frozen=True, slots=True)
class LayerTrace:
    """One direction of one layer over T steps of B rows, in the order of the text: step t is that
    of the token t, also where the layer reads from the end."""

    layer: int  # from 0
    direction: str  # forward or backward
    inputs: Array  # (T, B, I)
    gates: Mapping[str, Array]  # (T, B, H) each, see GATES
    candidate: Array  # (T, B, H); of a vanilla RNN the hidden state itself
    cell: Array | None  # (T, B, H): the state of an LSTM's cell
    hidden: Array  # (T, B, H)


def trace(
    weights: Mapping[str, Array], config: EncoderConfig, ids: Array, state: State | None = None
) -> list[LayerTrace]:
    """Run the encoder over ids (B, T), all rows of one length, from the state (None: zeros).

    Returns the traces of the layers from the first to the last, forward before backward. Embeddings
    of the tokens are the `inputs` of the first. A backward direction always starts from zeros.
    """
    x = weights["encoder.embedding.weight"][ids.T].astype(np.float32)  # (T, B, E)
    traces: list[LayerTrace] = []
    for layer in range(config.num_layers):
        start = None if state is None else tuple(part[layer] for part in state)
        name = f"encoder.layers.{layer}"
        found = [
            _run(weights, f"{name}.forward_cell", config, x, start, layer=layer, reverse=False)
        ]
        if config.bidirectional:
            found.append(
                _run(weights, f"{name}.backward_cell", config, x, None, layer=layer, reverse=True)
            )
        traces += found
        x = np.concatenate([each.hidden for each in found], axis=-1)
    return traces


def final_state(traces: Sequence[LayerTrace]) -> State:
    """Return the state after the last step of the forward direction of every layer."""
    forward = [each for each in traces if each.direction == "forward"]
    hidden = np.stack([each.hidden[-1] for each in forward])
    cells = [each.cell[-1] for each in forward if each.cell is not None]
    return (hidden, np.stack(cells)) if cells else (hidden,)


def outputs(traces: Sequence[LayerTrace]) -> Array:
    """Return the outputs of the last layer, (T, B, directions * H)."""
    last = max(each.layer for each in traces)
    return np.concatenate([each.hidden for each in traces if each.layer == last], axis=-1)


def _run(
    weights: Mapping[str, Array],
    name: str,
    config: EncoderConfig,
    x: Array,
    start: State | None,
    *,
    layer: int,
    reverse: bool,
) -> LayerTrace:
    """Run one direction of a layer over x (T, B, I) from a state with parts (B, H)."""
    of_input, of_state = weights[f"{name}.weight_ih_l0"], weights[f"{name}.weight_hh_l0"]
    input_bias, state_bias = weights[f"{name}.bias_ih_l0"], weights[f"{name}.bias_hh_l0"]
    steps, rows = x.shape[:2]
    size = config.hidden_size
    from_input = x @ of_input.T + input_bias  # (T, B, gates * H)
    zeros = np.zeros((rows, size), np.float32)
    state = start or tuple(zeros for _ in config.state_names)
    names = (*GATES[config.cell], "candidate", *config.state_names)
    values = {each: np.empty((steps, rows, size), np.float32) for each in names}
    step = STEPS[config.cell]
    for t in range(steps)[:: -1 if reverse else 1]:
        found = step(from_input[t], state[0] @ of_state.T, state_bias, state)
        for each, value in found.items():
            values[each][t] = value
        state = tuple(found[part] for part in config.state_names)
    return LayerTrace(
        layer,
        "backward" if reverse else "forward",
        x,
        {gate: values[gate] for gate in GATES[config.cell]},
        values["candidate"],
        values.get("cell"),
        values["hidden"],
    )
