"""Options that several commands share, as groups that `signature.expanded` turns into options.

Knows: Typer's declarations of the shared flags, how input becomes records, and when there is
nothing to read. Does not know: what a command does with a record.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext import arguments
from rnntext.cli import help_page, output
from rnntext.cli.completion import encodings
from rnntext.cli.limits import require_threads
from rnntext.cli.values import choice_option, model_option, number_option, path_argument
from rnntext.errors import UsageError

if TYPE_CHECKING:
    from rnntext.text.records import Record, TrainedTables


def _prepare_threads(ctx: typer.Context, threads: int | None) -> int | None:
    if not ctx.resilient_parsing:  # not for completion
        require_threads(threads)
        if threads is not None:
            # `tokenizers` reads this at its first use; otherwise it uses all cores.
            os.environ["RAYON_NUM_THREADS"] = str(threads)
    return threads


def _threads(section: str) -> Any:
    return number_option(
        "--threads",
        metavar="N",
        within=arguments.THREADS,
        help="Number of threads.",
        callback=_prepare_threads,
        show_default="the usable cores",
        rich_help_panel=section,
    )


# Sections of the help, beside the one of a command's own options.
MODEL = "Model"
INPUT = "Input"

Model = Annotated[
    Path | None,
    model_option(
        "-m",
        "--model",
        envvar="RNNTEXT_MODEL",
        help="Directory of the model, a file that `export -o` wrote, or demo:NAME.",
        rich_help_panel=MODEL,
    ),
]
# Of a command that trains: the section is one of `training/options.py`.
Threads = Annotated[int | None, _threads("Optimization")]
Encoding = Annotated[
    str,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="Character encoding of the text.",
        autocompletion=encodings,
        rich_help_panel=INPUT,
    ),
]
EncodingErrors = Annotated[
    str,
    choice_option(
        "--encoding-errors",
        metavar="strict|replace",
        help="Refuse or replace bytes that the encoding does not allow.",
        rich_help_panel=INPUT,
    ),
]
MaxLine = Annotated[
    int,
    number_option(
        "--max-line",
        metavar="N",
        within=arguments.LINE,
        help="Characters of the longest record, such as 16M.",
        show_default=arguments.with_unit(arguments.DEFAULT_LONGEST_RECORD),
        rich_help_panel=INPUT,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON Lines.", rich_help_panel=help_page.OUTPUT)
]
Quiet = Annotated[
    bool,
    typer.Option(
        "-q", "--quiet", help="Print only errors on stderr.", rich_help_panel=help_page.OUTPUT
    ),
]


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How a command prints its results.

    Every command accepts `quiet`, so that a script can pass it to any of them. It silences
    messages on stderr that are not errors. Only `train` (progress), `demo` (the same), `evaluate`
    (bounds that are not met, labels that the model does not know) and commands that read a table
    without being told its column print such messages; other commands write nothing but errors to
    stderr and have nothing to silence.
    """

    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, slots=True)
class RunOptions(OutputOptions):
    """Output options of a command that runs a model, and the number of its threads."""

    threads: Annotated[int | None, _threads(MODEL)] = None


