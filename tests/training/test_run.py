"""A run from start to end, as a caller in Python sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from rnntext import checkpoint
from rnntext.errors import CheckpointError, RnntextError, UsageError
from rnntext.training import run as run_module
from rnntext.training.data import prepare
from rnntext.training.engine import time_plan
from rnntext.training.events import (
    Evaluated,
    Finished,
    Metrics,
    NotSaved,
    Prepared,
    Resumed,
    Saved,
    Stopped,
)
from rnntext.training.options import ExecutionOptions, TrainingOptions
from rnntext.training.persistence import resume
from rnntext.training.run import run
from rnntext.training.tasks import classifier as classification
from rnntext.training.tasks import language_model as language_modelling
from rnntext.training.tasks import tagger as tagging
from tests.conftest import CORPORA


def test_a_run_that_goes_on_late_reads_all_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for preparing is over long since, and nothing is in a cache."""
    text = tmp_path / "text.txt"
    text.write_text("".join(f"naïve café 你好 🙂 number {n}\n" for n in range(60_000)), "utf-8")
    options = TrainingOptions(
        "lm", (str(text),), minutes=5, tokenizer="byte", preset="tiny", threads=1
    )
    out = tmp_path / "model"
    began = list(run(options, out, ExecutionOptions(cache=False), stop_asked=lambda: True))
    assert isinstance(began[-1], Stopped)
    parts = "COPY_SHARE", "SCAN_SHARE", "ENCODE_SHARE", "MIN_SCAN_SHARE", "MIN_ENCODE_SHARE"
    for name in parts:
        monkeypatch.setattr(prepare, name, 0.0)
    again = list(
        run(options, out, ExecutionOptions(resume=True, cache=False), stop_asked=lambda: True)
    )
    assert [type(event) for event in again] == [Prepared, Resumed, Stopped]
    first, second = began[0], again[0]
    assert isinstance(first, Prepared)
    assert isinstance(second, Prepared)
    assert second.summary == first.summary
    assert not first.summary.cut_short


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_a_run_without_time_to_measure_everything_measures_a_part(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"lm": "stories.txt", "classify": "reviews.csv", "tag": "tagged.conllu"}
    data = CORPORA / names[task]
    monkeypatch.setattr(time_plan, "MAX_EVALUATION_SHARE", 0.0)
    monkeypatch.setattr(language_modelling, "_QUICK_TOKENS", 50)
    for module in (classification, tagging):
        monkeypatch.setattr(module, "QUICK_TOKENS", 50)
    options = TrainingOptions(task, (str(data),), valid=str(data), minutes=0.1, threads=1)
    events = list(run(options, tmp_path / "model", ExecutionOptions(cache=False)))
    finished, saved = events[-2:]
    assert isinstance(finished, Finished)
    assert isinstance(saved, Saved)
    assert finished.partial_evaluation
    measured = {event.step: event for event in events if isinstance(event, Evaluated)}
    for name, value in measured[finished.best_step].metrics.items():
        # A classifier is calibrated after that.
        if name != "ece":
            assert saved.metrics[name] == value


