"""Logits to probabilities, in NumPy.

Knows: softmax and sigmoid. Does not know: what the logits belong to. Sampling needs no normalized
probabilities and has its own exponentials, in place (`runtime/sampling.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def softmax(logits: Array, sum_dtype: npt.DTypeLike | None = None) -> Array:
    """Logits (..., L) -> probabilities (..., L), each row shifted so that its largest logit is 0.

    Exponentials are computed in the dtype of the logits, and summed and divided in `sum_dtype`
    (None: in the same dtype).
    """
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    if sum_dtype is not None:
        exponentials = exponentials.astype(sum_dtype)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def sigmoid(logits: Array) -> Array:
    """Logits -> probabilities, in the same dtype. A logit far below 0 gives 0."""
    with np.errstate(over="ignore"):  # exp gives inf, and 1 / inf is 0
        return np.asarray(1 / (1 + np.exp(-logits)))


def label_probabilities(logits: Array, multi_label: bool) -> Array:
    """A classifier's logits (N, L) -> probabilities (N, L): of one label for each text (softmax),
    or with `multi_label` of each label by itself (sigmoid)."""
    return sigmoid(logits) if multi_label else softmax(logits)
