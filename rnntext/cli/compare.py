"""`rnntext compare`: models side by side."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rnntext.cli.commands import LazyGroup, lazy_group
from rnntext.errors import UsageError

# Names and summaries, and the module of `cli/comparison/` whose `build` makes the Click command of
# a name, in the order of the help.
COMPARISONS = {
    "lm": ("tasks", "Compare language models on your text."),
    "classify": ("tasks", "Compare text classifiers on your labelled texts."),
    "tag": ("tasks", "Compare taggers on your tagged sentences."),
    "memory": ("memory", "Compare how far back networks remember, on made-up tasks."),
}


class _Comparisons(LazyGroup):
    def build(self, name: str) -> Any:
        module, summary = COMPARISONS[name]
        return import_module(f"rnntext.cli.comparison.{module}").build(name, summary)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        if not args and not ctx.resilient_parsing:
            raise UsageError(f"name what to compare: {', '.join(COMPARISONS)}")
        return super().parse_args(ctx, args)


command = lazy_group(
    _Comparisons,
    {name: summary for name, (_, summary) in COMPARISONS.items()},
    name="compare",
    help="Train recurrent networks and simpler models side by side, and print one table.",
    subcommand_metavar=f"{'|'.join(COMPARISONS)} [DATA]...",
    add_completion=False,
)
