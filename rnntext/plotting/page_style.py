"""What all drawings of a page share: colours of values, and texts that are safe to show.

Knows: which colour a value has on a scale, which colour of letters can be read on it, and what
of a user's text may be shown. Does not know: Rich, Matplotlib or HTML.

Colours are those that people with a red-green deficiency tell apart: blue and orange to red
for the two signs, and one scale whose lightness rises steadily for shares.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from rnntext.plotting.curves import format_value
from rnntext.plotting.page import ColouredText, Heatmap, Line, Piece
from rnntext.text.columns import columns_of, columns_of_character

Colour = tuple[int, int, int]  # red, green and blue, each 0 to 255
Values = NDArray[np.float64]

# Colours at equal distances, between which others are interpolated. All of them are colours of
# terminals that have 256, which then show the same steps as others.
_NEGATIVE = (
    *((255, 255, 255), (215, 215, 255), (175, 215, 255), (135, 175, 255), (95, 135, 255)),
    *((0, 95, 215), (0, 0, 175)),
)
_POSITIVE = (
    *((255, 255, 255), (255, 215, 175), (255, 175, 135), (255, 135, 95), (255, 95, 0)),
    *((215, 95, 0), (175, 0, 0)),
)
_RISING = (
    *((0, 0, 95), (0, 0, 135), (0, 95, 135), (0, 135, 135), (0, 175, 135), (95, 215, 95)),
    *((175, 215, 95), (215, 255, 95), (255, 255, 135)),
)
BLACK, WHITE = (0, 0, 0), (255, 255, 255)

# A piece of a text below this strength has no colour: most of a text should read as text.
_WEAK = 1 / 8
_NOTES = 8  # of a text that are written beside it
NO_VALUE = "no value"


def strength(value: float, low: float, high: float) -> float:
    """Return how far a value is along its scale, from 0 to 1: from zero for a scale with negative
    values, else from `low`. NaN is 0."""
    if math.isnan(value):
        return 0.0
    most = max(-low, high) if low < 0 else high - low
    if most <= 0:
        return 0.0
    way = abs(value) if low < 0 else value - low
    return min(max(way / most, 0.0), 1.0)


def colour_of(value: float, low: float, high: float, stepped: bool = False) -> Colour | None:
    """Return the colour of a value; None for NaN. `stepped`: the nearest of the few colours that a
    terminal with 256 shows as they are."""
    if math.isnan(value):
        return None
    anchors = _RISING if low >= 0 else _POSITIVE if value >= 0 else _NEGATIVE
    place = strength(value, low, high) * (len(anchors) - 1)
    if stepped:
        return anchors[round(place)]
    first = min(int(place), len(anchors) - 2)
    part = place - first
    red, green, blue = (
        round(a + (b - a) * part) for a, b in zip(anchors[first], anchors[first + 1], strict=True)
    )
    return red, green, blue


def text_colour(value: float, low: float, high: float, stepped: bool = False) -> Colour | None:
    """Return the colour behind a piece of text; None for NaN and for a weak value."""
    return None if strength(value, low, high) < _WEAK else colour_of(value, low, high, stepped)


def ink_on(colour: Colour) -> Colour:
    """Return black or white, which has more contrast on `colour` (by the relative luminance of
    WCAG 2.1)."""
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in colour)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return BLACK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else WHITE


def hex_of(colour: Colour) -> str:
    """Write a colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def scale_marks(low: float, high: float) -> list[float]:
    """Return the values that a legend names: the ends of the scale, and zero between them."""
    return [low, 0.0, high] if low < 0 < high else [low, high]


def gradient(low: float, high: float, count: int) -> list[float]:
    """Return `count` values at equal distances, for a legend."""
    return [float(value) for value in np.linspace(low, high, count)]


# Text


