"""The likelihood of the tags of words, each by itself, against automatic differentiation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from rnntext.training.linear import words as module
from rnntext.training.linear.words import Words

N, P, L = 7, 3, 5
PARTS = np.array([[1, 0, 1, 0, 1], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1]], np.float32)


@pytest.mark.parametrize("parts", [PARTS, None])
def test_loss_and_gradients_are_those_of_the_cross_entropy(
    parts: NDArray[Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_SCORES", 3 * L)  # two blocks of three words and one of one
    random = np.random.default_rng(4)
    tags = random.integers(0, L, N)
    scores = torch.from_numpy(random.normal(size=(N, L if parts is None else P)))
    bias = torch.from_numpy(random.normal(size=L))
    found = [scores.float().requires_grad_(), bias.float().requires_grad_()]
    loss = Words(tags, parts).loss(*found)
    (2 * loss).backward()
    expected = [scores.requires_grad_(), bias.requires_grad_()]
    matrix = torch.eye(L).double() if parts is None else torch.from_numpy(parts).double()
    emissions = expected[0] @ matrix + expected[1]
    wanted = functional.cross_entropy(emissions, torch.from_numpy(tags), reduction="sum")
    (2 * wanted).backward()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    for one, other in zip(found, expected, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        np.testing.assert_allclose(one.grad, other.grad, atol=1e-5)
