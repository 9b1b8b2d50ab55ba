"""The cells against their papers' equations in NumPy, and what the encoder and heads promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.training.networks.build import build_network
from rnntext.training.networks.classifier import Classifier, ClassifierHead
from rnntext.training.networks.encoder import RecurrentEncoder, make_cell
from rnntext.training.networks.language_model import LanguageModel
from rnntext.training.networks.tagger import Tagger, TaggerHead

torch.set_num_threads(1)

Array = NDArray[np.float64]
CELLS = ("rnn", "gru", "lstm")
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
# Steps, rows, embedding, units, vocabulary, labels.
T, B, E, H, V, L = 5, 3, 4, 6, 11, 7


def encoder_config(cell: str, layers: int = 1, both: bool = False) -> EncoderConfig:
    return EncoderConfig(cell, V, E, H, layers, both)


def model_config(task: str, cell: str, layers: int = 1, both: bool = False) -> ModelConfig:
    labels = () if task == "lm" else tuple("abcdefg")
    return ModelConfig(task, encoder_config(cell, layers, both), labels, max_length=99)


def randomised(module: nn.Module, seed: int = 0) -> Any:
    """Every weight random, biases too, so that no term of an equation is zero."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.6, generator=generator)
    return module


def random_ids(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(V, size=shape))


def random_state(cell: str, layers: int, seed: int = 5) -> tuple[Tensor, ...]:
    rng = np.random.default_rng(seed)
    parts = 2 if cell == "lstm" else 1
    return tuple(torch.from_numpy(rng.uniform(-1, 1, (layers, B, H))) for _ in range(parts))


# The reference


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