@pytest.mark.parametrize(
    ("task", "counted"), [("lm", "tokens"), ("classify", "confusion"), ("tag", "per_label")]
)
def test_an_int8_model_is_measured_on_a_part_where_all_would_take_too_long(
    task: str, counted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As is the float32 model, so that they can be compared, and time is left for steps."""
    names = {"lm": "stories.txt", "classify": "reviews.csv", "tag": "tagged.conllu"}
    data = CORPORA / names[task]
    monkeypatch.setattr(run_module, "_MEASURED_TOKENS", 100)
    monkeypatch.setattr(language_modelling, "_QUICK_TOKENS", 50)
    for module in (classification, tagging):
        monkeypatch.setattr(module, "QUICK_TOKENS", 50)
    options = TrainingOptions(
        task, (str(data),), valid=str(data), minutes=0.1, preset="tiny", threads=1, quantize=True
    )
    *_, finished, saved = run(options, tmp_path / "model", ExecutionOptions(cache=False))
    assert isinstance(finished, Finished)
    assert isinstance(saved, Saved)
    assert finished.partial_evaluation
    assert finished.steps > 5
    assert saved.float_metrics is not None

    def measured(metrics: Metrics) -> int:
        found = metrics[counted]
        if task == "classify":
            return sum(map(sum, found))
        return found if task == "lm" else sum(label["support"] for label in found.values())

    assert 0 < measured(saved.metrics) == measured(saved.float_metrics) <= 100


@pytest.mark.parametrize("task", ["lm", "classify"])
def test_the_words_of_a_language_model_share_a_second_moment(task: str, tmp_path: Path) -> None:
    data = CORPORA / {"lm": "stories.txt", "classify": "reviews.csv"}[task]
    options = TrainingOptions(task, (str(data),), steps=9, preset="tiny", threads=1)
    out = tmp_path / "model"
    events = list(run(options, out, ExecutionOptions(cache=False), stop_asked=lambda: True))
    assert isinstance(events[-1], Stopped)
    (file,) = (out / "training-state").glob("*.safetensors")
    moments = {
        name.removeprefix("optimizer.second."): tensor
        for name, tensor in load_file(file).items()
        if name.startswith("optimizer.second.")
    }
    shared = {name for name, tensor in moments.items() if tensor.ndim == 0}
    words = {"lm": {"encoder.embedding.weight", "head.bias"}, "classify": set()}
    assert shared == words[task]
    assert all(tensor.any() for tensor in moments.values())


def test_what_is_interrupted_after_the_last_step_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainingOptions(
        "classify", (str(CORPORA / "reviews.csv"),), preset="tiny", steps=20, threads=1
    )
    out = tmp_path / "model"

    asked = False

    def final_metrics(*_: object, **__: object) -> Metrics:
        nonlocal asked
        asked = asks
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(classification.Classification, "final_metrics", final_metrics)
        asks = False
        with pytest.raises(KeyboardInterrupt):
            list(run(options, tmp_path / "other", ExecutionOptions(cache=False)))
        assert not (tmp_path / "other").exists()
        asks = True
        events = list(run(options, out, ExecutionOptions(cache=False), stop_asked=lambda: asked))
    assert [type(event) for event in events[-2:]] == [Finished, Stopped]
    # Asked where nobody looked any more: in the last evaluation.
    for event in run(
        options, out, ExecutionOptions(resume=True, cache=False), stop_asked=lambda: True
    ):
        last = event
    assert isinstance(last, Stopped)
    *_, resumed, finished, saved = run(options, out, ExecutionOptions(resume=True, cache=False))
    assert isinstance(resumed, Resumed)
    assert isinstance(finished, Finished)
    assert isinstance(saved, Saved)
    assert resumed.step == finished.steps == saved.steps == 20
    whole = list(run(options, tmp_path / "whole", ExecutionOptions(cache=False)))[-1]
    assert isinstance(whole, Saved)
    assert saved.metrics == whole.metrics
    assert saved.reason == whole.reason


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_what_is_interrupted_once_it_is_saved_stays_finished(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"lm": "stories.txt", "classify": "reviews.csv", "tag": "tagged.conllu"}
    options = TrainingOptions(
        task, (str(CORPORA / names[task]),), preset="tiny", steps=12, threads=1
    )
    real, asked = checkpoint.save, False

    def save(*args: Any, **more: Any) -> None:
        nonlocal asked
        real(*args, **more)
        asked = True
        raise KeyboardInterrupt

    out = tmp_path / "model"
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", save)
        events = list(run(options, out, ExecutionOptions(cache=False), stop_asked=lambda: asked))
    assert isinstance(events[-1], Finished)
    (again,) = run(options, out, ExecutionOptions(resume=True, cache=False))
    assert isinstance(again, Saved)
    assert again.steps == 12


@pytest.mark.parametrize("error", [CheckpointError, UsageError])
def test_a_state_that_cannot_be_saved_ends_nothing(
    error: type[RnntextError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or files that somebody put where the model is to be."""
    options = TrainingOptions(
        "tag", (str(CORPORA / "tagged.conllu"),), preset="tiny", steps=12, threads=1
    )
    real, failures = checkpoint.save, 2

    def save(*args: Any, **more: Any) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise error("the directory holds files that are not an rnntext checkpoint")
        real(*args, **more)

    monkeypatch.setattr(checkpoint, "save", save)
    out = tmp_path / "model"
    events = list(run(options, out, ExecutionOptions(save_every=0.0, cache=False)))
    told = [event.reason for event in events if isinstance(event, NotSaved)]
    assert told == ["the directory holds files that are not an rnntext checkpoint"] * 2
    assert isinstance(events[-1], Saved)
    # Where that is the end, the trouble is.
    failures = 1
    with pytest.raises(error):
        list(
            run(options, tmp_path / "other", ExecutionOptions(cache=False), stop_asked=lambda: True)
        )


def test_a_run_goes_on_where_it_was_computed(tmp_path: Path) -> None:
    options = TrainingOptions(
        "tag", (str(CORPORA / "tagged.conllu"),), preset="tiny", steps=12, threads=1, device="cpu"
    )
    out = tmp_path / "model"
    assert isinstance(
        list(run(options, out, ExecutionOptions(), stop_asked=lambda: True))[-1], Stopped
    )
    saved = resume.find_saved_run(out)
    assert saved is not None
    assert saved.merge_options(TrainingOptions("tag", ())).device == "cpu"
    assert saved.merge_options(TrainingOptions("tag", (), device="cuda")).device == "cuda"
    # Threads were for so many processes.
    assert saved.merge_options(TrainingOptions("tag", ())).threads == 1
    assert saved.merge_options(TrainingOptions("tag", ()), processes=2).threads is None
    assert saved.merge_options(TrainingOptions("tag", (), threads=3), processes=2).threads == 3
