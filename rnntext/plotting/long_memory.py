"""The view of `compare memory`: accuracy against distance, a line a model, and what it says.

Knows: what the experiments show, as data. Does not know: how networks are trained, or how a page is
drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnntext.long_memory import WINDOW_WIDTH, Measured, MemoryOptions
from rnntext.plotting.page import Array, Line, Lines, Note, Page, Panel, Table, View

_TASKS = {
    "recall": (
        "Recall: letters go by, a mark says which one to keep, more letters follow (the distance), "
        "and then the network has to name the one that it kept. Who guesses is right once in eight "
        "times."
    ),
    "agreement": (
        'Agreement: was or were? In "the book on the shelf near the windows was sold" the verb '
        'goes with "book", not with the nouns between (the distance is the number of words between '
        "subject and verb). Who guesses, or goes by the last noun, is right half of the time."
    ),
}
_UNITS = {"recall": "letters", "agreement": "words"}
_HOW = (
    f"The feed-forward window sees the last {WINDOW_WIDTH} tokens: what lies further back cannot "
    "reach its answer. A vanilla RNN could remember as long as it likes, but it is hard for it to "
    "learn to: what it learns from has to travel back through every step, and shrinks at each (the "
    "vanishing gradient, Bengio, Simard and Frasconi 1994). The "
    "gates of GRU and LSTM let the state, and with it the gradient, pass on nearly unchanged."
)


def long_memory_view(found: Sequence[Measured], options: MemoryOptions) -> View:
    """Return the view of the models that were measured so far. A row of a pipe has the task, the
    model, the distance, the mean accuracy, and its standard deviation (empty of one seed)."""
    panels: list[Panel] = []
    for task in options.tasks:
        models = [each for each in found if each.task == task]
        if models:
            panels += [Note(_TASKS[task]), *_pictures(task, models), Note(summary(task, models))]
    seeds = f"{options.seeds} seeds" if options.seeds > 1 else "one seed"
    budget = (
        f"Every point is the mean of {seeds}, with the standard deviation where there are several. "
        f"For each distance a network is trained anew, for {options.steps:,} steps, on examples "
        "from the shortest up to that distance, and tested on others of that distance."
    )
    return View(
        Page("How far back a network remembers", [*panels, Note(_HOW), Note(budget)]),
        [row for each in found for row in each.to_json()],
        [row for each in found for row in _rows(each)],
    )


def summary(task: str, models: Sequence[Measured]) -> str:
    """Say how far each model remembers."""
    tested = max(models[0].accuracies)
    reaches = []
    for each in models:
        reach = each.reach()
        far = f"{reach}, the longest tested" if reach == tested else str(reach)
        reaches.append(f"{each.title} {far if reach else 'not at all'}")
    return (
        f"{_UNITS[task].capitalize()} across which a model remembers (right more often than half "
        f"way from chance, {models[0].chance:.3g}, to 1): {'; '.join(reaches)}."
    )


def _pictures(task: str, models: Sequence[Measured]) -> list[Panel]:
    distances = list(models[0].accuracies)
    unit = _UNITS[task]
    lines = [Line(each.title, np.array(distances), _means(each), _errors(each)) for each in models]
    chance = np.full(len(distances), models[0].chance)
    table = Table(
        f"{task}: accuracy by number of {unit} between",
        ("model", "parameters", *map(str, distances)),
        [
            (each.title, f"{each.parameters:,}", *(f"{each.mean(d):.2f}" for d in distances))
            for each in models
        ],
    )
    picture = Lines(
        f"{task}: accuracy against distance",
        f"{unit} between",
        "accuracy",
        [*lines, Line("chance", np.array(distances), chance)],
    )
    return [picture, table]


def _means(each: Measured) -> Array:
    return np.array([each.mean(distance) for distance in each.accuracies])


def _errors(each: Measured) -> Array | None:
    found = [each.deviation(distance) for distance in each.accuracies]
    return None if None in found else np.array(found)


def _rows(each: Measured) -> list[list[str | float]]:
    rows: list[list[str | float]] = []
    for distance in each.accuracies:
        deviation = each.deviation(distance)
        shown = "" if deviation is None else deviation
        rows.append([each.task, each.model, distance, each.mean(distance), shown])
    return rows
