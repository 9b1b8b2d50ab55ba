"""Prints the metrics of an evaluation: as JSON, as tables on a terminal, or as lines in a pipe.

Knows: which tables a terminal has room for. Does not know: how metrics are computed, or bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rnntext.cli import output
from rnntext.cli.bounds import LABEL_FIGURES
from rnntext.config import SHOWN_LABELS

_MATRIX_LABELS = 12  # a larger matrix is not read on a terminal


def print_metrics(metrics: Mapping[str, Any], title: str, json: bool) -> None:
    """Print metrics as JSON, as tables on a terminal, or as `metric<TAB>value` lines: the metrics
    that are single numbers, then the figures of each label as `f1.LABEL`."""
    if json:
        output.write(output.json_line(metrics))
        return
    output.print_pairs(output.scalar_metrics(metrics), title)
    per_label = metrics.get("per_label", {})
    if not output.on_terminal():
        for chunk in output.in_chunks(_label_lines(per_label)):
            output.write(chunk)
        return
    if "per_label" in metrics:
        output.print_label_table(per_label, "by label")
    _print_confusion(metrics)
    if "thresholds" in metrics:
        _print_thresholds(metrics["thresholds"])


def _label_lines(per_label: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for label, scores in per_label.items():
        for figure in LABEL_FIGURES:
            yield output.tsv_line((f"{figure}.{label}", output.format_number(scores[figure])))


def _print_confusion(metrics: Mapping[str, Any]) -> None:
    """Print what gold labels were taken for: a matrix if it is small, else the most frequent
    confusions. Of several labels a text there is nothing to add to the table by label."""
    labels = metrics.get("labels", [])
    if "micro_f1" in metrics or not labels:
        return
    matrix = metrics.get("confusion")
    if matrix is not None and _fits(labels, matrix):
        _print_matrix(labels, matrix)
        return
    if matrix is None:
        pairs = metrics.get("confusion_pairs", [])
    else:
        pairs = [(g, p, count) for g, row in enumerate(matrix) for p, count in enumerate(row)]
    _print_confused([(labels[g], labels[p], count) for g, p, count in pairs if count and g != p])


def _fits(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> bool:
    from rich.cells import cell_len

    if len(labels) > _MATRIX_LABELS:
        return False
    names = [cell_len(output.cell(label).plain) for label in labels]
    counts = [max(len(str(row[number])) for row in matrix) for number in range(len(labels))]
    widths = [max(names), *map(max, names, counts)]
    return sum(widths) + 3 * len(widths) + 1 <= output.console().width


def _print_matrix(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> None:
    from rich.table import Table
    from rich.text import Text

    title = "confusion matrix: gold labels down, predicted labels across"
    # A title as wide as the table would be wrapped.
    table = Table(title_justify="left")
    table.add_column("gold")
    for label in labels:
        table.add_column(output.cell(label), justify="right")
    for label, row in zip(labels, matrix, strict=True):
        table.add_row(output.cell(label, "bold"), *map(str, row))
    terminal = output.console()
    terminal.print(Text(title, "italic"))
    terminal.print(table)


def _print_confused(confused: Sequence[tuple[str, str, int]]) -> None:
    if not confused:
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text("most frequent confusions"), title_justify="left")
    for name in ("gold", "predicted", "count"):
        table.add_column(name, justify="right" if name == "count" else "left")
    for gold, predicted, count in sorted(confused, key=lambda each: -each[2])[:SHOWN_LABELS]:
        table.add_row(output.cell(gold), output.cell(predicted), str(count))
    output.console().print(table)


def _print_thresholds(rows: Sequence[Mapping[str, float]]) -> None:
    from rich.table import Table
    from rich.text import Text

    title = Text("answers of at least some confidence", "italic")
    table = Table()
    names = ("threshold", "precision", "recall", "coverage")
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        rates = {name: f"{row[name]:.4f}" for name in names[1:]}
        if not row["coverage"]:
            rates["precision"] = ""  # of no answer
        table.add_row(output.format_number(row["threshold"]), *rates.values())
    terminal = output.console()
    terminal.print(title)
    terminal.print(table)
