"""The graph that generates text: tokens are sampled from the distribution of the model."""

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
from rnntext.graphs.generation import generation_graphs
from rnntext.graphs.graph_builder import GraphBuilder
from rnntext.runtime.language_model import GraphSampler
from rnntext.runtime.sampling import SamplingOptions, choose
from rnntext.runtime.session import Session
from rnntext.training.networks.build import build_network
from rnntext.training.networks.encoder import Network
from rnntext.training.networks.language_model import LanguageModel
from rnntext.training.onnx import generation
from rnntext.training.onnx.build import other_graphs
from rnntext.training.onnx.from_network import export, numpy_weights, verify

torch.set_num_threads(1)

Array = NDArray[Any]

CELLS = ("rnn", "gru", "lstm")
# Cell, layers, size of the embeddings; the hidden size is 6.
KINDS = [*product(CELLS, (1, 2), (4, 6))]
# Three blocks of the search, the last of them padded.
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


def sampler_of(model: Network, precision: str = "float32", threads: int = 1) -> GraphSampler:
    weights = numpy_weights(model)
    (graph,) = other_graphs(model.config, weights, precision).values()
    matrices = {name: array for name, array in weights.items() if array.ndim == 2}
    external = matrices if precision == "float32" else {}
    session = Session(graph, threads, intra_op=True, weights=external)
    return GraphSampler(session, model.config.encoder.state_names)


def assert_independent(
    sampler: GraphSampler,
    first: Array,
    state: tuple[Array, ...],
    uniforms: Array,
    found: tuple[Array, tuple[Array, ...]],
    row: int,
) -> None:
    """A row alone gives the same result as in the batch, to the bit."""
    tokens, after = sampler.sample(
        first[[row]], tuple(part[:, [row]] for part in state), uniforms[:, [row]], 1.0
    )
    np.testing.assert_array_equal(tokens[:, 0], found[0][:, row])
    for alone, part in zip(after, found[1], strict=True):
        np.testing.assert_array_equal(alone[:, 0], part[:, row])


def random_state(model: LanguageModel, rows: int = B) -> tuple[Array, ...]:
    config = model.config.encoder
    random = np.random.default_rng(3)
    shape = (config.num_layers, rows, config.hidden_size)
    return tuple(random.uniform(-1, 1, shape).astype(np.float32) for _ in config.state_names)


def reference_sample(
    model: LanguageModel,
    ids: Array,
    state: tuple[Array, ...],
    uniforms: Array,
    temperature: float,
    excluded: list[int],
) -> tuple[Array, tuple[Array, ...]]:
    """Tokens and final state, from PyTorch's model and the sampling in NumPy, step by step."""
    tokens = []
    for numbers in uniforms:
        with torch.no_grad():
            logits, after = model(
                torch.from_numpy(ids[:, None]), tuple(map(torch.from_numpy, state))
            )
        scores, state = logits[:, 0].numpy().copy(), tuple(part.numpy() for part in after)
        scores[:, excluded] = -np.inf
        ids = choose(scores, SamplingOptions(temperature), [[]] * len(ids), numbers)
        tokens.append(ids)
    return np.stack(tokens), state


