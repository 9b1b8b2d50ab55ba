"""`-o FILE`: the answers of a command as a table, beside the columns of the rows that it read.

Knows: the formats, and when such a file is refused. Does not know: how a model answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rnntext.cli.options import RecordSource, RunOptions
from rnntext.cli.values import path_option
from rnntext.errors import UsageError
from rnntext.files import check_file, replaced_file, replacement, write_errors

if TYPE_CHECKING:
    from rnntext.runtime.answer_columns import AnswerColumns
    from rnntext.text.beside import Kind
    from rnntext.text.records import Record

OPTION = "-o"
FORMATS = (".parquet", ".csv", ".jsonl")
Rows = Callable[[Sequence[Any], Sequence[Sequence[object]]], None]


@dataclass(frozen=True, slots=True)
class AnswerOptions(RunOptions):
    """How a command gives its answers: printed, or in a file."""

    out: Annotated[
        Path | None,
        path_option(
            OPTION,
            "--output",
            metavar="FILE",
            help="Write the rows with their answers beside them into FILE.parquet, .csv or .jsonl, "
            "and print nothing.",
        ),
    ] = None

    def check(self, source: RecordSource, directory: Path, **printing: bool) -> None:
        """Raise UsageError for a file that cannot be written: it has another format, is read by
        this command or a part of the model, or pyarrow is missing; and for options of printing
        beside it."""
        if self.out is None:
            return
        from rnntext.runtime.predictions import refuse_read
        from rnntext.text.parquet_rows import require_pyarrow

        for name, given in {"json": self.json, **printing}.items():
            if given:
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(f"{OPTION} writes a file and prints nothing: leave {flag} out")
        check_file(self.out, OPTION)
        if self.out.suffix.lower() not in FORMATS:
            raise UsageError(f"{OPTION} {self.out}: name a file that ends in {', '.join(FORMATS)}")
        inputs = [] if source.texts else source.inputs or ["-"]
        refuse_read(self.out, OPTION, [*inputs, str(directory)])
        if self.out.suffix.lower() == ".parquet":
            require_pyarrow(str(self.out))


def write_answers(
    path: Path,
    answered: Iterable[tuple[Sequence[Record], Iterable[Any]]],
    columns: AnswerColumns,
    as_json: Callable[[Record, Any], str],
    *,
    with_errors: bool,
) -> None:
    """Write records with their answers to a file, which takes its place at the end.

    In JSON Lines a line is what `as_json` returns. In Parquet and CSV a row has its own columns
    (`text`, of what is no row), then the answer's, `with_errors` also `error`; those of a record
    that could not be read are empty. Raises UnreadError when all has been written.
    """
    from rnntext.text.formats import UnreadError

    unread = None
    with _opened(path, columns, as_json, with_errors) as add:
        try:
            for records, answers in answered:
                add(records, list(answers))
        except UnreadError as error:
            unread = error
    if unread is not None:
        raise unread


@contextmanager
def _opened(
    path: Path,
    columns: AnswerColumns,
    as_json: Callable[[Record, Any], str],
    with_errors: bool,
) -> Iterator[Rows]:
    """Yield a function that adds records and their answers to a file."""
    if path.suffix.lower() == ".jsonl":
        with replaced_file(path, OPTION) as write:
            yield lambda records, answers: write(
                "".join(map(as_json, records, answers)).encode("utf-8", "replace")
            )
        return
    kinds: dict[str, Kind] = {**columns.kinds, **({"error": str} if with_errors else {})}

    def values(record: Record, answer: Any) -> list[object]:
        found = [None] * len(columns.kinds) if record.error else columns.values(answer)
        return [*found, record.error] if with_errors else [*found]

    def adder(add: Rows) -> Rows:
        return lambda records, answers: add(
            list(map(_own, records)), list(map(values, records, answers))
        )

    if path.suffix.lower() == ".csv":
        from rnntext.text.csv_rows import CsvRows

        with replaced_file(path, OPTION) as write:
            rows = CsvRows(write, list(kinds))
            yield adder(rows.add)
            rows.finish()
        return
    from rnntext.text.parquet_writer import parquet_rows

    with (
        replacement(path, OPTION) as written,
        write_errors(path, OPTION),
        parquet_rows(written, kinds) as table,
    ):
        yield adder(table.add)


def _own(record: Record) -> Any:
    """The own columns of a record; None where they could not be read."""
    if record.row is not None:
        return record.row
    # What a column holds could not be read, or there are no columns.
    return None if record.column is not None else {"text": None if record.error else record.text}
