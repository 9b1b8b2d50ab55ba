"""Converts span tags of the common schemes to BIO.

Knows: how IOB1, BIO, BIOES and BILOU encode the spans of a sentence, with a type before or after
the letter (`B-PER`, `PER-B`) or without (`B`). Does not know: where tags come from, or metrics over
spans.

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
# Where the type of a span stands.
FIRST, LAST, NONE = "first", "last", "none"
_TAGS = {
    LAST: re.compile("(?P<letter>[BIESLU])-(?P<kind>.+)", re.DOTALL),
    FIRST: re.compile("(?P<kind>.+)-(?P<letter>[BIESLU])", re.DOTALL),
    NONE: re.compile("(?P<letter>[BIESLU])(?P<kind>)"),
}


def place_of_types(sentences: Iterable[Sequence[str]]) -> str | None:
    """Return where the types of the span tags of a data set stand: LAST (`B-PER`), FIRST (`PER-B`)
    or NONE (`B`).

    None means that its tags are not span tags: that there is no span, or that some tag is neither O
    nor of the same form as the others (a part of speech, for example). Where the type stands first,
    or there is none, one of them is a B or an I.
    """
    tags = {tag for sentence in sentences for tag in sentence} - {OUTSIDE}
    for place, pattern in _TAGS.items():
        found = [pattern.fullmatch(tag) for tag in tags]
        letters = {match["letter"] for match in found if match}
        if all(found) and (letters & set("BI") or (letters and place == LAST)):
            return place
    return None


def to_bio(tags: Sequence[str], place: str = LAST) -> tuple[str, ...]:
    """Convert the tags of a sentence to BIO, `B-PER` or without a type `B`; other tags than span
    tags are kept, and end a span. `place`: where the types stand."""
    result = []
    open_type: str | None = None
    for tag in tags:
        match = _TAGS[place].fullmatch(tag)
        if match is None:
            result.append(tag)
            open_type = None
            continue
        letter, kind = match["letter"], match["kind"]
        bio = "B" if letter in STARTS or kind != open_type else "I"
        result.append(f"{bio}-{kind}" if kind else bio)
        open_type = None if letter in ENDS else kind
    return tuple(result)