@pytest.mark.parametrize(("cell", "layers", "embed"), KINDS)
def test_tokens_equal_those_of_the_reference(cell: str, layers: int, embed: int) -> None:
    model = random_model(cell, layers, embed)
    first, uniforms = np.arange(B) * 7, np.random.default_rng(4).random((K, B))
    arguments = (first, random_state(model), uniforms, 0.7, [3, 200])
    tokens, state = sampler_of(model).sample(*arguments)
    wanted, wanted_state = reference_sample(model, *arguments)
    np.testing.assert_array_equal(tokens, wanted)
    assert len(np.unique(tokens // 128)) == 3
    for found, part in zip(state, wanted_state, strict=True):
        assert found.shape == (layers, B, H)
        np.testing.assert_allclose(found, part, atol=2e-6)


@pytest.mark.parametrize(("cell", "layers", "embed"), KINDS)
def test_int8_samples_from_a_similar_distribution(cell: str, layers: int, embed: int) -> None:
    """Evenly spaced uniform numbers sample each token in proportion to its probability."""
    model = random_model(cell, layers, embed, vocabulary=20)
    count = 4000
    state = tuple(np.repeat(part, count, axis=1) for part in random_state(model, 1))
    evenly_spaced = (np.arange(count) + 0.5)[None] / count
    token = np.full(count, 11)
    shares = []
    for precision in ("float32", "int8"):
        tokens, _ = sampler_of(model, precision).sample(token, state, evenly_spaced, 1.0)
        shares.append(np.bincount(tokens[0], minlength=20) / count)
    with torch.no_grad():
        one = tuple(torch.from_numpy(part[:, :1].copy()) for part in state)
        logits, _ = model(torch.tensor([[11]]), one)
    np.testing.assert_allclose(shares[0], logits[0, 0].softmax(0), atol=2 / count)
    assert 0 < np.abs(shares[0] - shares[1]).max() < 0.03


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(("cell", "layers", "embed"), KINDS)
def test_the_tokens_of_a_row_do_not_depend_on_the_batch(
    cell: str, layers: int, embed: int, precision: str
) -> None:
    model = random_model(cell, layers, embed)
    sampler = sampler_of(model, precision)
    first, state = np.arange(B) * 50, random_state(model)
    uniforms = np.random.default_rng(5).random((K, B))
    found = sampler.sample(first, state, uniforms, 1.0)
    for row in range(B):
        assert_independent(sampler, first, state, uniforms, found, row)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_threads_do_not_change_the_result(precision: str) -> None:
    """The matrices are large enough for products to be split over threads."""
    config = ModelConfig("lm", EncoderConfig("lstm", 3000, 160, 160, 2, False))
    torch.manual_seed(3)
    model = build_network(config).eval()
    random = np.random.default_rng(10)
    state = tuple(random.uniform(-1, 1, (2, 17, 160)).astype(np.float32) for _ in range(2))
    first, uniforms = random.integers(3000, size=17), random.random((6, 17))
    found = []
    for threads in (1, 2):
        sampler = sampler_of(model, precision, threads)
        tokens, after = sampler.sample(first, state, uniforms, 1.0)
        assert_independent(sampler, first, state, uniforms, (tokens, after), 5)
        found.append((tokens, *after))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(("cell", "layers", "embed"), KINDS)
def test_each_row_reads_its_own_prompt(cell: str, layers: int, embed: int, precision: str) -> None:
    """Prompts may be empty, or longer than one call reads."""
    model = random_model(cell, layers, embed)
    sampler = sampler_of(model, precision)
    random = np.random.default_rng(9)
    rows = [random.integers(V, size=size) for size in (3, 0, 700, 256, 1)]
    state = random_state(model)
    after = sampler.advance(rows, state)
    for number, ids in enumerate(rows):
        start = tuple(part[:, [number]] for part in state)
        alone = sampler.advance([ids], start)
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
def test_several_calls_give_the_tokens_of_one_call(precision: str) -> None:
    model = random_model("gru", 2)
    sampler = sampler_of(model, precision)
    first, state = np.arange(B) * 9, random_state(model)
    uniforms = np.random.default_rng(6).random((K, B))
    whole, end = sampler.sample(first, state, uniforms, 1.0)
    pieces = []
    last = first
    for left, right in ((0, 1), (1, 4), (4, K)):
        tokens, state = sampler.sample(last, state, uniforms[left:right], 1.0)
        pieces.append(tokens)
        last = tokens[-1]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    for found, part in zip(state, end, strict=True):
        np.testing.assert_array_equal(found, part)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("vocabulary", [1, 127, 128, 129, V])
@pytest.mark.parametrize("uniform", [0.0, 1e-300, 0.5, 1 - 2**-53])
def test_only_tokens_with_a_probability_are_sampled(
    uniform: float, vocabulary: int, precision: str
) -> None:
    """At both ends of the distribution, whichever ids are excluded."""
    model = random_model(vocabulary=vocabulary)
    sampler = sampler_of(model, precision)
    uniforms = np.full((3, 1), uniform)
    state = random_state(model, 1)
    for allowed in {0, vocabulary // 2, vocabulary - 1}:
        others = [token for token in range(vocabulary) if token != allowed]
        tokens, _ = sampler.sample(np.zeros(1, np.int64), state, uniforms, 1.0, others)
        assert tokens.tolist() == [[allowed]] * 3
    few = sorted({vocabulary // 3, vocabulary // 2})
    others = [token for token in range(vocabulary) if token not in few]
    tokens, _ = sampler.sample(np.zeros(1, np.int64), state, uniforms, 1.0, others)
    end = {0.0: few[0], 1e-300: few[0], 1 - 2**-53: few[-1]}.get(uniform)
    assert set(tokens[:, 0].tolist()) <= ({end} if end is not None else set(few))


def test_a_very_low_temperature_gives_the_most_likely_token() -> None:
    """Nothing overflows at a temperature far too low for any other token."""
    model = random_model(spread=3)
    arguments = (np.arange(B), random_state(model))
    uniforms = np.random.default_rng(8).random((K, B))
    tokens, _ = sampler_of(model).sample(*arguments, uniforms, 1e-6)
    wanted, _ = reference_sample(model, *arguments, uniforms, 0, [])
    np.testing.assert_array_equal(tokens, wanted)


# The content of the file


def test_float32_matrices_are_external_initializers() -> None:
    config = ModelConfig("lm", EncoderConfig("lstm", 2000, 64, 64, 2, False))
    weights = numpy_weights(build_network(config))
    (name,) = other_graphs(config, weights)
    assert name == checkpoint.GENERATION
    float32, int8 = (other_graphs(config, weights, p)[name] for p in ("float32", "int8"))
    matrices = {name for name, array in weights.items() if array.ndim == 2}
    graph = onnx.load_from_string(float32).graph
    external = [t for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert {tensor.name for tensor in external} == matrices
    assert not any(tensor.raw_data for tensor in external)
    # Biases are in the file, in 4 bytes each.
    size = sum(weights[name].nbytes for name in matrices)
    assert len(float32) < size / 20
    assert 0.25 * size < len(int8) < 0.65 * size


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("vocabulary", [127, 128, 256])
def test_only_incomplete_blocks_are_padded(vocabulary: int, precision: str) -> None:
    model = random_model(vocabulary=vocabulary)
    (content,) = other_graphs(model.config, numpy_weights(model), precision).values()
    graph = onnx.load_from_string(content).graph
    bodies = [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    operators = {node.op_type for g in (graph, *bodies) for node in g.node}
    assert ("Pad" in operators) == (vocabulary == 127)


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_only_a_language_model_has_this_file(task: str) -> None:
    config = ModelConfig(task, EncoderConfig("lstm", 20, 4, 6, 1, False), ("a", "b"), False, 99)
    assert other_graphs(config, numpy_weights(build_network(config))) == {}


@pytest.mark.parametrize("wrong", ["encoder.layers.0.forward_cell.bias_ih_l0", "head.bias"])
def test_a_graph_with_another_distribution_is_not_saved(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model()
    assert verify(model, export(model)) < 1e-5

    def with_fault(
        config: ModelConfig, weights: dict[str, Array], precision: str
    ) -> dict[str, GraphBuilder]:
        changed = {**weights, wrong: weights[wrong][::-1].copy()}
        return generation_graphs(config, changed, precision)

    monkeypatch.setattr(generation, "generation_graphs", with_fault)
    with pytest.raises(TrainingError, match="differs from the trained model"):
        verify(model, export(model))
