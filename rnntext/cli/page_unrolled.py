"""A network unrolled in time, drawn on a terminal: boxes for states, arrows between them.

Knows: how wide a box must be, and how the steps are divided into blocks that fit the terminal. Does
not know: what stands in a box, or where the terminal is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from rnntext.cli.page_cells import CELL, cell, fixed, padded
from rnntext.plotting import page_style as style
from rnntext.plotting.page import Band, Unrolled

_MOST_CAPTION, _MOST_NAME = 18, 12
_GAP = 2  # columns between boxes, where the arrows are


@dataclass(frozen=True, slots=True)
class _Look:
    """The characters of boxes and arrows."""

    corners: str  # upper left, upper right, lower left, lower right
    line: str
    side: str
    up: str
    along: dict[str, str]


_LINES = _Look("┌┐└┘", "─", "│", "▲", {"→": "─▶", "←": "◀─"})
_ASCII = _Look("++++", "-", "|", "^", {"→": "->", "←": "<-"})


def draw(panel: Unrolled, width: int, coloured: bool) -> Iterator[Text]:
    """Yield the lines of the diagram, from the answers at its top to the tokens at its bottom."""
    names = [style.cut(band.name, _MOST_NAME) for band in panel.bands]
    margin = max(map(cell_len, names), default=0) + 1 + _GAP
    steps = [style.cut(step, _MOST_CAPTION) for step in panel.steps]
    value = 1 if coloured else CELL  # columns: without colours a sign and its strength
    inner = max([1, *map(cell_len, steps), *(_inner_width(band, value) for band in panel.bands)])
    outer = inner + 2 + _GAP
    in_block = max(1, (width - margin) // outer)
    for first in range(0, len(steps), in_block):
        block = range(first, min(first + in_block, len(steps)))
        if len(block) < len(steps):
            if first:
                yield Text()
            yield Text(f"steps {first + 1} to {block[-1] + 1} of {len(steps)}")
        below: Band | None = None
        drawn: list[list[Text]] = []
        for name, band in zip(names, panel.bands, strict=True):
            drawing = _Drawing(band, below, inner, value, coloured)
            drawn.append(drawing.lines(padded(name, margin - _GAP), block))
            below = band
        for lines in reversed(drawn):
            yield from map(fixed, lines)
        labels = "".join(padded(_centred(steps[step], inner + 2), outer) for step in block)
        yield fixed(Text(" " * margin + labels))


def _inner_width(band: Band, value: int) -> int:
    captions = [style.cut(line, _MOST_CAPTION) for lines in band.captions for line in lines]
    return max([int(band.values.shape[1]) * value, *map(cell_len, captions)])


def _has_content(band: Band, step: int) -> bool:
    return band.values.shape[1] > 0 or any(band.captions[step])


@dataclass(frozen=True, slots=True)
class _Drawing:
    """How one band is drawn."""

    band: Band
    below: Band | None
    inner: int  # columns inside a box
    value: int  # columns of a value
    coloured: bool

    def lines(self, name: str, block: range) -> list[Text]:
        """The lines of the band's boxes for some steps; none if no step has a box."""
        look = _LINES if self.coloured else _ASCII
        band = self.band
        if not any(_has_content(band, step) for step in block):
            return []
        boxes = [self._box(step, look) for step in block]
        height = max(map(len, boxes))
        arrow = look.along.get(band.along, " " * _GAP)
        found = []
        for row in range(height):
            # Arrows are at the first line inside the boxes.
            line = Text(name if row == 1 else " " * len(name))
            line.append(arrow if row == 1 and block[0] > 0 else " " * _GAP)
            for step, box in zip(block, boxes, strict=True):
                line.append(box[row] if box else " " * (self.inner + 2))
                is_last = step == len(band.captions) - 1
                line.append(arrow if row == 1 and not is_last else " " * _GAP)
            found.append(line)
        return found

    def _box(self, step: int, look: _Look) -> list[Text]:
        """The lines of one box: a strip of values, captions, and an arrow from below."""
        if not _has_content(self.band, step):
            return []
        band, inner = self.band, self.inner
        upper_left, upper_right, lower_left, lower_right = list(look.corners)
        lines = [Text(upper_left + look.line * inner + upper_right)]
        if band.values.shape[1]:
            strip = Text(look.side)
            for value in band.values[step].tolist():
                strip.append(*cell(value, band.low, band.high, self.value, self.coloured))
            strip.append(" " * (inner - int(band.values.shape[1]) * self.value) + look.side)
            lines.append(strip)
        rows = max(map(len, band.captions))
        for caption in [*band.captions[step], *[""] * rows][:rows]:
            text = _centred(style.cut(caption, _MOST_CAPTION), inner)
            lines.append(Text(look.side + padded(text, inner) + look.side))
        bottom = look.line * inner
        if self.below is not None and band.is_fed and _has_content(self.below, step):
            bottom = bottom[: inner // 2] + look.up + bottom[inner // 2 + 1 :]
        lines.append(Text(lower_left + bottom + lower_right))
        return lines


def _centred(text: str, width: int) -> str:
    return " " * ((width - cell_len(text)) // 2) + text