@dataclass(frozen=True, slots=True)
class RecordSource:
    """Where a command reads its records, and how."""

    inputs: Annotated[
        list[str] | None,
        path_argument(
            "[INPUT]...",
            help="Files; - or no file is standard input.",
            show_default=False,
        ),
    ] = None
    texts: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            metavar="TEXT",
            help="Text in place of a file; repeatable.",
            rich_help_panel=INPUT,
        ),
    ] = None
    record: Annotated[
        str | None,
        choice_option(
            "--record",
            metavar="line|file",
            help="Read each line or file as a record.",
            show_default="line, of a table like the training data a row",
            rich_help_panel=INPUT,
        ),
    ] = None  # by lines, but for tables like those that the model was trained with
    text_column: Annotated[
        str | None,
        typer.Option(
            "--text-column",
            metavar="NAME",
            help="Column of the texts in .csv, .tsv, .jsonl, .json or .parquet rows.",
            show_default="that of the training data",
            rich_help_panel=INPUT,
        ),
    ] = None
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter",
            metavar="CHAR",
            help="Character between columns.",
            show_default="a comma, in .tsv a tab",
            rich_help_panel=INPUT,
        ),
    ] = None
    no_header: Annotated[
        bool,
        typer.Option(
            "--no-header",
            help="The table has no header: columns are numbers, from 1.",
            rich_help_panel=INPUT,
        ),
    ] = False
    encoding: Encoding = "utf-8"
    encoding_errors: EncodingErrors = "strict"
    max_line: MaxLine = arguments.DEFAULT_LONGEST_RECORD
    on_error: Annotated[
        str,
        choice_option(
            "--on-error",
            metavar="fail|null|skip",
            help="A record that cannot be read: stop, answer it with empty columns, or leave it "
            "out; exit 1 at the end.",
            rich_help_panel=INPUT,
        ),
    ] = "fail"

    def batches(
        self,
        directory: Path | None = None,
        *,
        large: bool = False,
        quiet: bool = False,
        rows: bool = True,
        lists: bool = False,
        input_format: str = "text",
    ) -> Iterator[list[Record]]:
        """Batches of the records that can be read without waiting; `large` ones for a model that
        answers many records quickly. `rows`: the other fields of rows will be looked at. `lists`: a
        row may have a list of words in place of a text. `input_format`: see `InputOptions`. Files
        with the names of tables are read like those that the model in `directory` was trained with,
        and unless `quiet`, stderr says so. Raises UsageError if standard input is a terminal."""
        from rnntext.text.records import InputOptions, Record, read_records
        from rnntext.text.tables import Dialect

        options = InputOptions(
            self.record or "line",
            self.text_column,
            self.encoding,
            self.encoding_errors,
            self.max_line,
            Dialect(self.delimiter, not self.no_header),
            self.on_error,
            whole_rows=rows,
            lists=lists,
            format=input_format,
        )
        if self.texts:
            if self.inputs:
                raise UsageError("--text stands in place of files: give one or the other")
            return iter([[Record(check_utf8("--text", text)) for text in self.texts]])
        inputs = self.inputs or ()
        refuse_terminal(inputs, ", or give it with --text TEXT")
        trained = None
        by_model = self.record is None and self.text_column is None and input_format == "text"
        if directory is not None and by_model:
            trained = _trained_tables(directory, inputs, quiet)
        return read_records(inputs, options, large=large, trained=trained)


def _trained_tables(directory: Path, inputs: Sequence[str], quiet: bool) -> TrainedTables | None:
    """How the tables among the inputs are read; None if there are none."""
    from rnntext.text.format_detection import is_table_extension
    from rnntext.text.source import extension

    tables = [path for path in inputs if is_table_extension(extension(path))]
    if not tables:
        return None
    from rnntext.runtime.evaluate import trained_tables
    from rnntext.text.records import TrainedTables
    from rnntext.text.tables import PLAIN

    def remark(text: str) -> None:
        output.print_stderr(f"rnntext: {text}", quiet=quiet)

    found = trained_tables(directory, tables)
    if found is None:
        return TrainedTables(None, PLAIN, remark)
    return TrainedTables(found.text_column, found.dialect, remark)


def model_directory(model: Path | None) -> Path:
    """The directory given to -m. Raises UsageError if there is none."""
    if model is None:
        raise UsageError("no model is named: use -m DIR, or set RNNTEXT_MODEL")
    return model


def check_utf8(name: str, text: str) -> str:
    """Return a text from the command line. Raises UsageError if it is not valid UTF-8."""
    try:
        # A locale that is not UTF-8 leaves bytes undecoded.
        return text.encode("utf-8", "surrogateescape").decode()
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UsageError(
            f"{name}: byte 0x{byte:02X} is not UTF-8: give the text in a file"
        ) from None


def refuse_terminal(inputs: Sequence[str] = (), alternative: str = "") -> None:
    """Raise UsageError if `inputs` (`-`, or no file) would read from a terminal. The message ends
    with `alternative`, another way to give the text."""
    if inputs and "-" not in inputs:
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(f"there is no text to read: name a file, or pipe text in{alternative}")
