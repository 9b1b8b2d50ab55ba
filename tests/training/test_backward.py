"""Gradients with respect to hidden states, against finite differences in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rnntext.config import ModelConfig
from rnntext.training.backward import gradient_norms
from rnntext.training.networks.build import build_network, network_of
from tests.training.networks.test_model import B, H, T, V, model_config, randomised

torch.set_num_threads(1)

IDS = np.random.default_rng(0).integers(V, size=(B, T))
FOLLOWING = np.random.default_rng(1).integers(V, size=B)
CASES = [
    model_config("lm", "rnn"),
    model_config("lm", "gru", 2),
    model_config("lm", "lstm", 2),
    model_config("classify", "lstm", 1),
    model_config("classify", "gru", 2, both=True),
    replace(model_config("classify", "rnn", 1, both=True), multi_label=True),
    model_config("tag", "lstm", 2, both=True),
]


def loss(network: Any, row: int, step: int, changed: int, change: Tensor) -> float:
    """The loss of a row where a part of the state after `step` is changed by (H). The layer runs to
    the step and on from there in two calls, unlike in the code."""
    ids = torch.from_numpy(IDS[row : row + 1])
    x = network.encoder.embedding(ids.t())
    from_end = torch.arange(T - 1, -1, -1)[:, None, None]
    *lower, last = network.encoder.layers
    for layer in lower:
        x, _ = layer(x, None, from_end)
    before, state = last.forward_cell(x[: step + 1])
    parts = list(state) if isinstance(state, tuple) else [state]
    parts[changed] = parts[changed] + change
    states = torch.cat([before[:-1], parts[0]])
    if step + 1 < T:
        after, _ = last.forward_cell(
            x[step + 1 :], tuple(parts) if len(parts) > 1 else parts[0].contiguous()
        )
        states = torch.cat([states, after])
    if last.backward_cell is not None:
        backward = last.backward_cell(x.flip(0))[0].flip(0)
        states = torch.cat([states, backward], dim=-1)
    return float(LOSSES[network.config.task](network, states, row))


def next_token(network: Any, states: Tensor, row: int) -> Tensor:
    logits = network.encoder.embedding.weight @ network.head(states[-1, 0]) + network.head.bias
    return -torch.log_softmax(logits, 0)[FOLLOWING[row]]


def own_labels(network: Any, states: Tensor, row: int) -> Tensor:
    logits = network.head(states, torch.tensor([T]))[0]
    if network.config.multi_label:
        return functional.softplus(-logits.abs()).sum()  # -log of the larger of p and 1 - p
    return -torch.log_softmax(logits, 0).max()


def own_tag(network: Any, states: Tensor, row: int) -> Tensor:
    last = torch.tensor([[T - 1]])
    return -torch.log_softmax(network.head(states, last, last)[0, 0], 0).max()


LOSSES = {"lm": next_token, "classify": own_labels, "tag": own_tag}


@pytest.mark.parametrize(
    "config", CASES, ids=lambda c: f"{c.task}-{c.encoder.cell}-{c.encoder.num_layers}"
)
def test_norms_are_those_of_finite_differences(config: ModelConfig) -> None:
    network = randomised(build_network(config)).requires_grad_(False)
    following = None if config.labels else FOLLOWING
    found = gradient_norms(network, IDS, T - 1, following)
    assert found.shape == (T, B)
    small = 1e-6
    units = [(p, e) for p in range(config.encoder.state_parts) for e in torch.eye(H).double()]
    for back in range(T):
        for row in range(B):
            gradient = []
            for part, unit in units:
                above, below = (
                    loss(network, row, T - 1 - back, part, sign * small * unit) for sign in (1, -1)
                )
                gradient.append((above - below) / (2 * small))
            assert found[back, row] == pytest.approx(np.linalg.norm(gradient), rel=1e-5, abs=1e-9)
    assert (found > 1e-9).all()
    # Nearer states have the same gradients if only they are looked at.
    assert gradient_norms(network, IDS, 2, following) == pytest.approx(found[:3], rel=1e-12)


def test_a_network_is_built_from_the_weights_of_a_checkpoint() -> None:
    """Without its second encoder, in float64, and from no random numbers."""
    config = replace(model_config("lm", "gru"), backward_encoder=True)
    weights = {
        name: parameter.float().numpy()
        for name, parameter in randomised(build_network(config)).state_dict().items()
        if not name.startswith("backward_encoder.")
    }
    network = network_of(config, weights)
    found = {name: value.numpy() for name, value in network.state_dict().items()}
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name], array) for name, array in weights.items())
    assert {value.dtype for value in network.state_dict().values()} == {torch.float64}
    assert not network.training
    first = gradient_norms(network, IDS, 3, FOLLOWING)
    again = gradient_norms(network_of(config, weights), IDS, 3, FOLLOWING)
    assert np.array_equal(first, again)
