"""What a training run shows: plain lines in a log, a bar on a terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rnntext.checkpoint_config import DataSummary
from rnntext.cli import progress as module
from rnntext.cli.progress import Progress
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.text.columns import columns_of
from rnntext.training.events import (
    EncodedFiles,
    Evaluated,
    Event,
    NgramsLearned,
    NotSaved,
    Resumed,
    RoomShort,
    Saved,
    Searched,
    SearchPlanned,
    SplitterLearned,
    Stopped,
    TeacherAnswered,
    TrialKept,
    TrialStep,
    Tried,
    Trying,
)
from rnntext.training.search import Choice, Trial
from tests.cli import run_events
from tests.cli.run_events import FINISHED, STEP
from tests.cli.screens import messages, pipe, screen, written

SUMMARY = DataSummary("sentences", 1234, 567, 99_000, 0, "1" * 64)
PREPARED = replace(
    run_events.PREPARED,
    summary=SUMMARY,
    model=ModelConfig("tag", EncoderConfig("gru", 4321, 8, 24, 2, False), ("A", "B"), False, 9),
    parameters=1_000_000,
)
EVALUATED = Evaluated(30, 2, 1.2345, {"accuracy": 0.123456, "bits": 1.0}, False, 9.0)
SAVED = Saved(Path("out"), "tag", {"accuracy": 0.5}, 30, 20, 3.0, 9.0, 99.0, 100, "it is done")
Lines = Callable[..., list[str]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Shows events where standard error is a pipe, and returns the messages. Those that are longer
    than 80 columns are on several lines."""

    def show(*events: Event, quiet: bool = False) -> list[str]:
        reader = pipe(monkeypatch, "stderr")
        with Progress(quiet=quiet) as progress:
            for event in events:
                progress.show(event)
        shown = written(reader, "stderr")
        assert max(map(columns_of, shown.splitlines()), default=0) <= 80
        return messages(shown).splitlines()

    return show


def test_what_is_trained(lines: Lines) -> None:
    assert lines(PREPARED) == [
        "1,234 sentences to train on, 567 to validate on; gru 2x24, word vocabulary of 4,321, "
        "1,000,000 parameters; cpu, float32, 3 threads",
        "text encoded into 1.5 kB of temporary files",
    ]


def test_what_is_trained_in_every_detail(lines: Lines) -> None:
    encoder = EncoderConfig("lstm", 4321, 8, 24, 2, True)
    event = replace(
        PREPARED,
        model=ModelConfig("tag", encoder, ("A", "B"), False, 9),
        summary=replace(
            SUMMARY,
            duplicates=1000,
            near_duplicates=1100,
            shared_groups=1200,
            unseen_labels=1300,
            unseen_label="B-naïve\n",
            unseen_count=1400,
            sampled=2_000_000,
            cut_short=True,
        ),
        processes=2,
        details=("with a CRF", "with averaging"),
        remarks=("One label has one text.", "Another remark."),
    )
    assert lines(event) == [
        "1,234 sentences to train on, 567 to validate on; lstm 2x24 bidirectional, word "
        "vocabulary of 4,321, 1,000,000 parameters; cpu, float32, 3 threads, with a CRF, "
        "with averaging, 2 processes",
        "text encoded into 1.5 kB of temporary files",
        "the tokenizer was learned from a sample of 2,000,000 characters, taken evenly from all "
        "of the training data",
        "One label has one text.",
        "Another remark.",
        "1,000 of 567 validation sentences found in training too",
        "1,100 of 567 validation sentences differ from training only in case, punctuation and "
        "white space",
        "1,200 of the validation data's groups found in training too",
        "1,300 of the validation data's labels not found in training ('B-naïve\\n', ...): counted "
        "as errors, 1,400 in all",
        "the time allows for the first 1,234 sentences of the training data: give more minutes "
        "to use all of it",
    ]


def test_one_label_that_training_lacks(lines: Lines) -> None:
    summary = replace(SUMMARY, unseen_labels=1, unseen_label="new", unseen_count=1)
    assert lines(replace(PREPARED, summary=summary))[-1] == (
        "1 of the validation data's labels not found in training ('new'): counted as errors, 1 in "
        "all"
    )


