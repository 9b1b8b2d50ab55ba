"""Writes the answers of an evaluation to a file, one record a line: JSON Lines, CSV or TSV.

Knows: the columns of the file, and how values are written in each format. Does not know: how a
model answers, or how a file takes the place of another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rnntext.errors import DataError, UsageError
from rnntext.files import check_file
from rnntext.runtime.answers import Answer
from rnntext.text.beside import names_beside, rounded
from rnntext.text.controls import ONE_LINE, json_text
from rnntext.text.csv_rows import cell, csv_line
from rnntext.text.formats import HUB_PREFIX
from rnntext.text.source import STDIN, for_message, is_compressed

OPTION = "--predictions"
_NAMES = ("gold", "predicted", "probability", "source", "line")


class Predictions:
    """The lines of a file of predictions, one for each answer.

    A line has the record's own columns, then `gold`, `predicted`, `probability`, `source` and
    `line`; one that is the name of an own column has the prefix `rnntext_`. The extension says the
    format: .csv, .tsv, or else JSON Lines. In CSV and TSV the first record determines the columns;
    several labels of a text stand between `separator`s, or as JSON if it is None.
    """

    def __init__(
        self, write: Callable[[bytes], object], suffix: str, separator: str | None
    ) -> None:
        self._write = write
        self._separator = separator
        self._format = suffix
        self._columns: list[str] = []  # of CSV and TSV: the own columns

    def add(self, answers: Sequence[Answer]) -> None:
        """Write answers. Raises DataError in CSV and TSV for a record with a column that the first
        one does not have."""
        lines = self._table_lines if self._format in (".csv", ".tsv") else _json_lines
        self._write("".join(lines(answers)).encode("utf-8", "replace"))

    def _table_lines(self, answers: Sequence[Answer]) -> Iterator[str]:
        for answer in answers:
            if not self._columns:
                self._columns = list(answer.columns)
                yield self._table_line([*self._columns, *names_beside(self._columns, _NAMES)])
            if unknown := answer.columns.keys() - set(self._columns):
                raise DataError(
                    f"{answer.source}, line {answer.line} has a column"
                    f" {for_message(min(unknown))!r} that the first record does not have: name a"
                    f" .jsonl file with {OPTION}"
                )
            own = [cell(answer.columns.get(name)) for name in self._columns]
            yield self._table_line([*own, *self._cells(answer)])

    def _cells(self, answer: Answer) -> list[str]:
        values = (answer.gold, answer.predicted, answer.probability)
        return [*map(self._joined, values), answer.source, str(answer.line)]

    def _joined(self, value: str | float | tuple[str, ...] | tuple[float, ...]) -> str:
        if not isinstance(value, tuple):
            return value if isinstance(value, str) else _decimal(value)
        if self._separator is None:
            return json_text(rounded(value))
        return self._separator.join(v if isinstance(v, str) else _decimal(v) for v in value)

    def _table_line(self, cells: Sequence[str]) -> str:
        if self._format == ".tsv":
            return "\t".join(cell.translate(ONE_LINE) for cell in cells) + "\n"
        return csv_line(cells)


def check_predictions(path: Path, read: Sequence[str]) -> None:
    """Raise UsageError if predictions cannot be written to `path`: a directory, a compressed file
    or Parquet, or one of the files that are `read`, also in a directory or as standard input."""
    check_file(path, OPTION)
    if is_compressed(str(path)):
        raise UsageError(f"{OPTION} {path}: it is not compressed; name it without .gz")
    if path.suffix.lower() == ".parquet":
        raise UsageError(f"{OPTION} {path}: it is no Parquet; name a .jsonl, .csv or .tsv file")
    refuse_read(path, OPTION, read)


def refuse_read(path: Path, option: str, read: Sequence[str]) -> None:
    """Raise UsageError, which names the option, if a file to write is one of those that are `read`,
    also in a directory or as standard input."""
    if any(_is_read(path, name) for name in read):
        raise UsageError(f"{option} {path} is read by this command: name another file")


def _is_read(path: Path, name: str) -> bool:
    if os.path.isdir(name):
        return Path(name).resolve() in path.resolve().parents
    if name.startswith(HUB_PREFIX) or not path.is_file():
        return False
    try:
        return os.path.samestat(os.fstat(0) if name == STDIN else os.stat(name), path.stat())
    except OSError:  # the reader will say that it is not there
        return False


def _json_lines(answers: Sequence[Answer]) -> Iterator[str]:
    for answer in answers:
        values = (
            answer.gold, answer.predicted, rounded(answer.probability), answer.source, answer.line
        )  # fmt: skip
        ours = dict(zip(names_beside(answer.columns, _NAMES), values, strict=True))
        yield json_text({**answer.columns, **ours}) + "\n"


def _decimal(value: float) -> str:
    return f"{value:.6f}"
