"""How wide each model of a comparison is made, so that all have about as many parameters.

Knows: how parameters grow with the width of a network, and the width that comes nearest to a
number of them (as in Chung et al. 2014). Does not know: any one network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from rnntext.arguments import WIDTH
from rnntext.config import ModelConfig
from rnntext.training.comparison.networks import Builder
from rnntext.training.networks.size import network_size
from rnntext.training.recipes import Recipe

Count = Callable[[int], int]  # parameters of a width


def nearest_width(parameters: int, count: Count) -> int:
    """Return the width with which a model has about so many parameters, 1 if all have more.
    `count` grows with the width."""
    low, high = 1, 2
    while high < WIDTH.most and count(high) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    return min((low, high), key=lambda width: abs(count(width) - parameters))


def recurrent(config: ModelConfig, cell: str, width: int) -> ModelConfig:
    """Return the configuration with another cell, of so many units."""
    return replace(config, encoder=replace(config.encoder, cell=cell, hidden_size=width))


def recurrent_width(config: ModelConfig, cell: str) -> int:
    """Return the units of a cell with which the network is about as large as that of `config`."""
    return nearest_width(
        network_size(config).parameters,
        lambda width: network_size(recurrent(config, cell, width)).parameters,
    )


def width_of(build: Builder, config: ModelConfig, recipe: Recipe) -> int:
    """Return the width with which a network is about as large as the recurrent one of `config`."""

    return nearest_width(network_size(config).parameters, _count(build, config, recipe))


def _count(build: Builder, config: ModelConfig, recipe: Recipe) -> Count:
    """Return the number of parameters as a function of the width. A matrix has at most two sides of
    that width, so the number is a polynomial of degree 2, which three small networks tell (Newton's
    forward differences). Shapes on PyTorch's device `meta` would import its compiler, in seconds.
    """
    with torch.random.fork_rng(devices=[]):
        first, second, third = (parameters_of(build(config, recipe, width)) for width in (1, 2, 3))

    def count(width: int) -> int:
        steps = width - 1
        rising = third - 2 * second + first
        return first + steps * (second - first) + steps * (steps - 1) // 2 * rising

    return count


def parameters_of(network: torch.nn.Module) -> int:
    """Return the number of parameters that a network learns."""
    return sum(each.numel() for each in network.parameters() if each.requires_grad)
