"""The options that a search over a task's hyperparameters tries, and how candidates are drawn.

Knows: a dimension of a search (an option, and the values around its default that are worth a try),
and that options which the user gave are not searched. Does not know: any one task (each declares
its dimensions in `training/tasks`), how candidates are compared (`search.py`), files or PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from rnntext.training.declaration import declarations
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import Recipe

Changes = dict[str, Any]  # options by name that differ from the defaults

# Each option of a candidate keeps its default with this probability: where few candidates can be
# tried, those near the defaults are the likeliest to be better.
_UNCHANGED = 0.5
# Draws for one candidate before there are no more that differ from all earlier ones.
_DRAWS = 100


class Dimension(Protocol):
    """An option that is searched."""

    @property
    def option(self) -> str:
        """Its name in `TrainingOptions`."""

    @property
    def field(self) -> str:
        """The field of `Recipe` that it sets, which has the default."""

    def draw(self, generator: np.random.Generator, default: Any) -> Any:
        """Draw a value around the default."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """A number between `low` and `high` times its default, drawn evenly on a logarithmic scale.
    A whole number is rounded to a multiple of `step`, another one (step 0) to two digits."""

    option: str
    field: str
    low: float
    high: float
    step: int = 0

    def draw(self, generator: np.random.Generator, default: Any) -> int | float:
        value = default * math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        if self.step:
            return int(max(self.step, self.step * round(value / self.step)))
        return float(f"{value:.2g}")


@dataclass(frozen=True, slots=True)
class Chosen:
    """One of `values`."""

    option: str
    field: str
    values: tuple[Any, ...]

    def draw(self, generator: np.random.Generator, default: Any) -> Any:
        return self.values[int(generator.integers(len(self.values)))]


LEARNING_RATE = Scaled("lr", "learning_rate", 1 / 3, 3)
DROPOUT = Chosen("dropout", "dropout", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7))
WIDTH = Scaled("hidden", "hidden", 1 / 2, 2, step=16)
LAYERS = Chosen("layers", "layers", (1, 2))
BATCH = Scaled("batch_size", "batch_size", 1 / 2, 2, step=8)
BPTT = Scaled("bptt", "bptt", 1 / 2, 2, step=5)
# Of classifiers and taggers. Whether there is a linear model is no dimension: how much it counts is
# fitted on the validation data in every run, and all trials share it.
OF_EXAMPLES = (LEARNING_RATE, DROPOUT, WIDTH, LAYERS, BATCH)


def searched(space: Sequence[Dimension], options: TrainingOptions) -> list[Dimension]:
    """Return the dimensions that the user left open. `--preset` and `--init` set the sizes."""
    default = {item.name: item.default for item in fields(TrainingOptions)}
    of_model = {name for name, found in declarations(TrainingOptions).items() if found.set_by_init}
    has_sizes = options.init is not None or options.preset is not None
    return [
        dimension
        for dimension in space
        if getattr(options, dimension.option) == default[dimension.option]
        and not (has_sizes and dimension.option in of_model)
    ]


def draw_candidates(
    dimensions: Sequence[Dimension], recipe: Recipe, count: int, seed: int
) -> list[Changes]:
    """Return the defaults, as no changes, and up to `count` - 1 other candidates, all different.

    `recipe` is that of the defaults. The same seed gives the same candidates, and fewer of them are
    the first of more. There are fewer than `count` where there are no more combinations.
    """
    generator = np.random.default_rng(seed)
    found: list[Changes] = [{}]
    if not dimensions:
        return found
    draws = 0
    while len(found) < count and draws < _DRAWS:
        draws += 1
        changes = _draw(dimensions, recipe, generator)
        if changes not in found:
            found.append(changes)
            draws = 0
    return found


def _draw(
    dimensions: Sequence[Dimension], recipe: Recipe, generator: np.random.Generator
) -> Changes:
    changes: Changes = {}
    within = declarations(TrainingOptions)
    for dimension in dimensions:
        default = getattr(recipe, dimension.field)
        value = dimension.draw(generator, default)  # drawn in any case, as the next ones are
        limits = within[dimension.option].within
        if limits is not None:
            value = type(value)(min(max(value, limits.least), limits.most))
        if generator.random() >= _UNCHANGED and value != default:
            changes[dimension.option] = value
    return changes
