"""The linear model of a classifier or tagger, by itself.

Knows: how the half of such a model learns without the other. Does not know: n-grams or words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from rnntext.checkpoint import NGRAMS
from rnntext.comparison import Metric
from rnntext.training.comparison.base import Linear
from rnntext.training.events import NgramsLearned
from rnntext.training.setup import Setup
from rnntext.training.tasks.labelled import LabelledObjective


def learn_half(
    setup: Setup, metric: Metric, weights: Callable[[bytes], int], read: Callable[[Any], int]
) -> Linear | None:
    """Let the linear model of a run learn; None if the data cannot have one. `weights`: the number
    of weights in its file; `read`: reads the validation data with it, see `Read`."""
    objective = cast(LabelledObjective, setup.objective)
    half = objective.half
    for event in objective.prepare({}):
        if half is not None and isinstance(event, NgramsLearned):
            content = half.files({})[NGRAMS]
            return Linear(
                event.metrics[metric.name],
                weights(content),
                event.seconds,
                len(content),
                lambda: read(half),
            )
    return None
