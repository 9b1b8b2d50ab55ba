"""`rnntext score`: the perplexity of each record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.arguments import BITS, PERCENT
from rnntext.cli import output
from rnntext.cli.answer_file import AnswerOptions, write_answers
from rnntext.cli.options import Model, RecordSource, model_directory
from rnntext.cli.signature import expanded
from rnntext.cli.values import choice_option
from rnntext.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from rnntext.runtime.answer_columns import AnswerColumns
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
    run: AnswerOptions,
) -> None:
    """Compute the perplexity of each record. In a pipe: `perplexity<TAB>bits_per_byte<TAB>tokens`.

    With --words a line of `word<TAB>bits` for each word, <eos> being the end of the record, and
    an empty line between records. Bits per byte compare models with different tokenizers.
    """
    if words and with_text:
        raise UsageError("--words prints the words of each text: leave --with-text out")
    directory = model_directory(model)
    run.check(source, directory, with_text=with_text)
    options = words, state, run.json, run.threads, with_text, above, run.quiet, run.out
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
    out: Path | None = None,
) -> Iterator[str]:
    """Yield the output of the command, a batch of records at a time; with `out` write it there.
    `above`: only of records that are that odd."""
    if state not in ("reset", "carry"):
        raise UsageError(f"--state is one of reset, carry, not {state!r}")
    batches = source.batches(directory, quiet=quiet, rows=json or out is not None)
    from rnntext.runtime.answer_columns import score_columns
    from rnntext.runtime.score import Scorer

    scorer = Scorer.load(directory, threads, carry=state == "carry")
    least = None if above is None else above.bits(scorer)
    columns = score_columns(words=words)
    as_json = json or out is not None
    styled = not as_json and output.on_terminal()
    line: Callable[[Record, Any], str]
    if as_json:
        line = partial(_json, columns)
    elif styled:
        line = output.terminal_formatter(_styled)
    else:
        line = _words if words else partial(_columns, with_text=with_text)
    empty = "" if words else output.tsv_line([""] * (3 + with_text))
    line = output.with_errors(line, empty, json=as_json)
    # A terminal colours each word by its surprisal.
    scored = _scored(batches, scorer, words or styled, least)
    if out is not None:
        write_answers(out, scored, columns, line, with_errors=source.on_error == "null")
        return
    separator = "\n" if words and not styled and not json else ""
    before = output.terminal_formatter(_heading)() if styled else ""  # what is printed next
    for records, answers in scored:
        yield before + separator.join(map(line, records, answers))
        before = separator


def _scored(
    batches: Iterable[list[Record]], scorer: Scorer, words: bool, least: float | None
) -> Iterator[tuple[list[Record], list[LineScore | None]]]:
    """Yield records with their scores, None for one that could not be read."""
    last: int | None = None
    for batch in batches:
        for source_number, group in groupby(batch, key=lambda record: record.source):
            records = list(group)
            if last is not None and source_number != last:
                scorer.restart()
            last = source_number
            texts = [record.text for record in records if record.error is None]
            scores = iter(scorer.score(texts, words=words))
            answers = [(r, None if r.error is not None else next(scores)) for r in records]
            odd = [
                (record, answer)
                for record, answer in answers
                if least is None or answer is None or answer.bits / answer.tokens > least
            ]
            if odd:
                yield [record for record, _ in odd], [answer for _, answer in odd]


def _json(columns: AnswerColumns, record: Record, line: LineScore) -> str:
    return output.answer_line(record, {"text": line.text, **columns.as_object(line)})


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
