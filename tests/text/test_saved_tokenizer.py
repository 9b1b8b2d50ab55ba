"""The ids of a stranger's vocabulary; hostile files as a whole are in `tests/hostile/`."""

from __future__ import annotations

from typing import Any

import pytest

from rnntext.text.saved_tokenizer import _in_order


def test_tokens_stand_in_the_order_of_their_ids() -> None:
    assert _in_order({"b": 1, "a": 0, "c": 2}) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "vocabulary",
    [
        {"a": False, "b": True},
        {"a": 0.0, "b": 1.0},
        {"a": "0", "b": "1"},
        {"a": 0, "b": 2},
        {"a": 0, "b": -1},
        {"a": 0, "b": 0},
        {"": 0, "b": 1},
    ],
)
def test_ids_that_are_not_the_numbers_from_zero_on(vocabulary: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it has no message of its own
        _in_order(vocabulary)
