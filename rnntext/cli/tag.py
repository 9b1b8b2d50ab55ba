"""`rnntext tag`: a tag for each word of each record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.cli import output
from rnntext.cli.options import Model, RecordSource, RunOptions, model_directory
from rnntext.cli.signature import expanded

if TYPE_CHECKING:
    from rich.text import Text

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
    run: RunOptions,
) -> None:
    """Tag the words of each record. In a pipe: `word<TAB>tag` lines, an empty line after each.

    Words are split from punctuation, and English clitics from their words (do n't, Mara 's);
    web addresses, numbers, abbreviations and hyphenated words stay whole.
    """
    directory = model_directory(model)
    for lines in tag(directory, source, pretokenized, run.json, run.threads, run.quiet):
        output.write(lines)


def tag(
    directory: Path,
    source: RecordSource,
    pretokenized: bool,
    json: bool,
    threads: int | None,
    quiet: bool = False,
) -> Iterator[str]:
    """Yield the output of the command, a batch of records at a time."""
    batches = source.batches(directory, large=True, quiet=quiet, rows=json, lists=True)
    from rnntext.runtime.tagger import Tagger
    from rnntext.text.records import prefetch, words_or_text

    tagger = Tagger.load(directory, threads)
    line: Callable[[Record, Any], str]
    if json:
        line = _json
    else:
        line = output.terminal_formatter(_styled) if output.on_terminal() else _columns
    line = output.with_errors(line, "\n", json=json)
    begin = partial(tagger.stream, pretokenized=pretokenized)
    for batch, sentences in prefetch(batches, begin, words_or_text):
        lines = (line(record, answer) for record, answer in zip(batch, sentences, strict=True))
        yield from output.in_chunks(lines)


def _json(record: Record, sentence: TaggedSentence) -> str:
    return output.answer_line(
        record,
        {
            "text": sentence.text,
            "words": sentence.words,
            "tags": sentence.tags,
            "probabilities": sentence.probabilities,
        },
    )


def _columns(record: Record, sentence: TaggedSentence) -> str:
    lines = map(output.tsv_line, zip(sentence.words, sentence.tags, strict=True))
    return "".join([*lines, "\n"])


def _styled(record: Record, sentence: TaggedSentence, width: int) -> Text:
    from rich.text import Text

    line = Text()
    for word, tag in zip(sentence.words, sentence.tags, strict=True):
        line.append(word).append(f"/{tag}", "dim" if tag == "O" else "cyan").append(" ")
    return line
