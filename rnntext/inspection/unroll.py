"""The view `unroll`: a network over a sentence, one copy of it for each step, with its real values.

Knows: what stands in a copy (input, states, answer) and which weights all copies share. Does not
know: how a step is computed (`trace.py`), how gradients are (`training/backward.py`), or how the
diagram is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnntext.errors import UsageError
from rnntext.inspection.reading import InspectedModel, Reading
from rnntext.inspection.trace import LayerTrace, outputs
from rnntext.plotting.page import Array, Band, Note, Page, Table, Unrolled, View, symmetric
from rnntext.probabilities import softmax
from rnntext.runtime.classifier import Classifier
from rnntext.runtime.tagger import Tagger

MOST_STEPS = 24  # a diagram of more cannot be read
_NOTE = (
    "Each column is the same network at one step. It reads a token (below) and its own state after "
    "the step before (from the side), and makes a new state. All copies share the weights that are "
    "listed at the end. A strip shows the values of a few units."
)
_NOTE_OF_DIRECTIONS = (
    "Each layer reads in both directions: the boxes marked → and ← both read what lies below the "
    "layer, and what lies above reads both."
)
_NOTE_OF_GRADIENTS = (
    "∇ is the norm of the gradient of the loss of the last answer with respect to a state of the "
    "last layer: what back-propagation through time carries back, against the arrows."
)


def unroll(model: InspectedModel, text: str, units: int = 8, *, backward: bool = False) -> View:
    """View the network unrolled over a text, with the values of those `units` of each vector that
    change most.

    With `backward` also the norm of the gradient of the loss of the last answer with respect to
    each state of the last layer's forward direction, which needs PyTorch; a language model's last
    answer is the likeliest next token. Raises UsageError for a text of over MOST_STEPS tokens.
    """
    reading = model.read(text)
    if len(reading.ids) > MOST_STEPS:
        raise UsageError(
            f"the text has {len(reading.ids)} tokens, and a diagram shows at most {MOST_STEPS}: "
            "give a shorter one"
        )
    traces = model.trace(reading)
    answers = _ANSWERS[model.config.task](model, reading, traces)
    gradients = _gradients(model, reading, traces) if backward else None
    bands = [_input_band(traces[0].inputs[:, 0], units)]
    last = max(each.layer for each in traces)
    for each in traces:
        is_answered = each.layer == last and each.direction == "forward"
        bands.append(_state_band(each, units, gradients if is_answered else None))
    no_values = np.zeros((len(reading.ids), 0))
    bands.append(Band("answer", no_values, [(answer,) for answer in answers], -1, 1))
    notes = [Note(_NOTE)]
    if model.config.encoder.bidirectional:
        notes.append(Note(_NOTE_OF_DIRECTIONS))
    if backward:
        notes.append(Note(_NOTE_OF_GRADIENTS))
    diagram = Unrolled(text, reading.steps, bands)
    weights = Table(
        "weights that all steps share",
        ("weights", "rows", "columns", "mean size", "largest singular value"),
        [_row(name, matrix) for name, matrix in _shared(model.weights)],
    )
    objects = list(_objects(reading, traces, answers, gradients))
    rows = [
        (each["step"], each["token"], each["answer"], *norms)
        for each, norms in zip(objects, _norms(traces), strict=True)
    ]
    title = f"{model.name} over {len(reading.ids)} steps"
    return View(Page(title, [*notes, diagram, weights]), objects, rows)


def _input_band(embedded: Array, units: int) -> Band:
    shown = embedded[:, _most_varying(embedded, units)]
    captions = [(f"|x| {np.linalg.norm(x):.2f}",) for x in embedded]
    return Band("input", shown, captions, *symmetric(shown))


def _state_band(each: LayerTrace, units: int, gradients: Array | None) -> Band:
    hidden = each.hidden[:, 0]
    lines = [[f"|h| {np.linalg.norm(h):.2f}"] for h in hidden]
    if each.cell is not None:
        for line, cell in zip(lines, each.cell[:, 0], strict=True):
            line.append(f"|c| {np.linalg.norm(cell):.2f}")
    if gradients is not None:
        for line, gradient in zip(lines, gradients, strict=True):
            line.append(f"∇ {gradient:.1g}")
    is_forward = each.direction == "forward"
    along = "→" if is_forward else "←"
    return Band(
        f"layer {each.layer + 1} {along}",
        hidden[:, _most_varying(hidden, units)],
        [tuple(line) for line in lines],
        -1,
        1,
        along,
        is_forward,
    )


def _most_varying(values: Array, units: int) -> Array:
    """Return the columns of values (T, N) that vary most, in their own order."""
    return np.asarray(np.sort(np.argsort(-values.std(axis=0), kind="stable")[:units]))


def _gradients(model: InspectedModel, reading: Reading, traces: Sequence[LayerTrace]) -> Array:
    from rnntext.training.backward import gradient_norms
    from rnntext.training.networks.build import network_of

    following = None
    if not model.config.labels:  # the next token is the answer
        following = _next_logits(model.weights, traces)[-1:].argmax(axis=1)
    network = network_of(model.config, model.weights)
    ids = reading.ids[None]
    norms = gradient_norms(network, ids, ids.shape[1] - 1, following)  # from the last step back
    return np.asarray(norms[::-1, 0])


def _next_logits(weights: Mapping[str, Array], traces: Sequence[LayerTrace]) -> Array:
    """Return a language model's logits of the next token after each step, (T, V)."""
    states = outputs(traces)[:, 0]
    if "head.projection.weight" in weights:
        states = states @ weights["head.projection.weight"].T + weights["head.projection.bias"]
    return np.asarray(states @ weights["encoder.embedding.weight"].T + weights["head.bias"])


