"""Writes results: to standard output as tables, tab-separated lines or JSON Lines, or to files.

Knows: terminals, pipes, closed readers and full disks, and that no text, label or file name may
make a column, a row or a terminal command. Does not know: what the results mean.
Rich draws for terminals only; everything else is written without it.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

import typer

from rnntext.cli.encodings import encodable
from rnntext.cli.fitting import LOG_COLUMNS, wrapped
from rnntext.errors import RnntextError
from rnntext.text.beside import rounded
from rnntext.text.controls import LINES, ONE_LINE, json_text, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from rnntext.text.records import Record

_CHUNK_CHARACTERS = 1 << 18


def write(text: str) -> None:
    """Write `text` to standard output without buffering: in UTF-8, but on a terminal that has
    another encoding in that one. Raises typer.Exit if the reader has closed the pipe, and
    RnntextError for other failures."""
    if sys.stdout is None:
        raise RnntextError("standard output is closed: there is nowhere to write the results")
    encoding = (sys.stdout.isatty() and sys.stdout.encoding) or "utf-8"
    data = memoryview(encodable(text, encoding).encode(encoding))
    try:
        sys.stdout.flush()
        while data:
            data = _write_some(data, sys.stdout.fileno())
    except BrokenPipeError:
        redirect_to_devnull(sys.stdout)
        raise typer.Exit(0) from None
    except OSError as error:
        redirect_to_devnull(sys.stdout)
        raise RnntextError(f"standard output cannot be written: {error.strerror}") from None


def _write_some(data: memoryview, descriptor: int) -> memoryview:
    try:
        return data[os.write(descriptor, data) :]
    except BlockingIOError:
        # Another process with the same pipe has made it non-blocking: wait until there is room.
        select.select([], [descriptor], [])
        return data


def redirect_to_devnull(stream: TextIO) -> None:
    """Discard what is written to a stream that has failed, and what its buffer holds: Python would
    report an error when it flushes the stream at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_stderr(text: str, *, quiet: bool = False) -> None:
    """Print a line on standard error. Failures (a closed reader, a full disk) are ignored, because
    they must not end a training run. Control characters are shown as escapes."""
    if quiet or sys.stderr is None:
        return
    text = visible(text)
    if sys.stderr.isatty():
        text = encodable(text, sys.stderr.encoding)
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        redirect_to_devnull(sys.stderr)


def print_message(text: str, *, quiet: bool = False) -> None:
    """Print a line of progress on standard error, broken between words where it is longer than the
    terminal's lines, or those of a log."""
    if quiet or sys.stderr is None:
        return
    columns = console(stderr=True).width if sys.stderr.isatty() else LOG_COLUMNS
    print_stderr(wrapped(text, columns))


def on_terminal() -> bool:
    """Return True if standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def console(*, stderr: bool = False) -> Console:
    """A Rich console for a terminal, which passes on no control characters but its own."""
    from rnntext.cli.quiet_console import QuietConsole

    columns, lines = _size_of_dumb(sys.stderr if stderr else sys.stdout)
    # With NO_COLOR, Rich would still print bold.
    return QuietConsole(
        width=columns,
        height=lines,
        stderr=stderr,
        highlight=False,
        soft_wrap=not stderr,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


def _size_of_dumb(stream: TextIO) -> tuple[int | None, int | None]:
    """Columns and lines of a dumb terminal, of which Rich always says 80 and 25. None of another
    terminal: Rich asks it each time, because its window may change."""
    if os.environ.get("TERM", "").lower() not in ("dumb", "unknown"):
        return None, None
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):  # no terminal, or a closed one
        columns = lines = 0
    given = os.environ.get("COLUMNS", "")
    return (int(given) if given.isdecimal() else 0) or columns or 80, lines or 25


def terminal_formatter(compose: Callable[..., Text | list[Text]]) -> Callable[..., str]:
    """Return a function that renders the Rich text which `compose` makes of its arguments and of
    the terminal's `width` as a line with colours, or several. Ends of lines and control characters
    become spaces, whatever part of the answer they are in."""
    terminal = console()

    def line(*answer: Any) -> str:
        composed = compose(*answer, width=terminal.width)
        with terminal.capture() as capture:
            for text in composed if isinstance(composed, list) else [composed]:
                text.plain = text.plain.translate(ONE_LINE)  # the styles stay where they are
                terminal.print(text)
        return capture.get()

    return line


def json_line(value: Mapping[str, Any], row: Mapping[str, Any] | None = None) -> str:
    """Format `value` as a line of JSON, its numbers rounded to six decimals. The fields of `row`
    that `value` does not have come first, unchanged."""
    return json_text({**(row or {}), **rounded(value)}) + "\n"


def answer_line(record: Record, answer: Mapping[str, Any]) -> str:
    """Format the answer to a record as a line of JSON. The fields of the record's row come first,
    unchanged; those that have the name of one of the answer's come last, under `input`."""
    row = record.row or {}
    # The column of the text is the answer's `text`.
    same = {name for name in row if name in answer and (name, record.column) != ("text", "text")}
    if not same:
        return json_line(answer, row)
    same |= {"input"} & row.keys()
    kept = {name: value for name, value in row.items() if name not in same}
    own = {name: value for name, value in row.items() if name in same}
    return json_text({**kept, **rounded(answer), "input": own}) + "\n"


