"""An unrolled network with invented numbers."""

from __future__ import annotations

import numpy as np

from rnntext.plotting.page import Band, Unrolled


def unrolled(steps: int = 3, *, text: str = "heron") -> Unrolled:
    """A network of one layer that reads in both directions and answers after its last step."""
    values = np.linspace(-1, 1, steps * 4).reshape(steps, 4)
    captions = [(f"|h| {step}.5",) for step in range(steps)]
    answers = [("",)] * (steps - 1) + [("pos 0.98",)]
    return Unrolled(
        "a sentence",
        [f"{text}{step}" for step in range(steps)],
        [
            Band("input", values, captions, -1, 1),
            Band("layer 1 →", values, captions, -1, 1, "→"),
            Band("layer 1 ←", values, captions, -1, 1, "←", is_fed=False),
            Band("answer", np.zeros((steps, 0)), answers, -1, 1),
        ],
    )
