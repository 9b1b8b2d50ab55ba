"""Where results go: standard output as tables, tab-separated lines or JSON Lines.

Knows: terminals, pipes, closed readers and full disks. Does not know: what the results mean.
Data is written plainly; Rich draws for terminals only.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from rnntext.errors import RnntextError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

# Line ends and tabs inside a field would break the line that carries it.
_ONE_LINE = str.maketrans(dict.fromkeys("\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", " "))


_PARTS = 1 << 14


def write(text: str) -> None:
    """Write `text` to standard output, now. A reader that is gone ends the command quietly;
    raises RnntextError where it cannot be written."""
    if sys.stdout is None:
        raise RnntextError("standard output is closed: there is nowhere to write the results")
    data = memoryview(text.encode("utf-8", "replace"))
    try:
        sys.stdout.flush()
        while data:
            data = _write_some(data, sys.stdout.fileno())
    except BrokenPipeError:
        _drop_the_rest(sys.stdout)
        raise typer.Exit(0) from None
    except OSError as error:
        _drop_the_rest(sys.stdout)
        raise RnntextError(f"standard output cannot be written: {error.strerror}") from None


def _write_some(data: memoryview, descriptor: int) -> memoryview:
    try:
        return data[os.write(descriptor, data) :]
    except BlockingIOError:
        # Whoever shares the pipe has made it non-blocking: wait until there is room.
        select.select([], [descriptor], [])
        return data


def _drop_the_rest(stream: TextIO) -> None:
    # Python would complain when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def check_file(path: Path) -> None:
    """Raise UsageError where -o names a directory."""
    if not path.name or path.is_dir():
        raise UsageError(f"{path} is a directory: name a file with -o")


def write_file(path: Path, content: bytes) -> None:
    """Write or replace a file: all of it, or nothing. Raises RnntextError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)  # a pipe or device, which must stay one
        else:
            temporary.write_bytes(content)
            os.replace(temporary, path)
    except OSError as error:
        raise RnntextError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        # Also where the folder is none, which is told above.
        with contextlib.suppress(OSError):
            temporary.unlink()


def note(text: str, *, quiet: bool = False) -> None:
    """A line on standard error. One that cannot be written there, because its reader is gone or a
    disk is full, ends nothing: hours of training may hang on it."""
    if quiet or sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _drop_the_rest(sys.stderr)


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def console(*, stderr: bool = False) -> Console:
    """A Rich console, for terminals alone."""
    from rich.console import Console

    # NO_COLOR asks for no colour; Rich would still print bold.
    return Console(
        stderr=stderr,
        highlight=False,
        soft_wrap=not stderr,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


def json_line(value: Mapping[str, Any], row: Mapping[str, Any] | None = None) -> str:
    """One object on a line: `value`, its numbers rounded to six digits after the point, over
    the fields of `row`, which stay as they are."""
    return json.dumps({**(row or {}), **_rounded(value)}, ensure_ascii=False) + "\n"


def tsv_line(fields: Iterable[str]) -> str:
    """Fields between tabs, each on one line."""
    return "\t".join(field.translate(_ONE_LINE) for field in fields) + "\n"


def joined(parts: Iterable[str]) -> Iterator[str]:
    """Many short texts as fewer long ones, so that a record without end is written as it goes."""
    waiting = iter(parts)
    while part := "".join(islice(waiting, _PARTS)):
        yield part


def probability(value: float) -> str:
    """A probability as tab-separated output has it."""
    return f"{value:.4f}"


def number(value: object) -> str:
    """A metric's value as tab-separated output has it; nothing for what is not known."""
    if value is None:
        return ""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def show_pairs(pairs: Mapping[str, object], title: str) -> None:
    """Names and values: a table on a terminal, `name<TAB>value` lines elsewhere."""
    if not on_terminal():
        write("".join(tsv_line((name, number(value))) for name, value in pairs.items()))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), show_header=False, title_justify="left")
    for name, value in pairs.items():
        table.add_row(Text(name, "bold"), Text(number(value)))
    console().print(table)


def show_labels(per_label: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """Precision, recall and F1 of each label, on a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for name in ("label", "precision", "recall", "f1", "support"):
        table.add_column(name, justify="left" if name == "label" else "right")
    for label, scores in per_label.items():
        rates = [f"{scores[name]:.4f}" for name in ("precision", "recall", "f1")]
        table.add_row(Text(label), *rates, str(scores["support"]))
    console().print(table)


def flat(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics that are single values."""
    return {n: v for n, v in metrics.items() if v is None or isinstance(v, int | float)}


def with_metrics(facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Facts and the metrics that are single values; of one name (a tagger's `precision` is not
    that of its numbers) the metric's is prefixed."""
    named = {f"metrics.{n}" if n in facts else n: v for n, v in flat(metrics).items()}
    return {**facts, **named}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(item) for item in value]
    return value
