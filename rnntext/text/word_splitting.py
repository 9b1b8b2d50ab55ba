"""Where text may be split: raw sentences into words, long lines into pieces.

Knows: what a word of raw text is, how to tell text whose words already stand apart, and where
a line can be cut so that no tokenizer notices. Does not know: ids or vocabularies.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

import tokenizers
from tokenizers import pre_tokenizers

UNKNOWN = "<unk>"

# Words of raw text, in the order in which they are tried: web and mail addresses; mentions and
# hashtags; numbers with inner points, commas and colons; dotted abbreviations and common titles;
# the stem before an English clitic, then the clitic ("do n't", "Mara 's", "they 'll"); words with
# inner apostrophes and hyphens; runs of one punctuation mark ("...", "!!"); any other mark alone.
# The tagger's treebanks split English this way, so that raw text meets the words it was taught.
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

# What the pattern's \s is not; Python's \s is U+001C to U+001F as well.
_CHUNK = re.compile("[^\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")

_WORD_START = re.compile(r"(?<=\S) (?=\S)")

# A mark that in ordinary prose hangs on to the word before it.
_ATTACHED = re.compile(r"\w[,;:!?)\]”\"]+$")
_PRESPLIT_SHARE = 1 / 200
PRESPLIT_SAMPLE = 10_000  # lines looked at


def is_presplit(lines: Iterable[str]) -> bool:
    """Whether the words of this text already stand apart at spaces.

    The rule: `<unk>` stands in it as a word, or at most one in two hundred of its words has a
    comma, semicolon, colon, exclamation or question mark, closing bracket or closing double
    quote hanging on to it. Looks at the first 10,000 lines.
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
    """The splitter of raw text into words, by WORD_PATTERN; white space is left out."""
    return pre_tokenizers.Split(tokenizers.Regex(WORD_PATTERN), "removed", invert=True)


def split_words(text: str) -> list[str]:
    """The words of a raw sentence, by WORD_PATTERN."""
    # No word spans white space, and nothing in the pattern looks beyond it.
    return [word for chunk in _CHUNK.finditer(text) for word in _split_chunk(chunk[0])]


@lru_cache(maxsize=1 << 16)
def _split_chunk(chunk: str) -> tuple[str, ...]:
    """The words of text without white space. Text repeats itself: remembering doubles the speed."""
    if chunk.isalpha():
        return (chunk,)
    return tuple(word for word, _ in word_splitter().pre_tokenize_str(chunk))


def cut(line: str, size: int) -> Iterable[str]:
    """Pieces of about `size` characters, each after the first starting with the white space
    before a word, where a byte-level splitter starts a new piece anyway."""
    return [line] if len(line) <= size else _cut(line, size)


def _cut(line: str, size: int) -> Iterator[str]:
    start = 0
    while len(line) - start > size:
        space = _WORD_START.search(line, start + size - 1)
        if space is None:
            break
        yield line[start : space.start()]
        start = space.start()
    yield line[start:]
