"""Trains the models of a comparison, one after the other, from the same encoded data.

Knows: the order of the runs, that all have the objective, the schedule and the budget of `train`,
and what is measured of each. Does not know: any one task or network, or consoles; it yields events.

Nothing is written but to the cache of encoded data: the models live in memory. A recurrent run is
that of `train --cell` with so many hidden units and, for a classifier or tagger, `--no-ngrams`. The
data are split once, with the seed of the options; seeds after it change the initial weights, the
dropout and the order of the data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rnntext.comparison import Comparison, Kind, Metric, Model, Run
from rnntext.config import CELLS
from rnntext.errors import TrainingError, UsageError
from rnntext.training.comparison.base import ComparedTask, Linear, Read, compared_task
from rnntext.training.comparison.networks import Builder
from rnntext.training.comparison.sizes import parameters_of, recurrent_width, width_of
from rnntext.training.engine.distributed import is_distributed
from rnntext.training.engine.loop import Loop
from rnntext.training.engine.memory import explain_out_of_memory
from rnntext.training.events import Evaluated, Finished, Prepared
from rnntext.training.memory_needs import smaller_batch
from rnntext.training.options import TrainingOptions
from rnntext.training.run import budget_of, optimizer_config
from rnntext.training.setup import Setup, Shared, set_up

_TITLES = {"rnn": "the vanilla RNN", "gru": "the GRU", "lstm": "the LSTM"}
# A speed is measured over whole passes over the validation data, for so many seconds at the least.
_MEASURED_SECONDS = 0.5
_WEIGHT_BYTES = 4  # float32, as `model.safetensors` has them

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Began:
    """The data are read, and nothing is trained yet."""

    comparison: Comparison  # without runs
    prepared: Prepared  # of the LSTM
    runs: int  # that will be made


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A model has no run with this seed."""

    model: Model
    seed: int
    reason: str


Event = Began | Run | LeftOut


def compare(
    options: TrainingOptions,
    seeds: int,
    *,
    cache: bool,
    clock: Clock = time.perf_counter,
) -> Iterator[Event]:
    """Train each model `seeds` times, with the seed of the options and those after it. All models
    are trained with one seed before the next, so that the runs so far compare. A budget in minutes
    is that of each run, and does not include reading the data. Raises RnntextError for whatever a
    user can cause; a run that diverges is only left out."""
    if is_distributed():
        raise UsageError("compare runs in a single process: start it without torchrun")
    task = compared_task(options.task)
    options = replace(options, **task.without_linear)
    with explain_out_of_memory(smaller_batch(options)):
        first = set_up(options, None, cache)
        networks = _networks(task, first)
        metric = task.metric(first)
        models = (*(network.model for network in networks), task.linear_model)
        yield Began(
            Comparison(task.question, metric, models), first.prepared, len(networks) * seeds + 1
        )
        for seed in range(options.seed, options.seed + seeds):
            for network in networks:
                yield _trained(task, network, first, metric, seed, clock)
            if seed == options.seed:
                yield _linear(task, first, metric, clock)


@dataclass(frozen=True, slots=True)
class _Network:
    """A network to train: `options` are those of its run, `build` makes it if it is not the
    recurrent one of these options."""

    model: Model
    width: int
    options: TrainingOptions
    build: Callable[[Setup], nn.Module]


def _networks(task: ComparedTask, first: Setup) -> list[_Network]:
    """Return the networks, as large as that of `first`."""
    options, config, recipe = first.options, first.prepared.model, first.recipe
    found = []
    for cell in CELLS:
        width = recurrent_width(config, cell)
        given = replace(options, cell=cell, hidden=width, embed=recipe.embed)
        model = Model(cell, _TITLES[cell], Kind.CELL)
        found.append(_Network(model, width, given, lambda setup: setup.model))
    for model, build in task.networks.items():
        width = width_of(build, config, recipe)
        found.append(_Network(model, width, options, partial(_built, build, width)))
    return found


def _built(build: Builder, width: int, setup: Setup) -> nn.Module:
    """Build a network in place of the recurrent one of a run."""
    torch.manual_seed(setup.options.seed)
    network = build(setup.prepared.model, setup.recipe, width)
    return network.to(setup.machine.device)


def _trained(
    task: ComparedTask, network: _Network, first: Setup, metric: Metric, seed: int, clock: Clock
) -> Run | LeftOut:
    """Train a network and measure it."""
    options = replace(network.options, seed=seed)
    setup = set_up(options, None, False, shared=_shared(first))
    trained = network.build(setup)
    loop = Loop(
        trained,
        setup.objective,
        optimizer_config(setup.recipe),
        budget_of(options, clock()),
        clock=clock,
    )
    curve: list[tuple[int, float]] = []
    finished: Finished | None = None
    try:
        for event in loop.events():
            match event:
                case Evaluated():
                    curve.append((event.step, float(event.metrics[metric.name])))
                case Finished():
                    finished = event
    except TrainingError as error:
        return LeftOut(network.model, seed, str(error))
    assert finished is not None  # noqa: S101
    measured = setup.objective.final_metrics(trained, quick=finished.partial_evaluation)
    trained.eval()
    parameters = parameters_of(trained)
    return Run(
        network.model,
        seed,
        float(measured[metric.name]),
        parameters,
        network.width,
        finished.training_seconds,
        speed(lambda: task.read(setup, trained), clock),
        _WEIGHT_BYTES * parameters,
        tuple(curve),
    )


def _linear(task: ComparedTask, first: Setup, metric: Metric, clock: Clock) -> Run | LeftOut:
    """Let the linear model learn, once: no random number takes part in it."""
    usual: dict[str, Any] = dict.fromkeys(task.without_linear, True)
    setup = set_up(replace(first.options, **usual), None, False, shared=_shared(first))
    found: Linear | None = task.learn_linear(setup)
    seed = first.options.seed
    if found is None:
        return LeftOut(task.linear_model, seed, "the data have too many labels for it")
    return Run(
        task.linear_model,
        seed,
        float(found.value),
        found.parameters,
        None,
        found.seconds,
        speed(found.read, clock),
        found.size,
    )


def _shared(first: Setup) -> Shared:
    """Return the data, which no run reads again."""
    return Shared(first.data, {}, Path())


def speed(read: Read, clock: Clock) -> float:
    """Return the records a second of a model that reads the validation data again and again."""
    started, records = clock(), 0
    while True:
        records += read()
        seconds = clock() - started
        if seconds >= _MEASURED_SECONDS:
            return records / seconds
