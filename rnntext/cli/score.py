"""`rnntext score`: how expected each record is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.cli import options, output
from rnntext.cli.options import Source
from rnntext.errors import UsageError

if TYPE_CHECKING:
    from rnntext.runtime.score import LineScore
    from rnntext.text.records import Record


def command(
    inputs: options.Inputs = None,
    model: options.Model = None,
    text: options.Texts = None,
    words: Annotated[bool, typer.Option("--words", help="Score each word.")] = False,
    state: Annotated[
        str,
        typer.Option(
            "--state", metavar="reset|carry", help="Whether a line goes on from the one before."
        ),
    ] = "reset",
    record: options.RecordKind = "line",
    text_column: options.TextColumn = None,
    encoding: options.Encoding = "utf-8",
    encoding_errors: options.EncodingErrors = "strict",
    json: options.Json = False,
    quiet: options.Quiet = False,
    threads: options.Threads = None,
) -> None:
    """Say how expected each record is. In a pipe: `perplexity<TAB>bits_per_byte<TAB>tokens`.

    With --words a line of `word<TAB>bits` for each word, <eos> being the end of the record, and
    an empty line between records. Bits per byte compare models whatever their tokenizer.
    """
    source = Source(inputs or [], text or [], record, text_column, encoding, encoding_errors)
    directory = options.model_directory(model)
    for answer in score(directory, source, words, state, json, threads):
        output.write(answer)


def score(
    directory: Path,
    source: Source,
    words: bool = False,
    state: str = "reset",
    json: bool = False,
    threads: int | None = None,
) -> Iterator[str]:
    """What the command prints, a batch of records at a time."""
    if state not in ("reset", "carry"):
        raise UsageError(f"--state is one of reset, carry, not {state!r}")
    batches = source.batches()
    from rnntext.runtime.score import Scorer

    scorer = Scorer.load(directory, threads, carry=state == "carry")
    shown = not json and output.on_terminal()
    form = _coloured() if shown else _words if words else _columns
    apart = "\n" if words and not shown and not json else ""
    last: Record | None = None
    for batch in batches:
        for source_number, group in groupby(batch, key=lambda record: record.source):
            records = list(group)
            if last is not None and source_number != last.source:
                scorer.restart()
            # A terminal shows each line with its words coloured by how expected they are.
            found = scorer.score([record.text for record in records], words=words or shown)
            if json:
                answers = [
                    output.json_line(_object(line, words), record.row)
                    for record, line in zip(records, found, strict=True)
                ]
            else:
                answers = list(map(form, found))
            yield (apart if last is not None else "") + apart.join(answers)
            last = records[-1]


def _object(line: LineScore, words: bool) -> dict[str, Any]:
    by_word = [{"word": word.word, "bits": word.bits} for word in line.words or ()]
    return {
        "text": line.text,
        "perplexity": line.perplexity,
        "bits_per_byte": line.bits_per_byte,
        "tokens": line.tokens,
        "bits": line.bits,
        "unknown": line.unknown,
        "perplexity_known": line.perplexity_known,
        **({"words": by_word} if words else {}),
    }


def _columns(line: LineScore) -> str:
    numbers = (line.perplexity, line.bits_per_byte, line.tokens)
    return output.tsv_line(map(output.number, numbers))


def _words(line: LineScore) -> str:
    return "".join(
        output.tsv_line((word.word, output.number(word.bits))) for word in line.words or ()
    )


def _coloured() -> Callable[[LineScore], str]:
    from rich.text import Text

    console = output.console()

    def line(found: LineScore) -> str:
        shown = Text(f"{found.perplexity:9.1f}  ", "bold")
        for word in (found.words or ())[:-1]:
            # Bits of a word: a common one has some 5, one of a thousand 10.
            style = "red" if word.bits > 15 else "yellow" if word.bits > 10 else ""
            shown.append(word.word, style).append(" ")
        with console.capture() as capture:
            console.print(shown)
        return capture.get()

    return line
