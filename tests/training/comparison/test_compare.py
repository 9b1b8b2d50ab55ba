"""Whole comparisons of small models: which runs are made, from which data, and what is measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from rnntext.comparison import Kind, Run
from rnntext.errors import DataError, TrainingError, UsageError
from rnntext.training import run as running
from rnntext.training.comparison import compare as comparing
from rnntext.training.comparison.compare import Began, Event, LeftOut, compare, speed
from rnntext.training.engine import distributed
from rnntext.training.engine.loop import Loop
from rnntext.training.events import Saved
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions
from rnntext.training.tasks.base import get_task
from tests.cli.small_runs import write_small_data

FILES = {"lm": "text.txt", "classify": "reviews.csv", "tag": "tagged.conllu"}
METRICS = {"lm": "perplexity", "classify": "accuracy", "tag": "accuracy"}
OTHERS = {
    "lm": ["window", "convolution", "ngrams"],
    "classify": ["bag", "convolution", "ngrams"],
    "tag": ["word", "convolution", "features"],
}


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "_MEASURED_SECONDS", 0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_small_data(folder)
    return folder


def small(task: str, data: Path, **changes: Any) -> TrainingOptions:
    given = {"steps": 2, "preset": "tiny", "threads": 1, "device": "cpu", **changes}
    return TrainingOptions(task, (str(data / FILES[task]),), **given)


def compared(options: TrainingOptions, seeds: int = 1) -> Iterator[Event]:
    return compare(options, seeds, cache=False)


@pytest.mark.parametrize("task", FILES)
def test_each_model_has_a_run_with_each_seed_and_the_linear_one_a_single_run(
    task: str, data: Path
) -> None:
    began, *runs = compared(small(task, data, seed=7), seeds=2)
    assert isinstance(began, Began)
    assert began.comparison.metric.name == METRICS[task]
    names = ["rnn", "gru", "lstm", *OTHERS[task]]
    assert [model.name for model in began.comparison.models] == names
    assert len(runs) == began.runs == 11
    found = [run for run in runs if isinstance(run, Run)]
    assert [(run.model.name, run.seed) for run in found] == [
        *((name, 7) for name in names),
        *((name, 8) for name in names[:-1]),
    ]
    for run in found:
        assert math.isfinite(run.value)
        assert run.seconds > 0
        assert run.rate > 0
        assert (run.width is None) == (not run.model.seeded)
        if run.model.seeded:
            assert run.size == 4 * run.parameters
            assert abs(run.parameters - began.prepared.parameters) < 0.02 * run.parameters
            assert [step for step, _ in run.curve] == [2]
    # A rate of few answers may be the same with two seeds, a perplexity never is.
    if task == "lm":
        assert all(row.spread for row in _rows(began, found) if row.model.seeded)


def _rows(began: Began, found: list[Run]) -> Any:
    return replace(began.comparison, runs=tuple(found)).rows()


def run_of(events: Iterator[Event], name: str) -> Run:
    return next(each for each in events if isinstance(each, Run) and each.model.name == name)


@pytest.mark.parametrize(("task", "cell"), [("lm", "gru"), ("classify", "rnn"), ("tag", "lstm")])
def test_a_recurrent_run_is_that_of_train(task: str, cell: str, data: Path, tmp_path: Path) -> None:
    options = small(task, data, seed=3)
    run = run_of(compared(options), cell)
    recipe = next(e for e in compared(options) if isinstance(e, Began)).prepared.recipe
    given: dict[str, Any] = {} if task == "lm" else {"ngrams": False}
    same = replace(options, cell=cell, hidden=run.width, embed=recipe.embed, **given)
    events = running.run(same, tmp_path / "model", ExecutionOptions(cache=False))
    saved = next(event for event in events if isinstance(event, Saved))
    assert saved.parameters == run.parameters
    assert saved.metrics[METRICS[task]] == run.value


def test_a_linear_model_reaches_what_the_half_of_a_classifier_does(
    data: Path, tmp_path: Path
) -> None:
    options = small("classify", data)
    run = run_of(compared(options), "ngrams")
    events = running.run(options, tmp_path / "model", ExecutionOptions(cache=False))
    saved = next(event for event in events if isinstance(event, Saved))
    assert run.value == saved.halves["ngrams_accuracy"]


def test_the_data_are_read_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = get_task("tag")
    plan, plans = type(task).plan, []

    def counted(*args: Any) -> Any:
        plans.append(args)
        return plan(*args)

    monkeypatch.setattr(type(task), "plan", counted)
    assert len([*compared(small("tag", data, steps=1))]) == 7
    assert len(plans) == 1


def test_a_run_that_diverges_is_left_out(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events, number = Loop.events, count()

    def failing(loop: Loop) -> Any:
        if next(number) == 1:
            raise TrainingError("the loss stopped being a number")
        yield from events(loop)

    monkeypatch.setattr(Loop, "events", failing)
    _, *runs = compared(small("tag", data))
    assert [type(run) for run in runs] == [Run, LeftOut, Run, Run, Run, Run]
    assert isinstance(runs[1], LeftOut)
    assert (runs[1].model.name, runs[1].reason) == ("gru", "the loss stopped being a number")


def test_too_many_labels_have_no_linear_model(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnntext.training.tasks.ngram_half.MAX_LABELS", 1)
    *_, last = compared(small("classify", data))
    assert isinstance(last, LeftOut)
    assert last.model.kind is Kind.OTHER
    assert "too many labels" in last.reason


def test_several_labels_a_text_are_compared_by_their_f1(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "several.jsonl"
    rows = (f'{{"text": "text {n}", "label": {["[]", "[1, 2]"][n % 2]}}}\n' for n in range(40))
    file.write_text("".join(rows).replace("1, 2", '"a", "b"'))
    options = replace(small("classify", data, multi_label=True), data=(str(file),))
    began, *runs = compared(options)
    assert isinstance(began, Began)
    assert began.comparison.metric.name == "micro_f1"
    assert all(isinstance(run, Run) for run in runs)


def test_tags_of_spans_are_compared_by_their_f1(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "spans.conll"
    file.write_text("".join(f"the O\nriver{n} B-X\nis I-X\nwide O\n\n" for n in range(30)))
    options = replace(small("tag", data), data=(str(file),))
    began, *runs = compared(options)
    assert isinstance(began, Began)
    assert began.comparison.metric.name == "f1"
    assert all(isinstance(run, Run) for run in runs)


def test_data_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"reviews\.csv"):
        next(compared(small("classify", tmp_path)))


def test_a_comparison_is_a_single_process(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "is_distributed", lambda: True)
    with pytest.raises(UsageError, match="single process"):
        next(compared(small("lm", data)))
    assert distributed.is_distributed() is False


def test_a_speed_is_that_of_whole_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "_MEASURED_SECONDS", 5.0)
    times = iter([100.0, 102.0, 104.0, 106.0])
    passes: list[int] = []

    def read() -> int:
        passes.append(1)
        return 30

    assert speed(read, lambda: next(times)) == 90 / 6
    assert len(passes) == 3
