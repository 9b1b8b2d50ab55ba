"""What happens in a training run, as values.

Knows: the fields of each event. Does not know: how a run comes to them, nor torch, so that
whoever shows a run can name its events without importing what makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnntext.config import ModelConfig
from rnntext.training.presets import Recipe

Metrics = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DataSummary:
    """What can be said of a run's data before it is trained on."""

    unit: str  # lines, documents or sentences
    train: int
    valid: int
    characters: int  # of the training part
    duplicates: int  # validation items that also stand in training
    fingerprint: str  # SHA-256 of the training part and its labels
    labels: dict[str, int] = field(default_factory=dict)  # how often each is in training
    read: int = 0  # lines of DATA, before the validation part was taken from them
    cut_short: bool = False  # a time budget left no time to prepare more of the training text
    sampled: int = 0  # characters the tokenizer was learned from, where it was not from all


@dataclass(frozen=True, slots=True)
class EncodedFiles:
    """What became of the data's text: ids in files."""

    size: int  # bytes
    place: str | None  # a folder of the cache; None for temporary files
    reused: bool  # another run wrote them
    trouble: str | None = None  # why the cache could not be used


@dataclass(frozen=True, slots=True)
class Prepared:
    """The data is read and the model is built; nothing has been trained."""

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


@dataclass(frozen=True, slots=True)
class Step:
    """Some steps were taken."""

    step: int
    total_steps: int | None
    epoch: int
    loss: float  # mean over the steps since the last such event, in nats
    learning_rate: float
    gradient_norm: float
    tokens_per_second: float
    seconds: float  # since the run began
    memory: float  # resident, in MB
    remaining: float | None  # seconds, where they are known


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The model was measured on the validation data."""

    step: int
    epoch: int
    loss: float  # of training, since the last evaluation
    metrics: Metrics
    best: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The loop is over and the model holds its best weights."""

    steps: int
    epochs: float
    tokens: int
    training_seconds: float  # in steps alone
    reason: str
    best_step: int
    # After which step the run came to plan how many in all; none where nothing was planned.
    plans: tuple[tuple[int, int], ...]
    partial_evaluation: bool  # there is no time to measure the model on all validation data


@dataclass(frozen=True, slots=True)
class CheckpointDue:
    """The loop stands between two steps, and what it is may be saved."""

    step: int
    stop: bool  # it was asked to stop, and does


@dataclass(frozen=True, slots=True)
class Resumed:
    """A run is taken up again where it was saved."""

    step: int
    changed: str  # what is not as it was, so that the end will not be the same to the bit


@dataclass(frozen=True, slots=True)
class NotSaved:
    """The state could not be written; the run goes on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The run was asked to stop, and its state is saved."""

    directory: Path
    step: int


@dataclass(frozen=True, slots=True)
class StepTimed:
    """What a dry run measured."""

    seconds_per_step: float
    seconds_per_epoch: float


@dataclass(frozen=True, slots=True)
class Saved:
    """The checkpoint is complete."""

    directory: Path
    task: str
    metrics: dict[str, Any]
    steps: int
    best_step: int
    epochs: float
    seconds: float
    tokens_per_second: float
    parameters: int
    reason: str  # why it ended
    plans: tuple[tuple[int, int], ...] = ()  # see Finished
    float_metrics: dict[str, Any] | None = None  # in float32, where the model runs in int8


LoopEvent = Step | Evaluated | CheckpointDue | Finished
Event = LoopEvent | Prepared | Resumed | NotSaved | Stopped | StepTimed | Saved
