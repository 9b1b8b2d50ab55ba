"""A search with its final run, where a function takes the place of the runs: which are made, what
is saved, how it is resumed, and which model is kept."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from rnntext import checkpoint
from rnntext.checkpoint_config import CheckpointConfig
from rnntext.claim import Claim
from rnntext.errors import CheckpointError, RnntextError, TrainingError, UsageError
from rnntext.ngrams import read_notes
from rnntext.training import run as running
from rnntext.training import tuning
from rnntext.training.events import (
    Event,
    Finished,
    NgramsLearned,
    Prepared,
    Ready,
    Saved,
    Searched,
    SearchPlanned,
    Step,
    Stopped,
    TrialKept,
    TrialStep,
    Tried,
    Trying,
)
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions
from rnntext.training.persistence import resume as resuming
from rnntext.training.persistence import search_folder
from rnntext.training.persistence.repeat import repeated_options
from rnntext.training.persistence.search_folder import SearchFolder
from rnntext.training.search import trials_in
from rnntext.training.setup import Shared, set_up
from rnntext.training.tasks.labelled import LabelledObjective
from rnntext.training.tuning import Tuning
from tests.conftest import CORPORA

STEP = Step(1, None, 1, 1.0, 0.1, 1.0, 1.0, 1.0, 1.0, None)
FINISHED = Finished(9, 1.0, 9, 1.0, 1.0, "the steps are done", 9, (), False)
Figure = Callable[[TrainingOptions], float | Exception]


class Clock:
    """A clock that only runs move."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Runs:
    """Takes the place of `run.run`: each run takes its minutes and saves a copy of the model
    `template` with the accuracy that `figure` gives to its options."""

    template: Path
    figure: Figure
    clock: Clock = field(default_factory=Clock)
    slowness: float = 1.0  # seconds that pass for each that was planned
    stop_at: int = 0  # the run that a stop is asked for; 0: none
    kill_at: int = 0
    reports: int = 10  # of steps
    no_figures: bool = False  # the evaluations have none
    made: list[tuple[str, TrainingOptions, Shared]] = field(default_factory=list)

    def stop_asked(self) -> bool:
        return 0 < self.stop_at <= len(self.made)

    def __call__(
        self,
        options: TrainingOptions,
        directory: Path,
        execution: ExecutionOptions,
        *,
        stop_asked: Callable[[], bool],
        began: float,
        shared: Shared | None,
    ) -> Iterator[Event]:
        assert execution.resume
        assert began == self.clock.now
        assert shared is not None
        assert options.minutes is not None
        self.made.append((directory.name, options, shared))
        accuracy = self.figure(options)
        if resuming.is_finished(directory):  # reported again, as `run.run` does
            found = resuming.find_saved_run(directory)
            assert found is not None
            yield found.result()
            return
        yield Ready()
        if len(self.made) == self.kill_at:
            raise SystemExit
        if stop_asked():
            save_copy(self.template, directory, options, 0.1, finished=False)
            yield Stopped(directory, 5)
            return
        for _ in range(self.reports):
            self.clock.now += 60 * options.minutes * self.slowness / self.reports
            yield STEP
        if isinstance(accuracy, Exception):
            raise accuracy
        save_copy(self.template, directory, options, math.nan if self.no_figures else accuracy)
        yield FINISHED
        metrics = {"accuracy": accuracy}
        yield Saved(directory, options.task, metrics, 9, 9, 1.0, 7.0, 1.0, 1, "it is done")


def save_copy(
    template: Path,
    directory: Path,
    options: TrainingOptions,
    accuracy: float,
    *,
    finished: bool = True,
) -> None:
    found = checkpoint.load(template)
    files: dict[str, bytes | Path] = {name: found.file(name) for name in found.config["files"]}
    lines: list[dict[str, Any]] = [
        {"event": "evaluation", "best": False, "accuracy": 0.01, "step": 1},
        {"event": "evaluation", "best": True, "accuracy": accuracy, "log_loss": 1.0, "step": 2},
        {"event": "step", "loss": 1.0, "step": 3},
        {"event": "evaluation", "best": False, "accuracy": 0.02, "step": 4},
    ]
    files[checkpoint.METRICS] = "".join(json.dumps(line) + "\n" for line in lines).encode()
    training = {**found.config["training"], "options": options.to_json(), "finished": finished}
    config = {**found.config, "training": training}
    checkpoint.save(directory, files, config, force=True)


