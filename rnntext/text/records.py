"""Reads the input of a running model as records; the model returns one result per record.

Knows: what a record is (a line, a file or a table row), and how records are batched as they arrive.
Does not know: the model, or how bytes are decoded into lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from rnntext.arguments import DEFAULT_LONGEST_RECORD
from rnntext.config import one_of
from rnntext.errors import DataError, UsageError
from rnntext.text.controls import json_text
from rnntext.text.format_detection import (
    PARQUET,
    table_format_of_content,
    table_format_of_extension,
)
from rnntext.text.formats import ON_ERROR, Unread
from rnntext.text.parquet_rows import has_parquet_column, read_parquet
from rnntext.text.raw_text import RawText
from rnntext.text.source import (
    STDIN,
    Decoding,
    extension,
    file_text,
    for_message,
    not_text,
    peek_lines,
    read_line_blocks,
    source_name,
)
from rnntext.text.tables import (
    PLAIN,
    Dialect,
    Row,
    check_column,
    read_rows,
    text_field,
    words_field,
)
from rnntext.text.tagged import parse_conllu_sentence

Item = TypeVar("Item")
Results = TypeVar("Results")

RECORD_KINDS = ("line", "file")
INPUT_FORMATS = ("text", "jsonl", "conllu")
BATCH_RECORDS = 1024
BATCH_CHARACTERS = 1 << 20
# A large batch has more lines of similar length to bucket together.
LARGE_BATCH_RECORDS = 4096


@dataclass(frozen=True, slots=True)
class Record:
    """An input text, and the fields of its row if it comes from a table; or what is wrong."""

    text: str
    row: Mapping[str, object] | None = None
    source: int = 0  # index of the input file
    column: str | None = field(default=None, compare=False)  # of the row, that holds the text
    error: str | None = None  # set: the record could not be read, and its text is empty
    line: int = field(default=0, compare=False)  # of such a record: its first line, or its row
    words: tuple[str, ...] | None = None  # set: the row has the words of the text, split already
    raw: RawText | None = None  # how these are written, where the input says so


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How input becomes records; raises UsageError for invalid or conflicting options."""

    record: str = "line"  # or "file": each file is one record
    text_column: str | None = None  # set: read table rows, the text from this column
    encoding: str = "utf-8"
    encoding_errors: str = "strict"  # or "replace": U+FFFD for an undecodable byte
    max_line: int = DEFAULT_LONGEST_RECORD  # characters of a line, or of a file that is one record
    dialect: Dialect = PLAIN  # of tables
    # What becomes of a record that cannot be read: an error, a record with its error, or nothing.
    on_error: str = "fail"
    # Of Parquet: all columns are read, for the fields of each row; otherwise only the text's.
    whole_rows: bool = True
    lists: bool = False  # a row may have a list of words in place of a text
    format: str = "text"  # or "jsonl", rows with the words of a sentence, or "conllu"

    def __post_init__(self) -> None:
        one_of("--input-format", self.format, INPUT_FORMATS)
        if self.format == "conllu" and (self.record == "file" or self.text_column is not None):
            raise UsageError("--input-format conllu has sentences: leave --record and columns out")
        if self.record not in RECORD_KINDS:
            raise UsageError(f"--record {self.record}: choose one of {', '.join(RECORD_KINDS)}")
        if self.record == "file" and self.text_column is not None:
            raise UsageError("--record file and --text-column cannot go together")
        one_of("--on-error", self.on_error, ON_ERROR)
        _ = self.decoding

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.encoding, self.encoding_errors, self.max_line, keep_bad=self.keeps_bad)

    @property
    def keeps_bad(self) -> bool:
        return self.on_error != "fail"


@dataclass(frozen=True, slots=True)
class TrainedTables:
    """How the tables were read that a model was trained with. So are those read of which no column
    is named, but which have the names of tables, if they have the same column."""

    column: str | None  # of the texts; None: the model was not trained with tables of texts
    dialect: Dialect
    remark: Callable[[str], object]  # is told how such a table is read


