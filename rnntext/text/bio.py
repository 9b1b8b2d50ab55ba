"""Converts span tags of the common schemes to BIO.

Knows: how IOB1, BIO, BIOES and BILOU encode the spans of a sentence. Does not know: where tags come
from, or metrics over spans.

The rule is the CoNLL-2003 scorer's: a span starts at B, S or U, at a change of type, and after
O, E, L, S or U; it continues only over tags of its type. Under this rule a tag means the same in
every scheme, so the scheme of the data need not be known, and a span without its B is repaired.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

OUTSIDE = "O"
STARTS = frozenset("BSU")
ENDS = frozenset("ELSU")
_SPAN_TAG = re.compile("[BIESLU]-.+", re.DOTALL)


def span_scheme(sentences: Iterable[Sequence[str]]) -> str | None:
    """Return the scheme of the tags of a data set: `bio`, `iob1`, `bioes`, `bilou` or None.

    None means that there is no span, or that some tag is neither O nor a letter of BIESLU, a hyphen
    and a type (a part of speech, for example). Otherwise any E- or S- means BIOES, else any L- or
    U- BILOU, else any I- that starts a span IOB1, else BIO.
    """
    letters = set()
    starts_with_i = False
    for tags in sentences:
        for tag, bio in zip(tags, to_bio(tags), strict=True):
            if tag != OUTSIDE:
                if not _SPAN_TAG.fullmatch(tag):
                    return None
                letters.add(tag[0])
                starts_with_i = starts_with_i or (tag[0] == "I" and bio[0] == "B")
    if not letters:
        return None
    if letters & set("ES"):
        return "bioes"
    if letters & set("LU"):
        return "bilou"
    return "iob1" if starts_with_i else "bio"


def to_bio(tags: Sequence[str]) -> tuple[str, ...]:
    """Convert the tags of a sentence to BIO; other tags than span tags are kept, and end a span."""
    result = []
    open_type: str | None = None
    for tag in tags:
        if _SPAN_TAG.fullmatch(tag):
            letter, kind = tag[0], tag[2:]
            starts = letter in STARTS or kind != open_type
            result.append(f"{'B' if starts else 'I'}-{kind}")
            open_type = None if letter in ENDS else kind
        else:
            result.append(tag)
            open_type = None
    return tuple(result)
