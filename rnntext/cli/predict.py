"""`rnntext predict`: the likeliest next words of each record."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnntext.cli import options, output
from rnntext.cli.options import Source

if TYPE_CHECKING:
    from rnntext.runtime.predict import Predictions
    from rnntext.text.records import Record


def command(
    inputs: options.Inputs = None,
    model: options.Model = None,
    text: options.Texts = None,
    top_k: Annotated[
        int, typer.Option("-k", "--top-k", metavar="K", min=1, help="Give K words.")
    ] = 5,
    complete: Annotated[
        bool, typer.Option("--complete", help="Finish the word that the text stops in.")
    ] = False,
    record: options.RecordKind = "line",
    text_column: options.TextColumn = None,
    encoding: options.Encoding = "utf-8",
    encoding_errors: options.EncodingErrors = "strict",
    json: options.Json = False,
    quiet: options.Quiet = False,
    threads: options.Threads = None,
) -> None:
    """Give each record's likeliest next words. In a pipe: `word<TAB>probability` pairs.

    On a terminal without any input, show the next words under the text as it is typed.
    """
    directory = options.model_directory(model)
    if not inputs and not text and _typed_at():
        from rnntext.cli.typed import type_and_predict

        type_and_predict(directory, top_k, threads)
        return
    source = Source(inputs or [], text or [], record, text_column, encoding, encoding_errors)
    for answer in predict(directory, source, top_k, complete, json, threads):
        output.write(answer)


def predict(
    directory: Path,
    source: Source,
    top_k: int = 5,
    complete: bool = False,
    json: bool = False,
    threads: int | None = None,
) -> Iterator[str]:
    """What the command prints, a batch of records at a time."""
    batches = source.batches()
    from rnntext.runtime.predict import Predictor

    predictor = Predictor.load(directory, threads)
    form = _json if json else _coloured() if output.on_terminal() else _columns
    for batch in batches:
        texts = [record.text for record in batch]
        found = predictor.predict(texts, top_k=top_k, complete=complete)
        yield "".join(form(r, answer) for r, answer in zip(batch, found, strict=True))


def _typed_at() -> bool:
    """Whether somebody sits at a terminal, to type and to read."""
    return sys.stdin is not None and sys.stdin.isatty() and output.on_terminal()


def _json(record: Record, found: Predictions) -> str:
    words = [{"word": word.word, "probability": word.probability} for word in found.words]
    value = {"text": found.text, "predictions": words, "unexplored": found.unexplored}
    return output.json_line(value, record.row)


def _columns(record: Record, found: Predictions) -> str:
    return output.tsv_line(
        field for word in found.words for field in (word.word, output.probability(word.probability))
    )


def _coloured() -> Callable[[Record, Predictions], str]:
    from rich.text import Text

    console = output.console()

    def line(record: Record, found: Predictions) -> str:
        shown = Text(" ".join(record.text.split())[-console.width // 2 :], "dim")
        for word in found.words:
            shown.append(f"  {word.word} ", "bold cyan").append(f"{word.probability:.2f}", "green")
        with console.capture() as capture:
            console.print(shown)
        return capture.get()

    return line
