"""`rnntext inspect neighbours`: the nearest tokens of a word, the nearest lines of a text.

Knows: the options of the view, and when texts are read. Does not know: how vectors are made or
compared.
"""

from __future__ import annotations

from typing import Annotated

import typer

from rnntext.arguments import TOP_K
from rnntext.cli.inspection.common import Picture, ViewedTexts, show
from rnntext.cli.options import Model, OutputOptions, check_utf8, model_directory
from rnntext.cli.signature import expanded
from rnntext.cli.values import number_option, path_option
from rnntext.errors import UsageError


@expanded
def command(
    *,
    model: Model = None,
    source: ViewedTexts,
    words: Annotated[
        list[str] | None,
        typer.Option("--word", metavar="WORD", help="Show the tokens nearest to WORD; repeatable."),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        path_option(
            "--corpus",
            metavar="FILE",
            help="Show the lines of FILE nearest to each text; repeatable.",
        ),
    ] = None,
    count: Annotated[
        int, number_option("-n", "--count", metavar="N", within=TOP_K, help="Show the N nearest.")
    ] = 10,
    out: Picture = None,
    printing: OutputOptions,
) -> None:
    """Show the tokens nearest to each --word, by their embeddings, and the lines of --corpus
    nearest to each text, by the vectors of `rnntext embed`.

    In a pipe: `word or text<TAB>rank<TAB>token or line<TAB>cosine`.
    """
    directory = model_directory(model)
    if not corpus and (source.inputs or source.texts):
        raise UsageError("texts are compared with the lines of a file: name it with --corpus FILE")
    if not corpus and not words:
        raise UsageError("give a word with --word, or texts and --corpus FILE")
    if corpus and "-" in corpus:
        raise UsageError("--corpus is a file, because standard input holds the texts")
    for word in words or ():
        check_utf8("--word", word)
    texts = source.read() if corpus else []
    from rnntext.inspection.neighbours import neighbours
    from rnntext.inspection.reading import InspectedModel
    from rnntext.text.formats import DataOptions
    from rnntext.text.lines import read_lines

    lines = (line.text for line in read_lines(corpus or (), DataOptions()))
    show(
        lambda: neighbours(InspectedModel.load(directory), words or (), texts, lines, count),
        out,
        printing.json,
    )
