"""Tagged sentences for taggers: one tag per word.

Knows: CoNLL-U with the text of its sentences, CoNLL columns and JSON Lines, and the conversion of
span tags to BIO. Does not know: which tags a model has, or how raw text is split into words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from sys import intern

from rnntext.errors import DataError, UsageError
from rnntext.text.bio import place_of_types, to_bio
from rnntext.text.format_detection import CONLLU_WIDTH, detect_tagged_format, is_hub_or_parquet
from rnntext.text.formats import DataOptions, read_data_line_blocks
from rnntext.text.raw_text import RawText, Token, place_tokens
from rnntext.text.remote import read_remote
from rnntext.text.source import for_message, peek_lines, source_name
from rnntext.text.tables import Row, group_columns, group_field, read_rows

TAG_FORMATS = ("conllu", "conll", "jsonl", "parquet")
# Index of the CoNLL-U columns that hold a tag, https://universaldependencies.org/format.html
CONLLU_COLUMNS = {"lemma": 2, "upos": 3, "xpos": 4, "feats": 5, "deprel": 7}
DOCUMENT_START = "-DOCSTART-"
_TEXT_COMMENT = re.compile("# *text *= ?")


@dataclass(frozen=True, slots=True)
class Tagged:
    """A sentence with one tag per word; `line` is the line of its first word, from 1."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    source: str
    line: int
    group: str | None = None  # what `group_column` holds
    raw: RawText | None = None  # how the words are written, where the data say so


def read_tagged(paths: Sequence[str], options: DataOptions, stdin: int = 0) -> Iterator[Tagged]:
    """Yield the sentences of `paths` in order, span tags in BIO.

    All of `paths` is read into memory before the first sentence is yielded, because all tags
    together decide whether they are span tags (see `bio.place_of_types`). `tag_column` is, for
    CoNLL-U, one of CONLLU_COLUMNS (`upos` if unset) or a column number from 1; for CoNLL columns a
    number (the last if unset); for JSON Lines, Parquet and `hf:` a column name (`tags` if unset;
    the words are in `text_column`, `words` if unset). Raises UsageError for an invalid column and
    for a `group_column` where columns have no names, and DataError with file and line for a word
    without a tag or a malformed line.
    """
    sentences = list(_read_sentences(paths, options, stdin))
    place = place_of_types(sentence.tags for sentence in sentences)
    yield from sentences if place is None else _in_bio(sentences, place)


def tagged_reader(paths: Sequence[str], options: DataOptions) -> Callable[[], Iterator[Tagged]]:
    """Return a function that yields what `read_tagged` yields, but streams the sentences.

    `paths` are read once here, to tell whether tags are span tags, and again on each call.
    """
    place = place_of_types(sentence.tags for sentence in _read_sentences(paths, options))

    def read() -> Iterator[Tagged]:
        sentences = _read_sentences(paths, options)
        return sentences if place is None else _in_bio(sentences, place)

    return read


def _in_bio(sentences: Iterable[Tagged], place: str) -> Iterator[Tagged]:
    """Yield the sentences with their span tags converted to BIO; see `bio.place_of_types`."""
    for sentence in sentences:
        yield replace(sentence, tags=to_bio(sentence.tags, place))


def _read_sentences(paths: Sequence[str], options: DataOptions, stdin: int = 0) -> Iterator[Tagged]:
    """Yield the sentences of `paths` in order, tags as written in the file."""
    options.require_format("tag", TAG_FORMATS)
    for path in paths:
        empty = True
        for sentence in _read_source(path, options, stdin):
            empty = False
            yield sentence
        if empty:
            raise DataError(f"{source_name(path)} has no sentences in it: name a file that has")


