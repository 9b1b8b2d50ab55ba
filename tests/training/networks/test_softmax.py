"""Softmax compared with plain cross-entropy, and the statistics of its sampled estimate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rnntext.training.networks import softmax as softmax_module
from rnntext.training.networks.softmax import Softmax

torch.set_num_threads(1)

N, E, V = 7, 3, 12  # positions, embedding, vocabulary
FREQUENT, SAMPLES = 4, 6  # ids; the other 8 are rare
# Frequency of each id: the most frequent are 2, 5, 11 and 7, in that order.
COUNTS = torch.tensor([3, 1, 90, 2, 0, 80, 5, 9, 4, 4, 1, 70])


def inputs(
    seed: int = 0, rows: int = N, scale: float = 1.0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    arrays = rng.normal(size=(rows, E)), rng.normal(size=(V, E)), rng.normal(size=V)
    floats = [torch.from_numpy(a * scale).float().requires_grad_() for a in arrays]
    return *floats, torch.from_numpy(rng.integers(V, size=rows))


def exact(
    states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    loss = functional.cross_entropy(states @ weight.t() + bias, targets)
    return loss.detach(), torch.autograd.grad(loss, (states, weight, bias))


def sampled_softmax(monkeypatch: pytest.MonkeyPatch, samples: int = SAMPLES) -> Softmax:
    """A Softmax that samples from the tiny vocabulary of these tests."""
    monkeypatch.setattr(softmax_module, "_MIN_SAMPLED_VOCABULARY", V)
    loss = Softmax(COUNTS, torch.float32)
    order = torch.argsort(COUNTS, descending=True, stable=True)
    loss.frequent, loss.rare, loss.num_samples = order[:FREQUENT], order[FREQUENT:], samples
    assert loss.sampled
    return loss


def draw(monkeypatch: pytest.MonkeyPatch, sample: tuple[int, ...]) -> None:
    """Make the next losses sample these positions among the rare ids."""
    rest = [index for index in range(V - FREQUENT) if index not in sample]
    monkeypatch.setattr(
        softmax_module.torch, "randperm", lambda *_, **__: torch.tensor([*sample, *rest])
    )


# Full softmax


@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_the_full_loss_and_its_gradients_are_cross_entropys(factor: float) -> None:
    arguments = inputs()
    want_loss, want = exact(*arguments)
    loss = Softmax(COUNTS, torch.float32)(*arguments)
    found = torch.autograd.grad(loss * factor, arguments[:3])
    torch.testing.assert_close(loss.detach(), want_loss, rtol=1e-6, atol=0)
    for gradient, expected in zip(found, want, strict=True):
        torch.testing.assert_close(gradient, expected * factor, rtol=1e-5, atol=1e-7)


def test_bfloat16_is_close() -> None:
    arguments = inputs()
    want_loss, want = exact(*arguments)
    loss = Softmax(COUNTS, torch.bfloat16)(*arguments)
    torch.testing.assert_close(loss.detach(), want_loss, rtol=0.02, atol=0.02)
    for gradient, expected in zip(torch.autograd.grad(loss, arguments[:3]), want, strict=True):
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, expected, rtol=0.05, atol=0.01)


def test_an_impossible_target_has_a_finite_loss() -> None:
    states, weight, bias, _ = inputs(scale=100)
    loss = Softmax(COUNTS, torch.float32)(states, weight, bias, torch.zeros(N, dtype=torch.int64))
    assert math.isfinite(float(loss.detach()))
    for gradient in torch.autograd.grad(loss, (states, weight, bias)):
        assert torch.isfinite(gradient).all()


# Sampled softmax


def test_only_a_large_vocabulary_is_sampled() -> None:
    assert not Softmax(torch.ones(4999), torch.float32).sampled
    large = Softmax(torch.arange(20_000), torch.float32)
    assert large.sampled
    assert large.frequent.tolist() == list(range(19_999, 17_999, -1))  # the most frequent tenth
    assert large.num_samples == 3000
    assert sorted(torch.cat([large.frequent, large.rare]).tolist()) == list(range(20_000))


def test_ids_that_are_equally_frequent_stay_in_order() -> None:
    """Otherwise processors would differ in which of them are summed exactly."""
    loss = Softmax(torch.arange(6000) % 3, torch.float32)
    assert loss.frequent.tolist() == list(range(2, 3000, 3))  # the first half of those counted 2
    rest = [place for count in (2, 1, 0) for place in range(count, 6000, 3)][1000:]
    assert loss.rare.tolist() == rest


def test_sampling_everything_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = inputs()
    want_loss, want = exact(*arguments)
    loss = sampled_softmax(monkeypatch, samples=V - FREQUENT)(*arguments)
    torch.testing.assert_close(loss.detach(), want_loss, rtol=1e-6, atol=0)
    for gradient, expected in zip(torch.autograd.grad(loss, arguments[:3]), want, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("target", [5, 8])
def test_the_partition_function_is_estimated_without_bias(
    target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean of exp(loss) = Z / exp(target's logit), over every possible sample, is exact."""
    states, weight, bias, _ = inputs(rows=1)
    targets = torch.tensor([target])
    loss = sampled_softmax(monkeypatch, samples=3)
    ratios = []
    for sample in itertools.combinations(range(V - FREQUENT), 3):
        draw(monkeypatch, sample)
        ratios.append(math.exp(float(loss(states, weight, bias, targets).detach())))
    want = math.exp(float(exact(states, weight, bias, targets)[0]))
    assert len(ratios) == 56
    assert np.std(ratios) > 0.05 * want  # they do differ
    assert np.mean(ratios) == pytest.approx(want, rel=1e-5)


