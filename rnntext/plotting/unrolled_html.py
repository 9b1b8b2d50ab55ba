"""A network unrolled in time as a table of a web page: boxes for states, arrows between them.

Knows: HTML. Does not know: the page around it, or where the numbers come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from rnntext.plotting import page_style as style
from rnntext.plotting.page import Band, Unrolled

STYLE = """
.unrolled { font: 12px/1.3 ui-monospace, monospace; overflow-wrap: normal; text-align: center; }
.unrolled th { font-weight: normal; text-align: right; padding-right: .5rem; white-space: pre; }
.unrolled td { padding: 0; white-space: pre; }
.unrolled .box { border: 1px solid var(--quiet); border-radius: 4px; padding: 2px 4px; }
.unrolled .strip { display: flex; } .unrolled .strip i { flex: 1; min-width: 7px; height: 14px; }
.unrolled .arrow { color: var(--quiet); padding: 0 2px; }
"""


def draw(panel: Unrolled) -> Iterator[str]:
    """Yield the parts of the diagram, from the answers at its top to the tokens at its bottom."""
    yield '<div class="wide"><table class="unrolled">\n'
    for number in range(len(panel.bands))[::-1]:
        band = panel.bands[number]
        yield f'<tr><th scope="row">{_text(band.name)}</th>'
        for step in range(len(panel.steps)):
            yield f"<td>{_box(band, step)}</td>"
            if step < len(panel.steps) - 1:
                yield f'<td class="arrow">{band.along}</td>'
        yield "</tr>\n"
        if number:
            yield "<tr><td></td>"
            for step in range(len(panel.steps)):
                arrow = "↑" if band.is_fed and _box(band, step) else " "
                yield f'<td class="arrow">{arrow}</td>'
                yield "<td></td>" if step < len(panel.steps) - 1 else ""
            yield "</tr>\n"
    yield "<tr><td></td>"
    for step, label in enumerate(panel.steps):
        yield f"<td>{_text(label)}</td>" + ("<td></td>" if step < len(panel.steps) - 1 else "")
    yield "</tr>\n</table></div>"


def _box(band: Band, step: int) -> str:
    captions = "<br>".join(_text(line) for line in band.captions[step] if line)
    strip = "".join(
        f'<i title="{style.show_exactly(value)}" style="background:{_colour(value, band)}"></i>'
        for value in band.values[step].tolist()
    )
    if not (captions or strip):
        return ""
    strip = f'<div class="strip">{strip}</div>' if strip else ""
    return f'<div class="box">{strip}{captions}</div>'


def _colour(value: float, band: Band) -> str:
    found = style.colour_of(value, band.low, band.high)
    return style.hex_of(found) if found else "none"


def _text(text: str) -> str:
    return escape(style.one_line(text))
