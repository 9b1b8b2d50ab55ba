"""Fingerprints of texts that differ only in case, punctuation and white space.

Knows: which differences make two texts near duplicates. Does not know: what is done with them.
"""

from __future__ import annotations

import unicodedata


def fingerprint(content: tuple[str, ...]) -> int:
    """Return 64 bits that are equal for near duplicates, within one process.

    Near duplicates are contents whose words, joined by spaces, are equal after case folding,
    without punctuation (Unicode categories P) and with each run of white space as one space.
    A content of nothing but punctuation keeps it: `:)` and `:(` are no near duplicates.
    """
    text = " ".join(content).casefold()
    return hash(" ".join(text.translate(_WITHOUT_PUNCTUATION).split()) or " ".join(text.split()))


class _Deletions(dict[int, int | None]):
    """A table for `str.translate` that deletes punctuation; it grows with the characters seen."""

    def __missing__(self, code: int) -> int | None:
        is_punctuation = unicodedata.category(chr(code)).startswith("P")
        self[code] = None if is_punctuation else code
        return self[code]


_WITHOUT_PUNCTUATION = _Deletions()
