"""Text for a terminal whose encoding lacks some of its characters.

Knows: what stands in the place of such a character, and how Python's streams are set so that none
is an error. Does not know: which text is printed. A pipe or a file gets UTF-8, whatever the locale
says: the text in it is data.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from io import TextIOWrapper

from rnntext.text.columns import columns_of_character


def _pairs() -> Iterable[tuple[str, str]]:
    yield from zip("─━═│┃║", "---|||", strict=True)
    yield from zip("●…±×·•–—−‘’“”→←", "@.~x.*---''\"\"><", strict=True)
    # Corners and crossings of boxes, braille dots, and blocks.
    yield from ((chr(code), "+") for code in range(0x250C, 0x2580))
    yield from ((chr(code), "*") for code in range(0x2801, 0x2900))
    yield from ((chr(code), "#") for code in range(0x2580, 0x25A0))
    yield "\u2800", " "


_ASCII = dict(reversed([*_pairs()]))


def encodable(text: str, encoding: str | None) -> str:
    """Return text of as many columns that `encoding` has: an ASCII form of what is drawn with, and
    a question mark in each column of other characters."""
    encoding = encoding or "utf-8"
    if _has(text, encoding):
        return text
    return "".join(char if _has(char, encoding) else _replacement(char) for char in text)


def _has(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _replacement(char: str) -> str:
    return _ASCII.get(char) or "?" * columns_of_character(char)


def prepare_streams() -> None:
    """Set the streams so that no character is an error: on a terminal a question mark stands for
    what its encoding lacks, and a pipe or a file gets UTF-8."""
    if isinstance(sys.stdout, TextIOWrapper):
        encoding = None if sys.stdout.isatty() else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors="replace")
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