@pytest.fixture
def options(tmp_path: Path) -> TrainingOptions:
    """Those of a small run without a linear model, which compares accuracies."""
    lines = (CORPORA / "reviews.csv").read_text("utf-8").split("\n")[:60]
    data = tmp_path / "reviews.csv"
    data.write_text("\n".join(lines) + "\n", "utf-8")
    return TrainingOptions(
        "classify", (str(data),), ngrams=False, select="accuracy", threads=1, seed=3
    )


@dataclass
class Search:
    """Makes searches in a directory."""

    options: TrainingOptions
    directory: Path
    template: Path

    def runs(self, figure: Figure, **changes: Any) -> Runs:
        return Runs(self.template, figure, **changes)

    def __call__(
        self, runs: Runs, options: TrainingOptions | None = None, **execution: Any
    ) -> list[Event]:
        return list(self.events(runs, options, **execution))

    def events(
        self, runs: Runs, options: TrainingOptions | None = None, **execution: Any
    ) -> Iterator[Event]:
        chosen = ExecutionOptions(**{"tune": 40.0, **execution})
        began = runs.clock.now
        search = Tuning(
            options or self.options,
            self.directory,
            chosen,
            runs.stop_asked,
            began,
            run=runs,
            clock=runs.clock,
        )
        return search.events()

    @property
    def config(self) -> CheckpointConfig:
        return CheckpointConfig.of(checkpoint.load(self.directory))


