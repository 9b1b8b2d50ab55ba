"""Gates and states of every step, beside PyTorch's cells, the model's own graph, and equations that
are written out once more, unit by unit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rnntext.config import CELLS
from rnntext.inspection.trace import GATES, final_state, outputs, trace
from rnntext.runtime.language_model import LanguageModel
from rnntext.training.networks.build import build_network
from tests.inspection.models import fixed_model

Array = NDArray[Any]
IDS = np.random.default_rng(1).integers(0, 300, (3, 11))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_states_are_those_of_the_network(cell: str, bidirectional: bool) -> None:
    model = fixed_model("classify", cell, bidirectional=bidirectional)
    network = build_network(model.config)
    network.load_state_dict({name: torch.tensor(w) for name, w in model.weights.items()})
    with torch.no_grad():
        expected, after = network.encoder.eval()(torch.tensor(IDS))
    found = trace(model.weights, model.config.encoder, IDS)
    np.testing.assert_allclose(outputs(found), expected.numpy(), atol=1e-5)
    for part, wanted in zip(final_state(found), after, strict=True):
        np.testing.assert_allclose(part, wanted.numpy(), atol=1e-5)
    assert [(each.layer, each.direction) for each in found] == [
        (layer, direction)
        for layer in range(2)
        for direction in ("forward", "backward")[: 1 + bidirectional]
    ]


@pytest.mark.parametrize("cell", CELLS)
def test_the_state_is_carried_on_as_the_graph_does(cell: str) -> None:
    model = fixed_model("lm", cell)
    running = LanguageModel(model.model)
    state = running.initial_state(3)
    for part in (IDS[:, :4], IDS[:, 4:]):
        found = trace(model.weights, model.config.encoder, part, state)
        expected = running.advance(list(part), state)
        state = final_state(found)
        for mine, wanted in zip(state, expected, strict=True):
            np.testing.assert_allclose(mine, wanted, atol=1e-5)


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("cell", CELLS)
def test_every_value_follows_the_equations(cell: str, direction: int) -> None:
    model = fixed_model("tag", cell, bidirectional=True)
    each = trace(model.weights, model.config.encoder, IDS[:1])[direction]
    steps = range(len(each.hidden)) if direction == 0 else range(len(each.hidden))[::-1]
    name = f"encoder.layers.0.{each.direction}_cell"
    weights = {k.rpartition(".")[2]: v for k, v in model.weights.items() if k.startswith(name)}
    size = model.config.encoder.hidden_size
    hidden, memory = [0.0] * size, [0.0] * size
    for t in steps:
        x = model.weights["encoder.embedding.weight"][IDS[0, t]].tolist()
        np.testing.assert_allclose(each.inputs[t, 0], x)
        values = _step(cell, weights, x, hidden, memory)
        hidden = values["hidden"]
        memory = values.get("cell", memory)
        for gate in GATES[cell]:
            np.testing.assert_allclose(each.gates[gate][t, 0], values[gate], atol=1e-5)
        np.testing.assert_allclose(each.hidden[t, 0], hidden, atol=1e-5)
        np.testing.assert_allclose(each.candidate[t, 0], values["candidate"], atol=1e-5)
        if cell == "lstm":
            assert each.cell is not None
            np.testing.assert_allclose(each.cell[t, 0], memory, atol=1e-5)
        else:
            assert each.cell is None
    assert set(each.gates) == set(GATES[cell])


def _step(
    cell: str, w: dict[str, Array], x: list[float], hidden: list[float], memory: list[float]
) -> dict[str, list[float]]:
    """One step in plain Python, in PyTorch's order of gates."""
    size = len(hidden)

    def row(number: int) -> tuple[float, float]:
        from_x = sum(a * b for a, b in zip(w["weight_ih_l0"][number].tolist(), x, strict=True))
        from_h = sum(a * b for a, b in zip(w["weight_hh_l0"][number].tolist(), hidden, strict=True))
        return from_x + float(w["bias_ih_l0"][number]), from_h + float(w["bias_hh_l0"][number])

    def block(number: int, squash: Any) -> list[float]:
        return [squash(sum(row(number * size + unit))) for unit in range(size)]

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    if cell == "rnn":
        new = block(0, math.tanh)
        return {"candidate": new, "hidden": new}
    if cell == "gru":
        reset, update = block(0, sigmoid), block(1, sigmoid)
        new = []
        for unit in range(size):
            from_x, from_h = row(2 * size + unit)
            new.append(math.tanh(from_x + reset[unit] * from_h))
        kept = [u * h + (1 - u) * n for u, h, n in zip(update, hidden, new, strict=True)]
        return {"reset": reset, "update": update, "candidate": new, "hidden": kept}
    into, forget, out = block(0, sigmoid), block(1, sigmoid), block(3, sigmoid)
    new = block(2, math.tanh)
    kept = [f * m + i * n for f, m, i, n in zip(forget, memory, into, new, strict=True)]
    shown = [o * math.tanh(k) for o, k in zip(out, kept, strict=True)]
    return {
        "input": into,
        "forget": forget,
        "output": out,
        "candidate": new,
        "cell": kept,
        "hidden": shown,
    }