def read_records(
    paths: Sequence[str],
    options: InputOptions,
    stdin: int = 0,
    *,
    large: bool = False,
    trained: TrainedTables | None = None,
) -> Iterator[list[Record]]:
    """Yield the records of `paths` in order, in batches of the records that have arrived.

    A batch never waits for more input. It has at most BATCH_RECORDS records, or
    LARGE_BATCH_RECORDS with `large`, and ends at the record that brings it to BATCH_CHARACTERS.
    With `large` an empty batch announces that the next one may block. `-`, or no path at all, is
    the file descriptor `stdin`. Every line is a record, empty lines included. With `record="file"`
    line ends become LF and exactly one final LF is dropped. `trained`: how a path with the
    extension of a table is read where no column is named; without it, by lines, and Parquet by its
    column `text` (with `lists` by `words`, if it has that). Raises DataError for a source that
    cannot be read, after yielding the records before the error; and UnreadError after all records,
    where `on_error` let some pass that cannot be read.
    """
    max_records = LARGE_BATCH_RECORDS if large else BATCH_RECORDS
    batch: list[Record] = []
    characters = 0
    unread = Unread()
    try:
        for record in _read_all(paths or (STDIN,), options, stdin, trained):
            may_block = record is None
            if record is not None:
                if record.error is not None:
                    unread.add(record.error)
                if record.error is None or options.on_error == "null":
                    batch.append(record)
                    characters += len(record.text)
            full = len(batch) >= max_records or characters >= BATCH_CHARACTERS
            if batch and (may_block or full):
                yield batch
                batch = []
                characters = 0
            if may_block and large:
                yield []
    except DataError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
    if unread.count:
        raise unread.error()


def text_of(record: Record) -> str:
    """Return the text of a record."""
    return record.text


def words_or_text(record: Record) -> str | tuple[str, ...]:
    """Return the words of a record whose row has them, otherwise its text."""
    return record.text if record.words is None else record.words


def prefetch(
    batches: Iterable[list[Record]],
    submit: Callable[[list[Item]], Results],
    of: Callable[[Record], Item],
) -> Iterator[tuple[list[Record], Results]]:
    """Yield each large batch with the results that `submit` returns for what is `of` each record.

    The next batch is submitted before a batch is yielded, so that worker threads are busy while
    the caller consumes results. If the next batch may block, the batch is yielded immediately.
    """
    submitted: list[tuple[list[Record], Results]] = []
    try:
        for batch in batches:
            following = [(batch, submit([of(record) for record in batch]))] if batch else []
            yield from submitted
            submitted = following
    except DataError:
        yield from submitted
        raise
    yield from submitted


def _read_all(
    paths: Iterable[str], options: InputOptions, stdin: int, trained: TrainedTables | None
) -> Iterator[Record | None]:
    """Yield every record, and None if the next read may block."""
    for number, path in enumerate(paths):
        if extension(path) == PARQUET:
            yield from _read_parquet(number, path, options, trained)
            continue
        blocks = read_line_blocks(path, options.decoding, stdin)
        column, dialect = options.text_column, options.dialect
        if options.format == "jsonl":
            column = column or "words"
        table_format = table_format_of_extension(path)
        if trained is not None and column is None and table_format is not None:
            if dialect == PLAIN:
                dialect = trained.dialect
            yield None  # reading the first line may block
            head, blocks = peek_lines(blocks, 1)
            if head:
                column = _trained_column(path, head[0], table_format, dialect, trained)
        if options.format == "conllu":
            yield from _read_conllu(number, path, blocks, options)
        elif column is not None:
            yield from _read_table(number, path, blocks, column, dialect, options)
        elif options.record == "file":
            yield None
            name, most = source_name(path), options.max_line
            yield _checked(file_text(blocks, name, most), number, name, 1, options)
        else:
            line_number = 0
            name = source_name(path)
            for block in blocks:
                if not block:
                    yield None
                if options.keeps_bad:
                    for line in block:
                        line_number += 1
                        yield _checked(line, number, name, line_number, options)
                else:
                    for line in block:
                        yield Record(line, None, number)


def _checked(text: str, source: int, name: str, line: int, options: InputOptions) -> Record:
    """A line, or a file, as a record, which has an error if it is no text."""
    error = not_text(text, f"{name}, line {line}", options.encoding)
    if error is not None:
        return Record("", None, source, error=error, line=line)
    return Record(text, None, source)


