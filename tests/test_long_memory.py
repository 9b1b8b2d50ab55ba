"""Means, spreads and reach of accuracies by distance."""

from __future__ import annotations

import pytest

from rnntext.long_memory import Measured

FOUND = Measured(
    "recall", "gru", 7, 0.25, {3: [1.0, 0.8], 6: [0.5, 0.8], 9: [0.25, 0.3], 12: [1.0]}
)


def test_mean_and_deviation() -> None:
    assert FOUND.mean(3) == pytest.approx(0.9)
    assert FOUND.deviation(3) == pytest.approx(0.2 / 2**0.5)
    assert FOUND.deviation(12) is None


@pytest.mark.parametrize(
    ("accuracies", "reach"),
    [
        # Half way from 0.25 to 1 is 0.625.
        ({3: [1.0], 6: [0.63], 9: [0.62], 12: [1.0]}, 6),
        ({3: [0.62], 6: [1.0]}, 0),
        ({3: [1.0], 6: [0.9]}, 6),
    ],
)
def test_reach_ends_before_the_first_failure(
    accuracies: dict[int, list[float]], reach: int
) -> None:
    assert Measured("recall", "gru", 7, 0.25, accuracies).reach() == reach


def test_json_has_an_object_for_each_distance() -> None:
    objects = FOUND.to_json()
    assert [each["distance"] for each in objects] == [3, 6, 9, 12]
    assert objects[1] == {
        "task": "recall",
        "model": "gru",
        "distance": 6,
        "accuracy": pytest.approx(0.65),
        "deviation": pytest.approx(0.3 / 2**0.5),
        "values": [0.5, 0.8],
        "chance": 0.25,
        "parameters": 7,
    }
