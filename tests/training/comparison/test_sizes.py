"""Widths with which models have about as many parameters."""

from __future__ import annotations

import pytest
import torch

from rnntext.config import CELLS, ModelConfig
from rnntext.tasks import TASKS
from rnntext.training.comparison.base import compared_task
from rnntext.training.comparison.sizes import (
    nearest_width,
    parameters_of,
    recurrent,
    recurrent_width,
    width_of,
)
from rnntext.training.networks.build import build_network
from rnntext.training.networks.size import network_size
from tests.training.comparison.networks import CONFIG, RECIPE, TAGS, TEXT

CONFIGS = {"classify": CONFIG, "tag": TAGS, "lm": TEXT}


def test_the_nearest_width() -> None:
    assert nearest_width(100, lambda width: 10 * width + 4) == 10
    assert nearest_width(99, lambda width: 10 * width) == 10
    assert nearest_width(94, lambda width: 10 * width) == 9
    assert nearest_width(3, lambda width: 10 * width) == 1
    assert nearest_width(10**12, lambda width: width) == 65536


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_cell_has_as_many_units_as_give_the_size_of_the_lstm(
    config: ModelConfig, cell: str
) -> None:
    width = recurrent_width(config, cell)
    sizes = [
        parameters_of(build_network(recurrent(config, cell, width + more))) for more in (-1, 0, 1)
    ]
    wanted = network_size(config).parameters
    assert abs(sizes[1] - wanted) == min(abs(size - wanted) for size in sizes)
    assert (width == config.encoder.hidden_size) == (cell == "lstm")


@pytest.mark.parametrize("task", TASKS)
def test_other_networks_are_as_large_too(task: str) -> None:
    config = CONFIGS[task]
    wanted = network_size(config).parameters
    for build in compared_task(task).networks.values():
        width = width_of(build, config, RECIPE)
        sizes = [parameters_of(build(config, RECIPE, width + more)) for more in (0, 1)]
        assert abs(sizes[0] - wanted) <= sizes[1] - sizes[0]


def test_counting_draws_no_random_numbers() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    width_of(next(iter(compared_task("tag").networks.values())), TAGS, RECIPE)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_not_learned_is_no_parameter() -> None:
    layer = torch.nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    assert parameters_of(layer) == 6
