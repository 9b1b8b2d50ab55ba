"""Numbers in plain digits and within their ranges, and paths that name something."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import pytest

from rnntext.arguments import Range, check_path, with_unit, written
from rnntext.errors import UsageError

WHOLE = Range(int, 1, 2_000_000)
DECIMAL = Range(float, 1e-6, 10)


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("+7", 7), ("2000000", 2_000_000), ("007", 7)]
)
def test_whole_numbers(text: str, value: int) -> None:
    found = WHOLE.parse("--n", text)
    assert (found, type(found)) == (value, int)


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10.0), ("1e-6", 1e-6), ("+.5", 0.5), ("5.", 5.0), ("0.25E+1", 2.5)],
)
def test_decimal_numbers(text: str, value: float) -> None:
    found = DECIMAL.parse("--x", text)
    assert (found, type(found)) == (value, float)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 3",
        "3 ",
        "3\n",
        "1_000",
        "1,000",
        "\u0663",
        "\uff13",
        "0x3",
        "3j",
        "nan",
        "inf",
        "-",
        "x",
    ],
)
@pytest.mark.parametrize("within", [WHOLE, DECIMAL])
def test_only_plain_digits_are_a_number(text: str, within: Range) -> None:
    kind = "a whole number " if within is WHOLE else ""
    message = f"--n must be {kind}from {within} in plain digits, not {text!r}"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        within.parse("--n", text)


@pytest.mark.parametrize("text", ["1.0", "1e1", ".5"])
def test_a_fraction_is_no_whole_number(text: str) -> None:
    with pytest.raises(UsageError, match="in plain digits"):
        WHOLE.parse("--n", text)


@pytest.mark.parametrize(
    ("within", "text", "shown"),
    [
        (WHOLE, "0", "0"),
        (WHOLE, "-1", "-1"),
        (WHOLE, "2000001", "2000001"),
        (WHOLE, "9" * 5000, "9" * 40 + "..."),
        (DECIMAL, "10.01", "10.01"),
        (DECIMAL, "1e-320", "1e-320"),
        (DECIMAL, "1e999", "1e999"),
    ],
)
def test_a_number_out_of_range(within: Range, text: str, shown: str) -> None:
    kind = "a whole number from 1 to 2,000,000" if within is WHOLE else "from 1e-6 to 10"
    with pytest.raises(UsageError, match=f"^{re.escape(f'--n must be {kind}, not {shown}')}$"):
        within.parse("--n", text)


@pytest.mark.parametrize(
    ("within", "value"),
    [(WHOLE, 2.0), (WHOLE, True), (WHOLE, "3"), (WHOLE, None), (WHOLE, 10**30),
     (DECIMAL, math.nan), (DECIMAL, math.inf), (DECIMAL, True), (DECIMAL, 10**400)],
)  # fmt: skip
def test_a_value_of_the_library_out_of_range(within: Range, value: Any) -> None:
    with pytest.raises(UsageError, match=r"^steps must be "):
        within.check("steps", value)


def test_a_range_includes_its_bounds() -> None:
    for value in (1, 2_000_000):
        WHOLE.check("n", value)
    for value in (1e-6, 10, 10.0):
        DECIMAL.check("x", value)


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^-o is empty: name a directory$"):
        check_path("-o", "", "DIR")
    with pytest.raises(UsageError, match=r"^INPUT is empty: name a file$"):
        check_path("INPUT", "", "[INPUT]...")
    for path in (".", " ", Path()):
        check_path("-o", path)


@pytest.mark.parametrize(
    ("text", "value"), [("7", 7), ("2K", 2048), ("64M", 64 << 20), ("1G", 1 << 30)]
)
def test_a_number_with_a_unit(text: str, value: int) -> None:
    assert Range(int, 1, 1 << 30, has_units=True).parse("--n", text) == value


@pytest.mark.parametrize("text", ["K", "1k", "1KK", "1.5M", "M1", "", "2G"])
def test_other_units(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--n must be a whole number from 1 to "):
        Range(int, 1, 1 << 30, has_units=True).parse("--n", text)
    with pytest.raises(UsageError):
        WHOLE.parse("--n", "1K")


@pytest.mark.parametrize("path", ["a\0b", "\ud800"])
def test_a_path_that_no_file_can_have(path: str) -> None:
    """Only JSON and Python can give one."""
    with pytest.raises(UsageError, match=rf"^{re.escape(f'DATA {path!r}')} cannot be the name of"):
        check_path("DATA", path)
    check_path("DATA", os.fsdecode(b"caf\xe9.txt"))


def test_defaults_are_written_as_in_the_help() -> None:
    values = (None, (), [], 0, 5_000, 0.8, 1.0, 1e-6, "gru", ["a", "b"], (3, 6))
    assert [written(value) for value in values] == [
        "none", "none", "none", "0", "5,000", "0.8", "1", "1e-6", "gru", "a, b", "3, 6",
    ]  # fmt: skip


def test_units() -> None:
    numbers = (64 << 20, 3 << 30, 1024, 1536, 1000)
    assert [with_unit(number) for number in numbers] == ["64M", "3G", "1K", "1536", "1000"]
    whole = Range(int, 1, 1 << 40, has_units=True)
    assert all(whole.parse("--n", with_unit(number)) == number for number in numbers)
