"""Gradients of a trained network: how much each token of a text counts for an output.

Knows: how a checkpoint's weights become a network again, and integrated gradients over its token
embeddings (Sundararajan, Taly and Yan 2017). Does not know: words, the names of labels, a linear
half, or views (`inspection/explanation.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnntext.training.networks.encoder import Network, run_layers

Array = NDArray[Any]

# The path is divided into panels of so many points each (Gauss-Legendre), which are bisected where
# the shares are not complete: a network that saturates changes most near the baseline, and the
# maximum over time has bends anywhere.
_POINTS = 8
_FIRST_PANELS, _MOST_PANELS = 2, 128
# Over hundreds of steps a state that is kept can flip within a part of the path that no number
# resolves. The output jumps there, and no gradient tells of it.
_NARROWEST = 2.0**-16
# The shares are complete if their sum differs from the change of the output by no more than this
# part of it, or by a number of logits that no probability shows.
COMPLETE = 0.01
_NEGLIGIBLE = 1e-3
# Tokens of all points of the path that are read together, so that a long text does not fill memory.
_TOKENS = 1 << 13


@dataclass(frozen=True, slots=True)
class Attribution:
    """What T tokens contribute to an output, in logits."""

    tokens: Array  # (T) float64
    output: float  # of the text
    baseline: float  # of a text of T zero embeddings
    steps: int  # points of the path

    @property
    def error(self) -> float:
        """How far the shares are from being complete, in logits: 0 for an exact integral."""
        return float(self.tokens.sum()) - (self.output - self.baseline)


def integrated_gradients(
    network: Network, ids: Array, coefficients: Array, word: tuple[int, int] | None = None
) -> Attribution:
    """Attribute the sum of the logits, each times its coefficient, to the tokens of a text.

    network: a classifier or a tagger from `network_of`; ids: (T); coefficients: (L); word: of a
    tagger, the first and the last token of the word whose emissions are the logits.

    The share of token t is its embedding times the mean gradient with respect to it over the
    straight path from the baseline to the text. The baseline is zero embeddings, because training
    sets those of random tokens to zero (`TokenDropout`): a network has learned to read them as
    words that say nothing. Points are added until the shares are complete, up to 1,024, or until
    what is missing is a jump of the output: `error` tells.
    """
    path = _Path(network, ids, coefficients, word)
    edges = np.linspace(0, 1, _FIRST_PANELS + 1)
    panels = np.stack([edges[:-1], edges[1:]], axis=1)  # (P, 2): from, to
    outputs = path.outputs(panels)  # (P, 2)
    shares = path.shares(panels)  # (P, T)
    baseline, output = float(outputs[0, 0]), float(outputs[-1, 1])
    enough = max(COMPLETE * abs(output - baseline), _NEGLIGIBLE)
    while True:
        # Of each panel it is known what its shares should sum to.
        errors = shares.sum(1) - (outputs[:, 1] - outputs[:, 0])
        left = np.where(panels[:, 1] - panels[:, 0] > _NARROWEST, errors, 0)  # of what is no jump
        room = _MOST_PANELS - len(errors)
        if min(abs(errors.sum()), abs(left.sum())) <= enough or not room:
            return Attribution(shares.sum(0), output, baseline, _POINTS * len(shares))
        # Bisect the worst panels, those of similar errors together.
        sizes = np.abs(left)
        worst = np.argsort(-sizes, kind="stable")[:room]
        worst = worst[sizes[worst] >= sizes.max() / 4]
        middle = panels[worst].mean(axis=1)
        halves = np.concatenate(
            [np.stack([panels[worst, 0], middle], 1), np.stack([middle, panels[worst, 1]], 1)]
        )
        panels = np.concatenate([np.delete(panels, worst, 0), halves])
        shares = np.concatenate([np.delete(shares, worst, 0), path.shares(halves)])
        between = path.outputs(middle)
        of_halves = np.concatenate(
            [np.stack([outputs[worst, 0], between], 1), np.stack([between, outputs[worst, 1]], 1)]
        )
        outputs = np.concatenate([np.delete(outputs, worst, 0), of_halves])


class _Path:
    """The straight path from zero embeddings (0) to those of a text (1)."""

    def __init__(
        self,
        network: Network,
        ids: Array,
        coefficients: Array,
        word: tuple[int, int] | None,
    ) -> None:
        self._network, self._word = network, word
        self._embedded = network.encoder.embedding(torch.tensor(ids, dtype=torch.long))  # (T, E)
        self._weights = torch.tensor(coefficients, dtype=self._embedded.dtype)
        self._rows = max(1, _TOKENS // len(ids))

    def outputs(self, points: Array) -> Array:
        """Points (...) -> outputs (...)."""
        with torch.no_grad():
            found = [self._read(part)[1].numpy() for part in self._parts(points.ravel())]
        return np.concatenate(found).reshape(points.shape)

    def shares(self, panels: Array) -> Array:
        """Panels (P, 2) -> the integral over each, (P, T)."""
        nodes, weights = np.polynomial.legendre.leggauss(_POINTS)  # between -1 and 1
        widths = np.diff(panels)  # (P, 1)
        points = panels[:, :1] + widths * (nodes + 1) / 2  # (P, points)
        found = []
        for part in self._parts(points.ravel()):
            x, outputs = self._read(part)
            (gradient,) = torch.autograd.grad(outputs.sum(), x)  # (T, N, E)
            found.append(torch.einsum("tne,te->nt", gradient, self._embedded).numpy())
        by_point = np.concatenate(found).reshape(*points.shape, -1)  # (P, points, T)
        return np.asarray(np.einsum("pnt,pn->pt", by_point, widths * weights / 2))

    def _parts(self, points: Array) -> Iterator[Array]:
        for start in range(0, len(points), self._rows):
            yield points[start : start + self._rows]

    def _read(self, points: Array) -> tuple[Tensor, Tensor]:
        """Points (N) -> embeddings (T, N, E) and outputs (N)."""
        scales = torch.from_numpy(points)[None, :, None]
        x = (scales * self._embedded[:, None]).requires_grad_()
        return x, logits_of(self._network, x, self._word) @ self._weights


def logits_of(network: Network, x: Tensor, word: tuple[int, int] | None) -> Tensor:
    """Embeddings of texts of one length (T, N, E) -> logits (N, L), of a tagger the emissions of
    the word with these first and last tokens."""
    steps, rows = x.shape[:2]
    reversed_steps = torch.arange(steps).flip(0)[:, None, None].expand(steps, rows, 1)
    states, _ = run_layers(network.encoder.layers, network.encoder.dropout, x, None, reversed_steps)
    head = network.get_submodule("head")
    if word is None:
        logits: Tensor = head(states, torch.full((rows,), steps))
        return logits
    first, last = (torch.full((rows, 1), token) for token in word)
    emissions: Tensor = head(states, first, last)  # (N, 1, L)
    return emissions[:, 0]