class Reference:
    """One layer of one direction, step by step; weights as PyTorch lays them out.

    Each step sees what comes from the input, `given` = x W_ih' + b_ih, and what comes from the
    state, `recalled` = h W_hh' + b_hh, both (B, gates * H).
    """

    def __init__(self, cell: str, module: nn.RNNBase) -> None:
        self.step: Callable[..., Any] = getattr(self, f"_{cell}")
        self.weights = {
            name.removesuffix("_l0"): parameter.detach().numpy()
            for name, parameter in module.named_parameters()
        }
        self.tape: list[tuple[Array, Array, Callable[..., Any]]] = []

    def forward(self, x: Array, state: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        """x (T, B, I), parts of state (B, H) -> (T, B, H), state."""
        w = self.weights
        outputs = []
        for now in x:
            given = now @ w["weight_ih"].T + w["bias_ih"]
            recalled = state[0] @ w["weight_hh"].T + w["bias_hh"]
            before = state[0]
            state, backward = self.step(given, recalled, *state)
            self.tape.append((now, before, backward))
            outputs.append(state[0])
        return np.stack(outputs), state

    def backward(self, d_outputs: Array) -> tuple[dict[str, Array], Array]:
        """Gradient of the sum of outputs times d_outputs, by the weights and by x."""
        w = self.weights
        grads = {name: np.zeros_like(value) for name, value in w.items()}
        d_x = []
        d_hidden = np.zeros_like(d_outputs[0])
        d_cell = np.zeros_like(d_hidden)
        for (x, before, back), d_output in zip(
            reversed(self.tape), reversed(d_outputs), strict=True
        ):
            d_given, d_recalled, direct, d_cell = back(d_hidden + d_output, d_cell)
            grads["weight_ih"] += d_given.T @ x
            grads["bias_ih"] += d_given.sum(0)
            grads["weight_hh"] += d_recalled.T @ before
            grads["bias_hh"] += d_recalled.sum(0)
            d_x.append(d_given @ w["weight_ih"])
            d_hidden = direct + d_recalled @ w["weight_hh"]
        return grads, np.stack(d_x[::-1])

    @staticmethod
    def _rnn(given: Array, recalled: Array, hidden: Array) -> Any:
        new = np.tanh(given + recalled)

        def backward(d_new: Array, d_cell: Array) -> Any:
            d = d_new * (1 - new**2)
            return d, d, np.zeros_like(hidden), d_cell

        return (new,), backward

    @staticmethod
    def _gru(given: Array, recalled: Array, hidden: Array) -> Any:
        given_r, given_z, given_n = np.split(given, 3, axis=1)
        recalled_r, recalled_z, recalled_n = np.split(recalled, 3, axis=1)
        reset = sigmoid(given_r + recalled_r)
        update = sigmoid(given_z + recalled_z)
        candidate = np.tanh(given_n + reset * recalled_n)
        new = (1 - update) * candidate + update * hidden

        def backward(d_new: Array, d_cell: Array) -> Any:
            d_candidate = d_new * (1 - update) * (1 - candidate**2)
            d_update = d_new * (hidden - candidate) * update * (1 - update)
            d_reset = d_candidate * recalled_n * reset * (1 - reset)
            d_given = np.concatenate([d_reset, d_update, d_candidate], axis=1)
            d_recalled = np.concatenate([d_reset, d_update, d_candidate * reset], axis=1)
            return d_given, d_recalled, d_new * update, d_cell

        return (new,), backward

    @staticmethod
    def _lstm(given: Array, recalled: Array, hidden: Array, cell: Array) -> Any:
        i, f, g, o = np.split(given + recalled, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        new_cell = f * cell + i * g
        squashed = np.tanh(new_cell)

        def backward(d_new: Array, d_cell: Array) -> Any:
            d_cell = d_cell + d_new * o * (1 - squashed**2)
            d = np.concatenate(
                [
                    d_cell * g * i * (1 - i),
                    d_cell * cell * f * (1 - f),
                    d_cell * i * (1 - g**2),
                    d_new * squashed * o * (1 - o),
                ],
                axis=1,
            )
            return d, d, np.zeros_like(hidden), d_cell * f

        return (o * squashed, new_cell), backward


def test_the_reference_itself_by_hand() -> None:
    """One unit, one step, numbers from a pocket calculator."""
    weights = {"weight_ih": 0.5, "weight_hh": 0.25, "bias_ih": 0.1, "bias_hh": 0.2}
    for cell, expected in (("rnn", 0.83365), ("gru", 0.95347), ("lstm", 0.68193)):
        reference = Reference.__new__(Reference)
        reference.step, reference.tape = getattr(Reference, f"_{cell}"), []
        shape = {"weight_ih": (GATES[cell], 1), "weight_hh": (GATES[cell], 1)}
        reference.weights = {
            name: np.full(shape.get(name, (GATES[cell],)), value) for name, value in weights.items()
        }
        state = (np.array([[1.0]]),) * (2 if cell == "lstm" else 1)
        outputs, _ = reference.forward(np.array([[[1.3]]]), state)
        # The pre-activation is 0.65 + 0.25 + 0.3 = 1.2; the GRU's candidate 0.75 + r * 0.45.
        assert outputs[0, 0, 0] == pytest.approx(expected, abs=1e-4)


# Cells and layers against the reference


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_equals_the_equations(cell: str) -> None:
    module = randomised(make_cell(cell, E, H))
    x = np.random.default_rng(1).normal(size=(T, B, E))
    state = random_state(cell, 1)
    expected, final = Reference(cell, module).forward(x, tuple(p[0].numpy() for p in state))
    found, found_state = module(torch.from_numpy(x), state if cell == "lstm" else state[0])
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-10)
    parts = found_state if cell == "lstm" else (found_state,)
    for part, want in zip(parts, final, strict=True):
        np.testing.assert_allclose(part[0].detach(), want, rtol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
def test_back_propagation_in_windows_equals_the_reference(cell: str) -> None:
    """Two windows, the state carried by value: gradients of every weight and embedding."""
    encoder = randomised(RecurrentEncoder(encoder_config(cell), 0.0, 0.0))
    ids = random_ids(B, 2 * T)
    d_outputs = np.random.default_rng(2).normal(size=(2 * T, B, H))

    state = None
    for window in (slice(0, T), slice(T, 2 * T)):
        outputs, state = encoder(ids[:, window], None, state)
        (outputs * torch.from_numpy(d_outputs[window])).sum().backward()
        state = tuple(part.detach() for part in state)

    embedding = encoder.embedding.weight.detach().numpy()
    expected: Any = dict.fromkeys(Reference(cell, encoder.layers[0].forward_cell).weights, 0.0)
    expected_embedding = np.zeros_like(embedding)
    carried = (np.zeros((B, H)),) * (2 if cell == "lstm" else 1)
    for window in (slice(0, T), slice(T, 2 * T)):
        reference = Reference(cell, encoder.layers[0].forward_cell)
        _, carried = reference.forward(embedding[ids[:, window].T.numpy()], carried)
        grads, d_x = reference.backward(d_outputs[window])
        expected = {name: expected[name] + grads[name] for name in expected}
        np.add.at(expected_embedding, ids[:, window].T.numpy(), d_x)

    for name, parameter in encoder.layers[0].forward_cell.named_parameters():
        np.testing.assert_allclose(parameter.grad, expected[name.removesuffix("_l0")], rtol=1e-8)
    np.testing.assert_allclose(encoder.embedding.weight.grad, expected_embedding, rtol=1e-8)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_equal_finite_differences(cell: str, both: bool) -> None:
    steps, rows, embed, hidden, vocabulary = 3, 2, 2, 3, 5
    config = EncoderConfig(cell, vocabulary, embed, hidden, 1, both)
    encoder = randomised(RecurrentEncoder(config, 0.0, 0.0))
    ids = torch.tensor([[1, 4, 2], [3, 0, 0]])
    lengths = torch.tensor([3, 1])
    direction = torch.from_numpy(
        np.random.default_rng(3).normal(size=(steps, rows, config.output_size))
    )
    direction[1:, 1] = 0  # padding has no say

    def loss() -> Tensor:
        total: Tensor = (encoder(ids, lengths)[0] * direction).sum()
        return total

    loss().backward()
    step = 1e-5
    for parameter in encoder.parameters():
        numeric = torch.zeros_like(parameter)
        with torch.no_grad():
            for place in np.ndindex(*parameter.shape):
                kept = float(parameter[place])
                parameter[place] = kept + step
                above = float(loss())
                parameter[place] = kept - step
                numeric[place] = (above - float(loss())) / (2 * step)
                parameter[place] = kept
        torch.testing.assert_close(parameter.grad, numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("cell", CELLS)
def test_two_layers_equal_one_reference_over_the_other(cell: str) -> None:
    encoder = randomised(RecurrentEncoder(encoder_config(cell, 2), 0.0, 0.0))
    ids, state = random_ids(B, T), random_state(cell, 2)
    found, found_state = encoder(ids, None, state)
    x = encoder.embedding.weight.detach().numpy()[ids.T.numpy()]
    for index, layer in enumerate(encoder.layers):
        before = tuple(part[index].numpy() for part in state)
        x, final = Reference(cell, layer.forward_cell).forward(x, before)
        for part, want in zip(found_state, final, strict=True):
            np.testing.assert_allclose(part[index].detach(), want, rtol=1e-9)
    np.testing.assert_allclose(found.detach(), x, rtol=1e-9)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_both_directions_read_each_row_alone(cell: str, layers: int) -> None:
    encoder = randomised(RecurrentEncoder(encoder_config(cell, layers, both=True), 0.0, 0.0))
    ids, lengths = random_ids(B, T), torch.tensor([2, T, 1])
    found, _ = encoder(ids, lengths)
    table = encoder.embedding.weight.detach().numpy()
    zeros = (np.zeros((1, H)),) * (2 if cell == "lstm" else 1)
    for row, length in enumerate(lengths.tolist()):
        x = table[ids[row, :length].numpy()][:, None]  # (t, 1, E)
        for layer in encoder.layers:
            forward, _ = Reference(cell, layer.forward_cell).forward(x, zeros)
            backward, _ = Reference(cell, layer.backward_cell).forward(x[::-1], zeros)
            x = np.concatenate([forward, backward[::-1]], axis=2)
        np.testing.assert_allclose(found[:length, row].detach(), x[:, 0], rtol=1e-9)
        alone, _ = encoder(ids[row : row + 1, :length])
        np.testing.assert_allclose(found[:length, row].detach(), alone[:, 0].detach(), rtol=1e-9)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_padding_never_changes_an_answer(cell: str, both: bool) -> None:
    lengths = torch.tensor([T, 2, 4])
    ids = random_ids(B, T)
    other = torch.where(torch.arange(T) < lengths[:, None], ids, (ids + 1) % V)
    wider = torch.cat([ids, random_ids(B, 3, seed=8)], dim=1)
    classifier = randomised(Classifier(model_config("classify", cell, 2, both), 0.0, 0.0))
    tagger = randomised(Tagger(model_config("tag", cell, 2, both), 0.0, 0.0))
    first, last = torch.tensor([[0, 2], [0, 1], [1, 3]]), torch.tensor([[1, 4], [0, 1], [2, 3]])
    logits = classifier(ids, lengths)
    emissions = tagger(ids, lengths, first, last)
    assert torch.isfinite(logits).all()
    for padded in (other, wider):
        torch.testing.assert_close(classifier(padded, lengths), logits, rtol=0, atol=1e-12)
        torch.testing.assert_close(
            tagger(padded, lengths, first, last), emissions, rtol=0, atol=1e-12
        )


# The state


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_token_by_token_equals_the_whole_sequence(cell: str, layers: int) -> None:
    model = randomised(LanguageModel(model_config("lm", cell, layers), 0.0))
    ids = random_ids(B, T)
    with torch.no_grad():
        whole, final = model(ids)
        state, pieces = None, []
        for step in range(T):
            logits, state = model(ids[:, step : step + 1], state)
            pieces.append(logits)
    assert whole.shape == (B, T, V)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-10, atol=1e-12)
    assert state is not None
    assert len(state) == len(final) == (2 if cell == "lstm" else 1)
    for part, want in zip(state, final, strict=True):
        assert part.shape == (layers, B, H)
        torch.testing.assert_close(part, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_a_detached_state_stops_the_gradient_and_keeps_the_value(cell: str) -> None:
    """Tokens 0 to 4 stand in the first window alone: nothing after it may move them, unless
    the state is passed on with its history."""
    model = randomised(LanguageModel(model_config("lm", cell), 0.0))
    early = torch.arange(5)[None]
    late = torch.arange(5, V)[None]
    whole, _ = model(torch.cat([early, late], dim=1))
    for cut in (True, False):
        model.zero_grad()
        _, state = model.encoder(early)
        if cut:
            state = tuple(part.detach() for part in state)
        states, _ = model.encoder(late, None, state)
        logits = states @ torch.zeros(H, V, dtype=torch.float64).normal_(
            generator=torch.Generator().manual_seed(1)
        )
        logits.sum().backward()
        reached = model.encoder.embedding.weight.grad.abs().sum(1) > 0
        assert reached[5:].all()
        assert reached[:5].any().item() is not cut
    after, _ = model(late, tuple(part.detach() for part in model.encoder(early)[1]))
    torch.testing.assert_close(after, whole[:, 5:], rtol=1e-10, atol=1e-12)


# Heads


@pytest.mark.parametrize("hidden", [E, H])
def test_tied_weights_are_stored_once(hidden: int) -> None:
    config = ModelConfig("lm", EncoderConfig("gru", V, E, hidden, 1, False))
    model = randomised(build_network(config))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    vocabulary_sized = {name for name, shape in shapes.items() if V in shape}
    assert vocabulary_sized == {"encoder.embedding.weight", "head.bias"}
    assert ("head.projection.weight" in shapes) == (hidden != E)
    # A word that is never read is still predicted, through the same weights.
    ids = torch.tensor([[1, 2]])
    before, _ = model(ids)
    with torch.no_grad():
        model.encoder.embedding.weight[9] *= 2
    after, _ = model(ids)
    bias = model.head.bias[9]
    torch.testing.assert_close(after[..., 9] - bias, 2 * (before[..., 9] - bias))
    assert torch.equal(after[..., :9], before[..., :9])


def identity_output(head: Any, size: int) -> None:
    with torch.no_grad():
        head.output.weight.copy_(torch.eye(size))
        head.output.bias.zero_()


@pytest.mark.parametrize("both", [False, True])
def test_classifier_pooling_by_hand(both: bool) -> None:
    hidden = 1 if both else 2
    head = ClassifierHead(EncoderConfig("rnn", V, E, hidden, 1, both), 6, 0.0)
    identity_output(head, 6)
    # Rows of 3 and 1 of 3 steps; what lies in the padding is larger than all else.
    states = torch.tensor(
        [
            [[1.0, -4.0], [-7.0, 8.0]],
            [[5.0, -9.0], [90.0, 90.0]],
            [[-3.0, -2.0], [90.0, 90.0]],
        ]
    )  # (T, B, output_size)
    logits = head(states, torch.tensor([3, 1]))
    # Last (the backward direction's last is at the first step), largest, mean.
    last = [-3, -4] if both else [-3, -2]
    assert logits.tolist() == [[*last, 5, -2, 1, -5], [-7, 8, -7, 8, -7, 8]]


def test_a_words_vector_by_hand() -> None:
    encoder = EncoderConfig("rnn", V, E, 1, 1, True)
    head = TaggerHead(ModelConfig("tag", encoder, ("a", "b"), max_length=9), 0.0)
    identity_output(head, 2)
    states = torch.arange(12.0).reshape(3, 2, 2)  # (T, B, output_size)
    first, last = torch.tensor([[0, 2], [1, 1]]), torch.tensor([[1, 2], [2, 1]])
    # States at (step, row): 4 * step + 2 * row, and that + 1.
    assert head(states, first, last).tolist() == [[[4, 1], [8, 9]], [[10, 7], [6, 7]]]


@pytest.mark.parametrize(("task", "kind"), [("lm", LanguageModel), ("classify", Classifier)])
def test_build_model_makes_what_the_task_says(task: str, kind: type) -> None:
    torch.manual_seed(3)
    one = build_network(model_config(task, "gru"))
    torch.manual_seed(3)
    two = build_network(model_config(task, "gru"))
    assert type(one) is kind
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_tagger_has_dropout_where_it_was_asked_for() -> None:
    plain = build_network(model_config("tag", "gru")).encoder
    for layer in (plain.dropout, plain.input_dropout, plain.token_dropout):
        assert layer.probability == 0
    model = build_network(model_config("tag", "gru"), 0.4, 0.05)
    assert isinstance(model, Tagger)
    assert model.encoder.dropout.probability == 0.4
    assert model.encoder.input_dropout.probability == 0.2
    assert model.encoder.token_dropout.probability == 0.05
    assert model.head.dropout.p == 0.4
    assert model.head.crf.transitions.shape == (L, L)