def test_no_group_is_in_training_too(lines: Lines) -> None:
    event = replace(PREPARED, summary=replace(SUMMARY, shared_groups=0))
    assert lines(event) == lines(PREPARED)


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        (EncodedFiles(10, "/place", True), "10 bytes of encoded text read from /place"),
        (
            EncodedFiles(10, "/place", False),
            "text encoded into 10 bytes at /place, for the next run too",
        ),
        (
            EncodedFiles(10, None, False, "No space left"),
            "text encoded into 10 bytes of temporary files, because the cache cannot be used "
            "(No space left)",
        ),
        (
            EncodedFiles(10, os.path.expanduser("~/.cache/rnntext/1"), True),
            "10 bytes of encoded text read from ~/.cache/rnntext/1",
        ),
    ],
)
def test_where_the_encoded_text_is(encoded: EncodedFiles, text: str, lines: Lines) -> None:
    assert lines(replace(PREPARED, encoded=encoded))[1] == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_000, "999 kB"),
        (1_000_000, "1 MB"),
        (1_234_567, "1.23 MB"),
        (999_000_000, "999 MB"),
        (1_000_000_000, "1 GB"),
        (2_500_000_000, "2.5 GB"),
    ],
)
def test_sizes(size: int, text: str, lines: Lines) -> None:
    shown = lines(replace(PREPARED, encoded=EncodedFiles(size, None, False)))
    assert shown[1] == f"text encoded into {text} of temporary files"


def test_a_log_has_a_line_for_each_evaluation_and_none_for_steps(lines: Lines) -> None:
    best = replace(EVALUATED, step=40, best=True, metrics={"f1": 0.5, "accuracy": 0.25})
    assert lines(EVALUATED, STEP, best) == [
        "step 30  epoch 3  loss 1.234  accuracy 0.1235",
        # The lines of a log fit 80 columns: epoch and speed are left out first.
        "step 40/1500  loss 1.234  accuracy 0.25  f1 0.5  1:02:05 left  best so far",
    ]


def test_without_an_end_there_is_no_total_and_no_time_left(lines: Lines) -> None:
    step = replace(STEP, total_steps=None, remaining=None)
    assert lines(step, EVALUATED) == [
        "step 30  epoch 3  loss 1.234  accuracy 0.1235  12,346 tokens/s"
    ]


def test_the_metrics_of_each_task(lines: Lines) -> None:
    metrics = {"macro_f1": 0.75, "perplexity": 123.456, "bits_per_byte": 2.0, "accuracy": 0.5}
    (shown,) = lines(replace(EVALUATED, metrics=metrics))
    assert shown == "step 30  epoch 3  loss 1.234  perplexity 123.5  accuracy 0.5  macro_f1 0.75"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0:00"),
        (9, "0:09"),
        (59.4, "0:59"),
        (59.6, "1:00"),
        (61, "1:01"),
        (3599.4, "59:59"),
        (3600, "1:00:00"),
        (3661, "1:01:01"),
        (100 * 3600, "100:00:00"),
    ],
)
def test_the_time_left(seconds: float, text: str, lines: Lines) -> None:
    (shown,) = lines(replace(STEP, remaining=seconds), EVALUATED)
    assert shown.endswith(f"  {text} left")


def test_a_run_that_goes_on(lines: Lines) -> None:
    assert lines(Resumed(1234, "")) == ["going on after step 1,234"]
    assert lines(Resumed(1234, "threads 2 then, 1 now")) == [
        "going on after step 1,234",
        "threads 2 then, 1 now: the run will not end with the same weights to the bit",
    ]


def test_a_run_that_stops_says_how_to_go_on(lines: Lines) -> None:
    assert lines(PREPARED, Stopped(Path("a/b"), 1234))[2:] == [
        "stopped and saved after step 1,234: the same command with --resume, or "
        "`rnntext train tag --resume -o a/b`, goes on"
    ]


def test_trouble_with_saving(lines: Lines) -> None:
    assert lines(RoomShort("out has no room"), NotSaved("it is full")) == [
        "out has no room",
        "the state is not saved, training goes on: it is full",
    ]


PARTIAL = (
    "measured on a part of the validation data, because all of them would take too long: "
    "`rnntext evaluate` measures on all"
)
SPEED = (
    "the machine's speed changed, and the learning rate was fitted to the time anew: --config "
    "repeats this run exactly, --steps does not"
)
OVER = (
    "the time was over before the learning rate had come down: give more minutes; --steps will "
    "not repeat this run exactly"
)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, []),
        ({"plans": ((0, 30),)}, []),
        ({"plans": ((0, 40), (10, 30))}, [SPEED]),
        ({"plans": ((0, 30),), "reason": "the time is over"}, [OVER]),
        ({"plans": ((0, 40), (10, 30)), "reason": "the time is over"}, [SPEED]),
        ({"partial_evaluation": True}, [PARTIAL]),
    ],
)
def test_how_a_run_ended(changes: dict[str, Any], shown: list[str], lines: Lines) -> None:
    assert lines(replace(FINISHED, **changes)) == shown


