"""The weights of hashed features, as arrays in a file.

Knows: how weights are stored by slot, and that a file may be a stranger's. Does not know: which
features have the slots, or how weights are learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from rnntext.splitting.features import SLOTS

Array = npt.NDArray[Any]


class SlotWeights(NamedTuple):
    """The weights of hashed features; the others are 0."""

    slots: Array  # (F) uint32, in rising order
    weights: Array  # (F) float16
    bias: float

    def tensors(self, prefix: str) -> dict[str, Array]:
        """Return the arrays that `parse` reads, with their names."""
        bias = np.array([self.bias], np.float32)
        return {f"{prefix}slots": self.slots, f"{prefix}weights": self.weights,
                f"{prefix}bias": bias}  # fmt: skip

    @classmethod
    def parse(cls, tensors: Mapping[str, Array], prefix: str) -> Self:
        """The inverse of `tensors`. Raises ValueError for weights that cannot be used."""
        slots, weights, bias = (
            tensor(tensors, f"{prefix}{name}", dtype, shape)
            for name, dtype, shape in (
                ("slots", np.uint32, (None,)),
                ("weights", np.float16, (None,)),
                ("bias", np.float32, (1,)),
            )
        )
        if len(slots) != len(weights) or (slots >= SLOTS).any():
            raise ValueError(f"{prefix}slots do not fit {prefix}weights")
        return cls(slots, weights, float(bias[0]))

    def table(self) -> Array:
        """Return the weight of each slot: (SLOTS) float32."""
        table = np.zeros(SLOTS, np.float32)
        table[self.slots] = self.weights
        return table


def tensor(
    tensors: Mapping[str, Array], name: str, dtype: type, shape: tuple[int | None, ...]
) -> Array:
    """Return a tensor of a file. Raises ValueError unless it is there, of this type and shape
    (None: any size)."""
    found = tensors.get(name)
    if (
        found is None
        or found.dtype != dtype
        or len(found.shape) != len(shape)
        or any(size not in (None, own) for size, own in zip(shape, found.shape, strict=True))
    ):
        raise ValueError(f"{name} is missing or has another type or shape")
    return found
