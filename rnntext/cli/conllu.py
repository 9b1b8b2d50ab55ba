"""Tagged sentences as CoNLL-U, https://universaldependencies.org/format.html.

Knows: which lines a sentence has, and in which column its tags stand. Does not know: how it was
tagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rnntext.cli.output import tsv_line
from rnntext.text.format_detection import CONLLU_WIDTH
from rnntext.text.raw_text import RawText, Token, place_tokens, place_words
from rnntext.text.tagged import CONLLU_COLUMNS

if TYPE_CHECKING:
    from rnntext.runtime.tagger import TaggedSentence

_FORM, _MISC = 1, CONLLU_WIDTH - 1


def tag_index(column: object) -> int:
    """Return the index of the column that tags are written to: the one that a model's training data
    had them in, which may be a name or a number from 1; UPOS for other data."""
    if isinstance(column, str):
        if column.lower() in CONLLU_COLUMNS:
            return CONLLU_COLUMNS[column.lower()]
        if column.isascii() and column.isdigit() and _FORM + 1 < int(column) < CONLLU_WIDTH:
            return int(column) - 1
    return CONLLU_COLUMNS["upos"]


def sentence_lines(sentence: TaggedSentence, index: int) -> str:
    """Return the lines of a sentence and an empty one; of a sentence without words the empty one
    alone."""
    if not sentence.words:
        return "\n"
    raw = sentence.raw or _placed(sentence)
    lines = [f"# text = {tsv_line([sentence.text])}"]
    words = iter(zip(sentence.words, sentence.tags, strict=True))
    number = 1
    for place, (start, stop) in enumerate(raw.spans):
        count = raw.counts[place]
        follows = raw.spans[place + 1][0] if place + 1 < len(raw.spans) else len(raw.text) + 1
        misc = "SpaceAfter=No" if follows == stop else "_"
        if count > 1:
            token = raw.text[start:stop]
            lines.append(_line(f"{number}-{number + count - 1}", token, {_MISC: misc}))
            misc = "_"
        for _ in range(count):
            word, tag = next(words)
            lines.append(_line(str(number), word, {index: tag, _MISC: misc}))
            number += 1
    return "".join([*lines, "\n"])


def _line(number: str, form: str, others: dict[int, str]) -> str:
    fields = [number, form, *("_" for _ in range(CONLLU_WIDTH - 2))]
    for index, value in others.items():
        fields[index] = value
    return tsv_line(fields)


def _placed(sentence: TaggedSentence) -> RawText:
    """Return where words that were given stand in the text; a space follows each if they are not
    the text's."""
    words: Sequence[str] = sentence.words
    found = place_tokens(sentence.text, [Token(word, 1, True) for word in words])
    return place_words(" ".join(words), words) if found is None else found
