"""A search over a task's options before a run with the best, in one time budget (`--tune`).

Knows: the order of trials and final run, how the budget is divided between them, how a search is
resumed, and which model is kept. Does not know: any one task, how a run trains (`run.py`), which
candidates there are (`search_space.py`), how they are compared (`search.py`), where a search is
saved (`persistence/search_folder.py`), or consoles; it yields events.

The data are read once, and the linear model of a classifier or tagger is learned once, for all
runs. At the end the better of the final run and the best trial takes its place in the directory.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from rnntext import checkpoint
from rnntext.arguments import MINUTES
from rnntext.claim import Claim
from rnntext.errors import CheckpointError, TrainingError, UsageError
from rnntext.training import run as running
from rnntext.training.engine.distributed import is_distributed
from rnntext.training.engine.loop import always_false
from rnntext.training.engine.memory import explain_out_of_memory
from rnntext.training.events import (
    Event,
    NotSaved,
    Ready,
    RoomShort,
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
from rnntext.training.kept_trial import TrialFinisher
from rnntext.training.memory_needs import smaller_batch
from rnntext.training.options import TrainingOptions
from rnntext.training.persistence import resume as resuming
from rnntext.training.persistence.destination import Destination
from rnntext.training.persistence.search_folder import (
    FinalRun,
    SearchFolder,
    SearchState,
    best_metrics,
    remark_on,
)
from rnntext.training.search import (
    Choice,
    Search,
    Trial,
    is_better,
    plan_search,
    target_of,
)
from rnntext.training.search_space import Changes, draw_candidates, searched
from rnntext.training.setup import Shared, set_up
from rnntext.training.tasks.base import get_task

# The share of the time after the preparation that trials are planned for, and the share after which
# no trial begins, where they took longer.
_TRIALS_SHARE, _LATEST_SHARE = 0.5, 0.6
_MOST_CANDIDATES = 16
# Seconds of a trial after which the time that is spent is saved.
_SPENT_EVERY = 5.0
# Seconds reserved for moving the model to its place.
_MOVING = 0.5


class RunFunction(Protocol):
    """Trains a model; `run.run`, which documents the arguments."""

    def __call__(
        self,
        options: TrainingOptions,
        directory: Path,
        execution: ExecutionOptions,
        *,
        stop_asked: Callable[[], bool],
        began: float,
        shared: Shared | None,
    ) -> Iterator[Event]: ...


def train(
    options: TrainingOptions,
    directory: Path,
    execution: ExecutionOptions = ExecutionOptions(),  # noqa: B008  (frozen)
    *,
    stop_asked: Callable[[], bool] = always_false,
    began: float | None = None,
) -> Iterator[Event]:
    """Train as `run.run` does, with a search before it if `execution.tune` asks for one, or if
    `directory` holds one to resume."""
    began = time.perf_counter() if began is None else began
    execution.check_with(options)
    folder = SearchFolder(directory)
    resumes = execution.resume and folder.has_search()
    if resumes or (execution.tune is not None and not _holds_run(directory, execution.resume)):
        yield from Tuning(options, directory, execution, stop_asked, began).events()
        return
    run = running.run(options, directory, execution, stop_asked=stop_asked, began=began)
    for event in run:
        if isinstance(event, Ready):
            # The run holds the directory, and has data and a model to put in place of a search:
            # the one that --force replaces, or what is left of one without a state.
            folder.discard()
        yield event


def _holds_run(directory: Path, resume: bool) -> bool:
    """Return True if a finished run is to be reported again. Raises UsageError for one that is not
    finished and began without a search."""
    if not resume or not checkpoint.is_checkpoint(directory):
        return False
    if not resuming.is_finished(directory):
        raise UsageError(
            f"--tune: {directory} holds a run that began without a search; leave it out to go on, "
            "or start anew with --force"
        )
    return True


class _Prepared(NamedTuple):
    """What is known before the first trial."""

    shared: Shared
    fingerprint: str
    valid_digest: str
    candidates: list[Changes]
    names: tuple[str, ...]  # of the options that are searched
    finisher: TrialFinisher
    seconds: float  # that it took, in this process


class Tuning:
    """One search with its final run. `began`: the reading of `clock` from which its time counts;
    `run`: what runs a trial and the final run."""

    def __init__(
        self,
        options: TrainingOptions,
        directory: Path,
        execution: ExecutionOptions,
        stop_asked: Callable[[], bool],
        began: float,
        *,
        run: RunFunction = running.run,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._options, self._directory, self._execution = options, directory, execution
        self._stop_asked, self._began, self._run, self._clock = stop_asked, began, run, clock
        self._started = began  # of this process
        self._folder = SearchFolder(directory)
        self._task = get_task(options.task)
        self._minutes = execution.tune or 0.0
        self._saved: SearchState | None = None

    def events(self) -> Iterator[Event]:
        """Search, train and save the model. Raises RnntextError."""
        if is_distributed():
            raise UsageError("--tune runs in a single process: start it without torchrun")
        resume, force = self._execution.resume, self._execution.force
        destination = Destination(self._directory, Claim(self._directory, "training"))
        with destination.claimed(force=force, resume=resume), ExitStack() as stack:
            if resume and self._folder.has_search():
                self._restore()
            elif not self._options.data:
                raise UsageError(
                    f"{self._directory} holds no run to go on with: name the data files"
                )
            with explain_out_of_memory(smaller_batch(self._options)):
                prepared = yield from self._prepare()
            if self._saved is None:
                self._begin(prepared)
            # Until here the folder may hold an earlier search, which an error leaves there.
            stack.callback(self._discard_if_empty)
            yield from self._search_and_train(prepared, destination)

    def _discard_if_empty(self) -> None:
        """Remove the folder if nothing in it is worth going on with."""
        if not (any(row.done for row in self._state.table) or self._folder.has_saved_run()):
            self._folder.discard()

    def _restore(self) -> None:
        """Go on with the search that the directory holds."""
        state = self._folder.read()
        try:
            saved = TrainingOptions.from_json(state.options)
        except UsageError as error:
            raise self._folder.damaged(error) from None
        resuming.require_same_options(self._directory, saved, self._options)
        if self._minutes not in (0.0, state.tune):
            raise UsageError(
                f"--tune {self._minutes:g}: {self._directory} holds a search that was started with "
                f"{state.tune:g}; leave it out to go on, or start anew with --force"
            )
        merged = resuming.merged_hardware(saved, self._options)
        self._options = replace(merged, part=state.part)
        fault = state.fault(self._targets)
        if fault is not None:
            raise self._folder.damaged(fault)
        self._minutes = state.tune
        self._began -= state.spent
        self._saved = state

    def _elapsed(self) -> float:
        return self._clock() - self._began

    def _search_and_train(self, prepared: _Prepared, destination: Destination) -> Iterator[Event]:
        yield self._planned(prepared)
        yield Ready()
        search = None
        if self._state.plan is not None:
            search = Search(self._state.plan, self._targets)
            if self._state.final is None:
                stopped = yield from self._try_all(search, prepared)
                if stopped:
                    self._save()
                    yield Stopped(self._directory, 0, len(self._state.table))
                    return
        yield from self._train_and_save(search, prepared, destination)

    @property
    def _targets(self) -> tuple[str, ...]:
        return self._task.targets(self._options)

    @property
    def _state(self) -> SearchState:
        assert self._saved is not None  # noqa: S101
        return self._saved

    def _save(self, state: SearchState | None = None) -> None:
        self._saved = replace(state or self._state, spent=self._elapsed())
        self._folder.write(self._saved)

    # Before the first trial

    def _prepare(self) -> Generator[Event, None, _Prepared]:
        """Read the data, with the time for them that a run of the whole budget would take, and
        learn the linear model."""
        timed = replace(self._options, minutes=self._minutes)
        # A resumed search reads the data that it began with, however late it is.
        began = self._began if self._saved is None else None
        setup = set_up(timed, began, self._execution.cache)
        summary = setup.data.summary
        digest = setup.validation_digest
        if self._saved is not None:
            self._folder.require_same_data(self._saved, summary.fingerprint, digest)
        yield setup.prepared
        files = {} if self._saved is None else self._folder.linear_models()
        yield from setup.objective.prepare(files)
        self._options = replace(self._options, part=summary.part)
        dimensions = searched(self._task.search_space, self._options)
        seed = self._options.seed
        candidates = draw_candidates(dimensions, setup.recipe, _MOST_CANDIDATES, seed)
        plan = None if self._saved is None else self._saved.plan
        if plan is not None and plan.candidates > len(candidates):
            raise self._folder.damaged(f"there are {len(candidates)} candidates")
        return _Prepared(
            Shared(setup.data, setup.objective.files({}), self._directory, is_trial=True),
            summary.fingerprint,
            digest,
            candidates,
            tuple(dimension.option for dimension in dimensions),
            TrialFinisher(setup, self._directory),
            self._clock() - self._started,
        )

    def _begin(self, prepared: _Prepared) -> None:
        spent = self._elapsed()
        left = 60 * self._minutes - spent
        self._saved = SearchState(
            self._options.to_json(),
            self._minutes,
            prepared.fingerprint,
            prepared.valid_digest,
            self._options.part,
            plan_search(_TRIALS_SHARE * left, len(prepared.candidates)),
            spent + _LATEST_SHARE * left,
            spent,
        )
        self._folder.create(prepared.shared.files, self._saved)

    def _planned(self, prepared: _Prepared) -> SearchPlanned:
        state = self._state
        if state.plan is not None:
            return SearchPlanned(state.plan.trials(), len(state.table), prepared.names)
        reason = f"{self._minutes:g} minutes are too short for a search"
        if len(prepared.candidates) < 2:
            reason = "every option that a search would change was given"
        return SearchPlanned(0, 0, prepared.names, reason)

    # Trials

    def _try_all(self, search: Search, prepared: _Prepared) -> Generator[Event, None, bool]:
        """Run the trials that the table lacks; return True if a stop was asked for."""
        while (found := search.next(self._state.table)) is not None:
            number, candidate = found
            table = self._state.table
            seconds = search.plan.trial_seconds(number)
            if table and self._elapsed() + seconds > self._state.trials_until:
                break
            if self._stop_asked():
                return True
            row = Trial(
                trial=len(table) + 1,
                round=number,
                candidate=candidate,
                options=prepared.candidates[candidate],
                minutes=round(seconds / 60, 4),
            )
            tried = yield from self._try(row, prepared)
            if tried is None:
                return True
            table = (*table, tried)
            self._save(replace(self._state, table=table))
            self._folder.keep_trial(search.best(table))
            yield Tried(tried, search.target(table))
        return False

    def _try(self, row: Trial, prepared: _Prepared) -> Generator[Event, None, Trial | None]:
        """Run a trial; return its row, or None if it was stopped and has saved its state."""
        place = self._folder.trial(row.trial)
        # Figures of float32 are compared, and a trial that is kept becomes int8 at the end.
        changes = {**row.options, "minutes": row.minutes, "quantize": False}
        options = replace(self._options, **changes)
        yield Trying(row.trial, row.options, row.minutes)
        started = self._clock()
        try:
            for event in self._start(options, place, prepared.shared):
                match event:
                    case Step():
                        self._save_spent()
                        yield TrialStep(event)
                    case NotSaved():
                        yield event
                    case RoomShort() if row.trial == 1:
                        yield event
                    case Stopped():
                        return None
                    case Saved():
                        return self._result(row, event, place, prepared)
        except TrainingError as error:
            seconds = round(self._clock() - started, 1)
            return replace(row, seconds=seconds, error=_reason(error, place))
        # It was interrupted after its model was saved, which a resumed search finds.
        return None

    def _result(self, row: Trial, saved: Saved, place: Path, prepared: _Prepared) -> Trial:
        """Return the row of a trial that is done."""
        metrics, seconds = best_metrics(place), round(saved.seconds, 1)
        target = target_of(self._targets, metrics)
        if target is None:
            error = f"no evaluation has a finite {self._targets[0]}"
            return replace(row, seconds=seconds, error=error)
        return replace(
            row,
            seconds=seconds,
            steps=saved.steps,
            parameters=saved.parameters,
            metrics=metrics,
            answers=prepared.finisher.objective.answers(target),
        )

    def _save_spent(self) -> None:
        """Save the time that a trial takes, which counts also if it is killed."""
        if self._elapsed() - self._state.spent >= _SPENT_EVERY:
            with contextlib.suppress(CheckpointError):  # the next time, or at the trial's end
                self._save()

    def _start(self, options: TrainingOptions, place: Path, shared: Shared) -> Iterator[Event]:
        execution = ExecutionOptions(resume=True, save_every=self._execution.save_every)
        return self._run(
            options,
            place,
            execution,
            stop_asked=self._stop_asked,
            began=self._clock(),
            shared=shared,
        )

    # The final run

    def _train_and_save(
        self, search: Search | None, prepared: _Prepared, destination: Destination
    ) -> Iterator[Event]:
        choice = None if search is None else search.choose(self._state.table)
        if choice is None and self._state.table:
            raise TrainingError(f"every trial of the search failed: {self._state.table[0].error}")
        final = self._state.final
        if final is None:
            final = self._decide(choice)
            if choice is not None:
                left_out = 0 if search is None else search.missing(self._state.table)
                yield Searched(self._state.table, choice, final.minutes, left_out)
        options = replace(self._options, **final.options, minutes=final.minutes)
        steps, failure = 0, None
        try:
            shared = replace(prepared.shared, is_trial=False)
            for event in self._start(options, self._folder.final, shared):
                match event:
                    case Ready():
                        pass
                    case Saved():
                        steps = event.steps
                    case Stopped():
                        self._save()
                        yield replace(event, directory=self._directory)
                        return
                    case _:
                        yield event
        except TrainingError as error:
            if choice is None:
                raise
            failure = _reason(error, self._folder.final)
        try:
            kept = None if search is None else self._better_trial(search, failure)
            if kept is not None:
                yield kept
            saved = self._install(kept, choice, prepared, destination)
            self._folder.discard()
            yield saved
        except KeyboardInterrupt:
            if not (self._stop_asked() and self._folder.has_search()):
                raise
            yield Stopped(self._directory, steps)

    def _install(
        self,
        kept: TrialKept | None,
        choice: Choice | None,
        prepared: _Prepared,
        destination: Destination,
    ) -> Saved:
        """Save the model of the final run, or of the trial that is kept, and say so."""
        number = 0 if kept is None else kept.trial.trial
        found = checkpoint.load(self._folder.trial(number) if number else self._folder.final)
        changed: dict[str, bytes] = {}
        config = found.config
        if kept is not None:
            changed, config = prepared.finisher.finish(found)
        table = tuple(replace(row, kept=row.trial == number) for row in self._state.table)
        target = "" if choice is None else choice.target
        error = None if kept is None else kept.error
        remark = remark_on(table, target, prepared.names, error)
        times = {"seconds": self._elapsed(), "preparation_seconds": prepared.seconds}
        rounded = {name: round(seconds, 1) for name, seconds in times.items()}
        config = {**config, "results": {**config["results"], **rounded}}
        self._folder.install(found, changed, config, destination, table, remark)
        installed = resuming.find_saved_run(self._directory)
        assert installed is not None  # noqa: S101
        return replace(installed.result(), trials=table)

    def _decide(self, choice: Choice | None) -> FinalRun:
        """Save what the final run will be, so that it is the same where it is resumed."""
        decisive = 0 if choice is None else choice.trial.trial
        table = tuple(replace(row, chosen=row.trial == decisive) for row in self._state.table)
        left = (60 * self._minutes - self._elapsed() - _MOVING) / 60
        minutes = max(MINUTES.least, math.floor(left * 1e4) / 1e4)
        final = FinalRun(minutes, {} if choice is None else choice.trial.options)
        self._save(replace(self._state, table=table, final=final))
        return final

    def _better_trial(self, search: Search, failure: str | None) -> TrialKept | None:
        """Return the best trial if the final run is worse by more than chance, or failed for a
        reason. The best of all trials is better than what it stands for, as in the search."""
        table = self._state.table
        best, target = search.best(table), search.target(table)
        if best is None:
            return None
        if failure is not None:
            return TrialKept(best, target, None, failure)
        reached = replace(best, metrics=best_metrics(self._folder.final))
        if not is_better(best, reached, target):
            return None
        return TrialKept(best, target, reached.metrics.get(target))


def _reason(error: TrainingError, place: Path) -> str:
    """Return the message of a run without its directory, which is removed."""
    return str(error).removesuffix(f"; {place} keeps what was last saved")