def test_one_sample_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets that are frequent, sampled and neither. A target counts once in its own row. In
    other rows a sampled id counts for its share of the rare ids; a target that is neither
    frequent nor sampled does not count."""
    rare = torch.argsort(COUNTS, descending=True, stable=True).tolist()[FREQUENT:]
    states, weight, bias, _ = inputs(rows=4)
    targets = torch.tensor([2, rare[0], rare[6], rare[7]])
    sample = (0, 1, 2)
    draw(monkeypatch, sample)
    loss = sampled_softmax(monkeypatch, samples=3)(states, weight, bias, targets)

    logits = states @ weight.t() + bias
    expected = torch.zeros(())
    for row, target in enumerate(targets.tolist()):
        partition = logits[row, target].exp()
        for token in (2, 5, 11, 7):
            if token != target:
                partition = partition + logits[row, token].exp()
        for index in sample:
            if rare[index] != target:
                partition = partition + 8 / 3 * logits[row, rare[index]].exp()
        expected = expected + (partition.log() - logits[row, target]) / 4
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    want = torch.autograd.grad(expected, (states, weight, bias))
    for gradient, wanted in zip(
        torch.autograd.grad(loss, (states, weight, bias)), want, strict=True
    ):
        torch.testing.assert_close(gradient, wanted, rtol=1e-5, atol=1e-7)


def distance(found: Sequence[Tensor], want: Sequence[Tensor]) -> float:
    pairs = zip(found, want, strict=True)
    return math.sqrt(sum(float((f - w).square().sum()) for f, w in pairs))


def test_the_expected_gradient_approaches_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over every possible sample of each size: larger samples come closer."""
    arguments = inputs(scale=0.5)
    _, want = exact(*arguments)
    size = distance(want, [torch.zeros_like(w) for w in want])
    distances = []
    for samples in (2, 4, 6):
        loss = sampled_softmax(monkeypatch, samples)
        found = []
        for sample in itertools.combinations(range(V - FREQUENT), samples):
            draw(monkeypatch, sample)
            found.append(torch.autograd.grad(loss(*arguments), arguments[:3]))
        means = [torch.stack(gradients).mean(0) for gradients in zip(*found, strict=True)]
        distances.append(distance(means, want))
        single = np.mean([distance(gradients, want) for gradients in found])
        assert distances[-1] < single / 5
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.02 * size


def test_the_mean_over_many_draws_approaches_the_exact_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    arguments = inputs(scale=0.5)
    _, want = exact(*arguments)
    loss = sampled_softmax(monkeypatch)
    found = [torch.autograd.grad(loss(*arguments), arguments[1])[0] for _ in range(600)]
    mean = torch.stack(found).mean(0)
    single = np.mean([distance([gradient], [want[1]]) for gradient in found])
    assert distance([mean], [want[1]]) < single / 4


def test_matrix_products_have_few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many targets are neither frequent nor sampled."""
    size = 6000
    loss = Softmax(torch.arange(size), torch.float32)
    weight, bias = torch.randn(size, 2), torch.zeros(size)
    widths = []

    def spied(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        widths.append(logits.shape[1])
        return original(logits, targets)

    original = softmax_module._loss_and_logits_grad
    monkeypatch.setattr(softmax_module, "_loss_and_logits_grad", spied)
    for rows in range(1, 200, 7):
        loss(torch.randn(rows, 2), weight, bias, torch.randperm(size)[:rows])
    assert len(widths) == 29
    assert len(set(widths)) <= 4
    assert min(widths) >= loss.num_samples + len(loss.frequent)


def test_padding_the_candidates_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = inputs()
    results = []
    for multiple in (1, 17):  # 17: padding with all frequent ids
        monkeypatch.setattr(softmax_module, "_CANDIDATE_MULTIPLE", multiple)
        draw(monkeypatch, (0, 1, 2))
        loss = sampled_softmax(monkeypatch, samples=3)(*arguments)
        results.append((loss, *torch.autograd.grad(loss, arguments[:3])))
    for plain, padded in zip(*results, strict=True):
        torch.testing.assert_close(padded, plain, rtol=1e-6, atol=1e-7)


def test_each_loss_draws_a_new_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same samples from the same seed, even if the global generator is used in between."""
    arguments = inputs()
    loss, again = sampled_softmax(monkeypatch), sampled_softmax(monkeypatch)
    losses = [float(loss(*arguments).detach()) for _ in range(8)]
    assert len(set(losses)) > 4
    torch.rand(3)
    assert [float(again(*arguments).detach()) for _ in range(8)] == losses
