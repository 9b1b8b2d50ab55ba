"""The view `gates`: how far the gates of a GRU or an LSTM open at each step of a text.

Knows: what the means over the units of a layer say. Does not know: how a step is computed
(`trace.py`), or how a page is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnntext.errors import UsageError
from rnntext.inspection.reading import InspectedModel, Reading
from rnntext.inspection.trace import GATES, KEEPING, LayerTrace
from rnntext.plotting.page import Array, Heatmap, Note, Page, Panel, Table, View

# A gate is called closed below the first value and open above the second (Karpathy, Johnson and
# Li 2015).
CLOSED, OPEN = 0.1, 0.9

_NOTES = {
    "gru": (
        "Each column is one step, each row the mean of a gate over all units: 1 is open, 0 closed. "
        "The update gate is the share of the last state that is kept; the rest is written anew. "
        "The reset gate says how much of the last state that new content may use."
    ),
    "lstm": (
        "Each column is one step, each row the mean of a gate over all units: 1 is open, 0 closed. "
        "The forget gate is the share of the last cell state that is kept, the input gate how much "
        "new content is added, the output gate how much of the cell is shown as hidden state."
    ),
}


def gates(model: InspectedModel, texts: Sequence[str]) -> View:
    """View the gates of every layer over each text. Raises UsageError for a vanilla RNN."""
    cell = model.config.encoder.cell
    if not GATES[cell]:
        raise UsageError(
            f"{model.name} is a vanilla RNN, which has no gates: `inspect states` shows its state"
        )
    panels: list[Panel] = [Note(_NOTES[cell])]
    objects: list[dict[str, Any]] = []
    rows: list[Sequence[str | float]] = []
    for number, text in enumerate(texts, 1):
        reading = model.read(text)
        for each in model.trace(reading):
            panels += _panels(each, reading, number if len(texts) > 1 else None)
            for step, token in enumerate(reading.steps):
                means = {gate: float(values[step].mean()) for gate, values in each.gates.items()}
                units = {gate: values[step, 0].tolist() for gate, values in each.gates.items()}
                kept = means[KEEPING[cell]]
                objects.append(
                    {
                        "text": number,
                        "layer": each.layer + 1,
                        "direction": each.direction,
                        "step": step + 1,
                        "token": token,
                        "gates": means,
                        "kept": kept,
                        "units": units,
                    }
                )
                place = (number, each.layer + 1, each.direction, step + 1, token)
                rows.append((*place, *means.values()))
    title = f"Gates of {model.name} ({cell.upper()}), {KEEPING[cell]} gate: share kept"
    return View(Page(title, panels), objects, rows)


def _panels(each: LayerTrace, reading: Reading, number: int | None) -> list[Panel]:
    names = list(each.gates)
    means = np.stack([each.gates[name].mean(axis=(1, 2)) for name in names])  # (gates, T)
    title = f"layer {each.layer + 1}, {each.direction}"
    if number is not None:
        title += f", text {number}"
    picture = Heatmap(title, names, reading.steps, means, 0.0, 1.0, "gate", "token")
    table = Table(
        f"{title}: units and steps at which a gate is closed or open",
        ("gate", "mean", f"below {CLOSED}", f"above {OPEN}"),
        [(name, *_shares(each.gates[name])) for name in names],
    )
    return [picture, table]


def _shares(values: Array) -> tuple[float, float, float]:
    return float(values.mean()), float((values < CLOSED).mean()), float((values > OPEN).mean())
