"""Which format a training or evaluation file has, and the options all its readers share.

Knows: the names of the formats, and how one is told by extension or content. Does not know: what
the formats hold; `lines`, `labelled` and `tagged` read them, one for each task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rnntext.errors import DataError, UsageError
from rnntext.text.source import Decoding, extension, read_blocks, source_name
from rnntext.text.tables import TABLE_EXTENSIONS

FORMATS = ("csv", "tsv", "jsonl", "fasttext", "conllu", "conll", "text", "parquet")
HUB_PREFIX = "hf:"


@dataclass(frozen=True, slots=True)
class BufferedSource:
    """What a source that can be read only once gave: see `copies.rereadable`."""

    descriptor: int
    cut: bool  # it may have had more to give


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How data files become examples; raises UsageError for values that cannot be."""

    format: str | None = None  # else told by extension, else by content
    text_column: str | None = None  # unset: `text`, or `words` for tagging
    label_column: str = "label"
    tag_column: str | None = None  # unset: UPOS, the last column, or `tags`
    multi_label: bool = False
    label_separator: str | None = None  # unset: a comma in CSV and TSV, none elsewhere
    encoding: str = "utf-8"
    encoding_errors: str = "strict"
    split: str = "train"  # of an `hf:` data set
    copies: Mapping[str, BufferedSource] = field(
        default_factory=dict
    )  # read in place of these paths

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise UsageError(f"--format {self.format}: choose one of {', '.join(FORMATS)}")
        if self.label_separator is not None and not self.multi_label:
            raise UsageError("--label-separator needs --multi-label")
        if self.label_separator == "":
            raise UsageError("--label-separator cannot be empty")
        _ = self.decoding

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.encoding, self.encoding_errors)

    def require_format(self, task: str, formats: Sequence[str]) -> None:
        """Raise UsageError if the format that was named is none of the task's `formats`."""
        if self.format is not None and self.format not in formats:
            raise UsageError(
                f"--format {self.format} does not serve {task}: choose one of {', '.join(formats)}"
            )


def is_remote(path: str, options: DataOptions) -> bool:
    """Whether `remote` reads `path`: an `hf:` name or a Parquet file."""
    return path.startswith(HUB_PREFIX) or "parquet" in (options.format, extension(path)[1:])


def data_blocks(path: str, options: DataOptions, stdin: int = 0) -> Iterator[list[str]]:
    """Yield the lines of `path` in blocks, as `read_blocks`; DataError if there is no line."""
    empty = True
    copy = options.copies.get(path)
    descriptor = copy.descriptor if copy else None
    for block in read_blocks(path, options.decoding, stdin, descriptor):
        empty = empty and not block
        yield block
    if empty:
        raise DataError(f"{source_name(path)} is empty: name a file that has text in it")


def is_cut(path: str, options: DataOptions) -> bool:
    """Whether what is read of `path` is a copy that may end before it does."""
    return path in options.copies and options.copies[path].cut


def told_format(
    path: str, options: DataOptions, head: Sequence[str], sniff: Callable[[Sequence[str]], str]
) -> str:
    """Return the format that was named, else that of the extension, else what `sniff` says."""
    return options.format or TABLE_EXTENSIONS.get(extension(path)) or sniff(head)
