"""Resuming a run: finding it in its directory, comparing it with the command line, its state.

Knows: the files of a saved run, and which options and data must be unchanged. Does not know: how a
run is trained.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from rnntext import checkpoint
from rnntext.checkpoint import Checkpoint
from rnntext.checkpoint_config import CheckpointConfig, DataSummary, DistillationRecord
from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError, UsageError
from rnntext.json_fields import FieldError
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.declaration import flag_of
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks
from rnntext.training.engine.loop_state import LoopState
from rnntext.training.events import Saved
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import Recipe
from rnntext.training.search import Trial, trials_in

TENSORS = checkpoint.TRAINING_STATE + "tensors.safetensors"
LOOP = checkpoint.TRAINING_STATE + "loop.json"

# Options that may change: the paths of the data and of a teacher, whose content is compared by
# `require_same`, and the hardware.
_CHANGEABLE = ("data", "valid", "unlabelled", "distil", "threads", "device")


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A run that a directory holds, as described by its `config.json`."""

    directory: Path
    config: CheckpointConfig
    options: TrainingOptions
    finished: bool
    # Tokenizer, log, n-gram model and training state; of a finished run its tables.
    files: dict[str, bytes]

    @property
    def model(self) -> ModelConfig:
        return self.config.model

    @property
    def recipe(self) -> Recipe:
        try:
            return Recipe.from_json(self.config.training.recipe)
        except FieldError as error:
            raise self.config.damaged(error) from None

    @property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.files[checkpoint.TOKENIZER].decode(), self.config.tokenizer)

    @property
    def log(self) -> str:
        """The content of the log so far."""
        return self.files[checkpoint.METRICS].decode()

    @property
    def best(self) -> tuple[dict[str, Any], int] | None:
        """Metrics and step of the best evaluation so far; None before the first evaluation."""
        progress = self.config.progress
        if progress.metrics is None:
            return None
        if progress.best_step is None:
            raise self.config.damaged("results.best_step is missing")
        return progress.metrics, progress.best_step

    def merge_options(self, given: TrainingOptions, processes: int = 1) -> TrainingOptions:
        """Return the options to resume with in `processes` processes: the saved ones, with the
        data paths and the hardware from `given`. Raises UsageError if `given` sets another option
        to a different value."""
        require_same_options(self.directory, self.options, given)
        data, training = self.config.data, self.config.training
        # However busy the machine is now, the teacher answers as many texts as then.
        taught = training.distilled
        return replace(
            merged_hardware(self.options, given),
            # The saved number of threads suited the saved number of processes.
            threads=given.threads
            or (training.threads if processes == training.processes else None),
            part=data.part,
            unlabelled_part=data.unlabelled_part,
            unlabelled_texts=None if taught is None else taught.unlabelled,
            unanswered=None if taught is None else taught.unanswered,
        )

    def require_same(
        self, summary: DataSummary, valid_digest: str, distilled: DistillationRecord | None
    ) -> None:
        """Raises UsageError if the data, or the teacher, are not those that the run began with."""
        data, before = self.config.data, self.config.training.distilled
        if distilled is not None and before is not None and distilled.digest != before.digest:
            raise UsageError(
                f"the teacher {distilled.teacher} is not the one of the run that {self.directory} "
                f"holds (sha256 {before.digest[:12]} then, {distilled.digest[:12]} now): name that "
                "one to go on, or start anew with --force"
            )
        for part, now, then in (
            ("training", summary.fingerprint, data.fingerprint),
            ("validation", valid_digest, data.valid_digest),
            ("unlabelled", summary.unlabelled_fingerprint, data.unlabelled_fingerprint),
        ):
            if now != then:
                raise UsageError(
                    f"the {part} data are not those of the run that {self.directory} "
                    f"holds (sha256 {then[:12]} then, {now[:12]} now): give the same to go on, or "
                    "start anew with --force"
                )
        for name in ("unlabelled", "unanswered"):
            first, again = getattr(before, name, 0), getattr(distilled, name, 0)
            if again != first:
                raise UsageError(
                    f"the teacher answers other texts than in the run that {self.directory} holds "
                    f"({name}: {first:,} then, {again:,} now): give the same to go on, or start "
                    "anew with --force"
                )

    def describe_changes(self, machine: str, threads: int, processes: int) -> str:
        """Describe what differs from the machine and software of the saved run; empty if
        nothing does."""
        now = {
            "machine": machine,
            "threads": threads,
            "processes": processes,
            "torch_version": torch.__version__,
        }
        then = asdict(self.config.training)
        return "; ".join(
            f"{name.replace('_', ' ')} {then[name]} then, {value} now"
            for name, value in now.items()
            if then[name] != value
        )

    def state(self) -> tuple[LoopState, float]:
        """Return the state of the loop and the seconds that the run had taken. Call it once: it
        frees the bytes of the tensors. Raises CheckpointError if the state cannot be read."""
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
        """Return the event that ended a finished run."""
        results = self.config.results_with_tables(self.files.get(checkpoint.EVALUATION))
        return Saved(
            directory=self.directory,
            task=self.options.task,
            metrics=results.metrics,
            steps=results.steps,
            best_step=results.best_step,
            epochs=results.epochs,
            seconds=results.seconds,
            tokens_per_second=results.tokens_per_second,
            parameters=self.config.parameters,
            reason=results.reason,
            float_metrics=results.float32,
            plans=results.plans,
            preparation_seconds=results.preparation_seconds,
            training_seconds=results.training_seconds,
            evaluation_seconds=results.evaluation_seconds,
            halves=results.halves,
            learned_from_valid=results.learned_from_valid,
            trials=self._trials(),
        )

    def _trials(self) -> tuple[Trial, ...] | None:
        table = self.files.get(checkpoint.TUNING)
        if table is None:
            return None
        try:
            return trials_in(table)
        except FieldError as error:
            raise self.config.damaged(f"{checkpoint.TUNING}: {error}") from None