def _read_source(path: str, options: DataOptions, stdin: int) -> Iterator[Tagged]:
    name = source_name(path)
    words_column = options.text_column or "words"
    tags_column = options.tag_column or "tags"
    columns = {
        **group_columns(options.group_column),
        words_column: "--text-column",
        tags_column: "--tag-column",
    }

    def sentences(rows: Iterable[Row | None]) -> Iterator[Tagged]:
        for row in rows:
            if row is None:
                continue
            try:
                if row.error is not None:
                    raise DataError(row.error)
                group = group_field(row, options.group_column, name)
                found = list(_sentence_of_row(row, words_column, tags_column, name, group))
                for sentence in found:
                    options.check_text("\n".join([*sentence.words, *sentence.tags]), name)
            except DataError as error:
                options.leave_out(error)
                continue
            yield from found

    if is_hub_or_parquet(path, options):
        keep_bad = options.unread is not None
        yield from sentences(read_remote(path, columns, options.split, keep_bad=keep_bad))
        return
    head, blocks = peek_lines(read_data_line_blocks(path, options, stdin))
    format_name = detect_tagged_format(path, options, head)
    if format_name == "jsonl":
        keep_bad = options.unread is not None
        rows = read_rows(blocks, "jsonl", name, columns, options.encoding_errors, keep_bad=keep_bad)
        yield from sentences(rows)
        return
    kind = "CoNLL-U" if format_name == "conllu" else "CoNLL columns"
    options.refuse_group_column(name, kind)
    if format_name == "conllu":
        yield from _read_conllu(blocks, options, name)
    else:
        yield from _read_columns(blocks, options, name)


def _paragraphs(
    blocks: Iterator[list[str]], is_break: Callable[[str], bool]
) -> Iterator[list[tuple[int, str]]]:
    """Yield runs of numbered lines, separated by lines where `is_break` is True."""
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


def column_name(column: str) -> str:
    """Return a name for all ways to name a column of CoNLL-U: its number from 1."""
    index = CONLLU_COLUMNS.get(column.lower())
    return column if index is None else str(index + 1)


def _column_index(column: str, format_name: str, choices: str) -> int:
    """Return the index from 0 of a column that the user numbers from 1."""
    if not re.fullmatch("[1-9][0-9]{0,5}", column):
        raise UsageError(f"--tag-column {column}: for {format_name} it is {choices}")
    return int(column) - 1


def _read_conllu(blocks: Iterator[list[str]], options: DataOptions, name: str) -> Iterator[Tagged]:
    column = options.tag_column or "upos"
    choices = f"one of {', '.join(CONLLU_COLUMNS)}, or a number from 1 to {CONLLU_WIDTH}"
    tag_index = CONLLU_COLUMNS.get(column.lower())
    if tag_index is None:
        tag_index = _column_index(column, "CoNLL-U", choices)
    if tag_index >= CONLLU_WIDTH:
        raise UsageError(f"--tag-column {column}: for CoNLL-U it is {choices}")
    sentences = 0
    has_tags = False
    for run in _paragraphs(blocks, lambda line: not line.strip()):
        try:
            sentence = parse_conllu_sentence(run, name, tag_index, options.check_text)
        except DataError as error:
            options.leave_out(error)
            continue
        if sentence is not None:
            sentences += 1
            has_tags = has_tags or any(tag != "_" for tag in sentence.tags)
            yield sentence
    if sentences and not has_tags:
        raise DataError(
            f"{name} has no tag in column {column}, only '_': choose another with --tag-column"
        )


def parse_conllu_sentence(
    lines: Iterable[tuple[int, str]],
    name: str,
    tag_index: int = CONLLU_COLUMNS["upos"],
    check: Callable[[str, str], object] = lambda line, where: None,
) -> Tagged | None:
    """Return the sentence that these numbered lines of the file `name` are; None if they have no
    words. `check` is given each line but comments, and where it stands. Raises DataError for a line
    that is not CoNLL-U, or that `check` refuses."""
    first_line = 0
    words, tags = [], []
    written = _WrittenWords()
    for number, line in lines:
        if line.startswith("#"):
            written.read_comment(line)
            continue
        fields = line.split("\t")
        where = f"{name}, line {number}"
        check(line, where)
        if len(fields) != CONLLU_WIDTH:
            raise DataError(
                f"{where} has {len(fields)} columns where CoNLL-U has {CONLLU_WIDTH},"
                " separated by tabs"
            )
        if re.fullmatch("[0-9]+[-.][0-9]+", fields[0]):
            written.read_range(fields)
            continue
        if not re.fullmatch("[0-9]+", fields[0]):
            raise DataError(
                f"{where}: {for_message(fields[0])!r} is no CoNLL-U word number: correct it"
            )
        words.append(_word(fields[1], where))
        tags.append(_tag(fields[tag_index], where))
        written.read_word(fields)
        first_line = first_line or number
    if not words:
        return None
    return Tagged(tuple(words), tuple(tags), name, first_line, raw=written.raw_text())


