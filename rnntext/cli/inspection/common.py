"""What all views of `rnntext inspect` share: their texts, and where the view goes.

Knows: the options, and the order of what is done: a name of a picture that cannot be is refused
before anything is computed. Does not know: any view.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnntext.cli import output
from rnntext.cli.help_page import OUTPUT
from rnntext.cli.options import INPUT, Encoding, RecordSource
from rnntext.cli.values import path_argument, path_option
from rnntext.errors import DataError, UsageError
from rnntext.files import check_file, write_file
from rnntext.plotting.picture_file import picture_format, silence_font_warnings

if TYPE_CHECKING:
    from rnntext.plotting.page import Page, View

Picture = Annotated[
    Path | None,
    path_option(
        "-o",
        "--output",
        metavar="FILE.png|.svg|.html",
        help="Write a picture, or a page for a browser.",
        rich_help_panel=OUTPUT,
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
        typer.Option(
            "--text",
            metavar="TEXT",
            help="Text in place of a file; repeatable.",
            rich_help_panel=INPUT,
        ),
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
            raise no_text()
        return found


def no_text() -> DataError:
    """The error of an input without a line that is not empty."""
    return DataError("the input has no text: give at least one line")


def show(make: Callable[[], View], out: Path | None, json: bool) -> None:
    """Make a view and write it: to the picture or page `out`, as JSON Lines, and on standard output
    where neither is asked for. Raises UsageError for a file that cannot be a picture, before the
    view is made."""
    file_format = None if out is None else _file_format(out)
    view = make()
    if out is not None and file_format is not None:
        write_file(out, _file_content(view.page, file_format))
    if json:
        _write(map(output.json_line, view.objects))
    elif out is None and output.on_terminal():
        output.write(_on_terminal(view.page))
    elif out is None:
        _write(output.tsv_line(map(output.format_number, row)) for row in view.rows)


def _file_format(out: Path) -> str:
    """The format of a file from its name: png, svg or html."""
    file_format = out.suffix.lower().removeprefix(".")
    if file_format not in ("png", "svg", "html"):
        raise UsageError(f"-o {out}: the file's name ends in .png, .svg or .html")
    if file_format == "html":
        check_file(out)
        return file_format
    silence_font_warnings()
    return picture_format(out)


def _file_content(page: Page, file_format: str) -> bytes:
    if file_format == "html":
        from rnntext.plotting.page_html import render as render_html

        return render_html(page)
    from rnntext.plotting.page_figure import render as render_figure

    return render_figure(page, file_format)


def _on_terminal(page: Page) -> str:
    from rnntext.cli.page import render

    console = output.console()
    # Rich assumes that a dumb terminal has 80 columns.
    width = shutil.get_terminal_size().columns
    with console.capture() as capture:
        for part in render(page, width, console.color_system is not None):
            console.print(part, width=width, soft_wrap=False)
    return capture.get()


def _write(lines: Iterable[str]) -> None:
    for chunk in output.in_chunks(lines):
        output.write(chunk)
