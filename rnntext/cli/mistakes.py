"""Prints the worst mistakes of an evaluation.

Knows: how a mistake looks as tab-separated columns and in a table. Does not know: which
mistakes are the worst.
"""

from __future__ import annotations

from collections.abc import Sequence

from rnntext.cli import output
from rnntext.runtime.answers import Labels, Mistake

# Of a table, in terminal columns: the longest label and place, and the shortest text.
_LABEL, _PLACE, _TEXT = 24, 32, 16


def print_mistakes(mistakes: Sequence[Mistake], separator: str) -> None:
    """Print a table on a terminal, else an empty line and tab-separated columns: probability, gold,
    predicted, source and line, of a tagger the word, and the text. `separator` stands between the
    labels of one text."""
    if not mistakes:
        if output.on_terminal():
            output.console().print("no mistakes")
        return
    rows = [_columns(mistake, separator) for mistake in mistakes]
    if output.on_terminal():
        _print_table(rows)
        return
    output.write("\n")
    for chunk in output.in_chunks(map(output.tsv_line, rows)):
        output.write(chunk)


def _columns(mistake: Mistake, separator: str) -> list[str]:
    return [
        output.format_probability(mistake.probability),
        _joined(mistake.gold, separator),
        _joined(mistake.predicted, separator),
        f"{mistake.source}:{mistake.line}",
        *([] if mistake.word is None else [mistake.word]),
        mistake.text,
    ]


def _joined(labels: Labels, separator: str) -> str:
    return labels if isinstance(labels, str) else separator.join(labels)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    terminal = output.console()
    table = Table(title=Text("worst mistakes"), title_justify="left")
    words = ("word",) if len(rows[0]) == 6 else ()
    names = ("probability", "gold", "predicted", "where", *words, "text")
    short = [[_cut(name, value) for name, value in zip(names, row, strict=True)] for row in rows]
    # What the other columns and the lines between all columns leave for the text.
    widths = [max(Text(row[n]).cell_len for row in (*short, names)) for n in range(len(names) - 1)]
    taken = sum(widths) + 3 * len(names) + 1
    room = max(_TEXT, terminal.width - taken)
    # On a narrow terminal lines wrap, and nothing is squeezed out of sight.
    table.width = taken + room if taken + room > terminal.width else None
    for name in names:
        table.add_column(name, no_wrap=True, overflow="ignore")
    for row in short:
        text = Text(row[-1])
        text.truncate(room, overflow="ellipsis")
        table.add_row(*map(Text, row[:-1]), text)
    terminal.print(table)


def _cut(name: str, value: str) -> str:
    """A value as one line of what a terminal can show, cut to the most that its column takes."""
    line = "".join(c if c.isprintable() else " " for c in value[:1000])
    if name == "where":
        # The end tells more: the file's name and the line.
        return line if len(line) <= _PLACE else f"…{line[1 - _PLACE :]}"
    if name in ("gold", "predicted", "word"):
        return line if len(line) <= _LABEL else f"{line[: _LABEL - 1]}…"
    return line