def test_int8_beside_float32(lines: Lines) -> None:
    assert lines(SAVED) == []
    assert lines(replace(SAVED, float_metrics={"accuracy": 0.75})) == [
        "in int8: accuracy 0.5; in float32: accuracy 0.75"
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet_shows_nothing(terminal: bool, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    events = (PREPARED, STEP, EVALUATED, NotSaved("x"), replace(FINISHED, partial_evaluation=True))
    if not terminal:
        assert lines(*events, quiet=True) == []
        return
    shown = screen(monkeypatch, "stderr")
    with Progress(quiet=True) as progress:
        for event in events:
            progress.show(event)
    assert shown.getvalue() == ""


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, "stderr", 250)
    with Progress(quiet=False) as progress:
        progress.show(STEP)  # before the data are prepared there is no bar to move
        progress.show(PREPARED)
        progress.show(STEP)
    assert "1,234 sentences to train on" in shown.shown
    # When the bar stops, it is drawn once more and removed: the cursor goes up, the line is
    # cleared. Until then a thread draws it from time to time.
    assert f"{'━' * 20} 20 epoch 2  loss 2.346  12,346 tokens/s  1:02:05 left" in shown.shown
    assert "━" * 21 not in shown.shown
    assert shown.getvalue().endswith("\x1b[1A\x1b[2K")


def test_the_bar_has_the_metrics_of_the_last_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, "stderr", 250)
    with Progress(quiet=False) as progress:
        progress.show(PREPARED)
        progress.show(STEP)
        progress.show(EVALUATED)
        progress.show(replace(STEP, step=21, remaining=None))
    evaluation = "step 30/1500  epoch 3  loss 1.234  accuracy 0.1235  12,346 tokens/s  1:02:05 left"
    assert evaluation in shown.shown
    assert "21 epoch 2  loss 2.346  accuracy 0.1235  12,346 tokens/s\n" in shown.shown


def test_the_length_of_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen(monkeypatch, "stderr", 250)
    bars: list[Any] = []
    make = module._make_bar
    monkeypatch.setattr(module, "_make_bar", lambda: bars.append(make()) or bars[0])
    progress = Progress(quiet=False)
    progress.show(PREPARED)
    progress.show(STEP)
    (task,) = bars[0].tasks
    assert (task.completed, task.total) == (20, 1500)


def test_lines_stand_above_the_bar_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, "stderr", 250)
    with Progress(quiet=False) as progress:
        progress.print_line("a [bold] word and 12 'numbers'")
    assert "a [bold] word and 12 'numbers'" in shown.getvalue()


def test_a_closed_terminal_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    screen(monkeypatch, "stderr")
    redirected: list[object] = []

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    progress = Progress(quiet=False)
    monkeypatch.setattr(module, "redirect_to_devnull", redirected.append)
    monkeypatch.setattr(progress, "print_line", fail)
    progress.show(EVALUATED)
    assert redirected == [sys.stderr]
    monkeypatch.setattr(progress, "_bar", SimpleNamespace(start=lambda: None, stop=fail))
    with progress:
        pass
    assert redirected == [sys.stderr] * 2


def test_no_standard_error_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with Progress(quiet=False) as progress:
        progress.show(EVALUATED)


