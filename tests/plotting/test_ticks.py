"""Round numbers; `tests/cli/test_canvas.py` tries many more scales."""

from __future__ import annotations

import pytest

from rnntext.plotting.ticks import round_values


@pytest.mark.parametrize(
    ("low", "high", "most", "is_log", "wanted"),
    [
        (0.0, 10.0, 6, False, [(0, "0"), (2, "2"), (4, "4"), (6, "6"), (8, "8"), (10, "10")]),
        (-1.0, 1.0, 3, False, [(-1, "-1"), (0, "0"), (1, "1")]),
        (-0.12, 0.13, 3, False, [(-0.1, "-0.1"), (0, "0.0"), (0.1, "0.1")]),
        (0.001, 2.0, 4, True, [(0.001, "0.001"), (0.01, "0.01"), (0.1, "0.1"), (1, "1")]),
        # From the decade below the least value to that above the greatest.
        (
            *(2.0, 900.0, 8, True),
            [(f * 10.0**d, str(f * 10**d)) for d in range(3) for f in (1, 2, 5)][1:],
        ),
        (0.03, 4000.0, 5, True, [(10.0**d, f"{10.0**d:g}") for d in range(-1, 4)]),
        # Of many decades each third, from that of the least value on.
        (2e-4, 3e9, 5, True, [(10.0**d, f"{10.0**d:g}") for d in (-1, 2, 5, 8)]),
        (1.0, 1000.0, 4, True, [(1, "1"), (10, "10"), (100, "100"), (1000, "1000")]),
    ],
)
def test_round_values(
    low: float, high: float, most: int, is_log: bool, wanted: list[tuple[float, str]]
) -> None:
    found = round_values(low, high, most, is_log)
    assert [text for _, text in found] == [text for _, text in wanted]
    assert [value for value, _ in found] == pytest.approx([value for value, _ in wanted])
