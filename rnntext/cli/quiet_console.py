"""A Rich console that no text can drive, and no character can break.

Knows: Rich, and which characters a terminal obeys or cannot show. Does not know: what is printed.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from rnntext.cli.encodings import encodable
from rnntext.text.controls import LINES

# Rich counts control characters as no columns, so that leaving them out keeps tables aligned.
_LEFT_OUT = dict.fromkeys(LINES)


class QuietConsole(Console):
    """Leaves control characters out of what it prints, except its own: those of colours, and of
    moving the cursor. What the terminal's encoding lacks is replaced."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                text = segment.text.translate(_LEFT_OUT)
                yield segment._replace(text=encodable(text, self.encoding))
