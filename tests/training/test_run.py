"""A whole training run, as Python code that calls it sees it."""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.numpy import load_file

from rnntext import checkpoint
from rnntext.errors import CheckpointError, RnntextError, UsageError
from rnntext.training import run as run_module
from rnntext.training.data import prepare
from rnntext.training.engine import time_plan
from rnntext.training.engine.loop import Loop
from rnntext.training.events import (
    Evaluated,
    Finished,
    Metrics,
    NotSaved,
    Prepared,
    Ready,
    Resumed,
    RoomShort,
    Saved,
    Stopped,
)
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions
from rnntext.training.persistence import destination, resume
from rnntext.training.run import run
from rnntext.training.tasks import classification, labelled
from rnntext.training.tasks import language_model as language_modelling
from tests.conftest import CORPORA

DATA = {
    "lm": str(CORPORA / "stories.txt"),
    "classify": str(CORPORA / "reviews.csv"),
    "tag": str(CORPORA / "tagged.conllu"),
}


class Clock:
    """A clock of which 20 ms pass each time that somebody looks at it."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 0.02
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which a run in minutes plans, evaluates and ends."""
    clock = Clock()
    monkeypatch.setattr(run_module, "time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr(run_module, "Loop", partial(Loop, clock=clock))
    return clock


def test_a_late_resumed_run_reads_all_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No time for preparing the data is left, and nothing is in a cache."""
    monkeypatch.setattr(prepare, "CHUNK", 100)
    text = tmp_path / "text.txt"
    text.write_text("".join(f"naïve café 你好 🙂 number {n}\n" for n in range(600)), "utf-8")
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
    assert [type(event) for event in again] == [Prepared, Ready, Resumed, Stopped]
    first, second = began[0], again[0]
    assert isinstance(first, Prepared)
    assert isinstance(second, Prepared)
    assert second.summary == first.summary
    assert not first.summary.cut_short


@pytest.fixture
def few_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick evaluation reads 50 tokens."""
    monkeypatch.setattr(language_modelling, "_QUICK_TOKENS", 50)
    monkeypatch.setattr(labelled, "QUICK_TOKENS", 50)


@pytest.mark.parametrize("task", DATA)
@pytest.mark.usefixtures("few_tokens")
def test_a_run_too_short_for_a_full_evaluation_evaluates_a_part(
    task: str, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_plan, "MAX_EVALUATION_SHARE", 0.0)
    options = TrainingOptions(
        task, (DATA[task],), valid=DATA[task], minutes=0.1, preset="tiny", threads=1
    )
    out = tmp_path / "model"
    events = list(run(options, out, ExecutionOptions(cache=False), began=clock()))
    finished, saved = events[-2:]
    assert isinstance(finished, Finished)
    assert isinstance(saved, Saved)
    assert finished.partial_evaluation
    measured = {event.step: event for event in events if isinstance(event, Evaluated)}
    # A classifier is calibrated after its last evaluation, and the halves of a sum are weighted.
    changed = {"ece", "log_loss", "network_log_loss", "tag_log_loss", "ngrams_weight"}
    for name, value in measured[finished.best_step].metrics.items():
        if name not in changed:
            assert {**saved.metrics, **saved.halves}[name] == value
    parts = saved.preparation_seconds, saved.training_seconds, saved.evaluation_seconds
    assert min(parts) >= 0
    assert sum(parts) <= saved.seconds
    assert saved.learned_from_valid is False  # a file that was named is not learned from


@pytest.mark.parametrize(
    ("task", "counted"), [("lm", "tokens"), ("classify", "confusion"), ("tag", "per_label")]
)
@pytest.mark.usefixtures("few_tokens")
def test_a_run_too_short_for_a_full_int8_evaluation_evaluates_a_part(
    task: str, counted: str, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the float32 model too: the two can be compared, and time is left for training steps."""
    monkeypatch.setattr(run_module, "_MEASURED_TOKENS", 100)
    options = TrainingOptions(
        task,
        (DATA[task],),
        valid=DATA[task],
        minutes=0.1,
        preset="tiny",
        threads=1,
        quantize=True,
    )
    out = tmp_path / "model"
    *_, finished, saved = run(options, out, ExecutionOptions(cache=False), began=clock())
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
    options = TrainingOptions(task, (DATA[task],), steps=9, preset="tiny", threads=1)
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


def test_a_run_interrupted_after_its_last_step_resumes_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainingOptions("classify", (DATA["classify"],), preset="tiny", steps=20, threads=1)
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
    # Stopping is asked for during the last evaluation, after the loop has looked for the last time.
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
    *_, uninterrupted = run(options, tmp_path / "uninterrupted", ExecutionOptions(cache=False))
    assert isinstance(uninterrupted, Saved)
    assert saved.metrics == uninterrupted.metrics
    assert saved.reason == uninterrupted.reason


@pytest.mark.parametrize("task", DATA)
def test_a_run_interrupted_once_it_is_saved_stays_finished(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainingOptions(task, (DATA[task],), preset="tiny", steps=12, threads=1)
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
def test_training_continues_where_its_state_cannot_be_saved(
    error: type[RnntextError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full, or the directory holds files of somebody else."""
    options = TrainingOptions("tag", (DATA["tag"],), preset="tiny", steps=12, threads=1)
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
    reasons = [event.reason for event in events if isinstance(event, NotSaved)]
    assert reasons == ["the directory holds files that are not an rnntext checkpoint"]
    assert isinstance(events[-1], Saved)


def test_trouble_is_reported_once_and_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainingOptions("tag", (DATA["tag"],), preset="tiny", steps=12, threads=1)
    real = checkpoint.save
    troubles = ["full", "full", "denied", None, "denied", "denied"]

    def save(*args: Any, **more: Any) -> None:
        trouble = troubles.pop(0) if troubles else None
        if trouble is not None:
            raise CheckpointError(trouble)
        real(*args, **more)

    monkeypatch.setattr(checkpoint, "save", save)
    events = run(options, tmp_path / "model", ExecutionOptions(save_every=0.0, cache=False))
    reasons = [event.reason for event in events if isinstance(event, NotSaved)]
    assert reasons == ["full", "denied", "denied"]


@pytest.mark.parametrize("stops", [False, True])
def test_what_cannot_be_saved_at_the_end_is_kept_and_resumed_elsewhere(
    stops: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory was replaced by a file while the run trained."""
    options = TrainingOptions("tag", (DATA["tag"],), preset="tiny", steps=12, threads=1)
    out = tmp_path / "model"
    monkeypatch.setattr(destination, "_PAUSES", ())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def stop_asked() -> bool:
        if out.is_dir():
            shutil.rmtree(out)
            out.write_text("a file")
        return stops

    with pytest.raises(CheckpointError, match="kept in") as error:
        list(run(options, out, ExecutionOptions(cache=False), stop_asked=stop_asked))
    (kept,) = tmp_path.glob("rnntext-model-*")
    noun = "state" if stops else "model"
    assert f"The {noun} is kept in {kept}; " in str(error.value)
    assert out.read_text() == "a file"
    resumed = run(options, kept, ExecutionOptions(resume=True, cache=False))
    *_, last = resumed
    assert isinstance(last, Saved)
    assert last.steps == 12


def test_a_shortage_of_room_is_said_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainingOptions("tag", (DATA["tag"],), preset="tiny", steps=3, threads=1)
    monkeypatch.setattr(destination.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    events = list(run(options, tmp_path / "model", ExecutionOptions(cache=False)))
    kinds = [type(event) for event in events]
    assert kinds.index(RoomShort) == kinds.index(Prepared) + 1
    assert isinstance(events[-1], Saved)


def test_a_run_resumes_on_its_device(tmp_path: Path) -> None:
    options = TrainingOptions(
        "tag", (DATA["tag"],), preset="tiny", steps=12, threads=1, device="cpu"
    )
    out = tmp_path / "model"
    assert isinstance(
        list(run(options, out, ExecutionOptions(), stop_asked=lambda: True))[-1], Stopped
    )
    saved = resume.find_saved_run(out)
    assert saved is not None
    assert saved.merge_options(TrainingOptions("tag", ())).device == "cpu"
    assert saved.merge_options(TrainingOptions("tag", (), device="cuda")).device == "cuda"
    # The number of threads was chosen for one process on the machine.
    assert saved.merge_options(TrainingOptions("tag", ())).threads == 1
    assert saved.merge_options(TrainingOptions("tag", ()), processes=2).threads is None
    assert saved.merge_options(TrainingOptions("tag", (), threads=3), processes=2).threads == 3
