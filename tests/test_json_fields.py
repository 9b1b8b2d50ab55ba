"""Dataclasses from JSON: every type that a field can have, and the messages for other values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from rnntext.json_fields import FieldError, read_record


@dataclass(frozen=True)
class Inner:
    count: int
    flag: bool = False


@dataclass(frozen=True)
class Outer:
    name: str
    rate: float
    inner: Inner
    pairs: tuple[tuple[int, int], ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    choice: str | None = "a"
    anything: Any = None


GOOD: dict[str, Any] = {
    "name": "naïve 你好",
    "rate": 0.5,
    "inner": {"count": 3, "flag": True},
    "pairs": [[1, 2], [3, 4]],
    "counts": {"🙂": 5},
    "choice": None,
    "anything": [1, {"a": None}],
}


def test_every_type() -> None:
    pairs, counts = ((1, 2), (3, 4)), {"🙂": 5}
    expected = Outer("naïve 你好", 0.5, Inner(3, True), pairs, counts, None, [1, {"a": None}])
    assert read_record(Outer, GOOD) == expected


def test_defaults_and_an_integer_as_a_number() -> None:
    found = read_record(Outer, {"name": "", "rate": 2, "inner": {"count": 0}})
    assert found == Outer("", 2, Inner(0))
    assert type(found.rate) is int


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "x.name must be a string, not 3"),
        ({"rate": True}, "x.rate must be a number, not true"),
        ({"rate": float("nan")}, "x.rate must be a number, not NaN"),
        ({"rate": float("inf")}, "x.rate must be a number, not Infinity"),
        ({"rate": 10**400}, "x.rate must be a number, not 1" + 39 * "0" + "..."),
        ({"inner": []}, "x.inner must be an object, not []"),
        ({"inner": {}}, "x.inner.count is missing"),
        ({"inner": {"count": False}}, "x.inner.count must be an integer, not false"),
        ({"inner": {"count": 1.0}}, "x.inner.count must be an integer, not 1.0"),
        ({"inner": {"count": 1, "flag": 1}}, "x.inner.flag must be true or false, not 1"),
        ({"pairs": "ab"}, 'x.pairs must be a list, not "ab"'),
        ({"pairs": [[1, 2], [3]]}, "x.pairs[1] must be a list of 2, not [3]"),
        ({"pairs": [[1, "2"]]}, 'x.pairs[0][1] must be an integer, not "2"'),
        ({"counts": [1]}, "x.counts must be an object, not [1]"),
        ({"counts": {"a": None}}, "x.counts.a must be an integer, not null"),
        ({"choice": 1}, "x.choice must be a string, not 1"),
    ],
)
def test_another_type_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError) as caught:
        read_record(Outer, {**GOOD, **change}, "x")
    assert str(caught.value) == message


def test_what_is_no_object() -> None:
    with pytest.raises(FieldError, match=r"^it must be an object, not null$"):
        read_record(Outer, None)


def test_unknown_fields() -> None:
    value = {**GOOD, "inner": {"count": 3, "flag": True, "more": 1}}
    assert read_record(Outer, value) == read_record(Outer, GOOD)
    with pytest.raises(FieldError, match=r"^inner\.more is unknown$"):
        read_record(Outer, value, allow_unknown=False)
