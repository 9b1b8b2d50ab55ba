"""The events of a training run, as dataclasses.

Knows: the fields of each event. Does not know: how a run produces them, nor torch, so that code
that displays a run does not import PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnntext.checkpoint_config import DataSummary, DistillationRecord
from rnntext.config import ModelConfig
from rnntext.training.recipes import Recipe
from rnntext.training.search import Choice, Trial

Metrics = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EncodedFiles:
    """The files that hold the encoded data."""

    size: int  # bytes
    place: str | None  # folder of the cache entry; None for temporary files
    reused: bool  # an earlier run wrote the cache entry
    trouble: str | None = None  # why the cache could not be used


@dataclass(frozen=True, slots=True)
class Prepared:
    """The data are encoded and the model is built; no step has been taken."""

    summary: DataSummary
    encoded: EncodedFiles
    model: ModelConfig
    tokenizer: str
    parameters: int
    recipe: Recipe
    steps_per_epoch: int
    machine: str
    threads: int
    processes: int
    details: tuple[str, ...] = ()  # short phrases about how the run learns
    remarks: tuple[str, ...] = ()  # sentences about the data
    distilled: DistillationRecord | None = None  # with --distil


@dataclass(frozen=True, slots=True)
class TeacherAnswered:
    """The teacher of --distil has answered all texts, before anything is learned from them."""

    teacher: str  # its name
    texts: int  # that it answered, validation texts included where these are learned from at last
    seconds: float


@dataclass(frozen=True, slots=True)
class NgramsLearned:
    """The n-grams of a classifier or tagger are learned, before the first step of the network."""

    texts: int  # that it was learned from
    metrics: Metrics  # of this model alone, on the validation data
    seconds: float


@dataclass(frozen=True, slots=True)
class SplitterLearned:
    """How raw text is divided into words is learned, before the first step of the network."""

    sentences: int  # that it was learned from
    words_f1: float  # on the raw text of the validation data
    seconds: float


# What is learned before the first step, see `TaskObjective.prepare`.
Learned = TeacherAnswered | NgramsLearned | SplitterLearned


@dataclass(frozen=True, slots=True)
class Ready:
    """All that precedes the first step is done: from here on the run asks whether it should stop,
    and saves its state. Until here nothing is lost if it is interrupted."""


@dataclass(frozen=True, slots=True)
class Step:
    """A report of training steps."""

    step: int
    total_steps: int | None
    epoch: int
    loss: float  # mean over the steps since the last report or evaluation, in nats
    learning_rate: float
    gradient_norm: float
    tokens_per_second: float
    seconds: float  # since the run began
    memory: float  # resident, in MB
    remaining: float | None  # seconds until the run has ended; None if unknown


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The model was evaluated on the validation data."""

    step: int
    epoch: int
    loss: float  # mean training loss since the last evaluation, in nats
    metrics: Metrics
    best: bool  # the best evaluation so far
    seconds: float  # since the run began


@dataclass(frozen=True, slots=True)
class Finished:
    """The loop has ended and the model holds the weights of the best evaluation."""

    steps: int
    epochs: float
    tokens: int
    training_seconds: float  # spent in steps, without evaluations
    evaluation_seconds: float
    reason: str  # why the loop ended
    best_step: int
    # Pairs (step at which the plan was made, number of steps planned in all); empty without a plan.
    plans: tuple[tuple[int, int], ...]
    partial_evaluation: bool  # there is no time to evaluate the model on all validation data


@dataclass(frozen=True, slots=True)
class CheckpointDue:
    """The loop is paused between two steps, and the caller should save its state."""

    step: int
    stop: bool  # a stop was requested: this is the last event of the loop


@dataclass(frozen=True, slots=True)
class Resumed:
    """A saved run continues after `step`."""

    step: int
    changed: str  # differences in machine or software, which make the weights differ; or empty


@dataclass(frozen=True, slots=True)
class RoomShort:
    """The directory has no room for what the run will save; training begins all the same."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotSaved:
    """The state could not be saved, for another reason than the last time; training continues."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The run stopped on request and saved its state."""

    directory: Path
    step: int
    trials: int | None = None  # finished so far, of a search that stopped before its final run


@dataclass(frozen=True, slots=True)
class StepTimed:
    """The speed that a dry run measured."""

    seconds_per_step: float
    seconds_per_epoch: float


@dataclass(frozen=True, slots=True)
class SearchPlanned:
    """A search over options has planned its trials, or is about to go on with them."""

    trials: int  # in all; 0: there is no search
    done: int  # trials of an interrupted search, which are not repeated
    options: tuple[str, ...]  # that are searched
    reason: str = ""  # why there is no search


@dataclass(frozen=True, slots=True)
class Trying:
    """A trial of a search begins."""

    trial: int  # its number, from 1
    options: dict[str, Any]  # that differ from the defaults
    minutes: float


@dataclass(frozen=True, slots=True)
class TrialStep:
    """A report of training steps of a trial."""

    step: Step


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial of a search has ended."""

    trial: Trial
    target: str  # the metric that is compared; empty before a trial is done


@dataclass(frozen=True, slots=True)
class Searched:
    """The search has ended, and the final run begins."""

    table: tuple[Trial, ...]
    choice: Choice
    minutes: float  # of the final run
    left_out: int = 0  # planned trials for which there was no time


@dataclass(frozen=True, slots=True)
class TrialKept:
    """The model of a trial is saved in place of that of the final run."""

    trial: Trial
    target: str
    final: float | None  # the metric of the final run; None if it failed
    error: str | None = None  # why it failed


@dataclass(frozen=True, slots=True)
class Saved:
    """The finished model is saved."""

    directory: Path
    task: str
    metrics: dict[str, Any]
    steps: int
    best_step: int
    epochs: float
    seconds: float  # with a search, of that and the final run together
    tokens_per_second: float
    parameters: int
    reason: str  # why the loop ended
    plans: tuple[tuple[int, int], ...] = ()  # see Finished
    float_metrics: dict[str, Any] | None = None  # float32 metrics, if the saved model is int8
    # How the seconds were spent; the rest on saving. Old checkpoints do not say.
    preparation_seconds: float = 0.0  # reading and encoding, in the process that ended the run
    training_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    halves: dict[str, float] = field(default_factory=dict)  # see `TaskObjective.halves`
    learned_from_valid: bool | None = None  # see `Results`
    trials: tuple[Trial, ...] | None = None  # of the search before the run; None without one


LoopEvent = Step | Evaluated | CheckpointDue | Finished
Event = (
    LoopEvent
    | Prepared
    | Learned
    | Ready
    | Resumed
    | RoomShort
    | NotSaved
    | Stopped
    | StepTimed
    | SearchPlanned
    | Trying
    | TrialStep
    | Tried
    | Searched
    | TrialKept
    | Saved
)