def require_same_options(directory: Path, saved: TrainingOptions, given: TrainingOptions) -> None:
    """Raise UsageError if `given` sets an option of the run in `directory` to a different value
    than `saved`, apart from those that may change."""
    if given.task != saved.task:
        raise UsageError(
            f"{directory} holds a run of train {saved.task}, not of train {given.task}"
        )
    for field in fields(TrainingOptions):
        old, new = getattr(saved, field.name), getattr(given, field.name)
        if field.name in _CHANGEABLE or new == field.default or new == old:
            continue
        was = f"with {old!r}" if old != field.default else f"without {flag_of(field.name)}"
        raise UsageError(
            f"{flag_of(field.name)} {new}: {directory} holds a run that was "
            f"started {was}; leave it out to go on, or start anew with --force"
        )


def merged_hardware(saved: TrainingOptions, given: TrainingOptions) -> TrainingOptions:
    """Return the saved options with the hardware, and the paths of data and teacher, of `given`."""
    return replace(
        saved,
        data=given.data or saved.data,
        valid=given.valid or saved.valid,
        unlabelled=given.unlabelled or saved.unlabelled,
        distil=given.distil or saved.distil,
        threads=given.threads or saved.threads,
        device=saved.device if given.device == "auto" else given.device,
    )


def is_finished(directory: Path) -> bool:
    """Return True if `directory` holds a finished run; False also if its config is damaged."""
    try:
        config = CheckpointConfig(directory / checkpoint.CONFIG, checkpoint.load_config(directory))
        return config.is_trained and config.training.finished
    except CheckpointError:
        return False


def find_saved_run(directory: Path, ranks: Ranks = SINGLE_PROCESS) -> SavedRun | None:
    """Return the run that `directory` holds, or None if it is absent or empty. The main rank reads
    it and broadcasts it, because other machines may not have the directory.

    Raises UsageError if the directory holds something else, CheckpointError if it is damaged.
    """
    opened: list[Checkpoint] = []

    def read_config() -> dict[str, Any] | None:
        checkpoint.check_target(directory, force=True)
        if not checkpoint.is_checkpoint(directory):
            return None
        opened.append(checkpoint.load(directory))
        return opened[0].config

    content = ranks.broadcast(read_config)
    if content is None:
        return None
    config = CheckpointConfig(directory / checkpoint.CONFIG, content)
    if not config.is_trained:
        raise CheckpointError(
            f"{directory} does not say how it was trained: start anew with --force"
        )
    finished = config.training.finished
    try:
        options = TrainingOptions.from_json(config.training.options)
    except UsageError as error:
        raise config.damaged(f"training.options: {error}") from None
    names = (
        checkpoint.TOKENIZER,
        checkpoint.METRICS,
        TENSORS,
        LOOP,
        *(content["files"].keys() & {checkpoint.NGRAMS, checkpoint.SPLITTER}),
    )
    if finished:
        records = (checkpoint.EVALUATION, checkpoint.TUNING)
        names = ranks.broadcast(lambda: tuple(name for name in records if opened[0].has(name)))

    def read(name: str) -> bytes:
        is_lost = name == checkpoint.METRICS and not opened[0].has(name)
        return b"" if is_lost else opened[0].read(name)  # a run goes on without its log

    files = {name: ranks.broadcast_bytes(lambda name=name: read(name)) for name in names}  # type: ignore[misc]
    return SavedRun(directory, config, options, finished, files)
