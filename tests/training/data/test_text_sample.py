"""A sample: of the right size, from everywhere, the same each time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext.training.data import text_sample as sample
from rnntext.training.data.text_sample import spread

WORDS = st.lists(st.sampled_from(["naïve", "café", "你好", "🙂", "a b"]), max_size=6)


@given(lines=st.lists(WORDS.map(" ".join), max_size=20), more=st.integers(0, 9))
def test_a_short_text_is_all_taken(lines: list[str], more: int) -> None:
    characters = sum(len(line) + 1 for line in lines)
    assert list(spread(lines, characters, characters + more)) == lines


def test_a_long_line_of_a_short_text_stays_whole() -> None:
    line = "word " * 40_000
    assert list(spread([line, "end"], len(line) + 5, len(line) + 5)) == [line, "end"]
    assert len(list(spread([line, "end"], len(line) + 5, len(line) + 4))) > 2


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("length", [40, 150])
def test_a_long_text_gives_its_share_from_everywhere(
    share: float, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "_STRETCH", 200)
    lines = [f"{number:05} " + "x" * (length - 7) for number in range(400_000 // length)]
    characters = len(lines) * length
    taken = list(spread(lines, characters, round(share * characters)))
    assert taken == list(spread(lines, characters, round(share * characters)))
    assert sum(map(len, taken)) / characters == pytest.approx(share, rel=0.06)
    quarters = [0] * 4
    for line in taken:
        quarters[4 * int(line[:5]) // len(lines)] += 1
    assert max(quarters) < 1.2 * min(quarters)


def test_a_long_line_gives_some_of_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "_STRETCH", 100)
    line = " ".join(f"{number:04}" for number in range(1000))
    taken = list(spread([line], len(line) + 1, 1000))
    assert all(piece in line and len(piece) < 110 for piece in taken)
    assert 800 < sum(map(len, taken)) < 1200
    assert int(taken[-1].split()[0]) > 800 > 200 > int(taken[0].split()[0])
