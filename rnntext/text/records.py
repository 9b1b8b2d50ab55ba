"""Lines to records: what the commands that run a model answer, one result a record.

Knows: what a record is (a line, a file or a table's row) and how many of them there are now.
Does not know: what is done with a record, or how bytes became lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rnntext.errors import DataError, UsageError
from rnntext.text.source import (
    STDIN,
    Decoding,
    extension,
    file_text,
    peek,
    read_blocks,
    source_name,
)
from rnntext.text.tables import TABLE_EXTENSIONS, kind_of_content, read_rows, text_field

Answers = TypeVar("Answers")

RECORD_KINDS = ("line", "file")
BATCH_RECORDS = 1024
BATCH_CHARACTERS = 1 << 20
# Of a large batch: lines of like length are found among more.
LARGE_BATCH_RECORDS = 4096


@dataclass(frozen=True, slots=True)
class Record:
    """One text to answer, and the fields of its row where it came from a table."""

    text: str
    row: dict[str, object] | None = None
    source: int = 0  # which of the inputs it comes from


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How input becomes records; raises UsageError where the options do not go together."""

    record: str = "line"  # or "file": each file is one record
    text_column: str | None = None  # read table rows, and take this column's text
    encoding: str = "utf-8"
    encoding_errors: str = "strict"  # or "replace": U+FFFD for a byte that is no text

    def __post_init__(self) -> None:
        if self.record not in RECORD_KINDS:
            raise UsageError(f"--record {self.record}: choose one of {', '.join(RECORD_KINDS)}")
        if self.record == "file" and self.text_column is not None:
            raise UsageError("--record file and --text-column cannot go together")
        _ = self.decoding

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.encoding, self.encoding_errors)


def read_records(
    paths: Sequence[str], options: InputOptions, stdin: int = 0, *, large: bool = False
) -> Iterator[list[Record]]:
    """Yield the records of `paths` in order, in batches of those that are there now.

    A batch never waits for more input than has arrived; it holds at most BATCH_RECORDS records, or
    `large` LARGE_BATCH_RECORDS, and ends at the first that brings it to BATCH_CHARACTERS. Among
    large batches an empty one says that the next may have to be waited for. `-`, or no path at all,
    is the file descriptor `stdin`. Every line gives one record, empty lines included. With
    `record="file"` line ends become LF and exactly one final LF is dropped. Raises DataError for
    what cannot be read, after the batch of the records before it.
    """
    most = LARGE_BATCH_RECORDS if large else BATCH_RECORDS
    batch: list[Record] = []
    characters = 0
    try:
        for record in _read_all(paths or (STDIN,), options, stdin):
            if record is not None:
                batch.append(record)
                characters += len(record.text)
            waiting = record is None
            if batch and (waiting or len(batch) >= most or characters >= BATCH_CHARACTERS):
                yield batch
                batch = []
                characters = 0
            if waiting and large:
                yield []
    except DataError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def read_ahead(
    batches: Iterable[list[Record]], begin: Callable[[list[str]], Answers]
) -> Iterator[tuple[list[Record], Answers]]:
    """Each large batch with what `begin` gives for its texts. That is given out when the next batch
    has begun, so that work on other threads goes on meanwhile, unless the next may have to be
    waited for."""
    begun: list[tuple[list[Record], Answers]] = []
    try:
        for batch in batches:
            following = [(batch, begin([record.text for record in batch]))] if batch else []
            yield from begun
            begun = following
    except DataError:
        yield from begun
        raise
    yield from begun


def _read_all(paths: Iterable[str], options: InputOptions, stdin: int) -> Iterator[Record | None]:
    """Yield every record, and None where the next read may have to wait."""
    for number, path in enumerate(paths):
        blocks = read_blocks(path, options.decoding, stdin)
        if options.text_column is not None:
            yield from _read_table(number, path, blocks, options.text_column, options)
        elif options.record == "file":
            yield None
            yield Record(file_text(blocks), source=number)
        else:
            for block in blocks:
                if not block:
                    yield None
                for line in block:
                    yield Record(line, source=number)


def _read_table(
    number: int, path: str, blocks: Iterator[list[str]], column: str, options: InputOptions
) -> Iterator[Record | None]:
    name = source_name(path)
    kind = TABLE_EXTENSIONS.get(extension(path))
    if kind is None:
        yield None  # the first line may have to be waited for
        head, blocks = peek(blocks, 1)
        kind = kind_of_content(head)
    columns = {column: "--text-column"}
    for row in read_rows(blocks, kind, name, columns, options.encoding_errors):
        yield None if row is None else Record(text_field(row, column, name), row.fields, number)