@pytest.fixture
def search(
    options: TrainingOptions, tmp_path: Path, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> Search:
    # As if there were more validation data, so that less is chance.
    monkeypatch.setattr(LabelledObjective, "answers", lambda self, target: 1000)
    return Search(options, tmp_path / "model", classifier)


def wider_is_better(options: TrainingOptions) -> float:
    """The accuracy of a run: the better, the more hidden units; longer runs are a little better."""
    assert options.minutes is not None
    return min(0.99, 0.5 + (options.hidden or 64) / 500 + options.minutes / 1000)


def test_the_best_options_are_those_of_the_model(search: Search) -> None:
    runs = search.runs(wider_is_better)
    events = search(runs)
    kinds = [type(event) for event in events]
    assert kinds[:3] == [Prepared, SearchPlanned, Ready]
    assert kinds.count(Ready) == kinds.count(Finished) == 1  # those of trials are theirs
    trial = [Trying, *[TrialStep] * 10, Tried]
    assert kinds[3:] == [*trial * 14, Searched, *[Step] * 10, Finished, Saved]
    trials = [options for name, options, _ in runs.made if name != "final"]
    widest = max((options.hidden or 64, n) for n, options in enumerate(trials))[0]
    name, final, shared = runs.made[-1]
    assert (name, final.hidden, shared.is_trial) == ("final", widest, False)
    assert len({id(shared.data) for _, _, shared in runs.made}) == 1  # read once
    assert all(shared.is_trial for _, _, shared in runs.made[:-1])
    found = TrainingOptions.from_json(search.config.training.options)
    assert found == final
    assert not (search.directory / checkpoint.SEARCH).exists()
    assert not (search.directory / checkpoint.LOCK).exists()
    # --config repeats the final run, with the options as if they had been given.
    repeated = repeated_options(search.directory / checkpoint.CONFIG)
    assert (repeated.hidden, repeated.minutes) == (widest, None)


def test_the_first_trial_is_the_defaults_and_halving_decides_the_rest(search: Search) -> None:
    runs = search.runs(wider_is_better)
    events = search(runs)
    (planned,) = (event for event in events if isinstance(event, SearchPlanned))
    assert (planned.trials, planned.done) == (14, 0)
    assert planned.options == ("lr", "dropout", "hidden", "layers", "batch_size")
    trials = [event.trial for event in events if isinstance(event, Tried)]
    assert [(t.trial, t.round) for t in trials] == [
        *((n, 1) for n in range(1, 9)), *((n, 2) for n in range(9, 13)), (13, 3), (14, 3),
    ]  # fmt: skip
    assert [t.candidate for t in trials if t.round == 3] == [0, max(trials, key=hidden).candidate]
    assert replace(runs.made[0][1], minutes=None, part=None) == search.options
    minutes = [t.minutes for t in trials]
    assert minutes[-1] == pytest.approx(4 * minutes[0], rel=1e-3)
    assert trials[0].answers == 1000
    assert trials[0].metrics == {"accuracy": runs.figure(runs.made[0][1]), "log_loss": 1.0}


def hidden(trial: Any) -> int:
    return int(trial.options.get("hidden", 64))


def test_the_table_stays_with_the_model(search: Search) -> None:
    events = search(search.runs(wider_is_better))
    last = events[-1]
    assert isinstance(last, Saved)
    assert last.directory == search.directory
    table = trials_in(checkpoint.read_file(search.directory, checkpoint.TUNING))
    assert last.trials == table
    assert [row.trial for row in table if row.chosen] == [14]
    assert checkpoint.TUNING in search.config.content["files"]
    card = checkpoint.read_file(search.directory, checkpoint.MODEL_CARD).decode()
    assert "- options: found by a search of 14 trials over --lr, " in card
    assert "accuracy on the validation data was compared" in card
    assert card.index("found by a search") < card.index("Trained with")
    # A finished search is reported again, without a run.
    execution = ExecutionOptions(tune=40.0, resume=True)
    (again,) = tuning.train(search.options, search.directory, execution)
    assert isinstance(again, Saved)
    assert again.trials == table


def test_the_budget_is_for_everything(search: Search) -> None:
    runs = search.runs(wider_is_better)
    search(runs)
    assert 39 < (runs.clock.now - 1000) / 60 <= 40
    final = runs.made[-1][1].minutes
    assert final is not None
    assert 19 < final < 21  # half of the time


def test_late_trials_do_not_take_the_final_run_its_time(search: Search) -> None:
    runs = search.runs(wider_is_better, slowness=2.0)
    events = search(runs)
    tried = sum(isinstance(event, Tried) for event in events)
    (searched,) = (event for event in events if isinstance(event, Searched))
    assert 0 < searched.left_out == 14 - tried
    final = runs.made[-1][1].minutes
    assert final is not None
    assert final >= 40 * 0.4 - 1
    assert isinstance(events[-1], Saved)


def test_the_defaults_stay_where_a_gain_may_be_chance(search: Search) -> None:
    """The standard error of 0.8 of 1,000 answers is 0.013."""

    def figure(options: TrainingOptions) -> float:
        return 0.81 if options.hidden else 0.8

    runs = search.runs(figure)
    (searched,) = (event for event in search(runs) if isinstance(event, Searched))
    assert searched.choice.trial.candidate == 0
    assert searched.choice.best.candidate > 0
    final = runs.made[-1][1]
    assert replace(final, minutes=None, part=None) == search.options
    # The final run is worse than the trial that may be better by chance, and is kept all the same.
    assert TrainingOptions.from_json(search.config.training.options) == final
    table = trials_in(checkpoint.read_file(search.directory, checkpoint.TUNING))
    assert not any(row.kept for row in table)
    card = checkpoint.read_file(search.directory, checkpoint.MODEL_CARD).decode()
    assert "options: the defaults; a search of 14 trials" in card
    assert "than on other data" not in card


def test_a_trial_of_the_defaults_is_kept(search: Search) -> None:
    """The options found made the final run much worse than a short trial of the defaults."""

    def figure(options: TrainingOptions) -> float:
        assert options.minutes is not None
        if not options.hidden:
            return 0.7
        return 0.9 if options.minutes < 15 else 0.1

    def first_is_best(options: TrainingOptions) -> float:
        return 0.95 if len(runs.made) == 1 else figure(options)

    runs = search.runs(first_is_best)
    events = search(runs)
    (kept,) = (event for event in events if isinstance(event, TrialKept))
    table = trials_in(checkpoint.read_file(search.directory, checkpoint.TUNING))
    assert [row.trial for row in table if row.kept] == [kept.trial.trial] == [1]
    assert events[-1].trials == table  # type: ignore[union-attr]
    assert [row.options for row in table if row.chosen] != [{}]
    card = checkpoint.read_file(search.directory, checkpoint.MODEL_CARD).decode()
    assert "- options: the defaults, after a search of 14 trials" in card
    assert "the model is that of trial 1, for the final run was worse by more than chance" in card
    assert "metrics below are a little better than on other data" in card


def test_what_the_user_gave_is_in_every_run(search: Search) -> None:
    given = replace(search.options, lr=0.005, hidden=24)
    runs = search.runs(wider_is_better)
    search(runs, given)
    assert {(made.lr, made.hidden) for _, made, _ in runs.made} == {(0.005, 24)}
    assert len({made.dropout for _, made, _ in runs.made}) > 1


def test_a_trial_that_fails_is_a_row(search: Search) -> None:
    def figure(options: TrainingOptions) -> float | Exception:
        diverges = (options.hidden or 64) > 64
        return TrainingError("the loss stopped being a number") if diverges else 0.5

    runs = search.runs(figure)
    events = search(runs)
    failed = [event.trial for event in events if isinstance(event, Tried) and event.trial.error]
    assert failed
    assert {row.error for row in failed} == {"the loss stopped being a number"}
    assert isinstance(events[-1], Saved)
    assert (runs.made[-1][1].hidden or 64) <= 64


def test_nothing_is_left_where_every_trial_fails(search: Search) -> None:
    runs = search.runs(lambda options: TrainingError("it diverged"))
    with pytest.raises(TrainingError, match="every trial of the search failed: it diverged"):
        search(runs)
    assert not search.directory.exists()


def test_trouble_with_the_disk_ends_the_search(search: Search) -> None:
    runs = search.runs(lambda options: CheckpointError("no space"))
    with pytest.raises(CheckpointError, match="no space"):
        search(runs)
    assert len(runs.made) == 1
    assert not search.directory.exists()


def test_one_trial_is_kept_at_a_time(search: Search) -> None:
    kept: list[list[str]] = []
    folder = search.directory / checkpoint.SEARCH

    def figure(options: TrainingOptions) -> float:
        kept.append(sorted(place.name for place in folder.glob("trial-*")))
        return wider_is_better(options)

    search(search.runs(figure))
    assert kept[0] == []
    assert all(len(names) == 1 for names in kept[1:])


@pytest.mark.parametrize("stop_at", [1, 2, 9, 14])
def test_a_stopped_search_goes_on(search: Search, tmp_path: Path, stop_at: int) -> None:
    whole = search.runs(wider_is_better)
    expected = search(whole)[-1]
    broken = replace(search, directory=tmp_path / "broken")
    first = broken.runs(wider_is_better, stop_at=stop_at)
    *_, last = broken(first)
    assert isinstance(last, Stopped)
    assert (last.directory, last.trials) == (broken.directory, stop_at - 1)
    assert not checkpoint.is_checkpoint(broken.directory)
    with pytest.raises(UsageError, match="search that is not finished: add --resume"):
        broken(broken.runs(wider_is_better))
    second = broken.runs(wider_is_better)
    found = broken(second, resume=True)[-1]
    names = [name for name, _, _ in second.made]
    assert names == [name for name, _, _ in whole.made[stop_at - 1 :]]
    assert isinstance(expected, Saved)
    assert isinstance(found, Saved)
    assert found.trials is not None
    assert expected.trials is not None
    assert [row.options for row in found.trials] == [row.options for row in expected.trials]
    assert [row.metrics for row in found.trials] == [row.metrics for row in expected.trials]


def test_time_that_was_spent_counts(search: Search) -> None:
    search(search.runs(wider_is_better, stop_at=9))
    runs = search.runs(wider_is_better)
    search(runs, resume=True)
    # Eight of fourteen trials, a third of the time for them, which is half of all.
    assert (runs.clock.now - 1000) / 60 == pytest.approx(40 * 5 / 6, abs=0.5)


def test_time_of_a_killed_trial_counts(search: Search) -> None:
    """Though the trial itself has saved nothing."""
    runs = search.runs(wider_is_better)
    folder = SearchFolder(search.directory)
    events = search.events(runs)
    second = itertools.islice((e for e in events if isinstance(e, Trying)), 1, 2)
    next(second)
    began, spent = runs.clock.now, folder.read().spent
    steps = 0
    for event in events:
        steps += isinstance(event, TrialStep)
        if steps == 7:
            break
    assert runs.clock.now > began + 20
    assert folder.read().spent - spent == pytest.approx(runs.clock.now - began, abs=5.1)


def test_a_trial_without_figures_failed(search: Search) -> None:
    runs = search.runs(wider_is_better, no_figures=True)
    with pytest.raises(TrainingError, match="no evaluation has a finite accuracy"):
        search(runs)


def test_a_killed_search_goes_on(search: Search) -> None:
    with pytest.raises(SystemExit):
        search(search.runs(wider_is_better, kill_at=4))
    runs = search.runs(wider_is_better)
    events = search(runs, replace(search.options, data=()), resume=True, tune=None)
    assert [name for name, _, _ in runs.made][:2] == ["trial-4", "trial-5"]
    assert isinstance(events[-1], Saved)


def test_killed_between_a_trial_and_its_row(search: Search) -> None:
    """The model of the trial is there, and its row is not."""
    with pytest.raises(SystemExit):
        search(search.runs(wider_is_better, kill_at=4))
    place = SearchFolder(search.directory).trial(4)
    save_copy(search.template, place, search.options, 0.999)
    runs = search.runs(wider_is_better)
    last = search(runs, resume=True)[-1]
    assert isinstance(last, Saved)
    assert last.trials is not None
    assert last.trials[3].metrics["accuracy"] == 0.999
    assert last.trials[3].answers == 1000


def test_a_stopped_final_run_goes_on(search: Search) -> None:
    first = search.runs(wider_is_better, stop_at=15)
    *_, last = search(first)
    assert isinstance(last, Stopped)
    assert (last.step, last.trials) == (5, None)
    second = search.runs(wider_is_better)
    events = search(second, resume=True)
    assert [name for name, _, _ in second.made] == ["final"]
    assert second.made[0][1] == first.made[-1][1]  # to the minutes
    assert not any(isinstance(event, Searched) for event in events)
    assert isinstance(events[-1], Saved)


def test_a_search_without_a_finished_trial_leaves_nothing(search: Search) -> None:
    with pytest.raises(SystemExit):
        search(search.runs(wider_is_better, kill_at=1))
    assert not search.directory.exists()


@pytest.mark.parametrize(
    ("changes", "execution", "message"),
    [
        ({"lr": 0.5}, {}, "--lr 0.5: .* started without --lr"),
        ({"seed": 4}, {}, "--seed 4: .* started with 3"),
        ({}, {"tune": 41.0}, "--tune 41: .* started with 40; leave it out"),
        ({"data": "other.csv"}, {}, "the training data are not those of the search"),
        ({"valid": "other.csv"}, {}, "the validation data are not those of the search"),
    ],
)
def test_a_search_goes_on_with_its_options_alone(
    search: Search, changes: dict[str, Any], execution: dict[str, Any], message: str, tmp_path: Path
) -> None:
    given = search.options
    if "valid" in changes:
        search.options = replace(given, valid=str(given.data[0]))
    search(search.runs(wider_is_better, stop_at=3))
    other = tmp_path / "other.csv"
    other.write_text((CORPORA / "reviews.csv").read_text("utf-8"), "utf-8")
    if "data" in changes:
        changes = {"data": (str(other),)}
    if "valid" in changes:
        changes = {"valid": str(other)}
    with pytest.raises(UsageError, match=message):
        search(
            search.runs(wider_is_better),
            replace(search.options, **changes),
            resume=True,
            **execution,
        )
    runs = search.runs(wider_is_better)
    search(runs, resume=True)
    assert runs.made[0][0] == "trial-3"


def damage(state: dict[str, Any], what: str) -> None:
    row = state["table"][0]
    match what:
        case "type":
            state["options"] = 3
        case "option of a trial":
            row["options"] = {"colour": "red"}
        case "option of the final run":
            state["final"] = {"minutes": 1.0, "options": {"colour": "red"}}
        case "minutes":
            state["final"] = {"minutes": -1.0, "options": {}}
        case "metrics":
            row["metrics"] = {}
        case "candidate":
            row["candidate"] = 8
        case "candidates":
            state["plan"]["candidates"] = 64
        case "plan":
            state["plan"] = None


@pytest.mark.parametrize(
    "what",
    [
        "type",
        "option of a trial",
        "option of the final run",
        "minutes",
        "metrics",
        "candidate",
        "candidates",
        "plan",
    ],
)
def test_a_damaged_state_is_refused(search: Search, what: str) -> None:
    search(search.runs(wider_is_better, stop_at=3))
    path = search.directory / checkpoint.SEARCH / "search.json"
    state = json.loads(path.read_bytes())
    damage(state, what)
    path.write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match=r"search.json is damaged .*--force"):
        search(search.runs(wider_is_better), resume=True)
    assert path.exists()
    assert isinstance(search(search.runs(wider_is_better), force=True)[-1], Saved)


