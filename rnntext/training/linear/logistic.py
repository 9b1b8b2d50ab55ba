"""Logistic regression on sparse features, with a scale of its own for each weight.

Knows: sums over sparse rows in both directions, the ratios of naive Bayes, and the search for the
weights. Does not know: what the features are, or the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rnntext.training.data.store import Array

_HISTORY = 8  # steps that L-BFGS remembers, each of the size of all weights
# The search ends when a step changes the loss, or every weight, by less than this.
_TOLERANCE = 1e-4


class Incidence:
    """A sparse matrix: how often each row has each column."""

    def __init__(self, rows: Array, columns: Array, shape: tuple[int, int]) -> None:
        """`rows`, `columns`: the place of each 1; several at one place are added."""
        self.shape = shape
        self._by_row = _Grouped(rows, columns, shape[0])
        self._by_column = _Grouped(columns, rows, shape[1])

    def times(self, weights: Tensor) -> Tensor:
        """weights (columns, K) -> sums (rows, K), differentiable."""
        product: Tensor = _Product.apply(weights, self)  # type: ignore[no-untyped-call]
        return product

    def transposed_times(self, values: Tensor) -> Tensor:
        """values (rows, K) -> sums (columns, K)."""
        return self._by_column.sums(values)

    def sums(self, weights: Tensor) -> Tensor:
        """Return the same as `times`, not differentiable."""
        return self._by_row.sums(weights)


class _Grouped:
    """Lists of indices, one for each group."""

    def __init__(self, groups: Array, indices: Array, count: int) -> None:
        order = np.argsort(groups, kind="stable")
        self._indices = torch.from_numpy(indices[order].astype(np.int32))
        starts = np.cumsum(np.bincount(groups, minlength=count)) if count else np.zeros(0)
        self._offsets = torch.from_numpy(np.append(0, starts)[:count].astype(np.int32))

    def sums(self, values: Tensor) -> Tensor:
        """values (indices, K) -> the sum of each group's rows (groups, K)."""
        if not len(self._indices):
            return values.new_zeros(len(self._offsets), values.shape[1])
        return functional.embedding_bag(self._indices, values, self._offsets, mode="sum")


class _Product(torch.autograd.Function):
    """Both directions are sums over the rows of a group: no gradient is scattered."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, matrix: Incidence) -> Tensor:
        ctx.matrix = matrix
        return matrix.sums(weights)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return ctx.matrix.transposed_times(gradient.contiguous()), None


def log_count_ratios(counts: Tensor, totals: Tensor) -> Tensor:
    """Return how much more likely each feature is within a class than outside, as a logarithm
    (naive Bayes; Wang and Manning 2012): [features, K].

    counts: how often a feature is in each class, [features, K], in fractions where classes are
    probabilities; totals: in all, [features, 1].
    """
    inside, outside = counts + 1, totals - counts + 1
    return (inside / inside.sum(0)).log() - (outside / outside.sum(0)).log()


def fit(
    shapes: Sequence[tuple[int, ...]],
    loss: Callable[[Sequence[Tensor]], Tensor],
    rows: int,
    iterations: int,
    initial: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """Return the weights of these shapes at which `loss`, plus half of the sum of their squares,
    is least (L-BFGS, Liu and Nocedal 1989). `rows`: examples in the loss, which is a sum;
    `iterations`: at most; `initial`: where the search begins (None: at 0)."""
    begun = [torch.zeros(shape) for shape in shapes] if initial is None else initial
    weights = [weight.clone().requires_grad_() for weight in begun]
    search = torch.optim.LBFGS(
        weights,
        max_iter=iterations,
        history_size=_HISTORY,
        tolerance_grad=1e-4 * rows**0.5,
        tolerance_change=_TOLERANCE,
        line_search_fn="strong_wolfe",
    )

    def evaluate() -> float:
        search.zero_grad()
        total = loss(weights) + sum(weight.square().sum() for weight in weights) / 2
        total.backward()  # type: ignore[no-untyped-call]
        return float(total.detach())

    search.step(evaluate)  # type: ignore[no-untyped-call]
    return [weight.detach() for weight in weights]