def one_line(text: str) -> str:
    """Return text for one line: white space as spaces, and a replacement character for whatever
    a terminal would obey or cannot show."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else "\ufffd" for char in text
    )


def flowing(text: str) -> str:
    """Return text that may have several lines: as `one_line`, but with its line ends."""
    return "\n".join(map(one_line, text.replace("\r\n", "\n").split("\n")))


def cut(text: str, most: int) -> str:
    """Return text of one line in at most `most` columns; an ellipsis shows that it was cut."""
    line = one_line(text)
    if columns_of(line) <= most:
        return line
    kept, used = [], 0
    for char in line:
        used += columns_of_character(char)
        if used >= most:
            break
        kept.append(char)
    return "".join(kept) + "…"


def show_number(value: float) -> str:
    """Write a value with four significant digits."""
    return NO_VALUE if math.isnan(value) else format_value(value)


def show_exactly(value: float) -> str:
    """Write a value with seven significant digits, which is all that a float32 has."""
    return NO_VALUE if math.isnan(value) else f"{value:.7g}"


def show_field(value: str | float) -> str:
    """Write a field of a table."""
    return show_number(value) if isinstance(value, float | np.floating) else str(value)


def is_numeric(column: Iterable[str | float]) -> bool:
    """Return True for a column that stands at the right."""
    return all(not isinstance(value, str) for value in column)


def without_margins(text: str) -> tuple[str, str, str]:
    """Split text into the white space before it, the text and the white space behind it."""
    inner = text.strip()
    start = text.index(inner)
    return text[:start], inner, text[start + len(inner) :]


# Parts of panels


def describe(panel: Heatmap) -> str:
    """Say what a row and a column of a heatmap are; empty where the panel does not."""
    names = [("row", panel.row_name), ("column", panel.column_name)]
    return ", ".join(f"each {place} is one {one_line(name)}" for place, name in names if name)


def strongest(panel: ColouredText, count: int) -> list[Piece]:
    """Return the pieces with the strongest values, strongest first; weak ones are none of them."""
    coloured = [p for p in panel.pieces if strength(p.value, panel.low, panel.high) >= _WEAK]
    return sorted(coloured, key=lambda p: strength(p.value, panel.low, panel.high), reverse=True)[
        :count
    ]


def written_notes(panel: ColouredText) -> list[Piece]:
    """Return the pieces whose notes stand below the text, strongest first."""
    noted = [piece for piece in strongest(panel, len(panel.pieces)) if piece.note]
    return noted[:_NOTES]


def drawable(line: Line, log_y: bool) -> Line:
    """Return the line without points that cannot be drawn: values that are not finite and, on a
    logarithmic axis, those that are not positive."""
    x, y = np.asarray(line.x, np.float64), np.asarray(line.y, np.float64)
    kept = np.isfinite(x) & np.isfinite(y) & ((y > 0) | (not log_y))
    error = None
    if line.error is not None:
        error = np.asarray(line.error, np.float64)[kept]
        error = np.where(np.isfinite(error), error, 0)
    return Line(line.name, x[kept], y[kept], error)


# Lines of letters of equal width

Fragment = tuple[str, Colour | None]  # text, and the colour behind it


def flow(fragments: Iterable[Fragment], width: int) -> list[list[Fragment]]:
    """Break coloured text into lines of at most `width` columns, at spaces where there are any. A
    space that does not fit into a line is left out."""
    lines: list[list[Fragment]] = [[]]
    used = 0
    for word in _words(fragments):
        size = sum(columns_of(char) for char, _ in word)
        if word[0][0] == "\n" or (used and used + size > width):
            lines.append([])
            used = 0
            if word[0][0] in " \n":
                continue
        for char, colour in word:
            if used and used + columns_of(char) > width:
                lines.append([])
                used = 0
            line = lines[-1]
            if line and line[-1][1] == colour:
                line[-1] = (line[-1][0] + char, colour)
            else:
                line.append((char, colour))
            used += columns_of(char)
    return lines


def _words(fragments: Iterable[Fragment]) -> Iterator[list[Fragment]]:
    """Split into words, spaces and line ends: each a list of characters with their colours."""
    word: list[Fragment] = []
    for text, colour in fragments:
        for char in text:
            if char not in " \n":
                word.append((char, colour))
                continue
            if word:
                yield word
            word = []
            yield [(char, colour)]
    if word:
        yield word
