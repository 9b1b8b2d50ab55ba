"""The folder of a search inside the directory of its model, `DIR/.tuning`.

Knows: the state of a search (`search.json`) with its table, the places of its runs, the figures in
their logs, and how one of them takes its place in DIR. Does not know: which trial comes next, how
options are chosen, or how a run is trained.

The folder also holds the linear model that all runs share, `trial-N`, the trial that runs and the
best one so far, and `final`, the final run. Each of these is an ordinary run in a directory of its
own, which saves its state and can be resumed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rnntext import checkpoint
from rnntext.checkpoint import Checkpoint
from rnntext.errors import CheckpointError, UsageError
from rnntext.files import flush_directory, owner, write_durably, write_error
from rnntext.json_fields import read_record
from rnntext.training.declaration import flag_of
from rnntext.training.options import TrainingOptions
from rnntext.training.persistence.destination import Destination
from rnntext.training.search import Plan, Trial, is_flattered, saved_options, table_of, target_of

_STATE = checkpoint.SEARCH_STATE
_TRIAL = "trial-"
# Fields of a line of the log that are no metrics.
_NO_METRICS = ("event", "step", "epoch", "loss", "seconds", "best")


@dataclass(frozen=True, slots=True)
class FinalRun:
    """The options that a search found, and the minutes that were left for the run with them."""

    minutes: float
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchState:
    """The content of `search.json`."""

    options: dict[str, Any]  # see `TrainingOptions`
    tune: float  # minutes for everything
    fingerprint: str  # of the training data
    valid_digest: str  # of the validation data
    part: tuple[int, int, int] | None  # see `TrainingOptions`
    plan: Plan | None  # None: there is no search
    trials_until: float  # seconds from the start after which no trial begins
    spent: float = 0.0  # seconds
    table: tuple[Trial, ...] = ()
    final: FinalRun | None = None

    def fault(self, targets: Sequence[str]) -> str | None:
        """Return why the search cannot go on with this table; None if it can. `targets`: metrics,
        one of which each trial has."""
        candidates = 0 if self.plan is None else self.plan.candidates
        for number, row in enumerate(self.table):
            if row.done and target_of(targets, row.metrics) is None:
                return f"table[{number}] has no {targets[0]}"
            if row.candidate not in range(candidates):
                return f"table[{number}] is not of a candidate"
        return None


class SearchFolder:
    """The folder of the search in the model's directory `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.path = directory, directory / checkpoint.SEARCH
        self.final = self.path / "final"  # the directory of the final run

    def trial(self, number: int) -> Path:
        """Return the directory of a trial."""
        return self.path / f"{_TRIAL}{number}"

    def has_search(self) -> bool:
        """Return True if there is a search that is not finished."""
        return (self.path / _STATE).is_file()

    def has_saved_run(self) -> bool:
        """Return True if a run in the folder has saved something."""
        with contextlib.suppress(OSError):
            return any(checkpoint.is_checkpoint(place) for place in self.path.iterdir())
        return False

    def create(self, files: Mapping[str, bytes], state: SearchState) -> None:
        """Make the folder, with the files that its runs share and the state, in place of the one
        that is there. It is there with all of that or not at all. Raises CheckpointError; an
        earlier search is then what it was."""
        made = self.directory / f"{checkpoint.SEARCH}.tmp-{owner()}"
        shutil.rmtree(made, ignore_errors=True)
        try:
            made.mkdir()
            for name, content in {**files, _STATE: _content(state)}.items():
                write_durably(made / name, content)
            self.discard()
            os.rename(made, self.path)
            flush_directory(self.directory)
        except OSError as error:
            raise CheckpointError(write_error(self.path, error)) from error
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def linear_models(self) -> dict[str, bytes]:
        """Return the linear models that the runs share, by name."""
        names = (checkpoint.NGRAMS, checkpoint.SPLITTER)
        return {n: (self.path / n).read_bytes() for n in names if (self.path / n).is_file()}

    def read(self) -> SearchState:
        """Raises CheckpointError."""
        path = self.path / _STATE
        try:
            state = read_record(SearchState, json.loads(path.read_bytes()))
            final = state.final or FinalRun(state.tune)
            for options in (*(row.options for row in state.table), final.options):
                merged = {**state.options, **options, "minutes": final.minutes}
                TrainingOptions.from_json(merged)
            return state
        except (OSError, ValueError, RecursionError, UsageError) as error:
            raise self.damaged(error) from None

    def damaged(self, reason: object) -> CheckpointError:
        """The error for a state that cannot be used."""
        return CheckpointError(
            f"{self.path / _STATE} is damaged ({reason}): start anew with --force"
        )

    def require_same_data(self, state: SearchState, fingerprint: str, valid_digest: str) -> None:
        """Raises UsageError if the data are not those that the search began with."""
        for part, now, then in (
            ("training", fingerprint, state.fingerprint),
            ("validation", valid_digest, state.valid_digest),
        ):
            if now != then:
                raise UsageError(
                    f"the {part} data are not those of the search that {self.directory} holds: "
                    "give the same to go on, or start anew with --force"
                )

    def write(self, state: SearchState) -> None:
        """Raises CheckpointError; the file is then what it was."""
        path = self.path / _STATE
        try:
            write_durably(path, _content(state))
        except OSError as error:
            raise CheckpointError(write_error(path, error)) from error

    def keep_trial(self, best: Trial | None) -> None:
        """Remove the directories of all trials but one."""
        for place in self.path.glob(f"{_TRIAL}*"):
            if best is None or place != self.trial(best.trial):
                shutil.rmtree(place, ignore_errors=True)

    def discard(self) -> None:
        """Remove the folder. It is renamed first, so that a process that is killed meanwhile leaves
        no part of a search."""
        aside = self.directory / f"{checkpoint.SEARCH}.old.tmp-{owner()}"
        shutil.rmtree(aside, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.rename(self.path, aside)
        shutil.rmtree(aside, ignore_errors=True)

    def install(
        self,
        found: Checkpoint,
        changed: Mapping[str, bytes],
        config: Mapping[str, Any],
        destination: Destination,
        table: tuple[Trial, ...],
        remark: str,
    ) -> None:
        """Copy a finished run to the directory of the model, with the table, and with a line in its
        model card. `changed`: files in place of those of the run. Raises CheckpointError."""
        files: dict[str, bytes | Path] = {
            name: found.file(name) for name in found.config["files"] if found.has(name)
        }
        files |= changed
        if table:
            files[checkpoint.TUNING] = table_of(table)
        card = files.get(checkpoint.MODEL_CARD)
        if table and card is not None:
            text = (card.read_bytes() if isinstance(card, Path) else card).decode()
            text = text.replace("\n\nTrained with\n", f"\n- {remark}\n\nTrained with\n", 1)
            files[checkpoint.MODEL_CARD] = text.encode()
        destination.save_or_keep(files, config, force=True, noun="model")


def remark_on(
    table: Sequence[Trial], target: str, names: Sequence[str], failure: str | None
) -> str:
    """Return the line of the model card about the search and the model that is saved. `names`: of
    the options that were searched; `failure`: why the final run failed."""
    flags = ", ".join(map(flag_of, names))
    search = f"a search of {len(table)} trials over {flags} (`{checkpoint.TUNING}`)"
    kept = next((row.trial for row in table if row.kept), None)
    parts = [f"options: found by {search}"]
    if not saved_options(table):
        parts = [f"options: the defaults; {search} found none that are better by more than chance"]
        if kept is not None:
            parts = [f"options: the defaults, after {search}"]
    if kept is not None:
        reason = "was worse by more than chance" if failure is None else "failed"
        parts.append(f"the model is that of trial {kept}, for the final run {reason}")
    if is_flattered(table):
        parts.append(
            f"{target} on the validation data was compared, so that the metrics below are a little "
            "better than on other data"
        )
    return "; ".join(parts)


def _content(state: SearchState) -> bytes:
    return json.dumps(asdict(state), indent=1).encode()


def best_metrics(place: Path) -> dict[str, float]:
    """Return the figures of the best evaluation in the log of a run. They are read from the log
    because a run that was resumed yields only its later evaluations."""
    lines = map(json.loads, checkpoint.read_file(place, checkpoint.METRICS).splitlines())
    best: Mapping[str, Any] = {}
    for line in lines:
        if line["event"] == "evaluation" and line["best"]:
            best = line
    return {
        name: float(value)
        for name, value in best.items()
        if name not in _NO_METRICS and math.isfinite(value)
    }