def test_the_old_model_stays_until_there_is_a_new_one(search: Search) -> None:
    save_copy(search.template, search.directory, search.options, 0.3)
    with pytest.raises(UsageError, match="not empty: add --force"):
        search(search.runs(wider_is_better))
    before = search.config.content
    search(search.runs(wider_is_better, stop_at=9), force=True)
    assert search.config.content == before
    search(search.runs(wider_is_better), resume=True)
    assert search.config.content != before


@pytest.mark.parametrize("final", [0.4, TrainingError("it diverged")])
def test_a_final_run_that_is_worse_is_not_kept(search: Search, final: float | Exception) -> None:
    def figure(options: TrainingOptions) -> float | Exception:
        assert options.minutes is not None
        return final if options.minutes > 15 else wider_is_better(options)

    runs = search.runs(figure)
    events = search(runs)
    (kept,) = (event for event in events if isinstance(event, TrialKept))
    assert kept.final == (final if isinstance(final, float) else None)
    assert kept.error == (None if isinstance(final, float) else "it diverged")
    best = runs.made[kept.trial.trial - 1][1]
    assert TrainingOptions.from_json(search.config.training.options) == best
    assert kept.trial.metrics["accuracy"] == wider_is_better(best)
    last = events[-1]
    assert isinstance(last, Saved)
    assert last.directory == search.directory
    assert last.metrics["majority"] > 0  # those of the model that is saved, not of the final run


