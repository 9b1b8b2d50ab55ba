"""A function with groups of options becomes one whose signature has each option."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from rnntext.cli.signature import expanded, keyword


@dataclass(frozen=True)
class Pair:
    """Two options."""

    left: Annotated[int, "help of left"] = 3
    right: Annotated[str | None, "help of right"] = None


class Sum:
    """A group whose function gets the sum of its options."""

    def __init__(self) -> None:
        self.tasks: list[str | None] = []

    def parameters(self, task: str | None) -> list[inspect.Parameter]:
        self.tasks.append(task)
        return [keyword("first", int, 1), keyword("second", int, 2)]

    def build(self, values: dict[str, Any]) -> int:
        return int(values.pop("first") + values.pop("second"))


SUM = Sum()
CALLS: list[Any] = []


def function(
    task: str,
    pair: Pair,
    *,
    flag: Annotated[bool, "help of flag"] = False,
    total: Annotated[int, "no group", SUM],
    plain: int = 7,
) -> None:
    """What the function does."""
    CALLS.append((task, pair, flag, total, plain))


@pytest.fixture(autouse=True)
def _empty() -> None:
    CALLS.clear()
    SUM.tasks.clear()


def test_each_option_of_a_group_is_a_parameter() -> None:
    command = expanded(function)
    parameters = inspect.signature(command).parameters
    names = ["task", "left", "right", "flag", "first", "second", "plain"]
    assert list(parameters) == names
    empty = inspect.Parameter.empty
    assert [p.default for p in parameters.values()] == [empty, 3, None, False, 1, 2, 7]
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    annotations = {name: p.annotation for name, p in parameters.items()}
    assert annotations["left"] == Annotated[int, "help of left"]
    assert annotations["right"] == Annotated[str | None, "help of right"]
    assert annotations["flag"] == Annotated[bool, "help of flag"]
    assert annotations["plain"] is int
    assert command.__annotations__ == annotations
    assert (command.__name__, command.__doc__) == ("function", "What the function does.")
    assert SUM.tasks == [None]


def test_the_function_gets_one_object_for_each_group() -> None:
    expanded(function)(task="lm", left=4, right="r", flag=True, first=10, second=20, plain=8)
    (call,) = CALLS
    assert call == ("lm", Pair(4, "r"), True, 30, 8)


def test_a_task_that_is_given_is_no_option() -> None:
    command = expanded(function, "tag")
    names = ["left", "right", "flag", "first", "second", "plain"]
    assert list(inspect.signature(command).parameters) == names
    command(left=3, right=None, flag=False, first=1, second=1, plain=7)
    (call,) = CALLS
    assert call == ("tag", Pair(3), False, 2, 7)
    assert SUM.tasks == ["tag"]
