"""The trials of a search as text: a line for each, a table, and what was chosen and why.

Knows: the rows of a search's table. Does not know: where they are shown, or how a search is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rnntext.cli.fitting import LOG_COLUMNS
from rnntext.training.declaration import flag_of
from rnntext.training.search import Choice, Trial

if TYPE_CHECKING:
    from rich.table import Table

# Metrics that are shown beside the one that is compared.
_BESIDE = ("perplexity", "accuracy", "f1", "macro_f1")
_HEADINGS = ("trial", "minutes", "options", "steps")
_LEAST_OPTIONS = 20  # columns


def changes(options: Mapping[str, Any]) -> str:
    """The options of a trial as flags."""
    return " ".join(f"{flag_of(name)} {value}" for name, value in options.items()) or "defaults"


def outcome(trial: Trial, target: str) -> str:
    """What came of a trial, in a line."""
    if trial.error is not None:
        return f"failed: {trial.error}"
    figures = [f"{name} {trial.metrics[name]:.4g}" for name in _shown([trial], target)]
    return f"{'  '.join(figures)}  ({trial.steps:,} steps, {trial.seconds:.0f} s)"


def table(trials: Sequence[Trial], target: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows. A row ends with `failed`, `chosen`, `kept` (its model was saved in place
    of that of the final run), both of these or nothing."""
    names = _shown(trials, target)
    rows = []
    for trial in trials:
        figures = [f"{trial.metrics[n]:.4g}" if n in trial.metrics else "" for n in names]
        notes = {"failed": not trial.done, "chosen": trial.chosen, "kept": trial.kept}
        rows.append(
            [
                str(trial.trial),
                f"{trial.minutes:.2g}",
                changes(trial.options),
                f"{trial.steps:,}",
                *figures,
                ", ".join(name for name, is_so in notes.items() if is_so),
            ]
        )
    return [*_HEADINGS, *names, ""], rows


def plain_table(trials: Sequence[Trial], target: str) -> list[str]:
    """The table as lines with aligned columns. Options that would make a line of a log too long go
    on in further lines."""
    headings, rows = table(trials, target)
    place = headings.index("options")
    cells = [headings, *rows]
    others = sum(max(len(row[n]) for row in cells) + 2 for n in range(len(headings)) if n != place)
    room = max(_LEAST_OPTIONS, LOG_COLUMNS - others)
    cells = [line for row in cells for line in _broken(row, place, room)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _broken(row: list[str], place: int, columns: int) -> list[list[str]]:
    """A row as several, each with so much of the cell at `place`, which are flags with values."""
    cell = row[place].replace(" --", "\n--")
    parts = [""]
    for flag in cell.split("\n"):
        joined = f"{parts[-1]} {flag}".strip()
        if len(joined) <= columns:
            parts[-1] = joined
        else:
            parts.append(flag)
    parts = [part for part in parts if part]
    blank = [""] * len(row)
    firsts = [row, *[blank] * (len(parts) - 1)]
    return [[*r[:place], part, *r[place + 1 :]] for r, part in zip(firsts, parts, strict=True)]


def rich_table(trials: Sequence[Trial], target: str) -> Table:
    """The table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    headings, rows = table(trials, target)
    found = Table(title=Text("trials of the search"), title_justify="left")
    for heading in headings:
        found.add_column(heading, justify="left" if heading in ("options", "") else "right")
    for row in rows:
        found.add_row(*map(Text, row), style="bold" if row[-1] not in ("", "failed") else "")
    return found


def decision(choice: Choice) -> str:
    """Which options were chosen, beside those of the defaults, and why."""
    target, best, default = choice.target, choice.best, choice.default
    figure = f"{target} {choice.trial.metrics[target]:.4g}"
    if default is None:
        return f"chosen: {changes(choice.trial.options)} ({figure}; the defaults failed)"
    margin = f"{choice.margin:.2g}"
    if target == "perplexity":  # its score is in nats, of which a hundredth is a percent
        margin = f"{100 * choice.margin:.2g} %"
    if choice.trial.candidate:
        return (
            f"chosen: {changes(choice.trial.options)} ({figure}; the defaults for as long "
            f"{default.metrics[target]:.4g}; margin {margin})"
        )
    if best.candidate:
        return (
            f"the defaults stay: trial {best.trial} is better by less than chance allows "
            f"({target} {best.metrics[target]:.4g}, the defaults for as long "
            f"{default.metrics[target]:.4g}; margin {margin})"
        )
    return f"the defaults are the best ({figure})"


def _shown(trials: Sequence[Trial], target: str) -> list[str]:
    known = {name for trial in trials for name in trial.metrics}
    return [name for name in dict.fromkeys((target, *_BESIDE)) if name in known]
