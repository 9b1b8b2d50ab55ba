"""Metrics as lines in a pipe and as tables on a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rnntext.cli.metric_tables import print_metrics
from tests.cli.screens import pipe, screen, written

SCORES = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 4}


def of_labels(*labels: str, **more: Any) -> dict[str, Any]:
    return {"accuracy": 0.5, "per_label": dict.fromkeys(labels, SCORES), **more}


def rows_of(shown: str) -> list[list[str]]:
    """The cells of each row of a table."""
    lines = [line.replace("┃", "│") for line in shown.splitlines() if line[:1] in ("│", "┃")]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]


def test_a_pipe_has_the_figures_of_each_label(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    print_metrics(of_labels("naïve", "a\tb", confusion=[[1, 0], [0, 1]]), "title", False)
    assert written(reader) == (
        "accuracy\t0.5\n"
        "precision.naïve\t0.5\nrecall.naïve\t0.25\nf1.naïve\t0.333333\nsupport.naïve\t4\n"
        "precision.a b\t0.5\nrecall.a b\t0.25\nf1.a b\t0.333333\nsupport.a b\t4\n"
    )
    reader = pipe(monkeypatch)
    print_metrics({"perplexity": 2.5}, "title", False)
    assert written(reader) == "perplexity\t2.5\n"


def test_a_label_is_one_row_and_column_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = ["a\nb", "\x1b[2Jc"]
    terminal = screen(monkeypatch, columns=90)
    matrix = {"confusion": [[1, 2], [3, 4]], "labels": labels}
    print_metrics(of_labels(*labels, **matrix), "title", False)
    shown = terminal.shown.split("confusion matrix")[1]
    assert rows_of(shown) == [["gold", "a b", "[2Jc"], ["a b", "1", "2"], ["[2Jc", "3", "4"]]
    pairs = {"confusion_pairs": [[0, 1, 5]], "labels": labels}
    print_metrics(of_labels(*labels, **pairs), "title", False)
    assert rows_of(terminal.shown)[-1] == ["a b", "[2Jc", "5"]


def test_json_is_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    print_metrics(of_labels("a"), "title", True)
    assert json.loads(written(reader))["per_label"]["a"]["f1"] == 0.333333


def test_the_axes_of_a_matrix_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = ["a [b]", "naïve", "好"]
    matrix = [[10, 20, 0], [3, 40, 5], [6, 0, 700]]
    terminal = screen(monkeypatch, columns=70)
    print_metrics(of_labels(*labels, confusion=matrix, labels=labels), "title", False)
    before, shown = terminal.shown.split("confusion matrix: gold labels down, predicted labels")
    assert "by label" in before
    assert shown.startswith(" across\n")
    counts = [[label, *map(str, row)] for label, row in zip(labels, matrix, strict=True)]
    assert rows_of(shown) == [["gold", *labels], *counts]


@pytest.mark.parametrize("as_pairs", [False, True])
def test_the_most_frequent_of_many_confusions(
    as_pairs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = [f"label {n}" for n in range(13)]
    pairs = [[g, p, 1 + g * 13 + p] for g in range(13) for p in range(13) if g != 5]
    matrix = [[0] * 13 for _ in labels]
    for g, p, count in pairs:
        matrix[g][p] = count
    found = {"confusion_pairs": pairs} if as_pairs else {"confusion": matrix}
    terminal = screen(monkeypatch, columns=300)
    print_metrics(of_labels(*labels, **found, labels=labels), "title", False)
    assert "confusion matrix" not in terminal.shown
    rows = rows_of(terminal.shown.split("most frequent confusions")[1])
    assert rows[0] == ["gold", "predicted", "count"]
    assert rows[1:4] == [
        ["label 12", "label 11", "168"], ["label 12", "label 10", "167"],
        ["label 12", "label 9", "166"],
    ]  # fmt: skip
    assert len(rows) == 21
    assert ["label 11", "label 11", "155"] not in rows


def test_a_matrix_that_is_too_wide_is_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = ["a" * 20, "b" * 20]
    metrics = of_labels(*labels, confusion=[[1, 2], [0, 4]], labels=labels)
    terminal = screen(monkeypatch, columns=69)
    print_metrics(metrics, "title", False)
    assert rows_of(terminal.shown.split("most frequent confusions")[1])[1:] == [[*labels, "2"]]
    terminal = screen(monkeypatch, columns=70)
    print_metrics(metrics, "title", False)
    assert "confusion matrix" in terminal.shown
    # Nothing was confused: there is nothing to list.
    terminal = screen(monkeypatch, columns=69)
    print_metrics({**metrics, "confusion": [[1, 0], [0, 4]]}, "title", False)
    assert "confusion" not in terminal.shown


def test_metrics_without_a_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    several = of_labels("a", micro_f1=0.5, confusion=[[[1, 2], [3, 4]]], labels=["a"])
    for metrics in (several, of_labels("NOUN"), {"perplexity": 2.5}):
        terminal = screen(monkeypatch)
        print_metrics(metrics, "title", False)
        assert "confusion" not in terminal.shown
        assert ("by label" in terminal.shown) == ("per_label" in metrics)


def test_thresholds_are_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"threshold": 0.95, "precision": 0.75, "recall": 0.375, "coverage": 0.5}
    none = {"threshold": 0.99, "precision": 0.0, "recall": 0.0, "coverage": 0.0}
    rows = [{**row, "threshold": 0.5}, row, none]
    terminal = screen(monkeypatch)
    print_metrics(of_labels("a", thresholds=rows), "title", False)
    shown = terminal.shown.split("answers of at least some confidence")[1]
    assert rows_of(shown) == [
        ["threshold", "precision", "recall", "coverage"],
        ["0.5", "0.7500", "0.3750", "0.5000"],
        ["0.95", "0.7500", "0.3750", "0.5000"],
        ["0.99", "", "0.0000", "0.0000"],  # the precision of no answer is not known
    ]
    # Metrics of an older model do not have it.
    terminal = screen(monkeypatch)
    print_metrics(of_labels("a"), "title", False)
    assert "confidence" not in terminal.shown
