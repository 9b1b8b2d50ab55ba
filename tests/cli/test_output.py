"""How results are written: in parts, and of many labels some."""

from __future__ import annotations

from rnntext.cli.output import in_chunks, most_frequent


def test_long_output_is_joined_into_parts() -> None:
    lines = [f"{number} {'x' * (number % 2_000)}\n" for number in range(3_000)]
    chunks = list(in_chunks(lines))
    assert "".join(chunks) == "".join(lines)
    assert 5 < len(chunks) < 30
    assert max(map(len, chunks)) < 300_000
    assert list(in_chunks([])) == []
    # A line is not held back by the next one.
    endless = in_chunks("x" * 300_000 for _ in iter(int, 1))
    assert len(next(endless)) == 300_000


def test_few_labels_are_all_shown_in_their_order() -> None:
    counts = {f"{number}": number for number in range(20)}
    shown, remark = most_frequent(counts)
    assert list(shown.items()) == list(counts.items())
    assert remark == ""


def test_of_many_labels_the_most_frequent_are_shown() -> None:
    shown, remark = most_frequent({f"{number}": number % 1000 for number in range(2000)})
    assert list(shown)[:4] == ["999", "1999", "998", "1998"]
    assert len(shown) == 20
    assert remark == "the 20 most frequent of 2,000 labels; --json gives all of them"
