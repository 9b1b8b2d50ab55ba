"""The exported graph against the model it was made from, through the session that will run it."""

from __future__ import annotations

import copy
import re
from itertools import product

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from rnntext.config import FORBIDDEN_SCORE, EncoderConfig, ModelConfig
from rnntext.errors import TrainingError
from rnntext.runtime.session import Session
from rnntext.training.networks.build import build_network
from rnntext.training.networks.classifier import Classifier
from rnntext.training.networks.encoder import Network
from rnntext.training.networks.language_model import LanguageModel
from rnntext.training.networks.tagger import Tagger
from rnntext.training.onnx.from_network import export, verify

torch.set_num_threads(1)

CELLS = ("rnn", "gru", "lstm")
E, H, V = 4, 6, 11
# Padded batches: rows of these lengths.
LENGTHS = np.array([3, 7, 1, 5], np.int32)
B, T = 4, 7


def random_model(
    task: str, cell: str, layers: int = 1, both: bool = False, embed: int = E, multi: bool = False
) -> Network:
    labels = () if task == "lm" else ("a", "b", "c")
    config = ModelConfig(task, EncoderConfig(cell, V, embed, H, layers, both), labels, multi, 99)
    model = build_network(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return model


def random_ids(rows: int = B, steps: int = T, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(V, size=(rows, steps))


def language_feeds(
    model: Network, ids: NDArray[np.int64], state: list[NDArray[np.float32]] | None = None
) -> dict[str, NDArray[np.generic]]:
    """Every position wanted and scored, with the id after its own as the target."""
    rows, steps = ids.shape
    config = model.config.encoder
    if state is None:
        rng = np.random.default_rng(3)
        shape = (config.num_layers, rows, config.hidden_size)
        state = [rng.uniform(-1, 1, shape).astype(np.float32) for _ in range(config.state_parts)]
    positions = np.arange(steps * rows)
    return {
        "ids": ids,
        "lengths": np.full(rows, steps, np.int32),
        **dict(zip(("hidden", "cell"), state, strict=False)),
        "positions": positions,
        "scored": positions,
        "targets": (ids.T.ravel() + 1) % V,
    }


def nothing_read(model: Network, rows: int = B) -> dict[str, NDArray[np.generic]]:
    """What a classifier or tagger of one direction carries before it has read anything."""
    config = model.config.encoder
    if config.bidirectional:
        return {}
    shape = (config.num_layers, rows, config.hidden_size)
    state = {part: np.zeros(shape, np.float32) for part in ("hidden", "cell")[: config.state_parts]}
    if isinstance(model, Tagger):
        return state
    pooled = np.zeros(shape[1:], np.float32)
    return {**state, "largest": pooled - 2, "total": pooled, "count": pooled[:, 0]}


@pytest.mark.parametrize(("cell", "layers", "embed"), [*product(CELLS, (1, 2), (E, H))])
def test_a_language_model(cell: str, layers: int, embed: int) -> None:
    model = random_model("lm", cell, layers, embed=embed)
    assert isinstance(model, LanguageModel)
    assert (model.head.projection is None) == (embed == H)
    session, ids = Session(export(model), threads=1), random_ids()
    feeds = language_feeds(model, ids)
    parts = ("hidden", "cell")[: model.config.encoder.state_parts]
    logits, scores, *state = session.run(
        ["logits", "log_probabilities", *(f"next_{part}" for part in parts)], feeds
    )
    with torch.no_grad():
        want, want_state = model(
            torch.from_numpy(ids), tuple(torch.from_numpy(feeds[part]) for part in parts)
        )
    want = want.transpose(0, 1).flatten(0, 1)  # position t * B + b
    np.testing.assert_allclose(logits, want, atol=2e-6)
    chosen = want.log_softmax(1).numpy()[np.arange(B * T), feeds["targets"]]
    np.testing.assert_allclose(scores, chosen, atol=2e-6)
    for found, part in zip(state, want_state, strict=True):
        assert found.shape == (layers, B, H)
        np.testing.assert_allclose(found, part, atol=2e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_only_wanted_positions_are_predicted(cell: str) -> None:
    model = random_model("lm", cell, 2)
    session, ids = Session(export(model), threads=1), random_ids()
    feeds = language_feeds(model, ids)
    (every,) = session.run(["logits"], feeds)
    few = {"positions": np.array([9, 2]), "scored": np.array([7]), "targets": np.array([4])}
    logits, scores = session.run(["logits", "log_probabilities"], {**feeds, **few})
    assert logits.shape == (2, V)
    np.testing.assert_allclose(logits, every[[9, 2]], atol=1e-6)
    want = torch.from_numpy(every[7]).log_softmax(0)[4]
    np.testing.assert_allclose(scores, [want], atol=1e-6)
    none = {name: np.zeros(0, np.int64) for name in few}
    logits, scores = session.run(["logits", "log_probabilities"], {**feeds, **none})
    assert (logits.shape, scores.shape) == ((0, V), (0,))


@pytest.mark.parametrize(("cell", "layers"), [*product(CELLS, (1, 2))])
def test_stepping_with_the_state_equals_the_whole(cell: str, layers: int) -> None:
    model = random_model("lm", cell, layers)
    session, ids = Session(export(model), threads=1), random_ids()
    feeds = language_feeds(model, ids)
    parts = ("hidden", "cell")[: model.config.encoder.state_parts]
    outputs = ["logits", *(f"next_{part}" for part in parts)]
    whole, *final = session.run(outputs, feeds)
    state = [feeds[part] for part in parts]
    pieces = []
    for piece in (ids[:, :1], ids[:, 1:4], *np.split(ids[:, 4:], 3, axis=1)):
        logits, *state = session.run(outputs, language_feeds(model, piece, state))
        pieces.append(logits)
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)
    for found, want in zip(state, final, strict=True):
        np.testing.assert_allclose(found, want, atol=1e-6)


@pytest.mark.parametrize(("cell", "layers", "both"), [*product(CELLS, (1, 2), (False, True))])
def test_a_classifier(cell: str, layers: int, both: bool) -> None:
    model = random_model("classify", cell, layers, both)
    assert isinstance(model, Classifier)
    session, ids = Session(export(model), threads=1), random_ids()
    (logits,) = session.run(["logits"], {"ids": ids, "lengths": LENGTHS, **nothing_read(model)})
    with torch.no_grad():
        want = model(torch.from_numpy(ids), torch.from_numpy(LENGTHS).long())
    np.testing.assert_allclose(logits, want, atol=2e-6)
    for row, length in enumerate(LENGTHS):
        alone = {"ids": ids[row : row + 1, :length], "lengths": LENGTHS[row : row + 1]}
        (found,) = session.run(["logits"], {**alone, **nothing_read(model, 1)})
        np.testing.assert_allclose(found[0], logits[row], atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_a_classifier_of_one_direction_reads_on(cell: str) -> None:
    model = random_model("classify", cell, 2)
    session, ids = Session(export(model), threads=1), random_ids()
    carried = nothing_read(model)
    for piece in (ids[:, :3], ids[:, 3:4], ids[:, 4:]):
        feeds = {"ids": piece, "lengths": np.full(B, piece.shape[1], np.int32), **carried}
        logits, *after = session.run(["logits", *(f"next_{name}" for name in carried)], feeds)
        carried = dict(zip(carried, after, strict=True))
    with torch.no_grad():
        want = model(torch.from_numpy(ids), torch.full((B,), T))
    np.testing.assert_allclose(logits, want, atol=2e-6)


@pytest.mark.parametrize(("cell", "layers", "both"), [*product(CELLS, (1, 2), (False, True))])
def test_a_tagger(cell: str, layers: int, both: bool) -> None:
    model = random_model("tag", cell, layers, both)
    assert isinstance(model, Tagger)
    session, ids = Session(export(model), threads=1), random_ids()
    first = np.array([[0, 1], [2, 5], [0, 0], [0, 4]])
    last = np.array([[0, 2], [4, 6], [0, 0], [3, 4]])
    row = np.arange(B)[:, None]
    feeds = {
        "ids": ids,
        "lengths": LENGTHS,
        "first": (first * B + row).ravel(),
        "last": (last * B + row).ravel(),
        **nothing_read(model),
    }
    emissions, *crf = session.run(["emissions", "start", "transitions", "end"], feeds)
    arrays = (ids, LENGTHS.astype(np.int64), first, last)
    with torch.no_grad():
        want = model(*map(torch.from_numpy, arrays))
    np.testing.assert_allclose(emissions, want.flatten(0, 1), atol=2e-6)
    want_crf = (model.head.crf.start, model.head.crf.transitions, model.head.crf.end)
    for found, parameter in zip(crf, want_crf, strict=True):
        np.testing.assert_array_equal(found, parameter.detach().numpy())


KINDS = {
    "lm-projected": lambda: random_model("lm", "gru"),
    "lm-tied": lambda: random_model("lm", "lstm", 2, embed=H),
    "classify": lambda: random_model("classify", "rnn", 2, both=True),
    "multi-label": lambda: random_model("classify", "gru", 1, multi=True),
    "tag": lambda: random_model("tag", "lstm", 1, both=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_verify_is_content_with_what_was_exported(kind: str) -> None:
    model = KINDS[kind]()
    model.train()
    assert 0 <= verify(model, export(model)) < 2e-6


@pytest.mark.parametrize("kind", KINDS)
def test_verify_finds_any_weight_that_was_changed_after(kind: str) -> None:
    model = KINDS[kind]()
    graph = export(model)
    for name, tensor in model.state_dict().items():
        changed = copy.deepcopy(model)
        with torch.no_grad():
            # The first number of a bias, the first row of a matrix: all alike would be nothing
            # to a softmax.
            changed.state_dict()[name].view(-1)[: tensor.shape[-1] if tensor.dim() > 1 else 1] += 1
        with pytest.raises(TrainingError, match="differs from the trained model by"):
            verify(changed, graph)


@pytest.mark.parametrize("weight", [float("nan"), 3e30])
def test_verify_names_weights_that_diverged(weight: float) -> None:
    """NaN is a difference too."""
    model = random_model("classify", "gru")
    graph = export(model)
    with torch.no_grad():
        model.head.output.bias[0] = weight
    message = re.escape(f"training diverged: the largest weight is {weight:.2g}, ")
    with pytest.raises(TrainingError, match=rf"^{message}.* smaller --lr$"):
        verify(model, graph)


def test_large_scores_of_a_crf_are_no_divergence() -> None:
    model = random_model("tag", "gru", both=True)
    graph = export(model)
    with torch.no_grad():
        model.head.crf.start[0] = FORBIDDEN_SCORE
    with pytest.raises(TrainingError, match="differs from the trained model by"):
        verify(model, graph)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bytes_are_the_weights_alone(kind: str) -> None:
    model = KINDS[kind]()
    graph = export(model)
    again = build_network(model.config)
    again.load_state_dict(model.state_dict())
    assert export(again) == graph
    parsed = onnx.load_from_string(graph)
    assert [(o.domain, o.version) for o in parsed.opset_import] == [("", 17)]
    assert parsed.graph.doc_string == parsed.doc_string == ""


def test_tied_weights_stand_in_the_graph_once() -> None:
    model = random_model("lm", "gru", embed=H)
    graph = onnx.load_from_string(export(model))
    sizes = [list(tensor.dims) for tensor in graph.graph.initializer]
    assert sizes.count([V, H]) == 1
    assert [H, V] not in sizes
