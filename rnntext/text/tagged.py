"""Sentences with a tag for every word, for taggers.

Knows: CoNLL-U, CoNLL columns and JSON Lines, and that span tags become BIO. Does not know: which
tags a model has, or how raw text is split into words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from sys import intern

from rnntext.errors import DataError, UsageError
from rnntext.text.bio import span_scheme, to_bio
from rnntext.text.formats import DataOptions, data_blocks, is_remote, told_format
from rnntext.text.remote import read_remote
from rnntext.text.source import extension, peek, printable, source_name
from rnntext.text.tables import Row, looks_like_json, read_rows

TAG_FORMATS = ("conllu", "conll", "jsonl", "parquet")
# Position of the columns of CoNLL-U that hold a tag, https://universaldependencies.org/format.html
CONLLU_COLUMNS = {"lemma": 2, "upos": 3, "xpos": 4, "feats": 5, "deprel": 7}
CONLLU_WIDTH = 10
DOCUMENT_START = "-DOCSTART-"


@dataclass(frozen=True, slots=True)
class Tagged:
    """A sentence: as many tags as words; `line` is that of its first word, from 1."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    source: str
    line: int


def read_tagged(paths: Sequence[str], options: DataOptions, stdin: int = 0) -> Iterator[Tagged]:
    """Yield the sentences of `paths` in order, span tags in BIO.

    All of `paths` is read, and held, before the first sentence comes, for whether tags are span
    tags is told over the whole (see `spans.span_scheme`). `tag_column` is for CoNLL-U one of
    CONLLU_COLUMNS (`upos` if unset) or a column's number from 1, for CoNLL columns a number (the
    last if unset), for JSON Lines, Parquet and `hf:` a column's name (`tags` if unset; words
    are in `text_column`, `words` if unset). Raises UsageError for a column that cannot be, and
    DataError, naming file and line, for a word without a tag or a malformed line.
    """
    sentences = list(_read_sentences(paths, options, stdin))
    scheme = span_scheme(sentence.tags for sentence in sentences)
    yield from sentences if scheme is None else _in_bio(sentences)


def tagged_reader(paths: Sequence[str], options: DataOptions) -> Callable[[], Iterator[Tagged]]:
    """What reads `paths`, which can be read again, as `read_tagged` does, and holds nothing."""
    scheme = span_scheme(sentence.tags for sentence in _read_sentences(paths, options))

    def read() -> Iterator[Tagged]:
        sentences = _read_sentences(paths, options)
        return sentences if scheme is None else _in_bio(sentences)

    return read


def _in_bio(sentences: Iterable[Tagged]) -> Iterator[Tagged]:
    """The same sentences with their span tags in BIO."""
    for sentence in sentences:
        yield replace(sentence, tags=to_bio(sentence.tags))


def _read_sentences(paths: Sequence[str], options: DataOptions, stdin: int = 0) -> Iterator[Tagged]:
    """Yield the sentences of `paths` in order, tags as they are in the file."""
    options.require_format("tag", TAG_FORMATS)
    for path in paths:
        found = False
        for sentence in _read_source(path, options, stdin):
            found = True
            yield sentence
        if not found:
            raise DataError(f"{source_name(path)} has no sentences in it: name a file that has")


def _read_source(path: str, options: DataOptions, stdin: int) -> Iterator[Tagged]:
    name = source_name(path)
    words_column = options.text_column or "words"
    tags_column = options.tag_column or "tags"
    columns = {words_column: "--text-column", tags_column: "--tag-column"}
    if is_remote(path, options):
        for row in read_remote(path, columns, options.split):
            yield from _sentence_of_row(row, words_column, tags_column, name)
        return
    head, blocks = peek(data_blocks(path, options, stdin))
    kind = _tag_format(path, options, head)
    if kind == "jsonl":
        for found in read_rows(blocks, "jsonl", name, columns, options.encoding_errors):
            if found is not None:
                yield from _sentence_of_row(found, words_column, tags_column, name)
    elif kind == "conllu":
        yield from _read_conllu(blocks, options.tag_column or "upos", name)
    else:
        yield from _read_columns(blocks, options.tag_column, name)


def _tag_format(path: str, options: DataOptions, head: Sequence[str]) -> str:
    if options.format is None and extension(path) == ".conllu":
        return "conllu"
    kind = told_format(path, options, head, _sniff)
    # .tsv is a common name for CoNLL columns; a table of rows cannot hold sentences.
    return _sniff(head) if kind in ("csv", "tsv") else kind


def _sniff(head: Sequence[str]) -> str:
    if head and looks_like_json(head[0]):
        return "jsonl"
    words = [line for line in head if not line.startswith("#")]
    if words and re.match(r"\d+([-.]\d+)?\t", words[0]) and words[0].count("\t") == 9:
        return "conllu"
    return "conll"