def test_a_trial_that_is_kept_is_finished(search: Search) -> None:
    """Its linear model has learned from the validation part too, as that of a final run has."""

    def figure(options: TrainingOptions) -> float:
        assert options.minutes is not None
        return 0.1 if options.minutes > 15 else 0.9

    runs = search.runs(figure)
    events = search(runs, replace(search.options, ngrams=True))
    assert any(isinstance(event, TrialKept) for event in events)
    summary = runs.made[0][2].data.summary
    texts = read_notes(checkpoint.read_file(search.directory, checkpoint.NGRAMS))["texts"]
    assert texts == summary.train + summary.valid


def test_trials_are_of_float32(search: Search) -> None:
    runs = search.runs(wider_is_better)
    search(runs, replace(search.options, quantize=True))
    assert [options.quantize for _, options, _ in runs.made] == [False] * 14 + [True]


def test_the_seconds_are_those_of_everything(search: Search) -> None:
    runs = search.runs(wider_is_better)
    last = search(runs)[-1]
    assert isinstance(last, Saved)
    assert last.seconds == pytest.approx(runs.clock.now - 1000, abs=0.1)
    assert search.config.final_results.seconds == last.seconds > 60 * 39


def test_a_final_run_that_is_equal_is_kept(search: Search) -> None:
    runs = search.runs(lambda options: 0.8)
    events = search(runs)
    assert not any(isinstance(event, TrialKept) for event in events)
    found = TrainingOptions.from_json(search.config.training.options)
    assert found == runs.made[-1][1]
    card = checkpoint.read_file(search.directory, checkpoint.MODEL_CARD).decode()
    assert "- options: the defaults; a search of 14 trials over --lr, " in card


