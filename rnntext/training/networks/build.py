"""Builds the network of a configuration.

Knows: that each task has a module in this package with a function `build`. Does not know: any one
task.
"""

from __future__ import annotations

from rnntext.config import ModelConfig
from rnntext.tasks import task_module
from rnntext.training.networks.encoder import Network


def build_network(config: ModelConfig, dropout: float = 0.0, token_dropout: float = 0.0) -> Network:
    """Build the network that `config` describes, initialized from PyTorch's random state."""
    network: Network = task_module("training.networks", config.task).build(
        config, dropout, token_dropout
    )
    return network