def _paragraphs(
    blocks: Iterator[list[str]], is_break: Callable[[str], bool]
) -> Iterator[list[tuple[int, str]]]:
    """Numbered lines in runs between those where `is_break`; an empty run is passed over."""
    number = 0
    run: list[tuple[int, str]] = []
    for block in blocks:
        for line in block:
            number += 1
            if not is_break(line):
                run.append((number, line))
            elif run:
                yield run
                run = []
    if run:
        yield run


def _column_number(column: str, format_name: str, otherwise: str) -> int:
    """Return the position, from 0, of the column that is numbered from 1."""
    if not re.fullmatch("[1-9][0-9]{0,5}", column):
        raise UsageError(f"--tag-column {column}: for {format_name} it is {otherwise}")
    return int(column) - 1


def _read_conllu(blocks: Iterator[list[str]], column: str, name: str) -> Iterator[Tagged]:
    choices = f"one of {', '.join(CONLLU_COLUMNS)}, or a number from 1 to {CONLLU_WIDTH}"
    at = CONLLU_COLUMNS.get(column.lower())
    if at is None:
        at = _column_number(column, "CoNLL-U", choices)
    if at >= CONLLU_WIDTH:
        raise UsageError(f"--tag-column {column}: for CoNLL-U it is {choices}")
    sentences = 0
    tagged = False
    for run in _paragraphs(blocks, lambda line: not line.strip()):
        first = 0
        words, tags = [], []
        for number, line in run:
            if line.startswith("#"):
                continue
            fields = line.split("\t")
            where = f"{name}, line {number}"
            if len(fields) != CONLLU_WIDTH:
                raise DataError(
                    f"{where} has {len(fields)} columns where CoNLL-U has {CONLLU_WIDTH},"
                    " separated by tabs"
                )
            if re.fullmatch("[0-9]+[-.][0-9]+", fields[0]):
                continue  # a multiword range, or an empty node
            if not re.fullmatch("[0-9]+", fields[0]):
                raise DataError(
                    f"{where}: {printable(fields[0])!r} is no CoNLL-U word number: correct it"
                )
            words.append(_word(fields[1], where))
            tags.append(_tag(fields[at], where))
            tagged = tagged or fields[at] != "_"
            first = first or number
        if words:
            sentences += 1
            yield Tagged(tuple(words), tuple(tags), name, first)
    if sentences and not tagged:
        raise DataError(
            f"{name} has no tag in column {column}, only '_': choose another with --tag-column"
        )


def _read_columns(blocks: Iterator[list[str]], column: str | None, name: str) -> Iterator[Tagged]:
    at = -1
    if column is not None:
        at = _column_number(column, "CoNLL columns", "a column's number from 1")
    width: int | None = None
    for run in _paragraphs(blocks, _is_boundary):
        words, tags = [], []
        for number, line in run:
            fields = _split_columns(line)
            where = f"{name}, line {number}"
            if width is None:
                width = len(fields)
                if width < 2:
                    raise DataError(
                        f"{where} has one column: each line must be a word, spaces or a tab,"
                        " and its tag"
                    )
                if at >= width:
                    raise UsageError(f"--tag-column {column}: {name} has {width} columns")
            if len(fields) != width:
                raise DataError(
                    f"{where} has {len(fields)} columns where the lines before have {width}: "
                    "correct it"
                )
            words.append(_word(fields[0], where))
            tags.append(_tag(fields[at], where))
        yield Tagged(tuple(words), tuple(tags), name, run[0][0])


def _is_boundary(line: str) -> bool:
    # str.strip would also take a no-break space, which can be a word.
    stripped = line.strip(" \t")
    return not stripped or re.split("[ \t]", stripped, maxsplit=1)[0] == DOCUMENT_START


def _split_columns(line: str) -> list[str]:
    """Split at tabs if there are any, so that a word may hold spaces, else at runs of spaces."""
    if "\t" in line:
        return [field.strip(" ") for field in line.split("\t")]
    return re.split(" +", line.strip(" "))


def _sentence_of_row(row: Row, words_column: str, tags_column: str, name: str) -> Iterator[Tagged]:
    """One sentence, or none where the row has no words."""
    where = f"{name}, line {row.line}"
    values = []
    for column in (words_column, tags_column):
        value = row.fields[column]
        if not isinstance(value, list):
            raise DataError(f"{where}: {printable(column)!r} is not a list: make it one")
        values.append(value)
    words, tags = values
    if len(words) != len(tags):
        raise DataError(f"{where} has {len(words)} words and {len(tags)} tags: give one a word")
    if words:
        yield Tagged(
            tuple(_word(word, where) for word in words),
            tuple(_tag(tag, where) for tag in tags),
            name,
            row.line,
        )


def _word(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: a word is not a string: make it one")
    if not value:
        raise DataError(f"{where} has an empty word: take it out, and its tag")
    return value


def _tag(value: object, where: str) -> str:
    if value is None or value == "":
        raise DataError(f"{where} has a word without a tag: give it one")
    if isinstance(value, str):
        return intern(value)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise DataError(f"{where}: a tag is neither a string nor a number: make it one")
