"""Round numbers for the ticks of an axis.

Knows: which numbers between two others are round, and how they are written. Does not know: what an
axis is drawn with.
"""

from __future__ import annotations

import math


def round_values(
    low: float, high: float, most: int, is_log: bool = False
) -> list[tuple[float, str]]:
    """Return at most `most` round values from `low` to `high` (`low` < `high`), each with its
    label.

    On a logarithmic scale (0 < `low`) they are 1, 2 and 5 times powers of ten, or powers of ten
    alone, where at least two of them lie in between.
    """
    for factors, step in (((1, 2, 5), 1), ((1,), 1), ((1,), 3)) if is_log else ():
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        decades = range(first, last + 1, step)
        values = [factor * 10.0**decade for decade in decades for factor in factors]
        values = [value for value in values if low <= value <= high]
        if 2 <= len(values) <= most:
            return [(value, f"{value:g}") for value in values]
    # Multiples of 1, 2 or 5 times a power of ten, the smallest step that gives few enough.
    decade = math.floor(math.log10((high - low) / most))
    for power, factor in (
        (decade, 1),
        (decade, 2),
        (decade, 5),
        (decade + 1, 1),
        (decade + 1, 2),
    ):
        spacing = factor * 10.0**power
        # 0.0003 / 0.0001 is a little less than 3.
        lowest, highest = low / spacing - 1e-9, high / spacing + 1e-9
        multiples = range(math.ceil(lowest), math.floor(highest) + 1)
        if len(multiples) <= most:
            break
    return [(n * spacing, f"{n * spacing:.{max(0, -power)}f}") for n in multiples]
