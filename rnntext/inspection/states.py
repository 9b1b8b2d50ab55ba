"""The view `states`: the hidden states of a network over a text, unit by unit.

Knows: which units to show, in which order, and how a unit's values over a corpus are correlated
with a property of each position (Karpathy, Johnson and Li 2015). Does not know: how a step is
computed (`trace.py`), or how a page is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnntext.errors import DataError, UsageError
from rnntext.inspection.reading import InspectedModel, Reading
from rnntext.inspection.trace import LayerTrace
from rnntext.plotting.page import Array, Heatmap, Note, Page, Panel, Table, View, symmetric

PARTS = ("hidden", "cell")
DIRECTIONS = ("forward", "backward")
# What a position in a text may be: each a function of a reading, to one number for each step.
PROPERTIES: dict[str, Callable[[Reading], Array]] = {
    "quotes": lambda reading: _inside_quotes(reading),
    "length": lambda reading: np.cumsum([len(token) for token in reading.spelled]).astype(float),
    "position": lambda reading: np.arange(len(reading.ids), dtype=float),
}
_OPENING, _CLOSING = "“«", "”»"
_MARKS = f".,;:!?\"'()‘’…{_OPENING}{_CLOSING}"  # that may stand at the ends of a word


@dataclass(frozen=True, slots=True)
class StateOptions:
    """What of the states is shown."""

    layer: int | None = None  # from 1; None: the last
    direction: str = "forward"
    part: str = "hidden"  # or the LSTM's cell
    units: int = 32  # shown at most
    word: str | None = None  # show the units that react most to it
    track: str | None = None  # show the units that follow a property, of PROPERTIES


def states(
    model: InspectedModel,
    texts: Sequence[str],
    options: StateOptions,
    corpus: Iterable[str] = (),
) -> View:
    """View the state over each text.

    Without `word` and `track` the units are those that change most, in an order in which
    neighbours rise and fall together. With one of them they are those whose values over `corpus`
    (without lines: over the texts) are correlated with it most, strongest first. Raises UsageError
    for a layer, a part or a direction that the model does not have, DataError where the property
    does not vary.
    """
    _check(model, options)
    readings = [model.read(text) for text in texts]
    values = [_select(model.trace(reading), model, options) for reading in readings]
    panels: list[Panel] = []
    correlations: Array | None = None
    if options.word is not None or options.track is not None:
        lines = list(corpus) or list(texts)
        correlations = _correlations(model, lines, options)
        order = np.argsort(-np.abs(correlations), kind="stable")[: options.units]
        panels.append(Note(_correlation_note(options, len(lines))))
        panels.append(_correlation_table(correlations, order))
    else:
        together = np.concatenate(values)
        chosen = np.argsort(-together.std(axis=0), kind="stable")[: options.units]
        order = chosen[_readable_order(together[:, chosen])]
        panels.append(
            Note(
                f"Each row is one of the {len(order)} units of {together.shape[1]} that change "
                "most, each column one step. Rows that rise and fall together are neighbours."
            )
        )
    scale = symmetric(np.concatenate(values)[:, order])
    if options.part == "hidden":
        scale = (-1.0, 1.0)
    rows_of_units = [f"{unit}" for unit in order + 1]
    objects: list[dict[str, Any]] = []
    rows: list[Sequence[str | float]] = []
    for number, (reading, states_of_text) in enumerate(zip(readings, values, strict=True), 1):
        title = reading.text if len(reading.text) <= 60 else f"{reading.text[:59]}…"
        shown = states_of_text[:, order].T
        panels.append(Heatmap(title, rows_of_units, reading.steps, shown, *scale, "unit", "token"))
        for step, token in enumerate(reading.steps):
            units = {str(unit + 1): float(states_of_text[step, unit]) for unit in order}
            objects.append({"text": number, "step": step + 1, "token": token, "units": units})
            rows += [(number, step + 1, token, int(unit), value) for unit, value in units.items()]
    if correlations is not None:
        for each in objects:
            each["correlations"] = {str(unit + 1): float(correlations[unit]) for unit in order}
    return View(Page(_title(model, options), panels), objects, rows)


def _check(model: InspectedModel, options: StateOptions) -> None:
    encoder = model.config.encoder
    if options.layer is not None and options.layer > encoder.num_layers:
        raise UsageError(f"--layer {options.layer}: {model.name} has {encoder.num_layers}")
    for flag, value, known in (
        ("--part", options.part, PARTS),
        ("--direction", options.direction, DIRECTIONS),
        ("--track", options.track or "quotes", tuple(PROPERTIES)),
    ):
        if value not in known:
            raise UsageError(f"{flag} is one of {', '.join(known)}, not {value!r}")
    if options.part not in encoder.state_names:
        raise UsageError(f"--part {options.part}: only an LSTM has a cell state")
    if options.direction == "backward" and not encoder.bidirectional:
        raise UsageError(f"--direction backward: {model.name} reads forward only")
    if options.word is not None and options.track is not None:
        raise UsageError("--word and --track exclude each other")


def _title(model: InspectedModel, options: StateOptions) -> str:
    layer = options.layer or model.config.encoder.num_layers
    part = "hidden state" if options.part == "hidden" else "cell state"
    return f"{part} of {model.name}, layer {layer}, {options.direction}"


def _select(traces: Sequence[LayerTrace], model: InspectedModel, options: StateOptions) -> Array:
    """Return the chosen part of the state, (T, H)."""
    layer = (options.layer or model.config.encoder.num_layers) - 1
    (found,) = (e for e in traces if (e.layer, e.direction) == (layer, options.direction))
    part = found.hidden if options.part == "hidden" else found.cell
    assert part is not None  # noqa: S101 - `_check` has looked
    return part[:, 0]


def _readable_order(values: Array) -> Array:
    """Return an order of the units (columns of values (T, N)) in which those that rise and fall
    together are neighbours: by the angle of their two main components (Friendly 2002)."""
    if values.shape[0] < 3 or values.shape[1] < 3:
        return np.arange(values.shape[1])
    centred = values - values.mean(axis=0)
    deviation = centred.std(axis=0)
    units = (centred / np.where(deviation > 0, deviation, 1)).T.astype(np.float64)  # (N, T)
    left, sizes, _ = np.linalg.svd(units, full_matrices=False)
    first, second = left[:, 0] * sizes[0], left[:, 1] * sizes[1]
    angles = np.arctan2(second, first)
    order = np.argsort(angles, kind="stable")
    # Begin after the widest gap, so that no group of neighbours is cut in two.
    gaps = np.diff(np.append(angles[order], angles[order[0]] + 2 * np.pi))
    return np.roll(order, -int(gaps.argmax()) - 1)


def _correlations(model: InspectedModel, lines: Sequence[str], options: StateOptions) -> Array:
    """Return the correlation (Pearson) of each unit with the property over all steps of the lines,
    (H). Of a word it is that of a step's change of state with whether it ends the word's token."""
    sums = _Sums()
    for reading in _readings(model, lines):
        values = _select(model.trace(reading), model, options).astype(np.float64)
        if options.word is not None:
            before = np.vstack([np.zeros_like(values[:1]), values[:-1]])
            sums.add(np.abs(values - before), _is_word(reading, options.word))
        else:
            sums.add(values, PROPERTIES[options.track or ""](reading))
    name = f"the word {options.word!r}" if options.word is not None else str(options.track)
    found = sums.correlations()
    if found is None:
        raise DataError(
            f"{name} does not vary over the {len(lines)} lines that were read: give text in which "
            "it does with --corpus FILE"
        )
    return found


def _readings(model: InspectedModel, lines: Iterable[str]) -> Iterator[Reading]:
    for line in lines:
        if line.strip():
            yield model.read(line, cut=True)


class _Sums:
    """Sums of which correlations are made, so that the states of a corpus need not be in memory."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: list[Any] = [0.0] * 5

    def add(self, values: Array, wanted: Array) -> None:
        """Add the values (T, H) of units and of the property (T)."""
        self._count += len(wanted)
        parts = (
            values.sum(0),
            (values**2).sum(0),
            wanted.sum(),
            (wanted**2).sum(),
            wanted @ values,
        )
        self._sums = [total + part for total, part in zip(self._sums, parts, strict=True)]

    def correlations(self) -> Array | None:
        """Return the correlations (H); 0 for a unit that does not vary, None if the property does
        not."""
        if self._count < 2:
            return None
        of_units, of_squares, wanted, wanted_squares, products = (
            s / self._count for s in self._sums
        )
        spread = wanted_squares - wanted**2
        if spread <= 1e-12 * max(1.0, float(wanted_squares)):
            return None
        of_unit = np.maximum(of_squares - of_units**2, 0)
        covariance = products - of_units * wanted
        scale = np.sqrt(of_unit * spread)
        return np.asarray(np.where(scale > 1e-12, covariance / np.where(scale > 0, scale, 1), 0.0))


def _is_word(reading: Reading, word: str) -> Array:
    wanted = word.casefold()
    last = [
        step
        for spelled, step in zip(reading.words, reading.last_steps(), strict=True)
        if wanted in (spelled.casefold(), spelled.casefold().strip(_MARKS))
    ]
    found = np.zeros(len(reading.ids))
    found[last] = 1
    return found


def _inside_quotes(reading: Reading) -> Array:
    """1 at each step after which a quotation is open, 0 elsewhere."""
    inside, found = False, []
    for token in reading.spelled:
        for character in token:
            if character == '"':
                inside = not inside
            elif character in _OPENING:
                inside = True
            elif character in _CLOSING:
                inside = False
        found.append(float(inside))
    return np.array(found)


def _correlation_note(options: StateOptions, lines: int) -> str:
    if options.word is not None:
        what = f"how much a unit changes at a step with whether the step ends {options.word!r}"
    else:
        what = f"the value of a unit with {options.track}"
    return f"Correlation of {what}, over {lines:,} lines. The strongest units come first."


def _correlation_table(correlations: Array, order: Array) -> Table:
    rows = [(f"{unit + 1}", float(correlations[unit])) for unit in order[:10]]
    return Table("units by correlation", ("unit", "correlation"), rows)
