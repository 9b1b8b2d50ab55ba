"""Builds the network of a configuration.

Knows: that each task has a module in this package with a function `build`. Does not know: any one
task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray

from rnntext.config import ModelConfig
from rnntext.tasks import task_module
from rnntext.training.networks.encoder import Network


def build_network(config: ModelConfig, dropout: float = 0.0, token_dropout: float = 0.0) -> Network:
    """Build the network that `config` describes, initialized from PyTorch's random state."""
    network: Network = task_module("training.networks", config.task).build(
        config, dropout, token_dropout
    )
    return network


def network_of(config: ModelConfig, weights: Mapping[str, NDArray[Any]]) -> Network:
    """Build the network of these weights to differentiate its outputs, in float64, so that a
    gradient that vanishes is not rounded to 0. A second encoder, which takes part in no answer, is
    left out. From now on PyTorch computes in one thread: a step is small, and several wait for each
    other by spinning (a review took 0.84 s in two threads of a busy machine, and 0.03 s in one).
    """
    torch.set_num_threads(1)
    network = build_network(replace(config, backward_encoder=False)).double().eval()
    network.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    return network.requires_grad_(False)
