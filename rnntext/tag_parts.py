"""Tags that are bundles of features, such as `Case=Nom|Number=Sing`, and the parts of which they
consist.

Knows: how a tag is divided, and which sets of tags are bundles. Does not know: how parts are
scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext.config import ModelConfig

SEPARATOR = "|"


def composition(config: ModelConfig) -> npt.NDArray[Any] | None:
    """Return `matrix_of_parts` of the tags of a tagger without a conditional random field; None for
    one that has it, which scores whole tags."""
    return None if config.crf else matrix_of_parts(config.labels)


def matrix_of_parts(tags: Sequence[str]) -> npt.NDArray[Any] | None:
    """Return which parts each of different tags has, (parts, tags) float32 of 0 and 1, the parts in
    order; None if the tags are not bundles: they have no fewer parts, or two have the same ones."""
    bundles = [_parts(tag) for tag in tags]
    parts = sorted(set().union(*bundles))
    if len(parts) >= len(tags) or len(set(bundles)) < len(tags):
        return None
    row = {part: number for number, part in enumerate(parts)}
    found = np.zeros((len(parts), len(tags)), np.float32)
    for tag, bundle in enumerate(bundles):
        found[[row[part] for part in bundle], tag] = 1
    return found


def _parts(tag: str) -> frozenset[str]:
    """The parts of a tag; a tag of nothing but separators is its own part."""
    return frozenset(filter(None, tag.split(SEPARATOR))) or frozenset([tag])