def _trained_column(
    path: str, first: str, table_format: str, dialect: Dialect, trained: TrainedTables
) -> str | None:
    """Return the column of the texts of a table with this `first` line; None if it is read line by
    line."""
    name, column = source_name(path), trained.column
    if column is None:
        trained.remark(
            f"{name} is read line by line: name the column of its texts with --text-column"
        )
        return None
    try:
        check_column(first, table_format, name, column, dialect)
    except DataError as error:
        trained.remark(f"{error}; until then it is read line by line")
        return None
    trained.remark(
        f"{name} is read by its column {for_message(column)!r}, as the model's training data were: "
        "--record line reads its lines"
    )
    return column


def _read_table(
    number: int,
    path: str,
    blocks: Iterator[list[str]],
    column: str,
    dialect: Dialect,
    options: InputOptions,
) -> Iterator[Record | None]:
    name = source_name(path)
    table_format = "jsonl" if options.format == "jsonl" else table_format_of_extension(path)
    if table_format is None:
        yield None  # reading the first line may block
        head, blocks = peek_lines(blocks, 1)
        table_format = table_format_of_content(head)
    columns = {column: "--text-column"}
    rows = read_rows(
        blocks,
        table_format,
        name,
        columns,
        options.encoding_errors,
        dialect=dialect,
        keep_bad=options.keeps_bad,
    )
    for row in rows:
        yield None if row is None else record_of_row(row, number, name, column, options)


def _read_parquet(
    number: int, path: str, options: InputOptions, trained: TrainedTables | None
) -> Iterator[Record]:
    if options.record == "file":
        raise UsageError(f"{source_name(path)} has rows: leave --record file out")
    column = options.text_column or (trained and trained.column) or "text"
    if options.lists and options.text_column is None and has_parquet_column(path, "words"):
        column = "words"
    columns = {column: "--text-column"}
    name = source_name(path)
    for row in read_parquet(path, columns, whole=options.whole_rows, keep_bad=options.keeps_bad):
        yield record_of_row(row, number, name, column, options)


def record_of_row(row: Row, number: int, name: str, column: str, options: InputOptions) -> Record:
    """Return a row as a record. Raises DataError if it is none, unless errors are kept."""
    error = row.error
    try:
        if options.keeps_bad and error is None and row.unit == "line":
            error = not_text(_contents(row), f"{name}, {row.place}", options.encoding)
        if error is None:
            words = words_field(row, column, name) if options.lists else None
            text = text_field(row, column, name) if words is None else " ".join(words)
            if row.unit == "row" and len(text) > options.max_line:  # lines were checked
                raise DataError(
                    f"{name}, {row.place} has a text of more than {options.max_line:,} characters: "
                    "cut it, or allow more with --max-line"
                )
            return Record(text, row.fields, number, column, words=words)
    except DataError as found:
        if not options.keeps_bad:
            raise
        error = str(found)
    return Record("", row.fields or None, number, column, error, row.line)


def _read_conllu(
    number: int, path: str, blocks: Iterator[list[str]], options: InputOptions
) -> Iterator[Record | None]:
    """Each sentence is a record, and is yielded when the empty line after it has come."""
    name, line_number = source_name(path), 0
    sentence: list[tuple[int, str]] = []
    for block in chain(blocks, [[""]]):
        if not block:
            yield None
        for line in block:
            line_number += 1
            if line.strip():
                sentence.append((line_number, line))
            elif sentence:
                yield from _conllu_record(number, name, sentence, options)
                sentence = []


def _conllu_record(
    number: int, name: str, lines: Sequence[tuple[int, str]], options: InputOptions
) -> Iterator[Record]:
    """Yield the record of a sentence; comments alone are none."""
    first = lines[0][0]
    found, error = None, None
    if options.keeps_bad:
        text = "\n".join(line for _, line in lines)
        error = not_text(text, f"{name}, line {first}", options.encoding)
    try:
        if error is None:
            found = parse_conllu_sentence(lines, name)
    except DataError as raised:
        if not options.keeps_bad:
            raise
        error = str(raised)
    if error is not None:
        yield Record("", None, number, error=error, line=first)
    elif found is not None:
        text = " ".join(found.words) if found.raw is None else found.raw.text
        yield Record(text, None, number, words=found.words, raw=found.raw)


def _contents(row: Row) -> str:
    """The names and values of a row as one text."""
    values = (v if isinstance(v, str) else json_text(v) for v in row.fields.values())
    return "\n".join([*row.fields, *values])
