"""Span tags in any of the usual schemes to BIO.

Knows: how IOB1, BIO, BIOES and BILOU write the spans of a sentence. Does not know: where tags
come from, or what is counted over spans.

The rule is the CoNLL-2003 scorer's: a span starts at B, S or U, at a change of type, and after
O, E, L, S or U; it goes on only through tags of its type. Under it no tag reads differently in
two schemes, so data need not name theirs, and a span that starts without its B is mended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

OUTSIDE = "O"
STARTS = frozenset("BSU")
ENDS = frozenset("ELSU")
_SPAN_TAG = re.compile("[BIESLU]-.+", re.DOTALL)


def span_scheme(sentences: Iterable[Sequence[str]]) -> str | None:
    """Name the scheme of all the tags of a data set: `bio`, `iob1`, `bioes`, `bilou` or None.

    None means that some tag is neither O nor a letter of BIESLU, a hyphen and a type, as with
    parts of speech, or that there is no span at all. Else, in this order: any E- or S- is
    BIOES, any L- or U- BILOU; any I- that starts a span is IOB1; BIO remains.
    """
    letters = set()
    bare_start = False
    for tags in sentences:
        for tag, bio in zip(tags, to_bio(tags), strict=True):
            if tag != OUTSIDE:
                if not _SPAN_TAG.fullmatch(tag):
                    return None
                letters.add(tag[0])
                bare_start = bare_start or (tag[0] == "I" and bio[0] == "B")
    if not letters:
        return None
    if letters & set("ES"):
        return "bioes"
    if letters & set("LU"):
        return "bilou"
    return "iob1" if bare_start else "bio"


def to_bio(tags: Sequence[str]) -> tuple[str, ...]:
    """Return one sentence's span tags in BIO; a tag that is no span tag stays and ends a span."""
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
