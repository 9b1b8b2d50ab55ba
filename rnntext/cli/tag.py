"""`rnntext tag`: a tag for each word of each record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.cli import output
from rnntext.cli.answer_file import AnswerOptions, write_answers
from rnntext.cli.options import Model, RecordSource, model_directory
from rnntext.cli.signature import expanded
from rnntext.cli.values import choice_option
from rnntext.config import one_of
from rnntext.errors import UsageError
from rnntext.text.records import INPUT_FORMATS

if TYPE_CHECKING:
    from rich.text import Text

    from rnntext.runtime.answer_columns import AnswerColumns
    from rnntext.runtime.tagger import TaggedSentence, Tagger
    from rnntext.text.records import Record


# How raw text is split into words, and how answers are printed off a terminal.
SPLITS = ("learned", "rule")
FORMATS = ("tsv", "conllu")


@dataclass(frozen=True, slots=True)
class Words:
    """Where the words of a sentence come from. Raises UsageError for options that exclude each
    other."""

    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="learned|rule",
            help="Split raw text as the training data show (where they do), or by the rule.",
        ),
    ] = None
    pretokenized: Annotated[
        bool, typer.Option("--pretokenized", help="Split words at spaces only.")
    ] = False
    input_format: Annotated[
        str,
        typer.Option(
            "--input-format",
            metavar="text|jsonl|conllu",
            help="Raw text, or sentences in words: JSON Lines with `words`, or CoNLL-U.",
        ),
    ] = "text"

    def __post_init__(self) -> None:
        if self.split is not None:
            one_of("--split", self.split, SPLITS)
        one_of("--input-format", self.input_format, INPUT_FORMATS)
        given = [
            name
            for name, is_given in (
                ("--split", self.split is not None),
                ("--pretokenized", self.pretokenized),
                (f"--input-format {self.input_format}", self.gives_words),
            )
            if is_given
        ]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} cannot go together: leave one out")

    @property
    def gives_words(self) -> bool:
        """True if the input is not raw text."""
        return self.input_format != "text"


@expanded
def command(
    *,
    model: Model = None,
    words: Words,
    source: RecordSource,
    format_name: Annotated[
        str,
        choice_option(
            "--format", metavar="tsv|conllu", help="Lines of word and tag, or CoNLL-U with ranges."
        ),
    ] = "tsv",
    run: AnswerOptions,
) -> None:
    """Tag the words of each record. In a pipe: `word<TAB>tag` lines, an empty line after each.

    Raw text is split into words as the model's training data show. Where they do not show it, and
    with --split rule, words are split from punctuation, and English clitics from their words (do
    n't, Mara 's); web addresses, numbers, abbreviations and hyphenated words stay whole.
    """
    one_of("--format", format_name, FORMATS)
    if run.json and format_name != "tsv":
        raise UsageError(f"--json and --format {format_name} cannot go together: leave one out")
    directory = model_directory(model)
    run.check(source, directory)
    for lines in tag(
        directory, source, words, run.json, run.threads, run.quiet, run.out, format_name
    ):
        output.write(lines)


def tag(
    directory: Path,
    source: RecordSource,
    words: Words,
    json: bool,
    threads: int | None,
    quiet: bool = False,
    out: Path | None = None,
    format_name: str = "tsv",
) -> Iterator[str]:
    """Yield the output of the command, a batch of records at a time; with `out` write it there."""
    rows = json or out is not None
    batches = source.batches(
        directory, large=True, quiet=quiet, rows=rows, lists=True, input_format=words.input_format
    )
    from rnntext.runtime.answer_columns import tag_columns
    from rnntext.runtime.tagger import Tagger
    from rnntext.text.records import prefetch, words_or_text

    tagger = Tagger.load(directory, threads)
    if words.split == "learned" and tagger.splitter is None:
        raise UsageError(
            f"{directory} has not learned to split raw text: leave --split out, or train it with "
            "CoNLL-U that has `# text`"
        )
    line: Callable[[Record, Any], str]
    columns = tag_columns()
    if rows:
        line = partial(_json, columns)
    elif format_name == "conllu":
        line = _conllu(tagger)
    else:
        line = output.terminal_formatter(_styled) if output.on_terminal() else _columns
    line = output.with_errors(line, "\n", json=rows)
    answered: Iterator[tuple[list[Record], Iterator[TaggedSentence]]]
    if words.input_format == "conllu":
        answered = prefetch(batches, partial(_begin_with_words, tagger), lambda record: record)
    else:
        by_rule = words.split == "rule"
        begin = partial(tagger.stream, pretokenized=words.pretokenized, by_rule=by_rule)
        answered = prefetch(batches, begin, words_or_text)
    if out is not None:
        write_answers(out, answered, columns, line, with_errors=source.on_error == "null")
        return
    for batch, sentences in answered:
        lines = (line(record, answer) for record, answer in zip(batch, sentences, strict=True))
        yield from output.in_chunks(lines)


def _begin_with_words(tagger: Tagger, records: list[Record]) -> Iterator[TaggedSentence]:
    return tagger.stream_words(
        [record.words or () for record in records],
        [record.text for record in records],
        [record.raw for record in records],
    )


def _json(columns: AnswerColumns, record: Record, sentence: TaggedSentence) -> str:
    answer = {"text": sentence.text, **columns.as_object(sentence)}
    if ranges := sentence.ranges:
        answer["ranges"] = ranges
    return output.answer_line(record, answer)


def _conllu(tagger: Tagger) -> Callable[[Record, TaggedSentence], str]:
    from rnntext.cli.conllu import sentence_lines, tag_index

    index = tag_index(tagger.tag_column)
    return lambda record, sentence: sentence_lines(sentence, index)


def _columns(record: Record, sentence: TaggedSentence) -> str:
    lines = map(output.tsv_line, zip(sentence.words, sentence.tags, strict=True))
    return "".join([*lines, "\n"])


def _styled(record: Record, sentence: TaggedSentence, width: int) -> Text:
    from rich.text import Text

    line = Text()
    for word, tag in zip(sentence.words, sentence.tags, strict=True):
        line.append(word).append(f"/{tag}", "dim" if tag == "O" else "cyan").append(" ")
    return line
