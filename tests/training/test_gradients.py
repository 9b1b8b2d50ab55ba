"""Integrated gradients, compared with finite differences and with the change of the output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.training import gradients
from rnntext.training.gradients import integrated_gradients, logits_of
from rnntext.training.networks.build import build_network, network_of
from rnntext.training.networks.encoder import Network

Array = NDArray[Any]
CELLS = ("rnn", "gru", "lstm")
V, E, H, LAYERS, T = 13, 4, 5, 2, 9
LABELS = ("a", "b", "c")
IDS = np.array([3, 1, 7, 7, 0, 12, 5, 2, 9])
COEFFICIENTS = np.array([1.0, -0.75, -0.25])
WORD = (4, 6)  # the first and the last token of a word that has one between


def random_network(task: str, cell: str = "lstm", *, both: bool = False) -> Network:
    encoder = EncoderConfig(cell, V, E, H, LAYERS, both)
    config = ModelConfig(task, encoder, LABELS, max_length=99)
    random = np.random.default_rng(13)
    weights = {
        name: random.normal(0, 2 if name.startswith("head") else 0.6, tensor.shape)
        for name, tensor in build_network(config).state_dict().items()
    }
    return network_of(config, weights)


def plain_output(network: Any, task: str) -> float:
    """The output that is explained, by the network as it is trained."""
    ids, length = torch.tensor(IDS)[None], torch.tensor([T])
    if task == "classify":
        logits = network(ids, length)[0]
    else:
        first, last = (torch.tensor([[token]]) for token in WORD)
        logits = network(ids, length, first, last)[0, 0]
    return float(logits.numpy() @ COEFFICIENTS)


def word_of(task: str) -> tuple[int, int] | None:
    return None if task == "classify" else WORD


@pytest.mark.parametrize("task", ["classify", "tag"])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_shares_sum_to_the_change_of_the_output(cell: str, both: bool, task: str) -> None:
    network = random_network(task, cell, both=both)
    found = integrated_gradients(network, IDS, COEFFICIENTS, word_of(task))
    assert found.output == pytest.approx(plain_output(network, task), abs=1e-12)
    embeddings = network.encoder.embedding
    embeddings.weight.zero_()
    assert found.baseline == pytest.approx(plain_output(network, task), abs=1e-12)
    change = found.output - found.baseline
    assert abs(change) > 0.1
    assert found.error == found.tokens.sum() - change
    assert abs(found.error) <= 0.01 * abs(change)
    assert found.tokens.shape == (T,)
    if task == "tag" and not both:
        # What comes after the word's last token is not read before its tag is given.
        assert found.tokens[WORD[1] + 1 :].tolist() == [0, 0]
        assert found.tokens[: WORD[1] + 1].all()


@pytest.mark.parametrize("task", ["classify", "tag"])
@pytest.mark.parametrize("cell", CELLS)
def test_shares_are_the_integral_of_finite_differences(
    cell: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A sum may be complete before each share is as good.
    monkeypatch.setattr(gradients, "COMPLETE", 1e-6)
    monkeypatch.setattr(gradients, "_NEGLIGIBLE", 1e-6)
    network = random_network(task, cell, both=True)
    embedded = network.encoder.embedding.weight[torch.tensor(IDS)]  # (T, E)

    # The midpoint rule along the path, and at each point the difference between stretching one
    # token's embedding a little more and a little less: its embedding times the gradient.
    steps, step = 200, 1e-5
    expected = np.zeros(T)
    for point in range(steps):
        x = (embedded * ((point + 0.5) / steps))[:, None].repeat(1, 2 * T, 1)
        for token in range(T):
            x[token, token] += step * embedded[token]
            x[token, T + token] -= step * embedded[token]
        outputs = logits_of(network, x, word_of(task)).numpy() @ COEFFICIENTS
        expected += (outputs[:T] - outputs[T:]) / (2 * step) / steps
    found = integrated_gradients(network, IDS, COEFFICIENTS, word_of(task))
    np.testing.assert_allclose(found.tokens, expected, atol=0.01 * np.abs(expected).max())


def test_the_gradient_is_that_of_finite_differences() -> None:
    for task in ("classify", "tag"):
        network = random_network(task, both=True)
        x = torch.tensor(np.random.default_rng(2).normal(size=(T, 1, E)), requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda x, network=network, task=task: logits_of(network, x, word_of(task)), (x,)
        )


def test_a_linear_network_is_explained_exactly_with_the_fewest_points() -> None:
    """With tiny embeddings the network is linear in them, up to their third power."""
    network = random_network("classify", both=True)
    network.encoder.embedding.weight.mul_(1e-4)
    found = integrated_gradients(network, IDS, COEFFICIENTS)
    assert found.steps == 16
    assert abs(found.error) < 1e-9 < np.abs(found.tokens).max()


def test_points_are_doubled_until_the_shares_are_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network("classify", both=True)
    # Saturated from the start: nearly all of the change is close to the baseline.
    network.encoder.embedding.weight.mul_(200)
    found = integrated_gradients(network, IDS, COEFFICIENTS)
    assert found.steps > 16
    change = abs(found.output - found.baseline)
    assert abs(found.error) <= 0.01 * change
    # There is a bound, and the error says how good the shares then are.
    monkeypatch.setattr(gradients, "_MOST_PANELS", 2)
    rough = integrated_gradients(network, IDS, COEFFICIENTS)
    assert rough.steps == 16
    assert abs(rough.error) > 0.01 * change


def test_a_jump_of_the_output_is_told_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No gradient tells of a jump: it is narrowed down, and then left."""
    network = random_network("classify", both=True)
    real = gradients.logits_of

    def jumping(network: Network, x: torch.Tensor, word: Any) -> torch.Tensor:
        jump = (x.detach()[0] / network.encoder.embedding.weight[IDS[0]]).mean(1) > 0.3
        return real(network, x, word) + 5 * jump[:, None] * torch.tensor([1.0, 0.0, 0.0])

    plain = integrated_gradients(network, IDS, COEFFICIENTS)
    monkeypatch.setattr(gradients, "logits_of", jumping)
    found = integrated_gradients(network, IDS, COEFFICIENTS)
    assert found.error == pytest.approx(-5, abs=0.05)
    assert found.steps < 300
    np.testing.assert_allclose(found.tokens, plain.tokens, atol=0.05)


def test_a_long_text_is_read_a_few_points_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network("classify", both=True)
    at_once = integrated_gradients(network, IDS, COEFFICIENTS)
    batches = []
    real = gradients.logits_of

    def counted(network: Network, x: torch.Tensor, word: Any) -> torch.Tensor:
        batches.append(x.shape[1])
        return real(network, x, word)

    monkeypatch.setattr(gradients, "logits_of", counted)
    monkeypatch.setattr(gradients, "_TOKENS", 3 * T + 1)
    found = integrated_gradients(network, IDS, COEFFICIENTS)
    assert max(batches) == 3
    np.testing.assert_allclose(found.tokens, at_once.tokens, atol=1e-12)
