"""A run that was saved before its end: whether a directory holds one, whether it is the one that
is asked for, and its state.

Knows: the files of a saved state, and what must be as it was. Does not know: how a run goes on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from rnntext import checkpoint
from rnntext.checkpoint import Checkpoint
from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError, UsageError
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.loading import tokenizer_of
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks
from rnntext.training.engine.loop_state import LoopState
from rnntext.training.events import Saved
from rnntext.training.options import TrainingOptions
from rnntext.training.persistence.repeat import flag_of
from rnntext.training.presets import Recipe

TENSORS = checkpoint.TRAINING_STATE + "tensors.safetensors"
LOOP = checkpoint.TRAINING_STATE + "loop.json"

# What may be otherwise than it was: where the data lie (they are compared themselves), and what
# they are computed on.
_FREE = ("data", "valid", "threads", "device")


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A run that a directory holds, as its `config.json` and its files tell."""

    directory: Path
    config: dict[str, Any]
    options: TrainingOptions
    finished: bool
    files: dict[str, bytes]  # of a run that is not finished: what it needs to go on

    @property
    def model(self) -> ModelConfig:
        return ModelConfig.from_json(self.config["model"])

    @property
    def recipe(self) -> Recipe:
        return Recipe.from_json(self._training["recipe"])

    @property
    def tokenizer(self) -> Tokenizer:
        return tokenizer_of(self.files[checkpoint.TOKENIZER].decode(), self.config["tokenizer"])

    @property
    def log(self) -> str:
        """The lines of its log so far."""
        return self.files[checkpoint.METRICS].decode()

    @property
    def best(self) -> tuple[dict[str, Any], int] | None:
        """Metrics and step of its best evaluation so far."""
        results = self.config["results"]
        return (results["metrics"], results["best_step"]) if "metrics" in results else None

    @property
    def _training(self) -> dict[str, Any]:
        training: dict[str, Any] = self.config["training"]
        return training

    def merged(self, given: TrainingOptions, processes: int = 1) -> TrainingOptions:
        """The options to go on with, in so many processes: those of the saved run, and of the given
        ones what may change. Raises UsageError where one was given that is not as it was."""
        if given.task != self.options.task:
            raise UsageError(
                f"{self.directory} holds a run of train {self.options.task}, not of train "
                f"{given.task}"
            )
        for field in fields(TrainingOptions):
            old, new = getattr(self.options, field.name), getattr(given, field.name)
            if field.name in _FREE or new == field.default or new == old:
                continue
            was = f"with {old!r}" if old != field.default else f"without {flag_of(field.name)}"
            raise UsageError(
                f"{flag_of(field.name)} {new}: {self.directory} holds a run that was "
                f"started {was}; leave it out to go on, or start anew with --force"
            )
        summary = self.config["data"]
        return replace(
            self.options,
            data=given.data or self.options.data,
            valid=given.valid or self.options.valid,
            # Other processes, other threads: those were for as many as shared a machine then.
            threads=given.threads
            or (self._training["threads"] if processes == self._training["processes"] else None),
            device=self.options.device if given.device == "auto" else given.device,
            part=(summary["read"], summary["train"]) if summary["cut_short"] else None,
        )

    def require_data(self, fingerprint: str, valid_digest: str) -> None:
        """Raises UsageError where the data are not those that the run began with."""
        summary = self.config["data"]
        for what, now, then in (
            ("training", fingerprint, summary["fingerprint"]),
            ("validation", valid_digest, summary["valid_digest"]),
        ):
            if now != then:
                raise UsageError(
                    f"the {what} data are not those of the run that {self.directory} "
                    f"holds (sha256 {then[:12]} then, {now[:12]} now): give the same to go on, or "
                    "start anew with --force"
                )

    def changes(self, machine: str, threads: int, processes: int) -> str:
        """What of the machine is not as it was, in words; nothing where all is."""
        now = {
            "machine": machine,
            "threads": threads,
            "processes": processes,
            "torch_version": torch.__version__,
        }
        return "; ".join(
            f"{name.replace('_', ' ')} {self._training[name]} then, {value} now"
            for name, value in now.items()
            if self._training[name] != value
        )

    def state(self) -> tuple[LoopState, float]:
        """Where the loop was, and how many seconds the run had taken. Its bytes are let go."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            values = json.loads(self.files[LOOP])
            return LoopState(load(self.files.pop(TENSORS)), values), float(values["spent"])
        except (SafetensorError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{self.directory}: its saved state cannot be read ({error}): start anew "
                "with --force"
            ) from error

    def result(self) -> Saved:
        """What a finished run came to."""
        results = self.config["results"]
        return Saved(
            directory=self.directory,
            task=self.options.task,
            metrics=results["metrics"],
            steps=results["steps"],
            best_step=results["best_step"],
            epochs=results["epochs"],
            seconds=results["seconds"],
            tokens_per_second=results["tokens_per_second"],
            parameters=self.config["parameters"],
            reason=results["reason"],
            float_metrics=results.get("float32"),
            plans=tuple((step, total) for step, total in results["plans"]),
        )


def find(directory: Path, ranks: Ranks = SINGLE_PROCESS) -> SavedRun | None:
    """The run that `directory` holds, None where it is absent or empty. With several ranks the
    first one looks, whose machine may be the only one that has it.

    Raises UsageError where it holds something else, CheckpointError where it is damaged.
    """
    sources: list[Checkpoint] = []

    def look() -> dict[str, Any] | None:
        checkpoint.check_target(directory, force=True)
        if not checkpoint.is_checkpoint(directory):
            return None
        sources.append(checkpoint.load(directory))
        return sources[0].config

    config = ranks.broadcast(look)
    if config is None:
        return None
    try:
        training = config["training"]
        options, finished = TrainingOptions.from_json(training["options"]), training["finished"]
    except (KeyError, TypeError):
        raise CheckpointError(
            f"{directory} does not say how it was trained: start anew with --force"
        ) from None
    names = () if finished else (checkpoint.TOKENIZER, checkpoint.METRICS, TENSORS, LOOP)
    files = {
        name: ranks.broadcast_bytes(lambda name=name: sources[0].file(name).read_bytes())  # type: ignore[misc]
        for name in names
    }
    return SavedRun(directory, config, options, finished, files)
