"""How many bits a token the lines of a text have under a language model, as quantiles.

Knows: which quantiles of the validation text a checkpoint records, and what lies between them. Does
not know: how a line is scored (`score.py`), files, or the command line.

The bits a token of a line are those of `score`: of all its tokens and its end, each line by itself
from a zero state (`reset`), or with the state that the lines before it left (`carry`). The quantile
of p percent is the least of these values that at least p percent of the lines do not exceed, so
that at most 100 - p percent have more bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext.checkpoint_config import LineBits
from rnntext.runtime.language_model import LanguageModel

Array = npt.NDArray[Any]

MOST_TOKENS = 40_000  # that are read for them
# Closer where the odd lines are.
_PERCENT = (0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 97.0, 98.0, 99.0, 99.5, 99.9, 100.0)


def measure_lines(
    model: LanguageModel, documents: Iterable[Array], most_tokens: int = MOST_TOKENS
) -> LineBits | None:
    """Return the quantiles of the lines of documents, of ids in which every line ends with
    `eos_id`; None if there are no lines.

    Of more than about `most_tokens` tokens only a part is read: by themselves lines at equal
    distances, and with the state carried the first part of each document.
    """
    lines = [_lines(document, model.tokenizer.eos_id) for document in documents]
    share = min(1.0, most_tokens / max(1, sum(len(line) for each in lines for line in each)))
    apart = [line for each in lines for line in each][:: round(1 / share)]
    if not apart:
        return None
    reset = [_bits(scores) for scores in model.score(apart)]
    carry: list[float] = []
    for each in filter(None, lines):
        part = each[: math.ceil(share * len(each))]
        chunks = model.score_documents([np.concatenate(part)])
        scores = np.concatenate([chunk.scores for chunk in chunks])
        ends = np.cumsum([len(line) for line in part])
        carry += map(_bits, np.split(scores, ends[:-1]))
    return LineBits(len(apart), _PERCENT, _quantiles(reset), _quantiles(carry))


def bits_above(lines: LineBits, percent: float, *, carry: bool) -> float:
    """Return the bits a token of the quantile of `percent`, from 0 to 100; between two that are
    recorded, on the straight line between them."""
    return float(np.interp(percent, lines.percent, lines.carry if carry else lines.reset))


def _lines(ids: Array, eos_id: int) -> list[Array]:
    """Split ids after each end of a line."""
    return np.split(ids, np.flatnonzero(ids == eos_id) + 1)[:-1]


def _bits(log_probabilities: Array) -> float:
    """The bits a token of a line, from log-probabilities in nats."""
    bits = float((log_probabilities.astype(np.float64) / -math.log(2)).sum())
    return bits / len(log_probabilities)


def _quantiles(bits: Sequence[float]) -> tuple[float, ...]:
    shares = np.array(_PERCENT) / 100
    return tuple(np.quantile(bits, shares, method="inverted_cdf").tolist())