def with_errors(
    line: Callable[[Record, Any], str], empty: str, *, json: bool
) -> Callable[[Record, Any], str]:
    """`line`, which formats the answer to a record, for records that could not be read too: these
    become an object with the error and the number of the line; a remark on a terminal; or `empty`
    columns."""

    def styled(record: Record, width: int) -> Text:
        from rich.text import Text

        return Text(f"{record.error}", "red")

    def failed(record: Record) -> str:
        if json:
            return json_line({"error": record.error, "line": record.line})
        return terminal_formatter(styled)(record) if on_terminal() else empty

    return lambda record, answer: failed(record) if record.error else line(record, answer)


def tsv_line(fields: Iterable[str]) -> str:
    """Join fields with tabs. Tabs, line ends and control characters in a field become spaces."""
    return "\t".join(field.translate(ONE_LINE) for field in fields) + "\n"


def cell(value: str, style: str = "") -> Text:
    """A cell of a table on a terminal, on one line."""
    from rich.text import Text

    return Text(value.translate(ONE_LINE), style)


def shown(text: str) -> str:
    """Text of any number of lines as it is written: on a terminal without control characters."""
    return text.translate(LINES) if on_terminal() else text


def in_chunks(lines: Iterable[str]) -> Iterator[str]:
    """Join lines into chunks, so that long output is written in parts."""
    chunk: list[str] = []
    characters = 0
    for line in lines:
        chunk.append(line)
        characters += len(line)
        if characters >= _CHUNK_CHARACTERS:
            yield "".join(chunk)
            chunk, characters = [], 0
    if chunk:
        yield "".join(chunk)


def format_probability(value: float) -> str:
    """Format a probability for tab-separated output."""
    return f"{value:.4f}"


def format_number(value: object) -> str:
    """Format a metric for tab-separated output; None, an unknown value, is an empty field."""
    if value is None:
        return ""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def print_pairs(pairs: Mapping[str, object], title: str) -> None:
    """Print names and values: a table on a terminal, `name<TAB>value` lines elsewhere."""
    if not on_terminal():
        write("".join(tsv_line((name, format_number(value))) for name, value in pairs.items()))
        return
    from rich.table import Table

    table = Table(title=cell(title), show_header=False, title_justify="left")
    for name, value in pairs.items():
        table.add_row(cell(name, "bold"), cell(format_number(value)))
    console().print(table)


def print_label_table(per_label: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """Print precision, recall, F1 and support of each label on a terminal; of many labels only
    the most frequent."""
    from rich.table import Table

    table = Table(title=cell(title), title_justify="left")
    for name in ("label", "precision", "recall", "f1", "support"):
        table.add_column(name, justify="left" if name == "label" else "right")
    shown, remark = most_frequent({la: scores["support"] for la, scores in per_label.items()})
    for label in shown:
        scores = per_label[label]
        rates = [f"{scores[name]:.4f}" for name in ("precision", "recall", "f1")]
        table.add_row(cell(label), *rates, str(scores["support"]))
    console().print(table)
    if remark:
        write(remark + "\n")


def most_frequent(counts: Mapping[str, int]) -> tuple[dict[str, int], str]:
    """The labels that a terminal shows, with their counts, and a remark on those that it does not
    (empty, if it shows all)."""
    from rnntext.config import SHOWN_LABELS

    if len(counts) <= SHOWN_LABELS:
        return dict(counts), ""
    order = sorted(counts, key=lambda label: counts[label], reverse=True)
    remark = f"the {SHOWN_LABELS} most frequent of {len(counts):,} labels; --json gives all of them"
    return {label: counts[label] for label in order[:SHOWN_LABELS]}, remark


def scalar_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics that are numbers or None (unknown), without tables and lists."""
    from rnntext.checkpoint_config import single_numbers

    return single_numbers(metrics)


def add_metrics(facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Facts followed by the scalar metrics. A metric with the name of a fact gets the prefix
    `metrics.`: a tagger's `precision` is not the precision of its weights."""
    scalars = scalar_metrics(metrics).items()
    return {**facts, **{f"metrics.{n}" if n in facts else n: v for n, v in scalars}}
