"""The options that all readers of training and evaluation files share.

Knows: the names of the formats, and what is read in place of a source that can be read only once.
Does not know: how a format is detected (`format_detection`) or parsed; `lines`, `labelled` and
`tagged` do that, one for each task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rnntext.arguments import DEFAULT_LONGEST_LINE
from rnntext.errors import DataError, UsageError
from rnntext.text.source import Decoding, not_text, read_line_blocks, source_name
from rnntext.text.tables import Dialect

FORMATS = ("csv", "tsv", "jsonl", "fasttext", "conllu", "conll", "text", "parquet")
HUB_PREFIX = "hf:"
# What becomes of a record that cannot be read.
ON_ERROR = ("fail", "null", "skip")


@dataclass(frozen=True, slots=True)
class BufferedSource:
    """A file with the bytes of a source that can be read only once, such as a pipe."""

    descriptor: int
    truncated: bool  # reading stopped before the source ended


class UnreadError(DataError):
    """Some records could not be read, and all others have been."""


@dataclass(slots=True)
class Unread:
    """The records that could not be read and were let pass: how many, and why the first."""

    count: int = 0
    first: str = ""

    def add(self, error: DataError | str) -> None:
        """Count a record with this error."""
        self.count += 1
        self.first = self.first or str(error)

    def error(self) -> UnreadError:
        """Return the error for all of them."""
        count = "1 record" if self.count == 1 else f"{self.count:,} records"
        return UnreadError(f"{count} could not be read; the first: {self.first}")


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How data files become examples; raises UsageError for invalid values."""

    format: str | None = None  # unset: detected from the extension or the content
    text_column: str | None = None  # unset: `text`, or `words` for tagging
    label_column: str = "label"
    tag_column: str | None = None  # unset: UPOS, the last column, or `tags`
    group_column: str | None = None  # set: rows of a group are not to be split up
    multi_label: bool = False
    label_separator: str | None = None  # unset: a comma in CSV and TSV, none elsewhere
    encoding: str = "utf-8"
    encoding_errors: str = "strict"
    max_line: int = DEFAULT_LONGEST_LINE
    split: str = "train"  # of an `hf:` data set
    delimiter: str | None = None  # of CSV and TSV; unset: a comma, a tab
    header: bool = True  # of CSV and TSV; without it columns are named by numbers
    # Set: a record that cannot be read is left out, and counted there.
    unread: Unread | None = field(default=None, compare=False)
    # Read in place of these paths.
    buffered_sources: Mapping[str, BufferedSource] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise UsageError(f"--format {self.format}: choose one of {', '.join(FORMATS)}")
        if self.label_separator is not None and not self.multi_label:
            raise UsageError("--label-separator needs --multi-label")
        if self.label_separator == "":
            raise UsageError("--label-separator cannot be empty")
        _ = self.decoding, self.dialect

    @property
    def decoding(self) -> Decoding:
        keep_bad = self.unread is not None
        return Decoding(self.encoding, self.encoding_errors, self.max_line, keep_bad=keep_bad)

    def leave_out(self, error: DataError) -> None:
        """Count a record with this error, which is raised unless such records are left out."""
        if self.unread is None:
            raise error
        self.unread.add(error)

    def check_text(self, text: str, where: str) -> None:
        """Raise DataError for text with bytes that are not in the encoding. Where records with such
        are not left out, they have been refused before."""
        error = None if self.unread is None else not_text(text, where, self.encoding)
        if error is not None:
            raise DataError(error)

    @property
    def dialect(self) -> Dialect:
        return Dialect(self.delimiter, self.header)

    def refuse_group_column(self, name: str, kind: str) -> None:
        """Raise UsageError if `--group-column` is given: `name` is data of a `kind` that has no
        columns to name."""
        if self.group_column is not None:
            raise UsageError(
                f"--group-column {self.group_column}: {name} is {kind}, which has no columns with "
                "names: leave it out, or give CSV, TSV or JSON Lines"
            )

    def require_format(self, task: str, formats: Sequence[str]) -> None:
        """Raise UsageError if `--format` names none of the task's `formats`."""
        if self.format is not None and self.format not in formats:
            raise UsageError(
                f"--format {self.format} does not serve {task}: choose one of {', '.join(formats)}"
            )


def read_data_line_blocks(path: str, options: DataOptions, stdin: int) -> Iterator[list[str]]:
    """Yield the lines of `path` in blocks, like `read_line_blocks`; DataError if there is none."""
    empty = True
    source = options.buffered_sources.get(path)
    descriptor = source.descriptor if source else None
    for block in read_line_blocks(path, options.decoding, stdin, descriptor):
        empty = empty and not block
        yield block
    if empty:
        raise DataError(f"{source_name(path)} is empty: name a file that has text in it")


def is_truncated(path: str, options: DataOptions) -> bool:
    """Return True if the buffered bytes of `path` may end before the source did."""
    return path in options.buffered_sources and options.buffered_sources[path].truncated
