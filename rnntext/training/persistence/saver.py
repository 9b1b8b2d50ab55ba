"""Saving a run: its state during training, and its model at the end.

Knows: which files a run writes into its directory, when, and what `config.json` contains. Does not
know: how a run is trained, or how a directory is written atomically (`checkpoint.py`).
"""

from __future__ import annotations

import contextlib
import copy
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from rnntext import __version__, checkpoint
from rnntext.checkpoint_config import (
    DataRecord,
    LineBits,
    Progress,
    Quantization,
    Results,
    TrainingRecord,
    config_to_json,
)
from rnntext.config import listed
from rnntext.errors import CheckpointError
from rnntext.tasks import TASKS
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.engine.loop_state import BEST_WEIGHTS, LoopState
from rnntext.training.events import Evaluated, Prepared, Saved, Step
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.networks.encoder import Network
from rnntext.training.onnx.build import other_graphs
from rnntext.training.onnx.from_network import export, numpy_weights, verify
from rnntext.training.options import TrainingOptions
from rnntext.training.persistence.destination import Destination
from rnntext.training.persistence.repeat import command_of
from rnntext.training.persistence.resume import LOOP, TENSORS, SavedRun

# Seconds between saves without --save-every. If saving is slow, the interval is this factor times
# the seconds that the last save took.
_SAVE_INTERVAL = 60.0
_SAVE_COST_FACTOR = 20
# The log grows with the logarithm of a run's length: up to this step every tenth step is logged, up
# to ten times this step every hundredth, and so on.
_FULLY_LOGGED_STEPS = 1000


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Facts of a run that are known before its first step and are saved with it."""

    options: TrainingOptions
    prepared: Prepared
    tokenizer: Tokenizer
    valid_digest: str
    # Returns the files that belong to a model with these metrics, see `TaskObjective.files`.
    task_files: Callable[[Mapping[str, Any]], dict[str, bytes]] = lambda metrics: {}
    published: Path | None = None  # the directory that the model card names; None: that of the run


class Saver:
    """Writes the checkpoint directory of one run. `resumed` is the run that the directory holds, if
    that run is being resumed."""

    def __init__(
        self,
        record: RunRecord,
        model: Network,
        destination: Destination,
        execution: ExecutionOptions,
        *,
        began: float,
        resumed: SavedRun | None = None,
    ) -> None:
        """`began` is the reading of `time.perf_counter` from which the run's seconds count."""
        self._record, self._model, self._execution = record, model, execution
        self._destination, self._began = destination, began
        self._lines = [] if resumed is None else [resumed.log]
        self._saved_at, self._save_seconds = time.perf_counter(), 0.0
        # Metrics and step of the best evaluation, and of the model that the directory holds.
        self._best = self._exported = None if resumed is None else resumed.best
        self.has_saved = resumed is not None  # the directory holds a saved state of this run
        self._results: Results | None = None  # of the finished run
        self.trouble: str | None = None  # of the last attempt to save; None if it did not fail

    @property
    def directory(self) -> Path:
        return self._destination.directory

    def log(self, event: Step | Evaluated) -> None:
        """Add an evaluation or a report to the log, which the next save writes. Of the reports
        of a long run only some are logged."""
        if isinstance(event, Evaluated):
            if event.best:
                self._best = (event.metrics, event.step)
            self._add_line("evaluation", event, event.metrics, best=event.best)
        elif _is_logged_step(event.step):
            self._add_line(
                "step",
                event,
                {
                    "learning_rate": event.learning_rate,
                    "gradient_norm": event.gradient_norm,
                    "tokens_per_second": round(event.tokens_per_second),
                    "memory_mb": round(event.memory),
                },
            )

    def is_due(self) -> bool:
        """Return True if it is time to save the state."""
        interval = self._execution.save_every
        if interval is None:
            interval = max(_SAVE_INTERVAL, _SAVE_COST_FACTOR * self._save_seconds)
        return time.perf_counter() - self._saved_at >= interval

    def save_state(self, state: LoopState, *, last: bool = False) -> None:
        """Save the state from which the run can be resumed, and the best model so far.

        Raises CheckpointError if writing fails; the last saved generation is then unchanged. The
        `last` state of a run that stops is then kept in another place, see `Destination`.
        """
        started = time.perf_counter()
        values = {**state.values, "spent": started - self._began}
        tensors = {name: tensor.cpu().numpy() for name, tensor in state.tensors.items()}
        files: dict[str, bytes | Path] = {
            **self._tokenizer_and_log(),
            TENSORS: checkpoint.serialize_tensors(tensors),
            LOOP: json.dumps(values, allow_nan=False).encode(),
        }
        if self._best is not None:
            files.update(self._best_model_files(state))
        metrics, best_step = self._best or (None, None)
        files.update(self._record.task_files(metrics or {}))
        progress = Progress(
            steps=state.values["step"],
            epochs=state.values["step"] / self._record.prepared.steps_per_epoch,
            seconds=round(values["spent"], 1),
            metrics=metrics,
            best_step=best_step,
        )
        config = self._config(progress)
        self._write(files, config, "state" if last else None)
        self.has_saved, self._exported, self.trouble = True, self._best, None
        self._saved_at = time.perf_counter()
        self._save_seconds = self._saved_at - started

    def restart_timer(self) -> None:
        """Count the interval until the next save from now, after a save that failed."""
        self._saved_at = time.perf_counter()

    def save_model(
        self,
        saved: Saved,
        graph: bytes,
        task_files: Mapping[str, bytes],
        line_bits: LineBits | None = None,
        temperature: float | None = None,
    ) -> None:
        """Save the model of the finished run and remove the training state. `task_files`: see
        `TaskObjective.finished_files`; `temperature` is that of an int8 `graph`, None for float32.
        Raises CheckpointError if writing fails; the model is then kept in another place, see
        `Destination`."""
        results = Results(
            metrics=saved.metrics,
            float32=saved.float_metrics,
            steps=saved.steps,
            best_step=saved.best_step,
            epochs=saved.epochs,
            seconds=round(saved.seconds, 1),
            tokens_per_second=round(saved.tokens_per_second),
            reason=saved.reason,
            plans=saved.plans,
            preparation_seconds=round(saved.preparation_seconds, 1),
            training_seconds=round(saved.training_seconds, 1),
            evaluation_seconds=round(saved.evaluation_seconds, 1),
            halves=saved.halves,
            learned_from_valid=saved.learned_from_valid,
        )
        files: dict[str, bytes | Path] = {
            **self._tokenizer_and_log(),
            **_model_files(self._model, graph, "float32" if temperature is None else "int8"),
            **task_files,
            checkpoint.MODEL_CARD: self._model_card(saved).encode("utf-8", "replace"),
            **results.evaluation_file(),
        }
        self._results = results
        config = self._config(results, temperature, line_bits)
        self._write(files, config, "model")

    def is_finished(self) -> bool:
        """Return True if the directory holds the finished run, also if `save_model` was
        interrupted after the new files counted."""
        try:
            saved_config = checkpoint.load_config(self.directory)
        except CheckpointError:
            return False
        if self._results is None:
            return False
        # JSON has lists where `_results` has tuples.
        return bool(saved_config.get("results") == json.loads(json.dumps(self._results.to_json())))

    def _write(
        self, files: Mapping[str, bytes | Path], config: Mapping[str, Any], last: str | None
    ) -> None:
        """`last`: what a run's last save writes, a noun; None for any other save."""
        force = self._execution.force or self.has_saved
        if last is None:
            self._destination.save(files, config, force=force)
        else:
            self._destination.save_or_keep(files, config, force=force, noun=last)

    def _tokenizer_and_log(self) -> dict[str, bytes | Path]:
        return {
            checkpoint.TOKENIZER: self._record.tokenizer.to_json().encode(),
            checkpoint.METRICS: "".join(self._lines).encode(),
        }

    def _best_model_files(self, state: LoopState) -> dict[str, bytes | Path]:
        if self._exported == self._best:
            # The directory may have been removed since; then the model is exported again.
            with contextlib.suppress(CheckpointError):
                saved = checkpoint.load(self.directory, verify=())
                names = {checkpoint.WEIGHTS, checkpoint.GRAPH, checkpoint.GENERATION}
                return {name: saved.file(name) for name in names & saved.config["files"].keys()}
        model = copy.deepcopy(self._model).eval()
        model.load_state_dict(state.tensors_of(BEST_WEIGHTS))
        graph = export(model)
        verify(model, graph)
        return {**_model_files(model, graph)}

    def _config(
        self,
        results: Results | Progress,
        temperature: float | None = None,
        line_bits: LineBits | None = None,
    ) -> dict[str, Any]:
        prepared = self._record.prepared
        digest = self._record.valid_digest
        return config_to_json(
            version=__version__,
            model=prepared.model,
            parameters=prepared.parameters,
            quantization=None if temperature is None else Quantization(temperature=temperature),
            tokenizer=self._record.tokenizer.config,
            data=DataRecord(**asdict(prepared.summary), valid_digest=digest),
            training=TrainingRecord(
                options=self._record.options.to_json(),
                recipe=prepared.recipe.to_json(),
                machine=prepared.machine,
                threads=prepared.threads,
                processes=prepared.processes,
                torch_version=torch.__version__,
                finished=isinstance(results, Results),
                distilled=prepared.distilled,
            ),
            results=results,
            line_bits=line_bits,
        )

    def _add_line(
        self, kind: str, event: Step | Evaluated, values: Mapping[str, Any], **flags: bool
    ) -> None:
        line = {
            "event": kind,
            "step": event.step,
            "epoch": event.epoch,
            "loss": event.loss,
            "seconds": round(event.seconds, 2),
            **flags,
            **{name: value for name, value in values.items() if isinstance(value, int | float)},
        }
        self._lines.append(json.dumps(line) + "\n")

    def _model_card(self, saved: Saved) -> str:
        prepared, options = self._record.prepared, self._record.options
        summary, encoder = prepared.summary, prepared.model.encoder
        direction = ", bidirectional" if encoder.bidirectional else ""
        if prepared.model.backward_encoder:
            direction = ", and another that reads backward, for `--init`"
        directory = self._record.published or saved.directory
        part = " (the first of them: the time allowed for no more)" if summary.cut_short else ""
        near = summary.near_duplicates
        nearly = f", {near:,} more but for case, punctuation and white space" if near else ""
        groups = summary.shared_groups
        grouped = f"; {groups:,} of its groups also in training" if groups else ""
        unseen = summary.unseen_count
        unknown = f"; {unseen:,} labels that training lacks, which are errors" if unseen else ""
        labels = listed([f"`{label}`" for label in prepared.model.labels])
        teacher = prepared.distilled
        unlabelled = 0 if teacher is None else teacher.unlabelled
        more = f", also on {unlabelled:,} unlabelled texts" if unlabelled else ""
        lines = [
            f"# {directory.name}",
            "",
            f"A {TASKS[saved.task].title} trained with rnntext {__version__}.",
            "",
            f"- encoder: {encoder.cell.upper()}, {encoder.num_layers} layer(s) of "
            f"{encoder.hidden_size}{direction}, embeddings of {encoder.embed_size}",
            f"- parameters: {prepared.parameters:,}",
            f"- tokenizer: {prepared.tokenizer}, {encoder.vocab_size:,} entries",
            *([f"- labels: {labels}"] if labels else []),
            f"- data: {summary.train:,} {summary.unit}{part} for training, {summary.valid:,} for "
            f"validation ({summary.duplicates:,} of these also in training{nearly}{grouped}"
            f"{unknown})",
            *([f"- distilled from `{teacher.teacher}`{more}"] if teacher else []),
            f"- fingerprint of the training data: sha256 {summary.fingerprint}",
            f"- run: {saved.steps:,} steps, {saved.epochs:.1f} epochs, {saved.seconds:.0f} s on "
            f"{prepared.machine}; it ended because {saved.reason}",
            "",
            "Trained with",
            "",
            f"    {command_of(options, directory)}",
            "",
            "On the validation data:",
            "",
            "| metric | value |",
            "| --- | --- |",
            *metric_rows(saved.metrics),
            "",
        ]
        return "\n".join(lines)


def metric_rows(metrics: Mapping[str, Any]) -> list[str]:
    """Return the rows of the model card's table of metrics."""
    return [
        f"| {name} | {value:.4f} |" if isinstance(value, float) else f"| {name} | {value} |"
        for name, value in metrics.items()
        if isinstance(value, int | float | None)
    ]


def _model_files(model: Network, graph: bytes, precision: str = "float32") -> dict[str, bytes]:
    weights = numpy_weights(model)
    return {
        checkpoint.WEIGHTS: checkpoint.serialize_tensors(weights),
        checkpoint.GRAPH: graph,
        **other_graphs(model.config, weights, precision),
    }


def _is_logged_step(step: int) -> bool:
    interval = 10
    while step > _FULLY_LOGGED_STEPS * interval / 10:
        interval *= 10
    # The last step may be another one; its evaluation is logged.
    return step % interval == 0
