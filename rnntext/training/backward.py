"""How far back the gradient of a loss reaches: its norm at each state of a trained network.

Knows: the loss of each task at the end of a row of tokens. Does not know: text, how a network is
built, or how the norms are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rnntext.training.networks.encoder import Network, RecurrentEncoder, RecurrentLayer, State

Array = NDArray[Any]


def gradient_norms(
    network: Network, ids: Array, distance: int, following: Array | None = None
) -> Array:
    """Return the norm of the gradient of each row's loss, after its last token, with respect to the
    state so many tokens back, from 0 to `distance`: ids (B, T) -> (distance + 1, B), in nats by
    unit of state. `distance` is less than T.

    The state is what the last layer's forward direction hands from step to step: the hidden state,
    and of an LSTM the cell with it. Bengio, Simard and Frasconi (1994) look at the same derivative.
    The loss of a language model is the cross-entropy of the token `following` (B); of a classifier
    that of its own answer to the row; of a tagger that of the tag that the last token alone makes
    most likely, without the CRF.
    """
    states, steps = _states(network.encoder, torch.from_numpy(ids.astype(np.int64)), distance)
    loss = _LOSSES[network.config.task](network, states, following)
    parts = [part for state in steps for part in state]
    # Nothing reads the cell after the last token.
    gradients = torch.autograd.grad(loss, parts, materialize_grads=True)  # (1, B, H) each
    squares = torch.cat(gradients).square().sum(-1)  # (steps * parts, B)
    return np.asarray(squares.view(len(steps), -1, len(ids)).sum(1).sqrt().flip(0))


def _states(encoder: RecurrentEncoder, ids: Tensor, distance: int) -> tuple[Tensor, list[State]]:
    """ids (B, T) -> outputs of the last layer (T, B, directions * H), and the last distance + 1
    states of its forward direction, with parts (1, B, H), on which those outputs and each other
    depend."""
    rows, count = ids.shape
    x = encoder.embedding(ids.t())  # (T, B, E)
    from_end = torch.arange(count - 1, -1, -1)[:, None, None].expand(count, rows, 1)
    last = encoder.layers[-1]
    assert isinstance(last, RecurrentLayer)  # noqa: S101
    for layer in encoder.layers[:-1]:
        x, _ = layer(x, None, from_end)
    zeros = x.new_zeros(1, rows, encoder.config.hidden_size)
    state: State = tuple(zeros.clone() for _ in encoder.config.state_names)
    steps: list[State] = []
    for token in x.split(1):  # (1, B, I)
        if len(steps) == count - distance - 1:
            # From here on states are derived by; those before need no memory for that.
            state = tuple(part.requires_grad_() for part in state)
        _, after = last.forward_cell(token, state if len(state) > 1 else state[0])
        state = after if isinstance(after, tuple) else (after,)
        steps.append(state)
    states = torch.cat([state[0] for state in steps])  # (T, B, H)
    if encoder.config.bidirectional:
        both, _ = last(x, None, from_end)
        states = torch.cat([states, both[..., encoder.config.hidden_size :]], dim=-1)
    return states, steps[count - distance - 1 :]


def _of_next_token(network: Any, states: Tensor, following: Array | None) -> Tensor:
    embeddings = network.encoder.embedding.weight
    logits = functional.linear(network.head(states[-1]), embeddings, network.head.bias)
    targets = torch.from_numpy(np.asarray(following, np.int64))
    return functional.cross_entropy(logits, targets, reduction="sum")


def _of_own_labels(network: Any, states: Tensor, _: Array | None) -> Tensor:
    logits = network.head(states, torch.full((states.shape[1],), len(states)))  # (B, labels)
    if not network.config.multi_label:
        return functional.cross_entropy(logits, logits.argmax(1), reduction="sum")
    answers = (logits > 0).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, answers, reduction="sum")


def _of_own_tag(network: Any, states: Tensor, _: Array | None) -> Tensor:
    last = torch.full((states.shape[1], 1), len(states) - 1)
    emissions = network.head(states, last, last)[:, 0]  # (B, labels)
    return functional.cross_entropy(emissions, emissions.argmax(1), reduction="sum")


_Loss = Callable[[Any, Tensor, Array | None], Tensor]
# Each the sum over rows, whose gradients do not touch each other.
_LOSSES: dict[str, _Loss] = {
    "lm": _of_next_token,
    "classify": _of_own_labels,
    "tag": _of_own_tag,
}
