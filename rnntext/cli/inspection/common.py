"""What all views of `rnntext inspect` share: their texts, and where the view goes.

Knows: the options, and the order of what is done: a name of a picture that cannot be is refused
before anything is computed. Does not know: any view.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnntext.cli import output
from rnntext.cli.options import Encoding, RecordSource
from rnntext.cli.values import path_argument, path_option
from rnntext.errors import DataError, UsageError

if TYPE_CHECKING:
    from rnntext.plotting.page import View

Picture = Annotated[
    Path | None,
    path_option(
        "-o",
        "--output",
        metavar="FILE.png|.svg|.html",
        help="Write a picture, or a page for a browser.",
    ),
]
_MOST_TEXTS = 16


@dataclass(frozen=True, slots=True)
class ViewedTexts:
    """The few texts that a view shows."""

    inputs: Annotated[
        list[str] | None,
        path_argument(
            "[INPUT]...",
            help="Files, a text on each line; - or no file is standard input.",
            show_default=False,
        ),
    ] = None
    texts: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="TEXT", help="Text in place of a file; repeatable."),
    ] = None
    encoding: Encoding = "utf-8"

    def read(self) -> list[str]:
        """The texts, without empty lines. Raises UsageError for too many, DataError for none."""
        source = RecordSource(self.inputs, self.texts, encoding=self.encoding)
        found: list[str] = []
        for batch in source.batches():
            found += [record.text for record in batch if self.texts or record.text.strip()]
            if len(found) > _MOST_TEXTS:
                raise UsageError(
                    f"a view shows at most {_MOST_TEXTS} texts: give the lines that matter"
                )
        if not found:
            raise DataError("the input has no text: give at least one line")
        return found


def show(make: Callable[[], View], out: Path | None, json: bool) -> None:
    """Make a view and write it: to the picture or page `out`, as JSON Lines, and on standard output
    where neither is asked for. Raises UsageError for a file that cannot be a picture, before the
    view is made."""
    view = make()
    if json:
        output.write("".join(map(output.json_line, view.objects)))
    else:
        for row in view.rows:
            output.write(output.tsv_line(map(output.format_number, row)))
