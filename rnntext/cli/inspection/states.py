"""`rnntext inspect states`: hidden states over a text."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from rnntext.arguments import LAYERS, WIDTH
from rnntext.cli.inspection.common import Picture, ViewedTexts, show
from rnntext.cli.options import Model, OutputOptions, model_directory
from rnntext.cli.signature import expanded
from rnntext.cli.values import choice_option, number_option, path_option
from rnntext.errors import UsageError

_CORPUS_LINES = 2000  # of which a correlation is made


@expanded
def command(
    *,
    model: Model = None,
    source: ViewedTexts,
    layer: Annotated[
        int | None,
        number_option(
            "--layer", metavar="N", within=LAYERS, help="Layer, from 1.", show_default="the last"
        ),
    ] = None,
    direction: Annotated[
        str,
        choice_option("--direction", metavar="forward|backward", help="Direction of reading."),
    ] = "forward",
    part: Annotated[
        str,
        choice_option("--part", metavar="hidden|cell", help="Hidden state, or an LSTM's cell."),
    ] = "hidden",
    units: Annotated[
        int, number_option("--units", metavar="N", within=WIDTH, help="Show at most N units.")
    ] = 32,
    word: Annotated[
        str | None,
        typer.Option("--word", metavar="WORD", help="Show the units that react most to WORD."),
    ] = None,
    track: Annotated[
        str | None,
        choice_option(
            "--track",
            metavar="quotes|length|position",
            help="Show the units that follow whether a quotation is open, the length of the line, "
            "or the position in it.",
        ),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        path_option(
            "--corpus",
            metavar="FILE",
            help="Lines over which --word and --track correlate, the first 2,000; repeatable.",
        ),
    ] = None,
    out: Picture = None,
    printing: OutputOptions,
) -> None:
    """Show the hidden state, or an LSTM's cell, over the words of a text.

    In a pipe: `text<TAB>step<TAB>token<TAB>unit<TAB>value`.
    """
    directory = model_directory(model)
    if corpus and word is None and track is None:
        raise UsageError("--corpus goes with --word or --track, which correlate over its lines")
    if corpus and "-" in corpus:
        raise UsageError("--corpus is a file, because standard input holds the texts")
    texts = source.read()
    from rnntext.inspection.reading import InspectedModel
    from rnntext.inspection.states import StateOptions, states
    from rnntext.text.formats import DataOptions
    from rnntext.text.lines import read_lines

    options = StateOptions(layer, direction, part, units, word, track)
    lines = (line.text for line in read_lines(corpus, DataOptions())) if corpus else iter(())
    show(
        lambda: states(
            InspectedModel.load(directory), texts, options, islice(lines, _CORPUS_LINES)
        ),
        out,
        printing.json,
    )
