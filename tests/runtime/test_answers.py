"""Which mistakes of an evaluation are the worst."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np

from rnntext.runtime.answers import Answer, Mistake, WorstMistakes


def mistake(probability: float, of_gold: float | None, line: int) -> Mistake:
    return Mistake(probability, "a", "b", "f", line, "text", of_gold)


def answer(*mistakes: Mistake) -> Answer:
    return Answer("f", 1, {}, "a", "b", 0.5, mistakes)


def test_the_worst_mistakes_come_first() -> None:
    worst = WorstMistakes(4)
    worst.add([answer(mistake(0.5, 0.4, 1)), answer(), answer(mistake(0.9, 0.1, 2))])
    worst.add([answer(mistake(0.5, 0.3, 3), mistake(0.5, 0.4, 4)), answer(mistake(0.4, 0.0, 5))])
    # Of equal ones the first comes first.
    assert [each.line for each in worst.ranked()] == [2, 3, 1, 4]
    assert WorstMistakes(4).ranked() == []


def test_mistakes_without_a_probability_of_the_gold_label() -> None:
    worst = WorstMistakes(2)
    worst.add([answer(mistake(0.5, None, 1), mistake(0.7, None, 2), mistake(0.5, None, 3))])
    assert [each.line for each in worst.ranked()] == [2, 1]


def test_any_number_of_mistakes_gives_the_worst_of_all() -> None:
    random = np.random.default_rng(1)
    drawn = [
        mistake(float(p), float(q), n) for n, (p, q) in enumerate(random.integers(0, 9, (500, 2)))
    ]
    worst = WorstMistakes(60)
    for start in range(0, 500, 7):
        worst.add([answer(*drawn[start : start + 7])])
    wanted = sorted(drawn, key=lambda m: (-m.probability, m.gold_probability, m.line))
    assert worst.ranked() == wanted[:60]


def test_memory_is_that_of_the_mistakes_that_are_kept() -> None:
    def answers() -> Iterator[Answer]:
        for line in range(5000):
            yield answer(Mistake(line % 97 / 97, "a", "b", "f", line, "long " * 2000))

    worst = WorstMistakes(10)
    tracemalloc.start()
    try:
        for each in answers():
            worst.add([each])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(worst.ranked()) == 10
    assert peak < 2e6  # all texts take 50 MB
