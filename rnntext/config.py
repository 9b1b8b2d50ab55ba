"""What a model is and what its training run was asked for, as plain values.

Knows: the fields, what makes them valid, and their JSON. Does not know: how to choose what
the user left open (`training/presets.py`), nor torch, files or the command line, but for the
names of the flags that its messages mention.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from rnntext.errors import CheckpointError, UsageError

TASKS = ("lm", "classify", "tag")
CELLS = ("rnn", "gru", "lstm")
PRESETS = ("tiny", "small", "medium", "large")
DEVICES = ("auto", "cpu", "cuda", "mps")

TASK_NAMES = {"lm": "language model", "classify": "classifier", "tag": "tagger"}


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The recurrent encoder that all tasks share: embeddings and layers of cells."""

    cell: str
    vocab_size: int
    embed_size: int
    hidden_size: int  # units of one direction of one layer
    num_layers: int
    bidirectional: bool

    def __post_init__(self) -> None:
        _one_of("--cell", self.cell, CELLS)
        for flag, value in (
            ("--vocab-size", self.vocab_size),
            ("--embed", self.embed_size),
            ("--hidden", self.hidden_size),
            ("--layers", self.num_layers),
        ):
            _at_least(flag, value, 1)

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """Width of the last layer's states, both directions side by side."""
        return self.hidden_size * self.directions

    @property
    def state_parts(self) -> int:
        """Arrays that make up a state: hidden and, for the LSTM, cell."""
        return len(self.state_names)

    @property
    def state_names(self) -> tuple[str, ...]:
        """What those arrays are called in the graph."""
        return ("hidden", "cell") if self.cell == "lstm" else ("hidden",)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """An encoder under the head of one task."""

    task: str
    encoder: EncoderConfig
    labels: tuple[str, ...] = ()
    multi_label: bool = False
    # Tokens of one document that the encoder sees at once; a longer one is read in windows.
    max_length: int = 0

    def __post_init__(self) -> None:
        _one_of("task", self.task, TASKS)
        if self.task != "lm":
            if not isinstance(self.max_length, int):
                raise UsageError(f"max_length must be a number, not {self.max_length!r}")
            _at_least("max_length", self.max_length, 1)
        if (self.task == "lm") == bool(self.labels):
            raise UsageError("a classifier and a tagger have labels, a language model has none")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "labels": list(self.labels)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises CheckpointError where fields are missing or wrong."""
        try:
            encoder = EncoderConfig(**value["encoder"])
            return cls(**{**value, "encoder": encoder, "labels": tuple(value["labels"])})
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise CheckpointError(f"config.json does not describe a model: {error}") from None


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What a training run was asked for; None is what the run chooses for itself."""

    task: str
    data: tuple[str, ...]
    valid: str | None = None
    # how to read the data
    format: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    tag_column: str | None = None
    multi_label: bool = False
    label_separator: str | None = None
    encoding: str = "utf-8"
    encoding_errors: str = "strict"
    split: str = "train"
    # the model
    preset: str | None = None
    cell: str | None = None
    layers: int | None = None
    hidden: int | None = None
    embed: int | None = None
    tokenizer: str | None = None
    vocab_size: int | None = None
    min_frequency: int | None = None
    lowercase: bool | None = None
    init: str | None = None
    # the run
    epochs: int | None = None
    steps: int | None = None
    minutes: float | None = None
    batch_size: int | None = None
    lr: float | None = None
    dropout: float | None = None
    bptt: int | None = None
    class_weights: str | None = None
    quantize: bool = False
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    # Lines read and lines encoded, where a timed run had no time for more: no flag sets it, but
    # --config repeats such a run by it.
    part: tuple[int, int] | None = None
    # After which step a timed run came to plan how many in all: again --config's.
    plans: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        _one_of("task", self.task, TASKS)
        _one_of("--preset", self.preset, PRESETS)
        _one_of("--cell", self.cell, CELLS)
        _one_of("--tokenizer", self.tokenizer, ("bpe", "word", "char", "byte"))
        _one_of("--device", self.device, DEVICES)
        _one_of("--class-weights", self.class_weights, ("balanced",))
        for flag, number in (
            ("--layers", self.layers),
            ("--hidden", self.hidden),
            ("--embed", self.embed),
            ("--vocab-size", self.vocab_size),
            ("--min-frequency", self.min_frequency),
            ("--epochs", self.epochs),
            ("--steps", self.steps),
            ("--batch-size", self.batch_size),
            ("--bptt", self.bptt),
            ("--threads", self.threads),
        ):
            _at_least(flag, number, 1)
        if not 0 <= self.seed < 1 << 63:
            raise UsageError(f"--seed must be from 0 to 2**63 - 1, not {self.seed}")
        budgets = [
            flag
            for flag, given in (
                ("--epochs", self.epochs),
                ("--steps", self.steps),
                ("--minutes", self.minutes),
            )
            if given is not None
        ]
        if len(budgets) > 1:
            raise UsageError(f"{' and '.join(budgets)} exclude each other: give one of them")
        _positive("--minutes", self.minutes)
        _positive("--lr", self.lr)
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise UsageError(f"--dropout must be at least 0 and below 1, not {self.dropout}")
        for flag, given, task in (
            ("--bptt", self.bptt, "lm"),
            ("--class-weights", self.class_weights, "classify"),
            ("--multi-label", self.multi_label, "classify"),
            ("--tag-column", self.tag_column, "tag"),
        ):
            if given and self.task != task:
                raise UsageError(f"{flag} is for train {task}")
        if self.init is not None:
            for flag, chosen in (
                ("--tokenizer", self.tokenizer),
                ("--vocab-size", self.vocab_size),
                ("--min-frequency", self.min_frequency),
                ("--lowercase", self.lowercase),
                ("--cell", self.cell),
                ("--layers", self.layers),
                ("--hidden", self.hidden),
                ("--embed", self.embed),
                ("--preset", self.preset),
            ):
                if chosen is not None:
                    raise UsageError(f"{flag} comes with --init's model: leave it out")

    def to_json(self) -> dict[str, Any]:
        """The fields that differ from their defaults, and the task and data."""
        return {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises UsageError for a field that is not one."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(value) - known)
        if unknown:
            raise UsageError(f"--config: there is no option {', '.join(unknown)}")
        try:
            part = value.get("part")
            plans = tuple((step, total) for step, total in value.get("plans", ()))
            given = {
                **value,
                "data": tuple(value["data"]),
                "part": part and tuple(part),
                "plans": plans,
            }
            return cls(**given)
        except (KeyError, TypeError):
            raise UsageError("--config: the file does not describe a training run") from None

    def merged(self, given: Mapping[str, Any]) -> Self:
        """These options under those that were given anew."""
        return replace(self, **given)


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a training run is gone about; nothing here changes what it computes."""

    force: bool = False  # replace the model that its directory holds
    resume: bool = False  # go on with the run that its directory holds
    save_every: float | None = None  # seconds between savings of the state
    cache: bool = True  # keep the encoded data for the next run
    tensorboard: Path | None = None

    def __post_init__(self) -> None:
        if self.save_every is not None and not self.save_every >= 0:
            raise UsageError(f"--save-every must be 0 or more seconds, not {self.save_every}")
        if self.force and self.resume:
            raise UsageError("--resume and --force exclude each other")


def _one_of(flag: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise UsageError(f"{flag} is one of {', '.join(allowed)}, not {value!r}")


def _at_least(flag: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise UsageError(f"{flag} must be at least {least}, not {value}")


def _positive(flag: str, value: float | None) -> None:
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise UsageError(f"{flag} must be above 0, not {value}")


def usable_cores() -> int:
    """Cores that this process may use: what `--threads` is when it is not given."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
