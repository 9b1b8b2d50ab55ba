"""Characters by which a text would make a column, a row or a terminal command of its own.

Knows: which they are, and what is written in their place: in a table, in JSON, on a terminal, in a
message. Does not know: files, consoles, or what a text is part of.

They are the control characters of ASCII and of ISO 6429 (C1, which terminals obey in UTF-8 too) and
Unicode's ends of lines and paragraphs.
"""

from __future__ import annotations

import json
import re

_CODES = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)


def _spaces(kept: str = "") -> dict[int, str]:
    return {code: " " for code in _CODES if chr(code) not in kept}


# For `str.translate`: each becomes a space, so that a field stays in its column and line.
ONE_LINE = _spaces()
# The same for several lines of text, which keep their ends and tabs.
LINES = _spaces("\n\t")
# The same for CSV, which quotes a field with the end of a line.
CSV_FIELD = _spaces("\t\n\r")

# JSON escapes those of ASCII but the last. Some readers of lines would end a line at the others.
_BARE_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029]")
_BARE_IN_MESSAGES = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def one_line(text: str) -> str:
    """Return `text` with a space in place of each run of white space and control characters."""
    return " ".join(text.translate(ONE_LINE).split())


def json_text(value: object) -> str:
    """Return `value` as JSON on one line, in characters that a terminal shows."""
    text = json.dumps(value, ensure_ascii=False)
    return _BARE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def visible(message: str) -> str:
    """Return a message of any number of lines with its control characters as escapes (`\\x1b`)."""
    return _BARE_IN_MESSAGES.sub(lambda found: repr(found[0])[1:-1], message)
