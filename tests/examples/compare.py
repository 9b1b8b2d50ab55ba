"""What it means that answers of another runtime are the product's.

Each text is read by itself there and in batches here, and another build of ONNX Runtime rounds sums
in another order. In float32 that changes no more than the last digits. In int8 it may move a
rounded state by one step, which changes a probability by some thousandths, and hardly ever a tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.examples.exported import Kind

MOST_OTHER_TAGS = 0.01  # of an int8 model: the share of words


def compare(kind: Kind, wanted: Sequence[Any], found: Sequence[Any], about: Sequence[Any]) -> None:
    """Fail where an answer is not the wanted one. `about`: what each is an answer to."""
    if kind.task == "tag":
        _compare_tags(kind, wanted, found, about)
        return
    tolerance = 0.02 if kind.int8 else 2e-5
    for one, other, text in zip(wanted, found, about, strict=True):
        message = f"{kind}: {text!r}"
        assert one.keys() == other.keys(), message
        for name, value in one.items():
            if isinstance(value, int):
                assert other[name] == value, f"{message}: {name}"
        numbers = [np.array([each[name] for name in one], float) for each in (other, one)]
        np.testing.assert_allclose(*numbers, tolerance, tolerance, err_msg=message)


def _compare_tags(
    kind: Kind, wanted: Sequence[Any], found: Sequence[Any], about: Sequence[Any]
) -> None:
    words = others = 0
    for one, other, text in zip(wanted, found, about, strict=True):
        message = f"{kind}: {text!r}"
        assert other["words"] == one["words"], message
        same = np.array(other["tags"], object) == np.array(one["tags"], object)
        words, others = words + len(same), others + int((~same).sum())
        assert kind.int8 or same.all(), message
        numbers = [np.array(each["probabilities"])[same] for each in (other, one)]
        np.testing.assert_allclose(*numbers, 0, 0.02 if kind.int8 else 2e-5, err_msg=message)
    assert others <= MOST_OTHER_TAGS * words, str(kind)
    assert words
