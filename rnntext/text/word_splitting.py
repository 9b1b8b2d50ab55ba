"""Splits raw sentences into words, and long lines into pieces.

Knows: what a word of raw text is, how to detect text that is already split into words, and where a
line can be split without changing its tokens. Does not know: ids or vocabularies.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

import tokenizers
from tokenizers import pre_tokenizers

UNKNOWN = "<unk>"

# Alternatives in the order in which they are tried: web and mail addresses; mentions and hashtags;
# numbers with inner points, commas and colons; dotted abbreviations and common titles; the stem
# before an English clitic, then the clitic ("do n't", "Mara 's", "they 'll"); words with inner
# apostrophes and hyphens; runs of one punctuation mark ("...", "!!"); any other single mark.
# Treebanks split English this way, so a tagger sees raw text in the words it was trained on.
_LETTER = r"[\p{L}\p{M}\p{N}_]"
_CLITIC = r"['’](?:s|re|ve|ll|d|m|S|RE|VE|LL|D|M)(?!" + _LETTER + ")"
_NOT = r"[nN]['’][tT](?!" + _LETTER + ")"
WORD_PATTERN = "|".join(
    [
        r"(?:https?://|www\.)\S*[^\s.,;:!?'\")\]}]",
        r"(?<![\p{L}\p{N}_.+-])[\p{L}\p{N}_.+-]++@[\p{L}\p{N}-]+\.[\p{L}\p{N}.-]*[\p{L}\p{N}]",
        rf"[@#]{_LETTER}+",
        r"\p{N}+(?:[.,:/]\p{N}+)+",
        r"(?:\p{L}\.){2,}",
        rf"(?<!{_LETTER})(?:Mr|Mrs|Ms|Dr|St|Prof|vs|etc|Jr|Sr|Inc|Corp|Co|Ltd)\.",
        rf"{_LETTER}+?(?={_NOT})",
        _NOT,
        rf"{_LETTER}(?:{_LETTER}|[-](?={_LETTER}))*?(?={_CLITIC})",
        _CLITIC,
        rf"{_LETTER}+(?:['’-]{_LETTER}+)*",
        r"([^\s\p{L}\p{M}\p{N}_])\1+",
        # any other character, an emoji with its variation mark, skin tone and joined parts
        r"[^\s](?:\p{M}|[\x{1F3FB}-\x{1F3FF}]|\x{200D}[^\s])*",
    ]
)

# Runs without white space. The list is the \s of WORD_PATTERN's engine: Python's \s has also U+001C
# to U+001F.
_CHUNK = re.compile("[^\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")

_WORD_START = re.compile(r"(?<=\S) (?=\S)")

# Punctuation attached to the end of a word, as in ordinary prose.
_ATTACHED = re.compile(r"\w[,;:!?)\]”\"]+$")
_PRESPLIT_SHARE = 1 / 200
PRESPLIT_SAMPLE = 10_000  # lines examined


def is_presplit(lines: Iterable[str]) -> bool:
    """Return True if all words of this text are already separated by spaces.

    The rule: `<unk>` is one of its words, or at most one in two hundred words ends in a comma,
    semicolon, colon, exclamation or question mark, closing bracket or closing double quote.
    Examines the first 10,000 lines.
    """
    words = attached = 0
    for line in itertools.islice(lines, PRESPLIT_SAMPLE):
        for word in line.split():
            if word == UNKNOWN:
                return True
            words += 1
            attached += _ATTACHED.search(word) is not None
    return attached <= words * _PRESPLIT_SHARE


@cache
def word_splitter() -> pre_tokenizers.PreTokenizer:
    """Return the pre-tokenizer that splits raw text by WORD_PATTERN and drops white space."""
    return pre_tokenizers.Split(tokenizers.Regex(WORD_PATTERN), "removed", invert=True)


def split_words(text: str) -> list[str]:
    """Split a raw sentence into words by WORD_PATTERN."""
    # No word contains white space, and no lookaround in the pattern crosses it.
    return [word for chunk in _CHUNK.finditer(text) for word in _split_chunk(chunk[0])]


@lru_cache(maxsize=1 << 16)
def _split_chunk(chunk: str) -> tuple[str, ...]:
    """Split text without white space. Text is repetitive: the cache doubles the speed."""
    if chunk.isalpha():
        return (chunk,)
    return tuple(word for word, _ in word_splitter().pre_tokenize_str(chunk))


def split_long_line(line: str, size: int, prefix: str = "") -> Iterable[str]:
    """Split a line, with `prefix` before it, into pieces of about `size` characters, before single
    spaces inside the line.

    A byte-level pre-tokenizer splits there anyway, so the tokens stay the same.
    """
    if len(prefix) + len(line) <= size:
        return [prefix + line]
    return _split_at_spaces(line, size, prefix)


def _split_at_spaces(line: str, size: int, prefix: str) -> Iterator[str]:
    # The prefix is put before the first piece alone: before the line it would copy all of it.
    start, room = 0, size - len(prefix)
    while len(line) - start > room:
        space = _WORD_START.search(line, start + room - 1)
        if space is None:
            break
        yield prefix + line[start : space.start()]
        start, room, prefix = space.start(), size, ""
    yield prefix + line[start:]
