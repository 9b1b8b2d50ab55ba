"""The optimizer against PyTorch's own, and that it goes on from a saved state to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from rnntext.training.engine.optimizer import Optimizer, OptimizerConfig

torch.set_num_threads(1)

SETTINGS = OptimizerConfig(learning_rate=0.02, weight_decay=0.1, clip_norm=0.5, warmup=1)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


class Words(nn.Module):
    """A parameter with a row for each of five words, of which three are used, and one without."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.ModuleDict({"embedding": nn.Embedding(5, 3)})
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        states: Tensor = self.layer(x @ self.encoder["embedding"].weight.t()[:, :3])
        return states


def learn(model: nn.Module, step: int) -> None:
    """Gradients of a step's own data."""
    generator = torch.Generator().manual_seed(step)
    model(torch.randn(5, 3, generator=generator)).square().sum().backward()


def weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("decay", [0.1, 0.0])
@pytest.mark.parametrize("make", [network, Words])
def test_it_is_adamw_with_clipped_gradients(make: Callable[[], nn.Module], decay: float) -> None:
    ours, theirs = make(), make()
    optimizer = Optimizer(ours, replace(SETTINGS, weight_decay=decay))
    matrices = [p for p in theirs.parameters() if p.dim() > 1]
    biases = [p for p in theirs.parameters() if p.dim() == 1]
    reference = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}],
        betas=(0.9, 0.99),
    )
    for step in range(30):
        rate = 0.02 / (1 + step)
        learn(ours, step)
        learn(theirs, step)
        norm = optimizer.step(rate, step)
        expected = nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        assert float(norm) == pytest.approx(float(expected))
        for group in reference.param_groups:
            group["lr"] = rate
        reference.step()
        reference.zero_grad()
        for one, two in zip(weights(ours), weights(theirs), strict=True):
            torch.testing.assert_close(one, two)


def test_gradients_are_forgotten_and_clipped_together() -> None:
    model = network()
    learn(model, 0)
    total = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
    assert total > 0.5
    assert float(Optimizer(model, SETTINGS).step(0.1, 0)) == pytest.approx(total)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_words_keep_the_proportions_of_their_gradients() -> None:
    model = Words()
    optimizer = Optimizer(model, replace(SETTINGS, clip_norm=1e9, embedding_lr_multiplier=3.0))
    (table,) = model.encoder["embedding"].parameters()
    first, second = torch.zeros_like(table), 0.0
    for step in range(1, 20):
        rate = 0.02 / step
        learn(model, step)
        assert table.grad is not None
        before, gradient = table.detach().clone(), table.grad.clone()
        optimizer.step(rate, step - 1)
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * float(gradient.square().mean())
        size = math.sqrt(second / (1 - 0.99**step))
        expected = before - 3 * rate * first / (1 - 0.9**step) / size
        torch.testing.assert_close(table.detach(), expected)
        # A word without a gradient stays where it is: nothing of a word decays.
        assert torch.equal(table[3:], before[3:])


@pytest.mark.parametrize("make", [network, Words])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_it_goes_on_from_its_state_to_the_bit(
    ema_decay: float, make: Callable[[], nn.Module]
) -> None:
    settings = replace(SETTINGS, ema_decay=ema_decay, embedding_lr_multiplier=2.0)
    whole, first = make(), make()
    one, two = Optimizer(whole, settings), Optimizer(first, settings)
    for step in range(10):
        learn(whole, step)
        one.step(0.02, step)
        if step < 5:
            learn(first, step)
            two.step(0.02, step)
    state = {name: tensor.clone() for name, tensor in two.state().items()}
    second = make()
    second.load_state_dict(first.state_dict())
    three = Optimizer(second, settings)
    three.restore(state)
    for step in range(5, 10):
        learn(second, step)
        three.step(0.02, step)
    three.swap_average()
    one.swap_average()
    for a, b in zip(weights(whole), weights(second), strict=True):
        assert torch.equal(a, b)


def test_the_average_is_exchanged_there_and_back() -> None:
    model = network()
    optimizer = Optimizer(model, replace(SETTINGS, ema_decay=0.9))
    before = weights(model)
    for step in range(3):
        learn(model, step)
        optimizer.step(0.02, step)
    after = weights(model)
    optimizer.swap_average()
    averaged = weights(model)
    for old, mean, new in zip(before, averaged, after, strict=True):
        assert not torch.equal(mean, new)
        assert bool(((mean - old).abs() <= (new - old).abs() + 1e-6).float().mean() > 0.5)
    optimizer.swap_average()
    for one, two in zip(weights(model), after, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("part", ["weights", "average"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_noticed(part: str, value: float) -> None:
    model = network()
    optimizer = Optimizer(model, replace(SETTINGS, ema_decay=0.9))
    assert optimizer.is_finite()
    if part == "average":
        optimizer.swap_average()
    with torch.no_grad():
        next(model.parameters())[0, 0] = value
    if part == "average":
        optimizer.swap_average()
        assert all(bool(torch.isfinite(weight).all()) for weight in weights(model))
    assert not optimizer.is_finite()