@pytest.mark.parametrize(
    ("tune", "changes", "reason"),
    [
        (0.05, {}, "0.05 minutes are too short for a search"),
        (
            40.0,
            {"lr": 0.1, "dropout": 0.1, "preset": "tiny", "batch_size": 4},
            "every option that a search would change was given",
        ),
    ],
)
def test_no_search(search: Search, tune: float, changes: dict[str, Any], reason: str) -> None:
    runs = search.runs(wider_is_better)
    options = replace(search.options, **changes)
    events = search(runs, options, tune=tune)
    (planned,) = (event for event in events if isinstance(event, SearchPlanned))
    assert (planned.trials, planned.reason) == (0, reason)
    ((name, final, _),) = runs.made
    assert (name, replace(final, minutes=None, part=None)) == ("final", options)
    assert final.minutes == pytest.approx(tune, abs=0.01)
    last = events[-1]
    assert isinstance(last, Saved)
    assert last.trials == ()
    assert checkpoint.TUNING not in search.config.content["files"]
    card = checkpoint.read_file(search.directory, checkpoint.MODEL_CARD).decode()
    assert "search" not in card


def test_several_processes_are_refused(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="--tune runs in a single process"):
        search(search.runs(wider_is_better))
    assert not search.directory.exists()


def test_a_run_without_a_search_is_not_resumed_with_one(search: Search) -> None:
    save_copy(search.template, search.directory, search.options, 0.3, finished=False)
    execution = ExecutionOptions(tune=40.0, resume=True)
    with pytest.raises(UsageError, match=r"--tune: .* began without a search"):
        list(tuning.train(search.options, search.directory, execution))


