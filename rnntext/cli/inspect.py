"""`rnntext inspect VIEW`: views into a trained model.

Knows: which views there are. Does not know: any view; the modules of `cli/inspection/` are imported
when they are used.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from rnntext.cli.commands import LazyGroup, click_command, lazy_group
from rnntext.errors import UsageError

# Modules of `cli/inspection/` with a `command`, in the order of the help.
VIEWS = {
    "unroll": "The network unrolled over a text, with its real values.",
    "states": "The hidden state, or an LSTM's cell, over the words of a text.",
    "gates": "How far the gates of a GRU or an LSTM open at each word.",
    "memory": "How long models remember a token; how gradients vanish.",
    "surprise": "Which words surprise a language model, and what it expected.",
    "neighbours": "The nearest tokens of a word, and the nearest lines of a text.",
    "explain": "Which words decided a label or a tag.",
}


class _Views(LazyGroup):
    def build(self, name: str) -> Any:
        # NumPy and PyTorch read this when they are imported. The matrices of one step are so small
        # that threads would wait for each other far longer than they compute.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        return click_command(import_module(f"rnntext.cli.inspection.{name}").command, name)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        if not args and not ctx.resilient_parsing:
            raise UsageError(f"name a view: {', '.join(VIEWS)}")
        return super().parse_args(ctx, args)


command = lazy_group(
    _Views,
    VIEWS,
    name="inspect",
    help="Look inside a trained model: drawn on a terminal, or written to a picture or a page.",
    add_completion=False,
)
