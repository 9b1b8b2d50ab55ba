"""`rnntext predict`: the likeliest next words of each record."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.arguments import TOP_K
from rnntext.cli import output
from rnntext.cli.fitting import ending, shortened
from rnntext.cli.options import Model, RecordSource, RunOptions, model_directory
from rnntext.cli.signature import expanded
from rnntext.cli.values import number_option
from rnntext.config import listed
from rnntext.errors import UsageError
from rnntext.text.columns import columns_of
from rnntext.text.controls import one_line

if TYPE_CHECKING:
    from rich.text import Text

    from rnntext.runtime.predict import Predictions
    from rnntext.text.records import Record


@expanded
def command(
    *,
    model: Model = None,
    top_k: Annotated[
        int,
        number_option(
            "-k", "--top-k", metavar="K", within=TOP_K, help="Print the K likeliest words."
        ),
    ] = 5,
    complete: Annotated[
        bool, typer.Option("--complete", help="Complete the last word of the text.")
    ] = False,
    source: RecordSource,
    run: RunOptions,
) -> None:
    """Predict the next word of each record. In a pipe: `word<TAB>probability` pairs.

    On a terminal without any input, show the next words under the text as it is typed.
    """
    directory = model_directory(model)
    if not source.inputs and not source.texts and _is_interactive():
        _refuse_ignored(source, complete=complete, json=run.json)
        from rnntext.cli.interactive import predict_while_typing

        predict_while_typing(directory, top_k, run.threads)
        return
    for lines in predict(directory, source, top_k, complete, run.json, run.threads, run.quiet):
        output.write(lines)


def predict(
    directory: Path,
    source: RecordSource,
    top_k: int,
    complete: bool,
    json: bool,
    threads: int | None,
    quiet: bool = False,
) -> Iterator[str]:
    """Yield the output of the command, a batch of records at a time."""
    batches = source.batches(directory, quiet=quiet, rows=json)
    from rnntext.runtime.predict import Predictor

    predictor = Predictor.load(directory, threads)
    line: Callable[[Record, Any], str]
    if json:
        line = _json
    else:
        line = output.terminal_formatter(_styled) if output.on_terminal() else _columns
    line = output.with_errors(line, output.tsv_line([""] * 2 * top_k), json=json)
    for batch in batches:
        texts = [record.text for record in batch]
        answers = predictor.predict(texts, top_k=top_k, complete=complete)
        yield "".join(line(r, answer) for r, answer in zip(batch, answers, strict=True))


def _is_interactive() -> bool:
    """Return True if both standard input and standard output are terminals."""
    return sys.stdin is not None and sys.stdin.isatty() and output.on_terminal()


def _refuse_ignored(source: RecordSource, *, complete: bool, json: bool) -> None:
    """Raise UsageError for an option that has no meaning while the user types."""
    given = [field for field in fields(source) if getattr(source, field.name) != field.default]
    flags = [f"--{field.name.replace('_', '-')}" for field in given]
    flags += ["--complete"] * complete + ["--json"] * json
    if flags:
        raise UsageError(
            f"{listed(flags)}: not while you type; leave it out, or give text: name a file, pipe "
            "it in, or use --text TEXT"
        )


def _json(record: Record, answer: Predictions) -> str:
    words = [{"word": word.word, "probability": word.probability} for word in answer.words]
    value = {"text": answer.text, "predictions": words, "unexplored": answer.unexplored}
    return output.answer_line(record, value)


def _columns(record: Record, answer: Predictions) -> str:
    pairs = ((word.word, output.format_probability(word.probability)) for word in answer.words)
    return output.tsv_line(field for pair in pairs for field in pair)


def _styled(record: Record, answer: Predictions, width: int) -> list[Text]:
    """The end of the text with the words after it; further lines where there are many words."""
    from rich.text import Text

    words = []
    for found in answer.words:
        shown = shortened(one_line(found.word), max(1, width - len("   0.00")))
        number = f"{found.probability:.2f}"
        words.append(Text.assemble("  ", (f"{shown} ", "bold cyan"), (number, "green")))
    sizes = [columns_of(word.plain) for word in words]
    # The text has what the words leave; or a third, where these go on in further lines, and more if
    # its last word needs it.
    text = one_line(record.text)
    last = len("…") + columns_of(text.rpartition(" ")[2])
    least = max(width // 3, min(last, 2 * width // 3))
    text = ending(text, max(least, width - sum(sizes)))
    lines, used = [Text().append(text, "dim")], columns_of(text)
    for word, size in zip(words, sizes, strict=True):
        if used + size > width:
            lines.append(Text())
            used = 0
        lines[-1].append_text(word)
        used += size
    return lines