def names_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("tune", [None, 40.0])
@pytest.mark.parametrize("trouble", ["data", "a person's file", "another process"])
def test_what_cannot_begin_removes_no_search(
    search: Search, tmp_path: Path, tune: float | None, trouble: str
) -> None:
    search(search.runs(wider_is_better, stop_at=3))
    options, holder = search.options, Claim(search.directory, "training")
    message = "gone.csv"
    if trouble == "data":
        options = replace(options, data=(str(tmp_path / "gone.csv"),))
    elif trouble == "another process":
        message = "is in use"
    else:
        (search.directory / checkpoint.SEARCH / "notes.txt").write_text("mine")
        message = "notes.txt is not part of a search"
    with holder if trouble == "another process" else nullcontext():
        before = names_below(search.directory)
        execution = ExecutionOptions(force=True, tune=tune)
        with pytest.raises(RnntextError, match=message):
            list(tuning.train(options, search.directory, execution))
        assert names_below(search.directory) == before
    if trouble != "a person's file":
        runs = search.runs(wider_is_better)
        search(runs, resume=True)
        assert runs.made[0][0] == "trial-3"


def test_force_removes_a_search(search: Search) -> None:
    """Also where the new run has none: --resume would go on with the old search."""
    search(search.runs(wider_is_better, stop_at=3))
    options = replace(search.options, steps=1)
    last = list(tuning.train(options, search.directory, ExecutionOptions(force=True)))[-1]
    assert isinstance(last, Saved)
    assert last.trials is None
    assert not SearchFolder(search.directory).path.exists()