@pytest.mark.parametrize(("timed", "steps"), [(True, 4.4), (True, 4.5), (False, 1.0)])
def test_a_timed_run_says_that_little_time_was_left_for_steps(
    timed: bool, steps: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = pipe(monkeypatch, "stderr")
    event = replace(SAVED, preparation_seconds=3.2, training_seconds=steps, evaluation_seconds=1.4)
    with Progress(quiet=False, timed=timed) as progress:
        progress.show(event)
    shown = written(reader, "stderr")
    expected = (
        "only 4 of 9 seconds were training steps (3 were reading and encoding, 1\n"
        "  evaluations): give more minutes, or less text\n"
    )
    assert shown == (expected if timed and steps < 4.5 else "")


def test_n_grams_are_told_of_as_they_are_learned(lines: Lines) -> None:
    assert lines(NgramsLearned(1234, {"accuracy": 0.5, "log_loss": 1.0}, 7.4)) == [
        "n-grams of 1,234 texts, by themselves: accuracy 0.5 (7 s)"
    ]


def test_a_splitter_is_told_of_as_it_is_learned(lines: Lines) -> None:
    assert lines(SplitterLearned(1234, 0.97654, 2.4)) == [
        "words of raw text from 1,234 sentences: words_f1 0.9765 (2 s)"
    ]


def test_distillation_is_told_of(lines: Lines) -> None:
    assert lines(TeacherAnswered("sage", 12345, 7.4)) == [
        "the teacher sage answered 12,345 texts (7 s)"
    ]
    summary = replace(
        SUMMARY, unlabelled=3456, unlabelled_read=4567, unlabelled_left_out=11, unlabelled_cut=True
    )
    found = lines(replace(PREPARED, summary=summary))
    assert f"{SUMMARY.train:,} {SUMMARY.unit} and 3,456 unlabelled to train on, " in found[0]
    assert (
        f"11 unlabelled texts left out, which are validation {SUMMARY.unit} but for case, "
        "punctuation and white space"
    ) in found
    grouped = lines(replace(PREPARED, summary=replace(summary, shared_groups=0)))
    assert (
        f"11 unlabelled texts left out, which are validation {SUMMARY.unit} but for case, "
        "punctuation and white space, or of groups that validation has"
    ) in grouped
    assert (
        "the time allows for the first 3,456 of the unlabelled texts: give more minutes to use "
        "all of them"
    ) in found


def test_labels_that_are_never_predicted_are_named(lines: Lines) -> None:
    support = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 3}
    labels = ["a", *"bcdefg"]
    found = {
        "accuracy": 0.5,
        "labels": labels,
        "confusion": [[3, *[0] * 6] for _ in labels],
        "per_label": dict.fromkeys(labels, support),
    }
    assert lines(replace(SAVED, metrics=found)) == [
        "never predicted on the validation data: b, c, d, e, f and 1 more; give more examples, "
        "add --class-weights balanced, or choose by --select macro_f1"
    ]


def test_labels_that_training_lacks_are_not_named_again(lines: Lines) -> None:
    """They are told of before the first step, and no option makes the model predict them."""
    encoder = EncoderConfig("lstm", 4321, 8, 24, 2, True)
    scores = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 3}
    labels = ["a", "b", "new"]
    found = {
        "accuracy": 0.5,
        "labels": labels,
        "confusion": [[3, 0, 0] for _ in labels],
        "per_label": dict.fromkeys(labels, scores),
    }
    model = ModelConfig("classify", encoder, ("a", "b"), False, 9)
    said = lines(replace(PREPARED, model=model), replace(SAVED, metrics=found))
    assert said[-1].startswith("never predicted on the validation data: b; ")


def test_an_accuracy_is_shown_with_its_interval(lines: Lines) -> None:
    metrics = {"accuracy": 0.8123, "accuracy_interval": [0.79, 0.83], "macro_f1": 0.5}
    (line,) = lines(replace(EVALUATED, metrics=metrics))
    assert "accuracy 0.8123 (±0.02)  macro_f1 0.5" in line


DEFAULTS = Trial(1, 1, 0, {}, 0.12, 7.3, 197, 5, {"accuracy": 0.81}, 872)
WIDE = replace(DEFAULTS, trial=2, candidate=1, options={"hidden": 96}, chosen=True)
SEARCH: tuple[Event, ...] = (
    PREPARED,
    SearchPlanned(2, 1, ("lr", "batch_size")),
    Trying(2, {"hidden": 96}, 0.12),
    TrialStep(STEP),
    Tried(WIDE, "accuracy"),
    Searched((DEFAULTS, WIDE), Choice("accuracy", WIDE, WIDE, DEFAULTS, 0.013), 0.98),
)


def test_a_search(lines: Lines) -> None:
    assert lines(*SEARCH)[2:] == [
        "a search of 2 trials over --lr, --batch-size; done already: 1",
        "trial 2/2  --hidden 96: accuracy 0.81  (197 steps, 7 s)",
        "trial  minutes  options      steps  accuracy",
        "1      0.12     defaults     197    0.81",
        "2      0.12     --hidden 96  197    0.81      chosen",
        "chosen: --hidden 96 (accuracy 0.81; the defaults for as long 0.81; margin 0.013)",
        "the final run has 0.98 minutes",
    ]
    assert lines(*SEARCH, quiet=True) == []


def test_trials_that_are_left_out(lines: Lines) -> None:
    for count, line in ((1, "1 trial was left out"), (3, "3 trials were left out")):
        shown = lines(*SEARCH[:-1], replace(SEARCH[-1], left_out=count))
        assert f"{line} for lack of time" in shown
    assert not any("left out" in line for line in lines(*SEARCH))


def test_no_search(lines: Lines) -> None:
    planned = SearchPlanned(0, 0, (), "0.05 minutes are too short for a search")
    # The final run is of the same data and model.
    assert lines(PREPARED, planned, PREPARED)[2:] == [
        "0.05 minutes are too short for a search: trained with the defaults and the options given"
    ]


