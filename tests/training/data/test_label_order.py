"""Labels are numbered in alphabetical order, whatever order the data have them in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rnntext.training.options import TrainingOptions
from tests.training.data.small_files import load_data

ORDERS = [("c", "a", "b"), ("b", "c", "a"), ("a", "b", "c")]


def labels_of(task: str, path: Path, rows: list[dict[str, Any]]) -> tuple[str, ...]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    loaded: Any = load_data(TrainingOptions(task, (str(path),), tokenizer="byte"), keep=False)
    labels: tuple[str, ...] = loaded.labels
    return labels


@pytest.mark.parametrize("order", ORDERS)
def test_of_documents(order: tuple[str, ...], tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": order[n % 3]} for n in range(60)]
    assert labels_of("classify", tmp_path / "d.jsonl", rows) == ("a", "b", "c")


@pytest.mark.parametrize("order", ORDERS)
def test_of_sentences(order: tuple[str, ...], tmp_path: Path) -> None:
    rows = [{"words": [f"w{n}", "x", "y"], "tags": order} for n in range(60)]
    assert labels_of("tag", tmp_path / "d.jsonl", rows) == ("a", "b", "c")


def test_of_spans(tmp_path: Path) -> None:
    """The tags that no example has are in their places too."""
    rows = [{"words": [f"w{n}", "x", "y"], "tags": ["I-y", "O", "B-x"]} for n in range(60)]
    labels = labels_of("tag", tmp_path / "d.jsonl", rows)
    assert labels == ("B-x", "B-y", "I-x", "I-y", "O")