def test_killed_while_the_folder_is_made(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there with its state or not at all, and an earlier search is there until then."""
    write = search_folder.write_durably

    def killed(path: Path, content: bytes) -> None:
        if path.name == checkpoint.SEARCH_STATE:
            raise SystemExit
        write(path, content)

    folder = SearchFolder(search.directory)
    search(search.runs(wider_is_better, stop_at=3))
    with monkeypatch.context() as patch:
        patch.setattr(search_folder, "write_durably", killed)
        with pytest.raises(SystemExit):
            search(search.runs(wider_is_better), force=True)
    assert folder.read().table
    runs = search.runs(wider_is_better)
    search(runs, resume=True)
    assert runs.made[0][0] == "trial-3"


def test_a_search_without_a_state_stands_in_no_way(search: Search) -> None:
    folder = SearchFolder(search.directory)
    (folder.path / "trial-1").mkdir(parents=True)
    options = replace(search.options, steps=1)
    execution = ExecutionOptions(resume=True)
    assert isinstance(list(tuning.train(options, search.directory, execution))[-1], Saved)
    assert not folder.path.exists()
    folder.path.mkdir()
    assert isinstance(search(search.runs(wider_is_better), force=True)[-1], Saved)
    assert not folder.path.exists()


def test_budgets_exclude_each_other(search: Search) -> None:
    options = replace(search.options, minutes=1.0)
    with pytest.raises(RnntextError, match="--tune and --minutes exclude each other"):
        list(tuning.train(options, search.directory, ExecutionOptions(tune=1.0)))


def test_interrupted_while_the_model_is_moved(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its files are in place and after it: the search is there to go on with."""
    runs = search.runs(wider_is_better)

    def interrupt(*_: object) -> None:
        runs.stop_at = 1
        raise KeyboardInterrupt

    for name in ("install", "discard"):
        with monkeypatch.context() as patch:
            # The first call of `discard` is when the search begins.
            target = SearchFolder.discard
            calls = iter([target] if name == "discard" else [])
            patch.setattr(SearchFolder, name, lambda *a, calls=calls: next(calls, interrupt)(*a))
            runs = search.runs(wider_is_better)
            *_, last = search(runs, force=True)
        assert isinstance(last, Stopped), name
        assert SearchFolder(search.directory).has_search()
        runs = search.runs(wider_is_better)
        assert isinstance(search(runs, resume=True)[-1], Saved)
        assert [made for made, _, _ in runs.made] == ["final"]
        assert not SearchFolder(search.directory).path.exists()


def test_ctrl_c_without_a_stop_is_no_event(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SearchFolder, "install", interrupt)
    with pytest.raises(KeyboardInterrupt):
        search(search.runs(wider_is_better))
    assert SearchFolder(search.directory).has_search()


def test_too_little_memory_is_a_line(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(tuning, "set_up", fail)
    with pytest.raises(TrainingError, match=r"not enough memory .*--batch-size"):
        search(search.runs(wider_is_better))


def test_the_linear_model_is_learned_once(search: Search) -> None:
    options = replace(search.options, ngrams=True)
    runs = search.runs(wider_is_better, stop_at=3)
    events = search(runs, options)
    assert sum(isinstance(event, NgramsLearned) for event in events) == 1
    (content,) = {shared.files[checkpoint.NGRAMS] for _, _, shared in runs.made}
    resumed = search.runs(wider_is_better)
    events = search(resumed, options, resume=True)
    assert not any(isinstance(event, NgramsLearned) for event in events)
    assert {shared.files[checkpoint.NGRAMS] for _, _, shared in resumed.made} == {content}


@pytest.mark.parametrize("is_trial", [True, False])
def test_runs_that_share_the_data(options: TrainingOptions, tmp_path: Path, is_trial: bool) -> None:
    """A real run: it reads and learns nothing anew, but the linear model from all texts at the end,
    if it is no trial, and its model card names the directory where the model will be."""
    chosen = replace(options, ngrams=True, steps=3)
    setup = set_up(chosen, None, cache=False)
    list(setup.objective.prepare({}))
    summary = setup.data.summary
    published = tmp_path / "published"
    shared = Shared(setup.data, setup.objective.files({}), published, is_trial)
    gone = replace(chosen, data=(str(tmp_path / "gone.csv"),))
    events = list(running.run(gone, tmp_path / "m", shared=shared))
    assert not any(isinstance(event, NgramsLearned) for event in events)
    assert isinstance(events[-1], Saved)
    texts = read_notes(checkpoint.read_file(tmp_path / "m", checkpoint.NGRAMS))["texts"]
    assert texts == summary.train + (0 if is_trial else summary.valid)
    card = checkpoint.read_file(tmp_path / "m", checkpoint.MODEL_CARD).decode()
    assert card.startswith("# published\n")
    assert f" -o {published} " in card