def _next_tokens(
    model: InspectedModel, reading: Reading, traces: Sequence[LayerTrace]
) -> list[str]:
    """The likeliest next token after each step."""
    probabilities = softmax(_next_logits(model.weights, traces))
    best = probabilities.argmax(axis=1)
    return [
        f"{token} {probability:.2f}"
        for token, probability in zip(
            model.show_tokens(best), probabilities.max(axis=1).tolist(), strict=True
        )
    ]


def _label(model: InspectedModel, reading: Reading, traces: Sequence[LayerTrace]) -> list[str]:
    """The answer to the text, after the last step: with the linear model, if there is one."""
    (answer,) = Classifier(model.model).classify([reading.text])
    return [""] * (len(reading.ids) - 1) + [f"{answer.label} {answer.probability:.2f}"]


def _tags(model: InspectedModel, reading: Reading, traces: Sequence[LayerTrace]) -> list[str]:
    """The tag of each word, at its last step: with the linear model, if there is one."""
    (answer,) = Tagger(model.model).tag([reading.text])
    found = [""] * len(reading.ids)
    tags = zip(reading.last_steps(), answer.tags, answer.probabilities, strict=True)
    for step, tag, probability in tags:
        found[step] = f"{tag} {probability:.2f}"
    return found


_Answers = Callable[[InspectedModel, Reading, Sequence[LayerTrace]], list[str]]
_ANSWERS: dict[str, _Answers] = {"lm": _next_tokens, "classify": _label, "tag": _tags}


# Matrices of which no state is a factor.
_NOT_SHARED = ("encoder.embedding.weight", "head.crf.transitions", "head.output.parts")


def _shared(weights: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """The matrices of the recurrent layers and of the head, with names that say what they join."""
    for name, matrix in weights.items():
        if matrix.ndim != 2 or name in _NOT_SHARED:
            continue
        found = name.removeprefix("encoder.layers.").split(".")
        if name.startswith("encoder."):
            joined = "input to state" if found[-1] == "weight_ih_l0" else "state to state"
            direction = found[1].removesuffix("_cell")
            yield f"layer {int(found[0]) + 1}, {direction}: {joined}", matrix
        else:
            yield "state to answer", matrix


def _row(name: str, matrix: Array) -> tuple[str, int, int, float, float]:
    largest = float(np.linalg.norm(matrix, 2))
    return (name, *matrix.shape, float(np.abs(matrix).mean()), largest)


def _norms(traces: Sequence[LayerTrace]) -> Array:
    """The norm of each state at each step, (T, states)."""
    return np.stack([np.linalg.norm(each.hidden[:, 0], axis=1) for each in traces], axis=1)


def _objects(
    reading: Reading,
    traces: Sequence[LayerTrace],
    answers: Sequence[str],
    gradients: Array | None,
) -> Iterator[dict[str, Any]]:
    for step, token in enumerate(reading.steps):
        layers = [
            {
                "layer": each.layer + 1,
                "direction": each.direction,
                "hidden": each.hidden[step, 0].tolist(),
                **({} if each.cell is None else {"cell": each.cell[step, 0].tolist()}),
            }
            for each in traces
        ]
        yield {
            "step": step + 1,
            "token": token,
            "answer": answers[step],
            "input": traces[0].inputs[step, 0].tolist(),
            "layers": layers,
            **({} if gradients is None else {"gradient": float(gradients[step])}),
        }
