"""`rnntext score`: the perplexity of each record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.arguments import BITS, PERCENT
from rnntext.cli import output
from rnntext.cli.options import Model, RecordSource, RunOptions, model_directory
from rnntext.cli.signature import expanded
from rnntext.cli.values import choice_option
from rnntext.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from rnntext.runtime.score import LineScore, Scorer
    from rnntext.text.records import Record


@dataclass(frozen=True, slots=True)
class Above:
    """Which records are odd: those of more bits a token, or than so many percent of the validation
    text's lines."""

    value: float
    is_percent: bool = False

    @classmethod
    def parse(cls, text: str | Above) -> Above:
        """Read what a user gave; raises UsageError."""
        if isinstance(text, Above):
            return text
        if text.endswith("%"):
            return cls(PERCENT.parse("--above", text[:-1]), is_percent=True)
        return cls(BITS.parse("--above", text))

    def bits(self, scorer: Scorer) -> float:
        """Return the bits a token. Raises UsageError, and CheckpointError."""
        return scorer.bits_above(self.value) if self.is_percent else self.value


@expanded
def command(
    *,
    model: Model = None,
    words: Annotated[bool, typer.Option("--words", help="Score each word.")] = False,
    state: Annotated[
        str,
        choice_option(
            "--state",
            metavar="reset|carry",
            help="Reset the recurrent state before each line, or carry it over.",
        ),
    ] = "reset",
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Add the text as the last column.")
    ] = False,
    above: Annotated[
        Above | None,
        typer.Option(
            "--above",
            metavar="BITS|P%",
            parser=Above.parse,
            help="Print only records of more bits a token, or than so many of the validation "
            f"text's lines (99%). [{BITS}, or {PERCENT}%]",
        ),
    ] = None,
    source: RecordSource,
    run: RunOptions,
) -> None:
    """Compute the perplexity of each record. In a pipe: `perplexity<TAB>bits_per_byte<TAB>tokens`.

    With --words a line of `word<TAB>bits` for each word, <eos> being the end of the record, and
    an empty line between records. Bits per byte compare models with different tokenizers.
    """
    if words and with_text:
        raise UsageError("--words prints the words of each text: leave --with-text out")
    directory = model_directory(model)
    options = words, state, run.json, run.threads, with_text, above, run.quiet
    for lines in score(directory, source, *options):
        output.write(lines)


def score(
    directory: Path,
    source: RecordSource,
    words: bool,
    state: str,
    json: bool,
    threads: int | None,
    with_text: bool = False,
    above: Above | None = None,
    quiet: bool = False,
) -> Iterator[str]:
    """Yield the output of the command, a batch of records at a time. `above`: only of records that
    are that odd."""
    if state not in ("reset", "carry"):
        raise UsageError(f"--state is one of reset, carry, not {state!r}")
    batches = source.batches(directory, quiet=quiet, rows=json)
    from rnntext.runtime.score import Scorer

    scorer = Scorer.load(directory, threads, carry=state == "carry")
    least = None if above is None else above.bits(scorer)
    styled = not json and output.on_terminal()
    line: Callable[[Record, Any], str]
    if json:
        line = partial(_json, words=words)
    elif styled:
        line = output.terminal_formatter(_styled)
    else:
        line = _words if words else partial(_columns, with_text=with_text)
    empty = "" if words else output.tsv_line([""] * (3 + with_text))
    line = output.with_errors(line, empty, json=json)
    separator = "\n" if words and not styled and not json else ""
    before = output.terminal_formatter(_heading)() if styled else ""  # what is printed next
    last: int | None = None
    for batch in batches:
        for source_number, group in groupby(batch, key=lambda record: record.source):
            records = list(group)
            if last is not None and source_number != last:
                scorer.restart()
            last = source_number
            # A terminal colours each word by its surprisal.
            texts = [record.text for record in records if record.error is None]
            scores = iter(scorer.score(texts, words=words or styled))
            answers = [(r, None if r.error is not None else next(scores)) for r in records]
            lines = [
                line(record, answer)
                for record, answer in answers
                if least is None or answer is None or answer.bits / answer.tokens > least
            ]
            if lines:
                yield before + separator.join(lines)
                before = separator


def _json(record: Record, line: LineScore, words: bool) -> str:
    by_word = [{"word": word.word, "bits": word.bits} for word in line.words or ()]
    answer = {
        "text": line.text,
        "perplexity": line.perplexity,
        "bits_per_byte": line.bits_per_byte,
        "tokens": line.tokens,
        "bits": line.bits,
        "unknown": line.unknown,
        "perplexity_known": line.perplexity_known,
        **({"words": by_word} if words else {}),
    }
    return output.answer_line(record, answer)


def _columns(record: Record, line: LineScore, with_text: bool) -> str:
    numbers = (line.perplexity, line.bits_per_byte, line.tokens)
    fields = list(map(output.format_number, numbers))
    return output.tsv_line([*fields, record.text] if with_text else fields)


def _words(record: Record, line: LineScore) -> str:
    return "".join(
        output.tsv_line((word.word, output.format_number(word.bits))) for word in line.words or ()
    )


def _heading(width: int) -> Text:
    from rich.text import Text

    return Text("perplexity  text", "italic")


def _styled(record: Record, answer: LineScore, width: int) -> Text:
    from rich.text import Text

    line = Text().append(f"{answer.perplexity:10.1f} ", "bold")
    end = -1  # of the last word in the text
    for word in (answer.words or ())[:-1]:
        start = answer.text.find(word.word, max(end, 0))  # -1 for the end of an inner line
        # A frequent word has about 5 bits, one of a thousand equally likely words 10.
        style = "red" if word.bits > 15 else "yellow" if word.bits > 10 else ""
        line.append("" if start == end else " ").append(word.word, style)
        end = end if start < 0 else start + len(word.word)
    return line