class _WrittenWords:
    """What the lines of a sentence in CoNLL-U say of how its words are written."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._tokens: list[Token] = []
        self._inside = 0  # words to come of the range that was begun

    def read_comment(self, line: str) -> None:
        """Take the text from a line `# text = ...`."""
        found = _TEXT_COMMENT.match(line)
        if found is not None:
            self._text = line[found.end() :]

    def read_range(self, fields: Sequence[str]) -> None:
        """Begin words that are written as one, `4-5 du`; an empty node, `4.1`, is not written."""
        first, dash, last = fields[0].partition("-")
        if dash:
            # A range of no words is an error, for which `place_tokens` finds no place.
            self._inside = max(0, int(last) - int(first) + 1)
            form = fields[1] if self._inside > 1 else ""
            self._tokens.append(Token(form, self._inside, _space_follows(fields)))

    def read_word(self, fields: Sequence[str]) -> None:
        if self._inside:
            self._inside -= 1
        else:
            self._tokens.append(Token(fields[1], 1, _space_follows(fields)))

    def raw_text(self) -> RawText | None:
        return None if self._inside else place_tokens(self._text, self._tokens)


def _space_follows(fields: Sequence[str]) -> bool:
    return "SpaceAfter=No" not in fields[-1].split("|")


def _read_columns(blocks: Iterator[list[str]], options: DataOptions, name: str) -> Iterator[Tagged]:
    column = options.tag_column
    tag_index = -1
    if column is not None:
        tag_index = _column_index(column, "CoNLL columns", "a column's number from 1")
    width: int | None = None
    for run in _paragraphs(blocks, _is_boundary):
        words, tags = [], []
        try:
            for number, line in run:
                fields = _split_columns(line)
                where = f"{name}, line {number}"
                options.check_text(line, where)
                if width is None:
                    if len(fields) < 2:
                        raise DataError(
                            f"{where} has one column: each line must be a word, spaces or a tab,"
                            " and its tag"
                        )
                    width = len(fields)
                    if tag_index >= width:
                        raise UsageError(f"--tag-column {column}: {name} has {width} columns")
                if len(fields) != width:
                    raise DataError(
                        f"{where} has {len(fields)} columns where the lines before have {width}: "
                        "correct it"
                    )
                words.append(_word(fields[0], where))
                tags.append(_tag(fields[tag_index], where))
        except DataError as error:
            options.leave_out(error)
            continue
        yield Tagged(tuple(words), tuple(tags), name, run[0][0])


def _is_boundary(line: str) -> bool:
    # str.strip would also remove a no-break space, which can be a word.
    stripped = line.strip(" \t")
    return not stripped or re.split("[ \t]", stripped, maxsplit=1)[0] == DOCUMENT_START


def _split_columns(line: str) -> list[str]:
    """Split at tabs if there are any, so that a word may contain spaces; else at runs of spaces."""
    if "\t" in line:
        return [field.strip(" ") for field in line.split("\t")]
    return re.split(" +", line.strip(" "))


def _sentence_of_row(
    row: Row, words_column: str, tags_column: str, name: str, group: str | None
) -> Iterator[Tagged]:
    """Yield one sentence, or none if the row has no words."""
    where = f"{name}, {row.place}"
    values = []
    for column in (words_column, tags_column):
        value = row.fields[column]
        if not isinstance(value, list):
            raise DataError(f"{where}: {for_message(column)!r} is not a list: make it one")
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
            group,
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
