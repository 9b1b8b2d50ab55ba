"""Writes rows of CSV: the columns of a row, and those of the answer beside them.

Knows: how a value is written in a field, and that no text makes a column or a row. Does not know:
what an answer means, or where the lines go.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence

from rnntext.errors import DataError
from rnntext.text.beside import names_beside, rounded
from rnntext.text.controls import CSV_FIELD, json_text
from rnntext.text.source import for_message


class CsvRows:
    """The lines of a CSV file (RFC 4180) with a header. The first row determines the columns."""

    def __init__(self, write: Callable[[bytes], object], names: Sequence[str]) -> None:
        """`names`: the columns of the answers, beside those of a row itself."""
        self._write, self._names = write, names
        self._own: dict[str, None] | None = None
        self._held: list[Sequence[object]] = []  # answers before the columns are known
        self._added = 0

    def add(
        self, rows: Sequence[Mapping[str, object] | None], answers: Sequence[Sequence[object]]
    ) -> None:
        """Write rows (None: one whose columns are not known) with the values of their answers.
        Raises DataError for a row with a column that the first one does not have."""
        lines: list[str] = []
        for row, values in zip(rows, answers, strict=True):
            self._added += 1
            if row is None and self._own is None:
                self._held.append(values)
                continue
            if row is not None:
                lines += self._begin(row)
            lines.append(self._line(row or {}, values))
        self._write("".join(lines).encode("utf-8", "replace"))

    def finish(self) -> None:
        """Write what is left when there are no more rows."""
        if self._own is None:
            self._write("".join(self._begin({})).encode("utf-8", "replace"))

    def _begin(self, row: Mapping[str, object]) -> list[str]:
        """Return the lines before the first row: the header, and rows without columns."""
        if self._own is not None:
            if unknown := row.keys() - self._own.keys():
                raise DataError(
                    f"record {self._added:,} has a column {for_message(min(unknown))!r} that the "
                    "first one does not have: name a .jsonl or .parquet file with -o"
                )
            return []
        self._own = dict.fromkeys(row)
        header = csv_line([*self._own, *names_beside(self._own, self._names)])
        held, self._held = self._held, []
        return [header, *(self._line({}, values) for values in held)]

    def _line(self, row: Mapping[str, object], values: Sequence[object]) -> str:
        return csv_line([*(cell(row.get(name)) for name in self._own or ()), *map(_answer, values)])


def csv_line(cells: Iterable[str]) -> str:
    """Join fields to a line of CSV. Of control characters only ends of lines and tabs stay."""
    line = io.StringIO()
    # With LF alone as its line end, a field with a lone CR would not be quoted.
    csv.writer(line, lineterminator="\r\n").writerow([c.translate(CSV_FIELD) for c in cells])
    return line.getvalue().removesuffix("\r\n") + "\n"


def cell(value: object) -> str:
    """Return a field of a row as text: what is no string as JSON, and nothing for null."""
    if isinstance(value, str):
        return value
    return "" if value is None else json_text(value)


def _answer(value: object) -> str:
    """A value of an answer as text: a number without exponent, a list as JSON."""
    if isinstance(value, float):
        return f"{value:.6f}"
    return cell(rounded(value))
