"""One step of each recurrent cell in NumPy.

Knows: the equations of the vanilla RNN, the GRU and the LSTM, with the gates in PyTorch's order.
Does not know: layers, directions, or the names of weights.

ONNX Runtime runs the models. These steps give what its graphs do not: the gates, and the hidden
state at each token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext.probabilities import sigmoid

Array = NDArray[Any]
State = tuple[Array, ...]  # hidden, and for the LSTM cell, each (B, H)

# A step takes the products of the input and of the state with their weights, (B, gates * H) each,
# of which the first has its bias; the bias of the second; and the state before. It returns the
# gates, the candidate and the parts of the state after it by name, (B, H) each.
Step = Callable[[Array, Array, Array, State], dict[str, Array]]


def _rnn(from_input: Array, from_state: Array, bias: Array, state: State) -> dict[str, Array]:
    hidden = np.tanh(from_input + from_state + bias)
    return {"candidate": hidden, "hidden": hidden}


def _gru(from_input: Array, from_state: Array, bias: Array, state: State) -> dict[str, Array]:
    reset_in, update_in, candidate_in = np.split(from_input, 3, axis=-1)
    reset_st, update_st, candidate_st = np.split(from_state + bias, 3, axis=-1)
    reset, update = sigmoid(reset_in + reset_st), sigmoid(update_in + update_st)
    candidate = np.tanh(candidate_in + reset * candidate_st)
    hidden = (1 - update) * candidate + update * state[0]
    return {"reset": reset, "update": update, "candidate": candidate, "hidden": hidden}


def _lstm(from_input: Array, from_state: Array, bias: Array, state: State) -> dict[str, Array]:
    # PyTorch's order: input, forget, candidate, output.
    input_, forget, candidate, output = np.split(from_input + from_state + bias, 4, axis=-1)
    input_, forget, output = sigmoid(input_), sigmoid(forget), sigmoid(output)
    candidate = np.tanh(candidate)
    cell = forget * state[1] + input_ * candidate
    return {
        "input": input_,
        "forget": forget,
        "output": output,
        "candidate": candidate,
        "cell": cell,
        "hidden": output * np.tanh(cell),
    }


STEPS: dict[str, Step] = {"rnn": _rnn, "gru": _gru, "lstm": _lstm}
