"""Labels of the validation data that training lacks: what is said of them, and that `train` and
`evaluate` measure the same."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY, Shell


def reviews(path: Path, labels: Callable[[int], str], first: int = 0) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for n in range(first, first + 40):
            table.writerow([f"naïve review {n} 🙂 {'good' if n % 2 else 'bad'}", labels(n)])
    return path


def sentences(path: Path, tags: list[str]) -> Path:
    words = [f"word{n % 9} {tags[n % len(tags)]}" for n in range(200)]
    lines = "\n\n".join("\n".join(words[n : n + 5]) for n in range(0, 200, 5))
    path.write_text(lines + "\n\n", "utf-8")
    return path


def one(n: int) -> str:
    return "pos" if n % 2 else "neg"


def two(n: int) -> str:
    return one(n) if n % 3 else f"{one(n)}|long"


CASES: dict[str, tuple[Any, ...]] = {
    "one": ("classify", reviews, one, lambda n: one(n) if n % 4 else "new", ()),
    "network": ("classify", reviews, one, lambda n: one(n) if n % 4 else "new", ("--no-ngrams",)),
    "int8": ("classify", reviews, one, lambda n: one(n) if n % 4 else "new", ("--quantize",)),
    "several": (
        *("classify", reviews, two, lambda n: two(n) if n % 4 else f"{two(n)}|new"),
        ("--multi-label", "--label-separator", "|"),
    ),
    "tags": ("tag", sentences, ["X", "Y", "Z"], ["X", "Y", "new", "Z"], ()),
    "spans": (
        *("tag", sentences, ["B-x", "I-x", "O", "O", "B-y"]),
        *(["B-x", "O", "B-new", "I-new", "O", "B-y", "other"], ("--quantize",)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_train_and_evaluate_measure_the_same(case: str, run: Shell, tmp_path: Path) -> None:
    task, write, labels, with_unseen, options = CASES[case]
    suffix = "csv" if task == "classify" else "conll"
    train = write(tmp_path / f"d.{suffix}", labels)
    valid = write(tmp_path / f"v.{suffix}", with_unseen)
    out = tmp_path / "m"
    trained = run("train", task, train, "--valid", valid, "-o", out, *options, *TINY, 12, "--json")
    assert trained.status == 0, trained.err
    (facts,) = trained.objects
    unseen = {"spans": "3 of the validation data's labels not found in training ('B-new', ...): "}
    said = unseen.get(case, "1 of the validation data's labels not found in training ('new'): ")
    assert said + "counted as errors, " in trained.told
    again = run("evaluate", "-m", out, valid, "--json")
    assert again.status == 0, again.err
    (found,) = again.objects
    measured = facts["metrics"]
    assert measured.keys() == found.keys()
    for name, value in found.items():
        # The graph computes the network's probabilities up to rounding.
        near = name in ("log_loss", "ece")
        assert value == (pytest.approx(measured[name], abs=1e-4) if near else measured[name]), name
    assert measured["accuracy"] < 1
    data = json.loads((out / "config.json").read_text("utf-8"))["data"]
    assert data["unseen_labels"] == (3 if case == "spans" else 1)
