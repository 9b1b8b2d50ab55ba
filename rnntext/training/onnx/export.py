"""A trained model as a graph, and the proof that the graph gives what the model gives.

Knows: that a torch model's weights make a graph (`graph/`), and the runtime's session to
compare the two in. Does not know: files, or how a graph is built.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rnntext.config import POOLING_FLOOR
from rnntext.errors import TrainingError
from rnntext.probabilities import label_probabilities, softmax
from rnntext.runtime.session import Session
from rnntext.training.networks.classifier import Classifier
from rnntext.training.networks.encoder import Network
from rnntext.training.networks.language_model import LanguageModel
from rnntext.training.networks.tagger import Tagger
from rnntext.training.onnx.build import build
from rnntext.training.onnx.generation import generation_files

# What export may change a probability by.
TOLERANCE = 1e-4

Array = npt.NDArray[Any]


def numpy_weights(model: Network) -> dict[str, Array]:
    """The weights in float32, by their names in `model.safetensors`."""
    return {
        name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()
    }


def export(model: Network) -> bytes:
    """The graph of `model` in float32, as the content of `model.onnx`."""
    return build(model.config, numpy_weights(model))


def verify(model: Network, graph: bytes) -> float:
    """The largest difference in a probability between model and graph, over random inputs of
    several lengths, and between a language model and the graph that draws text from it. Raises
    TrainingError where it is above TOLERANCE."""
    model = model.cpu().eval()
    session = Session(graph, threads=1)
    generator = np.random.default_rng(0)
    with torch.no_grad():
        differences = [
            _difference(model, session, generator, rows, steps)
            for rows, steps in ((1, 1), (1, 2), (3, 7), (2, 40))
        ]
        if isinstance(model, LanguageModel):
            differences.append(_drawing_difference(model, generator))
    # Not a number, if any of them is not.
    worst = float(np.max(differences))
    if not worst <= TOLERANCE:
        raise TrainingError(
            f"the exported graph differs from the trained model by {worst:.2g} in probability "
            f"(at most {TOLERANCE:g} is allowed), so nothing was saved: please report this"
        )
    return worst


def _difference(
    model: Network, session: Session, generator: np.random.Generator, rows: int, steps: int
) -> float:
    config = model.config.encoder
    ids = generator.integers(config.vocab_size, size=(rows, steps))
    lengths = generator.integers(1, steps + 1, size=rows)
    lengths[0] = steps
    feeds: dict[str, Array] = {"ids": ids, "lengths": lengths.astype(np.int32)}
    state: tuple[torch.Tensor, ...] | None = None
    if not config.bidirectional:
        shape = (config.num_layers, rows, config.hidden_size)
        parts = [
            generator.uniform(-1, 1, shape).astype(np.float32) for _ in range(config.state_parts)
        ]
        feeds.update(zip(config.state_names, parts, strict=True))
        state = tuple(map(torch.from_numpy, parts))
    if isinstance(model, LanguageModel):
        return _language_model_difference(model, session, feeds, state, generator)
    lengths_tensor = torch.from_numpy(lengths)
    if isinstance(model, Tagger):
        return _tagger_difference(model, session, feeds, state, lengths_tensor)
    assert isinstance(model, Classifier)  # noqa: S101
    states, _ = model.encoder(torch.from_numpy(ids), lengths_tensor, state)
    logits = model.head(states, lengths_tensor).numpy()
    if state is not None:
        zeros = np.zeros((rows, config.hidden_size), np.float32)
        feeds.update(largest=zeros + POOLING_FLOOR, total=zeros, count=zeros[:, 0])
    (found,) = session.run(["logits"], feeds)
    several = model.config.multi_label
    return float(
        np.abs(label_probabilities(found, several) - label_probabilities(logits, several)).max()
    )


def _language_model_difference(
    model: LanguageModel,
    session: Session,
    feeds: dict[str, Array],
    state: tuple[torch.Tensor, ...] | None,
    generator: np.random.Generator,
) -> float:
    rows, steps = feeds["ids"].shape
    # Of every real token.
    step, row = np.nonzero(np.arange(steps)[:, None] < feeds["lengths"])
    targets = generator.integers(model.config.encoder.vocab_size, size=len(step))
    positions = step * rows + row
    feeds.update(positions=positions, scored=positions, targets=targets)
    expected, _ = model(torch.from_numpy(feeds["ids"]), state)
    logits = expected.numpy()[row, step]
    found, scores = session.run(["logits", "log_probabilities"], feeds)
    chosen = np.take_along_axis(softmax(logits), targets[:, None], 1)[:, 0]
    return max(
        float(np.abs(softmax(found) - softmax(logits)).max()),
        float(np.abs(np.exp(scores) - chosen).max()),
    )


def _drawing_difference(model: LanguageModel, generator: np.random.Generator) -> float:
    """How far from the uniform number that drew it a token's share of the distribution lies; a
    state that differs by more than a hundredth counts as more than is allowed."""
    config, rows, steps, temperature = model.config.encoder, 3, 20, 0.8
    weights = numpy_weights(model)
    (graph,) = generation_files(model.config, weights).values()
    matrices = {name: array for name, array in weights.items() if array.ndim == 2}
    session = Session(graph, threads=1, weights=matrices)
    shape = (config.num_layers, rows, config.hidden_size)
    state = [generator.uniform(-1, 1, shape).astype(np.float32) for _ in config.state_names]
    # What is read before the first draw, and the first of it.
    given = generator.integers(config.vocab_size, size=(rows, 4))
    lengths = np.array([4, 0, 2])
    first = generator.integers(config.vocab_size, size=rows)
    uniforms = generator.random((steps, rows))
    tokens, *after = session.run(
        ["tokens", *(f"next_{part}" for part in config.state_names)],
        {
            "ids": given.T.copy(),
            "lengths": lengths,
            "token": first,
            **dict(zip(config.state_names, state, strict=True)),
            "uniforms": uniforms,
            "rate": np.array(1 / temperature, np.float32),
            "excluded": np.zeros(0, np.int64),
        },
    )
    differences: list[Array] = []
    for row, drawn in enumerate(tokens.T):
        own = torch.from_numpy(
            np.concatenate([given[row, : lengths[row]], first[[row]], drawn[:-1]])[None]
        )
        logits, end = model(own, tuple(torch.from_numpy(part[:, [row]]) for part in state))
        odds = softmax(logits[0, -steps:].double().numpy() / temperature)
        share = np.take_along_axis(odds, drawn[:, None], 1)[:, 0]
        upper = np.take_along_axis(odds.cumsum(1), drawn[:, None], 1)[:, 0]
        outside = np.maximum(uniforms[:, row] - upper, upper - share - uniforms[:, row])
        # States have no bounds of their own; a hundredth of them is far from what a wrong graph
        # would make, and what rounding makes of them shows in the probabilities.
        apart = [
            np.abs(found[:, row] - part[:, 0].numpy())
            / np.maximum(np.abs(part[:, 0].numpy()), 1)
            * (TOLERANCE / 1e-2)
            for found, part in zip(after, end, strict=True)
        ]
        differences += [outside, *(part.ravel() for part in apart)]
    return float(np.max(np.concatenate(differences)))


def _tagger_difference(
    model: Tagger,
    session: Session,
    feeds: dict[str, Array],
    state: tuple[torch.Tensor, ...] | None,
    lengths: torch.Tensor,
) -> float:
    ids = feeds["ids"]
    rows, steps = ids.shape
    # Words of two tokens each, the last of an odd row having one.
    first = np.minimum(np.arange(0, steps, 2)[None, :], lengths.numpy()[:, None] - 1)  # (B, W)
    last = np.minimum(first + 1, lengths.numpy()[:, None] - 1)
    row = np.arange(rows)[:, None]
    feeds = {**feeds, "first": (first * rows + row).ravel(), "last": (last * rows + row).ravel()}
    states, _ = model.encoder(torch.from_numpy(ids), lengths, state)
    expected = model.head(states, *map(torch.from_numpy, (first, last))).numpy()
    found, *crf = session.run(["emissions", "start", "transitions", "end"], feeds)
    labels = expected.shape[-1]
    parameters = (model.head.crf.start, model.head.crf.transitions, model.head.crf.end)
    return max(
        float(np.abs(softmax(found) - softmax(expected.reshape(-1, labels))).max()),
        *(
            float(np.abs(given - parameter.numpy()).max())
            for given, parameter in zip(crf, parameters, strict=True)
        ),
    )
