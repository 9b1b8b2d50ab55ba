"""Scripts that are written without spaces between words.

Knows: which letters belong to such a script, and where in a text a word may end beside one. Does
not know: tokens, or where words really end, which no rule of characters can tell.

The rule looks at each character by itself and not at the language or at the training data, so it
holds in mixed text: English words in Chinese are words, Chinese characters in English are units.
Korean and Vietnamese are written with spaces. A character's script is told by its name in the
Unicode Character Database, because Python's `unicodedata` does not have the property Script.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Beginnings of names. Han, kana and Bopomofo, and the scripts of South East Asia and Tibet whose
# line breaks need a dictionary or a rule of syllables (Unicode Standard Annex 14, class SA).
_NAMES = (
    "CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC ", "VERTICAL IDEOGRAPHIC ",
    "HIRAGANA ", "KATAKANA", "HALFWIDTH KATAKANA", "BOPOMOFO ", "YI SYLLABLE ",
    "THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN ", "JAVANESE ", "BALINESE ", "AHOM ",
    "TAI LE ", "TAI THAM ", "TAI VIET ", "NEW TAI LUE ",
)  # fmt: skip


def is_unspaced(character: str) -> bool:
    """Return whether a character is a letter of a script without spaces between words. Digits and
    combining marks are not."""
    if unicodedata.category(character) not in ("Lo", "Lm", "Nl"):
        return False
    return unicodedata.name(character, "").startswith(_NAMES)


def unit_edges(text: str) -> set[int]:
    """Return the offsets in a text, its start and end included, at which a word may begin or end
    without a space: before each letter of such a script, and after it and its combining marks."""
    if text.isascii():
        return set()
    units = _UNIT.finditer(text.translate(_CLASSES))
    return {edge for unit in units for edge in unit.span()}


def lacks_spaces(lines: Iterable[str]) -> bool:
    """Return whether the words of a text are not separated by spaces.

    The rule: over a third of the characters other than white space are letters of such a script,
    and such a letter stands on average in a run of more than eight of them. Words of segmented text
    are shorter: two characters in Chinese and Japanese, five in Thai.
    """
    letters = weighted = characters = 0
    for line in lines:
        chunk = "".join(line.split())
        characters += len(chunk)
        if not line.isascii():
            for run in _RUN.finditer(line.translate(_CLASSES)):
                size = len(run[0]) - run[0].count("m")
                letters += size
                weighted += size * size
    return letters > characters / 3 and weighted > 8 * letters


class _Classes(dict[int, str]):
    """The class of each character, for `str.translate`: `u` a letter of such a script, `m` a
    combining mark, `-` anything else."""

    def __missing__(self, code_point: int) -> str:
        character = chr(code_point)
        is_mark = unicodedata.category(character)[0] == "M"
        self[code_point] = found = "u" if is_unspaced(character) else "m" if is_mark else "-"
        return found


_CLASSES = _Classes()
_UNIT = re.compile("um*")
_RUN = re.compile("u[um]*")
