"""The encoding that bytes seem to have, where they are not in the one that was named.

Knows: the marks and the zero bytes of UTF-16 and UTF-32, and the escape sequences of ISO 2022. Does
not know: files, or 8-bit encodings, which nothing tells apart.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

# In this order, because the mark of UTF-32-LE begins with that of UTF-16-LE.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Designations of sets of two bytes (RFC 1468, 1554, 1557), which no terminal uses.
_ESCAPE = re.compile(rb"\x1b\$(?:[@AB]|[()][A-DO-Q])")
_ISO_2022 = ("iso-2022-kr", "iso-2022-jp", "iso-2022-jp-2", "iso-2022-jp-3", "iso-2022-jp-ext")
# Characters that text has not: others, such as those of no use yet, and controls but white space.
_NO_TEXT = {"Cc", "Cn", "Co", "Cs"}
_WHITE_SPACE = {"\t", "\n", "\r", "\f", " "}


def wide_encoding(start: bytes) -> str | None:
    """Return the name of the form of UTF-16 or UTF-32 that the start of a file with zero bytes is
    in; None if it is none of them.

    Without a mark it is the one whose zero bytes are where those of ASCII characters are, if the
    start is text in it: no other characters than those of text, and white space, or a quarter of
    zero bytes, as Latin letters have them.
    """
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            return name
    zeros = [start[place::4].count(0) for place in range(4)]
    forms = {"utf-32-le": zeros[3], "utf-32-be": zeros[0]}
    names = [name for name, count in forms.items() if count >= len(start) // 4 > 0]
    names.append("utf-16-le" if zeros[1] + zeros[3] > zeros[0] + zeros[2] else "utf-16-be")
    many = 4 * sum(zeros) >= len(start)
    return next((name for name in names if _is_text(_decoded(start, name), many)), None)


def escaped_encoding(data: bytes) -> tuple[int, str] | None:
    """Return where an encoding of 7 bits begins to use its escape sequences, and its name; None if
    there is none. It looks like ASCII and is text in no other encoding."""
    found = _ESCAPE.search(data)
    if found is None:
        return None
    name = next((name for name in _ISO_2022 if _decoded(data, name) is not None), None)
    return None if name is None else (found.start(), name)


def _decoded(data: bytes, name: str) -> str | None:
    """The text, of which the last character may be cut; None if there is another error."""
    try:
        return codecs.getincrementaldecoder(name)().decode(data)
    except UnicodeDecodeError:
        return None


def _is_text(text: str | None, many_zeros: bool) -> bool:
    characters = set(text or "")
    others = characters - _WHITE_SPACE
    if "\ufeff" in others or any(unicodedata.category(each) in _NO_TEXT for each in others):
        return False
    return bool(characters) and (many_zeros or characters != others)
