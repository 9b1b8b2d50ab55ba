"""`rnntext score`: the perplexity of each record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.cli import output
from rnntext.cli.options import Model, RecordSource, RunOptions, model_directory
from rnntext.cli.signature import expanded
from rnntext.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from rnntext.runtime.score import LineScore
    from rnntext.text.records import Record


@expanded
def command(
    *,
    model: Model = None,
    words: Annotated[bool, typer.Option("--words", help="Score each word.")] = False,
    state: Annotated[
        str,
        typer.Option(
            "--state",
            metavar="reset|carry",
            help="Reset the recurrent state before each line, or carry it over.",
        ),
    ] = "reset",
    source: RecordSource,
    run: RunOptions,
) -> None:
    """Compute the perplexity of each record. In a pipe: `perplexity<TAB>bits_per_byte<TAB>tokens`.

    With --words a line of `word<TAB>bits` for each word, <eos> being the end of the record, and
    an empty line between records. Bits per byte compare models with different tokenizers.
    """
    for lines in score(model_directory(model), source, words, state, run.json, run.threads):
        output.write(lines)


def score(
    directory: Path,
    source: RecordSource,
    words: bool,
    state: str,
    json: bool,
    threads: int | None,
) -> Iterator[str]:
    """Yield the output of the command, a batch of records at a time."""
    if state not in ("reset", "carry"):
        raise UsageError(f"--state is one of reset, carry, not {state!r}")
    batches = source.batches()
    from rnntext.runtime.score import Scorer

    scorer = Scorer.load(directory, threads, carry=state == "carry")
    styled = not json and output.on_terminal()
    line: Callable[[LineScore], str]
    line = output.terminal_formatter(_styled) if styled else _words if words else _columns
    separator = "\n" if words and not styled and not json else ""
    last: Record | None = None
    for batch in batches:
        for source_number, group in groupby(batch, key=lambda record: record.source):
            records = list(group)
            if last is not None and source_number != last.source:
                scorer.restart()
            # A terminal colours each word by its surprisal.
            scores = scorer.score([record.text for record in records], words=words or styled)
            if json:
                lines = [
                    output.answer_line(record, _object(answer, words))
                    for record, answer in zip(records, scores, strict=True)
                ]
            else:
                lines = list(map(line, scores))
            yield (separator if last is not None else "") + separator.join(lines)
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
    return output.tsv_line(map(output.format_number, numbers))


def _words(line: LineScore) -> str:
    return "".join(
        output.tsv_line((word.word, output.format_number(word.bits))) for word in line.words or ()
    )


def _styled(answer: LineScore, width: int) -> Text:
    from rich.text import Text

    line = Text().append(f"{answer.perplexity:9.1f}  ", "bold")
    for word in (answer.words or ())[:-1]:
        # A frequent word has about 5 bits, one of a thousand equally likely words 10.
        style = "red" if word.bits > 15 else "yellow" if word.bits > 10 else ""
        line.append(word.word, style).append(" ")
    return line
