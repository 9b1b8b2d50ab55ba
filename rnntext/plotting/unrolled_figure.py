"""A network unrolled in time, drawn by Matplotlib: boxes for states, arrows between them.

Knows: Matplotlib, and how the steps are divided into blocks that fit a width. Does not know: the
page around it, or where the numbers come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

from rnntext.plotting import page_style as style
from rnntext.plotting.page import Band, Unrolled
from rnntext.text.columns import columns_of

_SIZE = 8.0  # of letters, in points
_LINE = 1.35 * _SIZE / 72  # inches
_LETTER = 0.602 * _SIZE / 72
_MONO = "DejaVu Sans Mono"
_STRIP, _PAD = 0.16, 0.05  # inches: the height of a strip of values, and the room around it
_ACROSS, _UP = 0.26, 0.24  # inches of an arrow
_MOST_CAPTION, _MOST_NAME = 18, 14
_GREY = "0.45"


@dataclass(frozen=True, slots=True)
class Layout:
    """How a diagram fills a width: all lengths in inches."""

    panel: Unrolled
    width: float

    @property
    def box(self) -> float:
        """The width of a box."""
        texts = [*self.panel.steps, *(t for b in self.panel.bands for c in b.captions for t in c)]
        columns = max(columns_of(style.cut(text, _MOST_CAPTION)) for text in texts)
        most = max(int(band.values.shape[1]) for band in self.panel.bands)
        return max(columns * _LETTER, most * 0.06) + 2 * _PAD

    @property
    def margin(self) -> float:
        """The width of the names of the bands, and of an arrow from the block before."""
        names = (columns_of(style.cut(b.name, _MOST_NAME)) for b in self.panel.bands)
        return (max(names) + 1) * _LETTER + _ACROSS

    @property
    def blocks(self) -> list[range]:
        """The steps that stand beside each other."""
        steps = len(self.panel.steps)
        count = max(1, int((self.width - self.margin) / (self.box + _ACROSS)))
        return [range(first, min(first + count, steps)) for first in range(0, steps, count)]

    @property
    def block_height(self) -> float:
        return sum(self.height_of(band) + _UP for band in self.panel.bands) + _LINE

    def height_of(self, band: Band) -> float:
        lines = max(map(len, band.captions))
        return (_STRIP if band.values.shape[1] else 0) + lines * _LINE + 2 * _PAD


def draw(layout: Layout, axes: Axes, block: Sequence[int]) -> None:
    """Draw a block of steps into axes of the layout's width and the height of a block."""
    axes.set_xlim(0, layout.width)
    axes.set_ylim(0, layout.block_height)
    axes.set_axis_off()
    panel, pitch = layout.panel, layout.box + _ACROSS
    for place, step in enumerate(block):
        middle = layout.margin + place * pitch + layout.box / 2
        _write(axes, middle, _LINE / 2, style.cut(panel.steps[step], _MOST_CAPTION))
    lower = _LINE
    for number, band in enumerate(panel.bands):
        height = layout.height_of(band)
        lower += _UP
        _write(axes, 0, lower + height / 2, style.cut(band.name, _MOST_NAME), ha="left")
        for place, step in enumerate(block):
            left = layout.margin + place * pitch
            if not _has_content(band, step):
                continue
            _draw_box(axes, band, step, left, lower, layout.box, height)
            is_read = number == 0 or _has_content(panel.bands[number - 1], step)
            if band.is_fed and is_read:
                _draw_arrow(axes, (left + layout.box / 2, lower - _UP), (0, _UP))
            if band.along and step > 0:
                start = (left - _ACROSS, lower + height / 2)
                _draw_arrow(axes, start, (_ACROSS, 0), turned=band.along == "←")
        lower += height


def _draw_box(
    axes: Axes, band: Band, step: int, left: float, lower: float, width: float, height: float
) -> None:
    axes.add_patch(Rectangle((left, lower), width, height, fill=False, edgecolor=_GREY))
    top = lower + height - _PAD
    values = band.values[step].tolist()
    if values:
        each = (width - 2 * _PAD) / len(values)
        for place, value in enumerate(values):
            colour = style.colour_of(value, band.low, band.high)
            corner = (left + _PAD + place * each, top - _STRIP)
            shade = style.hex_of(colour) if colour else "0.85"
            axes.add_patch(Rectangle(corner, each, _STRIP, color=shade, linewidth=0))
        top -= _STRIP
    for caption in band.captions[step]:
        _write(axes, left + width / 2, top - _LINE / 2, style.cut(caption, _MOST_CAPTION))
        top -= _LINE


def _draw_arrow(
    axes: Axes, start: tuple[float, float], way: tuple[float, float], turned: bool = False
) -> None:
    end = (start[0] + way[0], start[1] + way[1])
    style_of_arrow = "<|-" if turned else "-|>"
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle=style_of_arrow, mutation_scale=7, color=_GREY, linewidth=0.8,
            shrinkA=1, shrinkB=1,
        )
    )  # fmt: skip


def _write(axes: Axes, x: float, y: float, text: str, ha: str = "center") -> None:
    axes.text(
        x, y, text, fontsize=_SIZE, fontfamily=_MONO, ha=ha, va="center_baseline", parse_math=False
    )


def _has_content(band: Band, step: int) -> bool:
    return band.values.shape[1] > 0 or any(band.captions[step])
