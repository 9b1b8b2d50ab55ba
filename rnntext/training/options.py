"""What a training run was asked for, as plain values.

Knows: the fields, what makes them valid, and their JSON. Does not know: how to choose what the user
left open (`presets.py`), nor torch, files or the command line, but for the names of the flags that
its messages mention.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from rnntext.config import CELLS, at_least, one_of
from rnntext.errors import UsageError
from rnntext.tasks import TASKS

PRESETS = ("tiny", "small", "medium", "large")
DEVICES = ("auto", "cpu", "cuda", "mps")


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
        one_of("task", self.task, tuple(TASKS))
        one_of("--preset", self.preset, PRESETS)
        one_of("--cell", self.cell, CELLS)
        one_of("--tokenizer", self.tokenizer, ("bpe", "word", "char", "byte"))
        one_of("--device", self.device, DEVICES)
        one_of("--class-weights", self.class_weights, ("balanced",))
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
            at_least(flag, number, 1)
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
class ExecutionOptions:
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


def _positive(flag: str, value: float | None) -> None:
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise UsageError(f"{flag} must be above 0, not {value}")
