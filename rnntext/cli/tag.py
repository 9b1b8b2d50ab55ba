"""`rnntext tag`: a tag for each word of each record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnntext.cli import options, output
from rnntext.cli.options import Source

if TYPE_CHECKING:
    from rnntext.runtime.tag import TaggedSentence


def command(
    inputs: options.Inputs = None,
    model: options.Model = None,
    text: options.Texts = None,
    pretokenized: Annotated[
        bool, typer.Option("--pretokenized", help="Words are what stands between spaces.")
    ] = False,
    record: options.RecordKind = "line",
    text_column: options.TextColumn = None,
    encoding: options.Encoding = "utf-8",
    encoding_errors: options.EncodingErrors = "strict",
    json: options.Json = False,
    quiet: options.Quiet = False,
    threads: options.Threads = None,
) -> None:
    """Tag the words of each record. In a pipe: `word<TAB>tag` lines, an empty line after each.

    Words are split from punctuation, and English clitics from their words (do n't, Mara 's);
    web addresses, numbers, abbreviations and hyphenated words stay whole.
    """
    source = Source(inputs or [], text or [], record, text_column, encoding, encoding_errors)
    directory = options.model_directory(model)
    for answer in tag(directory, source, pretokenized, json, threads):
        output.write(answer)


def tag(
    directory: Path,
    source: Source,
    pretokenized: bool = False,
    json: bool = False,
    threads: int | None = None,
) -> Iterator[str]:
    """What the command prints, a batch of records at a time."""
    batches = source.batches(large=True)
    from rnntext.runtime.tag import Tagger
    from rnntext.text.records import prefetch

    tagger = Tagger.load(directory, threads)
    form = _coloured() if output.on_terminal() and not json else _columns
    begin = partial(tagger.stream, pretokenized=pretokenized)
    for batch, found in prefetch(batches, begin):
        if json:
            lines = (_json(r.row, answer) for r, answer in zip(batch, found, strict=True))
        else:
            lines = (line for sentence in found for line in form(sentence))
        yield from output.joined(lines)


def _json(row: dict[str, object] | None, sentence: TaggedSentence) -> str:
    return output.json_line(
        {
            "text": sentence.text,
            "words": sentence.words,
            "tags": sentence.tags,
            "probabilities": sentence.probabilities,
        },
        row,
    )


def _columns(sentence: TaggedSentence) -> Iterator[str]:
    yield from map(output.tsv_line, zip(sentence.words, sentence.tags, strict=True))
    yield "\n"


def _coloured() -> Callable[[TaggedSentence], Iterator[str]]:
    from rich.text import Text

    console = output.console()

    def line(sentence: TaggedSentence) -> Iterator[str]:
        shown = Text()
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            shown.append(word).append(f"/{tag}", "dim" if tag == "O" else "cyan").append(" ")
        with console.capture() as capture:
            console.print(shown)
        yield capture.get()

    return line
