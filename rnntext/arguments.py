"""Values that a user gives: the range of each number, how a number is written, names of files.

Knows: the ranges, which the command line and the library share, and the message about a value that
is not valid. Does not know: which command has which option, or the library that parses the command
line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rnntext.errors import UsageError

Number = int | float

# Python also reads other alphabets' digits, underscores, spaces around, `nan` and `inf`.
_WHOLE = re.compile("[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SHOWN_CHARACTERS = 40
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class Range:
    """The valid values of a number: from `least` to `most`, both included."""

    kind: type[int] | type[float]  # int: whole numbers only
    least: Number
    most: Number
    has_units: bool = False  # K, M or G may follow the digits of a whole number

    def __str__(self) -> str:
        return f"{_formatted(self.least)} to {_formatted(self.most)}"

    def parse(self, name: str, text: str) -> Number:
        """The number that a user wrote for the option `name`, in plain digits. Raises UsageError
        for other text, and for a number that is not in the range."""
        unit = _UNITS.get(text[-1:], 1) if self.has_units else 1
        digits = text if unit == 1 else text[:-1]
        if (_WHOLE if self.kind is int else _DECIMAL).fullmatch(digits) is None:
            raise self._refusal(name, repr(text), " in plain digits")
        try:
            value = self.kind(digits) * unit
        except ValueError:  # Python refuses to read thousands of digits as an integer
            raise self._refusal(name, text) from None
        if not self.least <= value <= self.most:
            raise self._refusal(name, text)
        return value

    def check(self, name: str, value: Number) -> None:
        """Raise UsageError, which names the option, for a number that is not in the range, and
        for what is no number."""
        is_number = isinstance(value, int | self.kind) and not isinstance(value, bool)
        # Every comparison with nan is false.
        if not (is_number and self.least <= value <= self.most):
            raise self._refusal(name, str(value) if is_number else repr(value))

    def _refusal(self, name: str, value: str, manner: str = "") -> UsageError:
        if len(value) > _SHOWN_CHARACTERS:
            value = f"{value[:_SHOWN_CHARACTERS]}..."
        kind = "a whole number " if self.kind is int else ""
        return UsageError(f"{name} must be {kind}from {self}{manner}, not {value}")


def written(value: object) -> str:
    """A default as the help writes it."""
    if value is None or value == () or value == []:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(written, value))
    if isinstance(value, int | float):
        return _formatted(value)
    return str(value)


def with_unit(number: int) -> str:
    """A whole number with the largest unit that divides it: 64M."""
    for unit, size in reversed(_UNITS.items()):
        if number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


def _formatted(bound: Number) -> str:
    return f"{int(bound):,}" if bound == int(bound) else f"{bound:g}".replace("e-0", "e-")


# Of a training run. Each has room for the largest run that one machine may ever finish.
EPOCHS = Range(int, 1, 1_000_000)
STEPS = Range(int, 1, 1_000_000_000)
MINUTES = Range(float, 0.001, 1_000_000)
LAYERS = Range(int, 1, 64)
WIDTH = Range(int, 1, 65_536)  # of a layer, and of embeddings
VOCABULARY = Range(int, 1, 10_000_000)
FREQUENCY = Range(int, 1, 1_000_000_000)
BATCH = Range(int, 1, 1_000_000)
BPTT = Range(int, 1, 1_000_000)
LEARNING_RATE = Range(float, 1e-12, 10)
DROPOUT = Range(float, 0, 0.999)
SEED = Range(int, 0, 2**63 - 1)
DISTANCE = Range(int, 1, 1000)  # tokens across which a network remembers
SEEDS = Range(int, 1, 1000)  # that a model is trained with, one after the other
SECONDS = Range(float, 0, 1_000_000)
PART = Range(int, 0, 1 << 40)  # lines or characters of the data
STEP = Range(int, 0, STEPS.most)  # steps taken before a plan was made
# Of running a model.
THREADS = Range(int, 1, 1024)
LENGTH = Range(int, 0, 1_000_000_000)
SAMPLES = Range(int, 1, 1_000_000)
DISTANCE = Range(int, 1, 1_000)  # in tokens, of the view `memory`
TEMPERATURE = Range(float, 0, 1_000_000)
TOP_K = Range(int, 1, 1_000_000_000)
TOP_K_OR_OFF = Range(int, 0, 1_000_000_000)
TOP_P = Range(float, 1e-9, 1)
PROBABILITY = Range(float, 0, 1)
BITS = Range(float, 0, 1000)  # a token
PERCENT = Range(float, 0, 100)
REPETITION_PENALTY = Range(float, 1e-6, 1_000_000)
# Of reading text, in characters.
LINE = Range(int, 1, 1 << 40, has_units=True)
DEFAULT_LONGEST_LINE = 64 << 20
# Of running a model, which answers a record of so many characters in less than 500 MB.
DEFAULT_LONGEST_RECORD = 8 << 20
MISTAKES = Range(int, 1, 1_000_000)
METRIC_BOUND = Range(float, -1e9, 1e9)


def check_path(name: str, path: str | os.PathLike[str], metavar: str | None = None) -> None:
    """Raise UsageError, which names the option or argument, for a path that can name nothing: an
    empty one, which Python would take for the working directory, and one with characters that no
    file name has, as only JSON can give. `metavar`: what the help shows in place of the path."""
    kind = "a directory" if "DIR" in (metavar or "") else "a file"
    text = os.fspath(path)
    if not text:
        raise UsageError(f"{name} is empty: name {kind}")
    try:
        valid = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # half of a surrogate pair
        valid = False
    if not valid:
        raise UsageError(f"{name} {text!r} cannot be the name of {kind}")


def check_plans(plans: Sequence[tuple[int, int]]) -> None:
    """Raise UsageError for the plans of a timed run, (step, total steps) of each, unless each has
    steps left and each but the first was made during the one before it."""
    for index, (step, total) in enumerate(plans):
        name = f"plans[{index}]"
        STEP.check(f"{name}[0]", step)
        STEPS.check(f"{name}[1]", total)
        if step >= total:
            raise UsageError(f"{name} must have steps left, not {step} of {total} taken")
        if index and not plans[index - 1][0] < step < plans[index - 1][1]:
            raise UsageError(f"{name} must be made during the plan before it, not after {step}")