def test_the_final_run_may_have_another_model(lines: Lines) -> None:
    shown = lines(PREPARED, replace(PREPARED, parameters=5))
    assert len(shown) == 3
    assert "5 parameters" in shown[2]


def test_a_trial_is_kept(lines: Lines) -> None:
    kept = TrialKept(WIDE, "accuracy", 0.8)
    assert lines(kept, replace(kept, final=None, error="it diverged")) == [
        f"the final run is{much} worse than trial 2 ({reason}): the model of that trial is kept, "
        "with accuracy 0.81"
        for much, reason in (
            (" by more than chance", "it reached accuracy 0.8"),
            ("", "it diverged"),
        )
    ]


def test_found_options_flatter_the_figures(lines: Lines) -> None:
    remark = "the validation data chose the options"
    (line,) = lines(replace(SAVED, trials=(DEFAULTS, WIDE)))
    assert line.startswith(remark)
    defaults = replace(DEFAULTS, chosen=True)
    assert lines(replace(SAVED, trials=(defaults,))) == []
    # What was chosen is that of the final run, which is not the model that is saved.
    (line,) = lines(replace(SAVED, trials=(replace(WIDE, chosen=False, kept=True), defaults)))
    assert line.startswith(remark)


def test_a_search_that_is_stopped(lines: Lines) -> None:
    stopped = Stopped(Path("out"), 0, 3)
    assert lines(PREPARED, stopped)[2:] == [
        "stopped and saved after 3 trials of the search: the same command with --resume, or "
        "`rnntext train tag --resume -o out`, goes on"
    ]


def test_a_search_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, "stderr", 250)
    with Progress(quiet=False) as progress:
        for event in SEARCH[:4]:
            progress.show(event)
    assert f"{'━' * 20} 20 trial 2/2  --hidden 96" in shown.shown
    shown = screen(monkeypatch, "stderr", 250)
    with Progress(quiet=False) as progress:
        for event in (*SEARCH, PREPARED, STEP):
            progress.show(event)
    assert "trials of the search" in shown.shown
    assert "│ --hidden 96 │" in shown.shown
    # The bar is that of the final run alone.
    last = shown.shown.rstrip().splitlines()[-1]
    assert "epoch 2  loss 2.346" in last
    assert "trial 2/2" not in shown.shown.split("trials of the search")[1]


LONG = "一个很长的标签 with words and " + "x" * 90
LONGEST: tuple[Event, ...] = (
    replace(
        PREPARED,
        summary=replace(
            SUMMARY, unseen_labels=2, unseen_label=LONG, unseen_count=9, duplicates=10**9
        ),
        encoded=EncodedFiles(10**9, f"/{LONG}/{LONG}", False),
        details=("with a CRF", "with a linear model of words and their neighbours"),
    ),
    TeacherAnswered(LONG, 10**9, 10**6),
    NgramsLearned(10**9, dict.fromkeys(("accuracy", "f1", "macro_f1", "perplexity"), 0.12345), 9),
    replace(STEP, step=123_456, total_steps=1_234_567, remaining=10.0**6),
    replace(
        EVALUATED,
        step=123_456,
        best=True,
        metrics={
            **dict.fromkeys(("accuracy", "f1", "macro_f1"), 0.12345),
            "accuracy_interval": [0.1, 0.2],
            "perplexity": 1234567.0,
        },
    ),
    replace(STEP, step=123_457, total_steps=1_234_567, remaining=10.0**6),
)


def test_the_longest_lines_fit(lines: Lines) -> None:
    shown = lines(*LONGEST)  # which checks that each fits 80 columns
    assert shown[-1] == (
        "step 123456/1234567  loss 1.234  perplexity 1.235e+06  f1 0.1235  277:46:40 left"
    )


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_longest_lines_fit_a_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, "stderr", columns)
    trying = Trying(2, dict.fromkeys(("lr", "dropout", "hidden", "layers"), 0.12345), 0.12)
    for events in (LONGEST, (PREPARED, SearchPlanned(9, 0, ("lr",)), trying)):
        with Progress(quiet=False) as progress:
            for event in events:
                progress.show(event)
    written = re.split(r"[\r\n]+", shown.shown)
    assert columns - 20 < max(map(columns_of, written)) <= columns
    bar = next(line for line in written if "123457" in line)
    assert "277:46:40 left" in bar
    assert ("loss 2.346" in bar) == (columns > 60)
    assert ("accuracy" in bar) == (columns > 80)
    assert any("trial 2/9  --lr" in line for line in written)
