"""Options that several commands share, and how their values become input.

Knows: Typer's declarations of the shared flags, and when there is nothing to read. Does not
know: what any command does with a record.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnntext.errors import UsageError

if TYPE_CHECKING:
    from rnntext.text.records import Record


def _limit_tokenizers(threads: int | None) -> int | None:
    if threads is not None:
        # Read by `tokenizers` when it is first used, which takes every core otherwise.
        os.environ["RAYON_NUM_THREADS"] = str(threads)
    return threads


Model = Annotated[
    Path | None,
    typer.Option(
        "-m",
        "--model",
        metavar="DIR",
        envvar="RNNTEXT_MODEL",
        help="The model's directory.",
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[INPUT]...", help="Files; - or none is standard input.", show_default=False
    ),
]
Texts = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="TEXT", help="A text in place of a file; repeatable."),
]
RecordKind = Annotated[
    str, typer.Option("--record", metavar="line|file", help="What one record is.")
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text-column", metavar="NAME", help="The column of texts, of .csv, .tsv or .jsonl rows."
    ),
]
Encoding = Annotated[str, typer.Option("--encoding", metavar="NAME", help="The text's encoding.")]
EncodingErrors = Annotated[
    str,
    typer.Option(
        "--encoding-errors", metavar="strict|replace", help="What to do with a broken byte."
    ),
]
Format = Annotated[str | None, typer.Option("--format", metavar="NAME", help="The data's format.")]
LabelColumn = Annotated[
    str | None, typer.Option("--label-column", metavar="NAME", help="The column of labels.")
]
TagColumn = Annotated[
    str | None,
    typer.Option("--tag-column", metavar="NAME", help="The column of tags: upos, xpos, 4 ..."),
]
LabelSeparator = Annotated[
    str | None,
    typer.Option("--label-separator", metavar="TEXT", help="What parts several labels."),
]
Split = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="The split of an hf: data set.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON Lines.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Nothing on stderr but errors.")]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        max=1024,
        help="Threads (else the usable cores).",
        callback=_limit_tokenizers,
    ),
]


def model_directory(model: Path | None) -> Path:
    """The directory that was named; raises UsageError where none was."""
    if model is None:
        raise UsageError("no model is named: use -m DIR, or set RNNTEXT_MODEL")
    return model


@dataclass(frozen=True, slots=True)
class Source:
    """Where the records of a command come from."""

    inputs: Sequence[str]
    texts: Sequence[str]
    record: str = "line"
    text_column: str | None = None
    encoding: str = "utf-8"
    encoding_errors: str = "strict"

    def batches(self, *, large: bool = False) -> Iterator[list[Record]]:
        """Batches of the records that are there now; `large` ones for what answers lines quickly.
        Raises UsageError where that would wait for somebody to type."""
        from rnntext.text.records import InputOptions, Record, read_records

        options = InputOptions(self.record, self.text_column, self.encoding, self.encoding_errors)
        if self.texts:
            if self.inputs:
                raise UsageError("--text stands in place of files: give one or the other")
            return iter([[Record(utf_8("--text", text)) for text in self.texts]])
        require_piped(self.inputs, ", or give it with --text TEXT")
        return read_records(self.inputs, options, large=large)


def utf_8(name: str, text: str) -> str:
    """`text` as it was given on the command line; raises UsageError where it is no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) & 0xFF
        raise UsageError(
            f"{name}: byte 0x{byte:02X} is not UTF-8: give the text in a file"
        ) from None
    return text


def require_piped(inputs: Sequence[str] = (), otherwise: str = "") -> None:
    """Raise UsageError where `inputs` would read a terminal: `-`, or no file at all. `otherwise`
    is how else the command takes text."""
    if inputs and "-" not in inputs:
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(f"there is no text to read: name a file, or pipe text in{otherwise}")
