"""`rnntext tag`: a tag for each word of each record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.cli import output
from rnntext.cli.answer_file import AnswerOptions, write_answers
from rnntext.cli.options import Model, RecordSource, model_directory
from rnntext.cli.signature import expanded

if TYPE_CHECKING:
    from rich.text import Text

    from rnntext.runtime.answer_columns import AnswerColumns
    from rnntext.runtime.tagger import TaggedSentence
    from rnntext.text.records import Record


@expanded
def command(
    *,
    model: Model = None,
    pretokenized: Annotated[
        bool, typer.Option("--pretokenized", help="Split words at spaces only.")
    ] = False,
    source: RecordSource,
    run: AnswerOptions,
) -> None:
    """Tag the words of each record. In a pipe: `word<TAB>tag` lines, an empty line after each.

    Words are split from punctuation, and English clitics from their words (do n't, Mara 's);
    web addresses, numbers, abbreviations and hyphenated words stay whole.
    """
    directory = model_directory(model)
    run.check(source, directory)
    for lines in tag(directory, source, pretokenized, run.json, run.threads, run.quiet, run.out):
        output.write(lines)


def tag(
    directory: Path,
    source: RecordSource,
    pretokenized: bool,
    json: bool,
    threads: int | None,
    quiet: bool = False,
    out: Path | None = None,
) -> Iterator[str]:
    """Yield the output of the command, a batch of records at a time; with `out` write it there."""
    rows = json or out is not None
    batches = source.batches(directory, large=True, quiet=quiet, rows=rows, lists=True)
    from rnntext.runtime.answer_columns import tag_columns
    from rnntext.runtime.tagger import Tagger
    from rnntext.text.records import prefetch, words_or_text

    tagger = Tagger.load(directory, threads)
    line: Callable[[Record, Any], str]
    columns = tag_columns()
    if rows:
        line = partial(_json, columns)
    else:
        line = output.terminal_formatter(_styled) if output.on_terminal() else _columns
    line = output.with_errors(line, "\n", json=rows)
    begin = partial(tagger.stream, pretokenized=pretokenized)
    answered = prefetch(batches, begin, words_or_text)
    if out is not None:
        write_answers(out, answered, columns, line, with_errors=source.on_error == "null")
        return
    for batch, sentences in answered:
        lines = (line(record, answer) for record, answer in zip(batch, sentences, strict=True))
        yield from output.in_chunks(lines)


def _json(columns: AnswerColumns, record: Record, sentence: TaggedSentence) -> str:
    return output.answer_line(record, {"text": sentence.text, **columns.as_object(sentence)})


def _columns(record: Record, sentence: TaggedSentence) -> str:
    lines = map(output.tsv_line, zip(sentence.words, sentence.tags, strict=True))
    return "".join([*lines, "\n"])


def _styled(record: Record, sentence: TaggedSentence, width: int) -> Text:
    from rich.text import Text

    line = Text()
    for word, tag in zip(sentence.words, sentence.tags, strict=True):
        line.append(word).append(f"/{tag}", "dim" if tag == "O" else "cyan").append(" ")
    return line
