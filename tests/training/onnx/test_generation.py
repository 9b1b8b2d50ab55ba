"""The graph that goes on with texts: its draws are those of the model's own distribution."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from rnntext import checkpoint
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import TrainingError
from rnntext.runtime.language_model import GraphSampler
from rnntext.runtime.sampling import SamplingOptions, choose
from rnntext.runtime.session import Session
from rnntext.training.networks.build import build_network
from rnntext.training.networks.encoder import Network
from rnntext.training.networks.language_model import LanguageModel
from rnntext.training.onnx import generation
from rnntext.training.onnx.build import other_graphs
from rnntext.training.onnx.export import export, numpy_weights, verify
from rnntext.training.onnx.generation import generation_files

torch.set_num_threads(1)

Array = NDArray[Any]

CELLS = ("rnn", "gru", "lstm")
# Cell, layers, width of the embeddings; units are 6.
KINDS = [*product(CELLS, (1, 2), (4, 6))]
# More than two blocks of the search, the last of them not whole.
V, H = 300, 6
B, K = 5, 12


def random_model(
    cell: str = "lstm", layers: int = 1, embed: int = H, vocabulary: int = V, spread: float = 0.5
) -> LanguageModel:
    config = ModelConfig("lm", EncoderConfig(cell, vocabulary, embed, H, layers, False))
    model = build_network(config).eval()
    assert isinstance(model, LanguageModel)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, spread, generator=generator)
    return model


def drawing_of(model: Network, precision: str = "float32", threads: int = 1) -> GraphSampler:
    weights = numpy_weights(model)
    (graph,) = generation_files(model.config, weights, precision).values()
    matrices = {name: array for name, array in weights.items() if array.ndim == 2}
    given = matrices if precision == "float32" else {}
    session = Session(graph, threads, intra_op=True, weights=given)
    return GraphSampler(session, model.config.encoder.state_names)


def assert_alone(
    drawing: GraphSampler,
    first: Array,
    state: tuple[Array, ...],
    uniforms: Array,
    found: tuple[Array, tuple[Array, ...]],
    row: int,
) -> None:
    """A row by itself is what was found of it among others, to the bit."""
    tokens, after = drawing.draw(
        first[[row]], tuple(part[:, [row]] for part in state), uniforms[:, [row]], 1.0
    )
    np.testing.assert_array_equal(tokens[:, 0], found[0][:, row])
    for own, part in zip(after, found[1], strict=True):
        np.testing.assert_array_equal(own[:, 0], part[:, row])


def random_state(model: LanguageModel, rows: int = B) -> tuple[Array, ...]:
    config = model.config.encoder
    random = np.random.default_rng(3)
    shape = (config.num_layers, rows, config.hidden_size)
    return tuple(random.uniform(-1, 1, shape).astype(np.float32) for _ in config.state_names)


def stepped(
    model: LanguageModel,
    ids: Array,
    state: tuple[Array, ...],
    uniforms: Array,
    temperature: float,
    excluded: list[int],
) -> tuple[Array, tuple[Array, ...]]:
    """What the drawing gives, by PyTorch's model and NumPy's choice, step after step."""
    drawn = []
    for numbers in uniforms:
        with torch.no_grad():
            logits, after = model(
                torch.from_numpy(ids[:, None]), tuple(map(torch.from_numpy, state))
            )
        scores, state = logits[:, 0].numpy().copy(), tuple(part.numpy() for part in after)
        scores[:, excluded] = -np.inf
        ids = choose(scores, SamplingOptions(temperature), [[]] * len(ids), numbers)
        drawn.append(ids)
    return np.stack(drawn), state


@pytest.mark.parametrize(("cell", "layers", "embed"), KINDS)
def test_tokens_are_those_that_steps_and_choices_give(cell: str, layers: int, embed: int) -> None:
    model = random_model(cell, layers, embed)
    first, uniforms = np.arange(B) * 7, np.random.default_rng(4).random((K, B))
    given = (first, random_state(model), uniforms, 0.7, [3, 200])
    tokens, state = drawing_of(model).draw(*given)
    wanted, wanted_state = stepped(model, *given)
    np.testing.assert_array_equal(tokens, wanted)
    assert len(np.unique(tokens // 128)) == 3
    for found, part in zip(state, wanted_state, strict=True):
        assert found.shape == (layers, B, H)
        np.testing.assert_allclose(found, part, atol=2e-6)


@pytest.mark.parametrize(("cell", "layers", "embed"), KINDS)
def test_int8_draws_from_nearly_the_same_distribution(cell: str, layers: int, embed: int) -> None:
    """Numbers spread evenly draw each token as often as it is likely."""
    model = random_model(cell, layers, embed, vocabulary=20)
    count = 4000
    state = tuple(np.repeat(part, count, axis=1) for part in random_state(model, 1))
    even = (np.arange(count) + 0.5)[None] / count
    token = np.full(count, 11)
    shares = []
    for precision in ("float32", "int8"):
        tokens, _ = drawing_of(model, precision).draw(token, state, even, 1.0)
        shares.append(np.bincount(tokens[0], minlength=20) / count)
    with torch.no_grad():
        one = tuple(torch.from_numpy(part[:, :1].copy()) for part in state)
        logits, _ = model(torch.tensor([[11]]), one)
    np.testing.assert_allclose(shares[0], logits[0, 0].softmax(0), atol=2 / count)
    assert 0 < np.abs(shares[0] - shares[1]).max() < 0.03


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(("cell", "layers", "embed"), KINDS)
def test_a_row_is_the_same_whatever_it_is_among(
    cell: str, layers: int, embed: int, precision: str
) -> None:
    model = random_model(cell, layers, embed)
    drawing = drawing_of(model, precision)
    first, state = np.arange(B) * 50, random_state(model)
    uniforms = np.random.default_rng(5).random((K, B))
    found = drawing.draw(first, state, uniforms, 1.0)
    for row in range(B):
        assert_alone(drawing, first, state, uniforms, found, row)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_threads_change_no_bit(precision: str) -> None:
    """Of matrices that are large enough to be shared out among them."""
    config = ModelConfig("lm", EncoderConfig("lstm", 3000, 160, 160, 2, False))
    torch.manual_seed(3)
    model = build_network(config).eval()
    random = np.random.default_rng(10)
    state = tuple(random.uniform(-1, 1, (2, 17, 160)).astype(np.float32) for _ in range(2))
    first, uniforms = random.integers(3000, size=17), random.random((6, 17))
    found = []
    for threads in (1, 2):
        drawing = drawing_of(model, precision, threads)
        tokens, after = drawing.draw(first, state, uniforms, 1.0)
        assert_alone(drawing, first, state, uniforms, (tokens, after), 5)
        found.append((tokens, *after))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(("cell", "layers", "embed"), KINDS)
def test_what_is_read_first_is_each_row_s_own(
    cell: str, layers: int, embed: int, precision: str
) -> None:
    """Also nothing, and more than is read in one call."""
    model = random_model(cell, layers, embed)
    drawing = drawing_of(model, precision)
    random = np.random.default_rng(9)
    rows = [random.integers(V, size=size) for size in (3, 0, 700, 256, 1)]
    state = random_state(model)
    after = drawing.read_on(rows, state)
    for number, ids in enumerate(rows):
        start = tuple(part[:, [number]] for part in state)
        alone = drawing.read_on([ids], start)
        for found, part in zip(alone, after, strict=True):
            np.testing.assert_array_equal(found[:, 0], part[:, number])
        if not len(ids):
            wanted = start
        else:
            with torch.no_grad():
                _, end = model(torch.from_numpy(ids[None]), tuple(map(torch.from_numpy, start)))
            wanted = tuple(part.numpy() for part in end)
        for found, part in zip(alone, wanted, strict=True):
            np.testing.assert_allclose(found, part, atol=5e-6 if precision == "float32" else 0.2)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_draws_in_several_calls_are_those_of_one(precision: str) -> None:
    model = random_model("gru", 2)
    drawing = drawing_of(model, precision)
    first, state = np.arange(B) * 9, random_state(model)
    uniforms = np.random.default_rng(6).random((K, B))
    whole, end = drawing.draw(first, state, uniforms, 1.0)
    pieces = []
    last = first
    for left, right in ((0, 1), (1, 4), (4, K)):
        tokens, state = drawing.draw(last, state, uniforms[left:right], 1.0)
        pieces.append(tokens)
        last = tokens[-1]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    for found, part in zip(state, end, strict=True):
        np.testing.assert_array_equal(found, part)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("vocabulary", [1, 127, 128, 129, V])
@pytest.mark.parametrize("uniform", [0.0, 1e-300, 0.5, 1 - 2**-53])
def test_only_what_has_a_probability_is_drawn(
    uniform: float, vocabulary: int, precision: str
) -> None:
    """At either end of the distribution, whatever is excluded there."""
    model = random_model(vocabulary=vocabulary)
    drawing = drawing_of(model, precision)
    uniforms = np.full((3, 1), uniform)
    state = random_state(model, 1)
    for allowed in {0, vocabulary // 2, vocabulary - 1}:
        others = [token for token in range(vocabulary) if token != allowed]
        tokens, _ = drawing.draw(np.zeros(1, np.int64), state, uniforms, 1.0, others)
        assert tokens.tolist() == [[allowed]] * 3
    few = sorted({vocabulary // 3, vocabulary // 2})
    others = [token for token in range(vocabulary) if token not in few]
    tokens, _ = drawing.draw(np.zeros(1, np.int64), state, uniforms, 1.0, others)
    end = {0.0: few[0], 1e-300: few[0], 1 - 2**-53: few[-1]}.get(uniform)
    assert set(tokens[:, 0].tolist()) <= ({end} if end is not None else set(few))


def test_a_likely_token_is_all_there_is_when_it_is_cold() -> None:
    """Far below the temperature at which anything else has a probability, nothing overflows."""
    model = random_model(spread=3)
    given = (np.arange(B), random_state(model))
    uniforms = np.random.default_rng(8).random((K, B))
    tokens, _ = drawing_of(model).draw(*given, uniforms, 1e-6)
    wanted, _ = stepped(model, *given, uniforms, 0, [])
    np.testing.assert_array_equal(tokens, wanted)


# The file


def test_in_float32_matrices_stay_in_the_checkpoint_s_own_file() -> None:
    config = ModelConfig("lm", EncoderConfig("lstm", 2000, 64, 64, 2, False))
    weights = numpy_weights(build_network(config))
    (name,) = generation_files(config, weights)
    assert name == checkpoint.GENERATION
    plain, small = (generation_files(config, weights, p)[name] for p in ("float32", "int8"))
    matrices = {name for name, array in weights.items() if array.ndim == 2}
    graph = onnx.load_from_string(plain).graph
    outside = [t for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert {tensor.name for tensor in outside} == matrices
    assert not any(tensor.raw_data for tensor in outside)
    # Biases are there, 4 bytes each.
    size = sum(weights[name].nbytes for name in matrices)
    assert len(plain) < size / 20
    assert 0.25 * size < len(small) < 0.65 * size


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_only_a_language_model_has_one(task: str) -> None:
    config = ModelConfig(task, EncoderConfig("lstm", 20, 4, 6, 1, False), ("a", "b"), False, 99)
    assert other_graphs(config, numpy_weights(build_network(config))) == {}


@pytest.mark.parametrize("wrong", ["encoder.layers.0.forward_cell.bias_ih_l0", "head.bias"])
def test_a_graph_that_draws_otherwise_is_not_saved(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model()
    assert verify(model, export(model)) < 1e-5

    def changed(config: ModelConfig, weights: dict[str, Array]) -> dict[str, bytes]:
        return generation_files(config, {**weights, wrong: weights[wrong][::-1].copy()})

    monkeypatch.setattr(generation, "generation_files", changed)
    with pytest.raises(TrainingError, match="differs from the trained model"):
        verify(model, export(model))
