"""What of a run is written into its directory, and when: the state of a run that goes on, and the
model that it came to.

Knows: the files of a checkpoint and what `config.json` says. Does not know: how a run goes.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from rnntext import __version__, checkpoint
from rnntext.errors import CheckpointError
from rnntext.tasks import TASKS
from rnntext.text.tokenizer import Tokenizer, tokenizer_config_to_json
from rnntext.training.engine.loop_state import LoopState
from rnntext.training.events import Evaluated, Prepared, Saved, Step
from rnntext.training.networks.encoder import Network
from rnntext.training.onnx.build import other_graphs
from rnntext.training.onnx.export import export, numpy_weights, verify
from rnntext.training.options import ExecutionOptions, TrainingOptions
from rnntext.training.persistence.repeat import command_of
from rnntext.training.persistence.resume import LOOP, TENSORS, SavedRun

# Where nobody says how often the state is saved: after so many seconds, and so many times what
# the last saving took.
_EVERY = 60.0
_EVERY_COST = 20
# A log grows with the logarithm of a run: of these many steps one report in ten is kept, and of
# ten times as many one in a hundred.
_LOGGED_WHOLE = 1000


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What is known of a run before its first step and goes into its directory."""

    options: TrainingOptions
    prepared: Prepared
    tokenizer: Tokenizer
    valid_digest: str


class Saver:
    """Writes one run's directory. `resumed` is what it holds of this run already."""

    def __init__(
        self,
        written: RunRecord,
        model: Network,
        directory: Path,
        execution: ExecutionOptions,
        *,
        began: float,
        resumed: SavedRun | None = None,
    ) -> None:
        """`began`: the `time.perf_counter` that the run's seconds count from."""
        self._written, self._model, self._execution = written, model, execution
        self.directory, self._began = directory, began
        self._lines = [] if resumed is None else [resumed.log]
        self._saved_at, self._cost = time.perf_counter(), 0.0
        # Metrics and step of the best evaluation, and of what the graph in the directory is.
        self._best = self._exported = None if resumed is None else resumed.best
        self.saved = resumed is not None  # whether the directory holds a state of this run
        self._results: dict[str, Any] | None = None  # of the finished run

    def log(self, event: Step | Evaluated) -> None:
        """Write down what is worth a line of the log."""
        if isinstance(event, Evaluated):
            if event.best:
                self._best = (event.metrics, event.step)
            self._log("evaluation", event, event.metrics, best=event.best)
        elif _is_logged(event.step):
            self._log(
                "step",
                event,
                {
                    "learning_rate": event.learning_rate,
                    "gradient_norm": event.gradient_norm,
                    "tokens_per_second": round(event.tokens_per_second),
                    "memory_mb": round(event.memory),
                },
            )

    def due(self) -> bool:
        """Whether it is time to save the state."""
        every = self._execution.save_every
        if every is None:
            every = max(_EVERY, _EVERY_COST * self._cost)
        return time.perf_counter() - self._saved_at >= every

    def save_state(self, state: LoopState) -> None:
        """Save all that is needed to go on from here, with the best model so far.

        Raises CheckpointError where that cannot be written; what was there is then whole.
        """
        started = time.perf_counter()
        values = {**state.values, "spent": started - self._began}
        tensors = {name: tensor.cpu().numpy() for name, tensor in state.tensors.items()}
        files: dict[str, bytes | Path] = {
            **self._common(),
            TENSORS: checkpoint.serialize_tensors(tensors),
            LOOP: json.dumps(values, allow_nan=False).encode(),
        }
        results: dict[str, Any] = {
            "steps": state.values["step"],
            "epochs": state.values["step"] / self._written.prepared.steps_per_epoch,
            "seconds": round(values["spent"], 1),
        }
        if self._best is not None:
            files.update(self._model_so_far(state))
            results["metrics"], results["best_step"] = self._best
        config = self._config(results, finished=False)
        checkpoint.save(self.directory, files, config, force=self._execution.force or self.saved)
        self.saved, self._exported = True, self._best
        self._saved_at = time.perf_counter()
        self._cost = self._saved_at - started

    def postpone(self) -> None:
        """Saving failed: try again when it is due the next time."""
        self._saved_at = time.perf_counter()

    def finish(self, saved: Saved, graph: bytes, temperature: float | None = None) -> None:
        """Save the run's model; `temperature` is that of an int8 graph, None for float32."""
        results = {
            "metrics": saved.metrics,
            **({} if saved.float_metrics is None else {"float32": saved.float_metrics}),
            "steps": saved.steps,
            "best_step": saved.best_step,
            "epochs": saved.epochs,
            "seconds": round(saved.seconds, 1),
            "tokens_per_second": round(saved.tokens_per_second),
            "reason": saved.reason,
            "plans": [list(plan) for plan in saved.plans],
        }
        weights = numpy_weights(self._model)
        precision = "float32" if temperature is None else "int8"
        files: dict[str, bytes | Path] = {
            **self._common(),
            checkpoint.WEIGHTS: checkpoint.serialize_tensors(weights),
            checkpoint.GRAPH: graph,
            **other_graphs(self._model.config, weights, precision),
            checkpoint.MODEL_CARD: self._model_card(saved).encode("utf-8", "replace"),
        }
        self._results = results
        config = self._config(results, finished=True, temperature=temperature)
        checkpoint.save(self.directory, files, config, force=self._execution.force or self.saved)

    def is_finished(self) -> bool:
        """Whether the directory holds the finished run, also where `finish` was broken off."""
        try:
            there = checkpoint.load_config(self.directory)
        except CheckpointError:
            return False
        if self._results is None:
            return False
        # Tuples are lists there.
        return bool(there.get("results") == json.loads(json.dumps(self._results)))

    def _common(self) -> dict[str, bytes | Path]:
        return {
            checkpoint.TOKENIZER: self._written.tokenizer.to_json().encode(),
            checkpoint.METRICS: "".join(self._lines).encode(),
        }

    def _model_so_far(self, state: LoopState) -> dict[str, bytes | Path]:
        if self._exported == self._best:
            there = checkpoint.load(self.directory, verify=())
            names = {checkpoint.WEIGHTS, checkpoint.GRAPH, checkpoint.GENERATION}
            return {name: there.file(name) for name in names & there.config["files"].keys()}
        model = copy.deepcopy(self._model).eval()
        prefix = "best."
        model.load_state_dict(
            {
                name.removeprefix(prefix): tensor
                for name, tensor in state.tensors.items()
                if name.startswith(prefix)
            }
        )
        graph = export(model)
        verify(model, graph)
        weights = numpy_weights(model)
        return {
            checkpoint.WEIGHTS: checkpoint.serialize_tensors(weights),
            checkpoint.GRAPH: graph,
            **other_graphs(model.config, weights),
        }

    def _config(
        self, results: Mapping[str, Any], *, finished: bool, temperature: float | None = None
    ) -> dict[str, Any]:
        prepared = self._written.prepared
        return {
            "rnntext_version": __version__,
            "model": prepared.model.to_json(),
            "parameters": prepared.parameters,
            "precision": "float32" if temperature is None else "int8",
            **({} if temperature is None else {"quantization": {"temperature": temperature}}),
            "tokenizer": tokenizer_config_to_json(self._written.tokenizer.config),
            "data": {**asdict(prepared.summary), "valid_digest": self._written.valid_digest},
            "training": {
                "options": self._written.options.to_json(),
                "recipe": prepared.recipe.to_json(),
                "machine": prepared.machine,
                "threads": prepared.threads,
                "processes": prepared.processes,
                "torch_version": torch.__version__,
                "finished": finished,
            },
            "results": dict(results),
        }

    def _log(
        self, kind: str, event: Step | Evaluated, values: Mapping[str, Any], **more: bool
    ) -> None:
        line = {
            "event": kind,
            "step": event.step,
            "epoch": event.epoch,
            "loss": event.loss,
            "seconds": round(event.seconds, 2),
            **more,
            **{name: value for name, value in values.items() if isinstance(value, int | float)},
        }
        self._lines.append(json.dumps(line) + "\n")

    def _model_card(self, saved: Saved) -> str:
        prepared, options = self._written.prepared, self._written.options
        summary, encoder = prepared.summary, prepared.model.encoder
        both = ", bidirectional" if encoder.bidirectional else ""
        rows = [
            f"| {name} | {value:.4f} |" if isinstance(value, float) else f"| {name} | {value} |"
            for name, value in saved.metrics.items()
            if isinstance(value, int | float | None)
        ]
        part = " (the first of them: the time allowed for no more)" if summary.cut_short else ""
        labels = ", ".join(f"`{label}`" for label in prepared.model.labels)
        lines = [
            f"# {saved.directory.name}",
            "",
            f"A {TASKS[saved.task].title} trained with rnntext {__version__}.",
            "",
            f"- encoder: {encoder.cell.upper()}, {encoder.num_layers} layer(s) of "
            f"{encoder.hidden_size}{both}, embeddings of {encoder.embed_size}",
            f"- parameters: {prepared.parameters:,}",
            f"- tokenizer: {prepared.tokenizer}, {encoder.vocab_size:,} entries",
            *([f"- labels: {labels}"] if labels else []),
            f"- data: {summary.train:,} {summary.unit}{part} for training, {summary.valid:,} for "
            f"validation ({summary.duplicates:,} of these also in training)",
            f"- fingerprint of the training data: sha256 {summary.fingerprint}",
            f"- run: {saved.steps:,} steps, {saved.epochs:.1f} epochs, {saved.seconds:.0f} s on "
            f"{prepared.machine}; it ended because {saved.reason}",
            "",
            "Trained with",
            "",
            f"    {command_of(options, saved.directory)}",
            "",
            "On the validation data:",
            "",
            "| metric | value |",
            "| --- | --- |",
            *rows,
            "",
        ]
        return "\n".join(lines)


def _is_logged(step: int) -> bool:
    every = 1
    while step > _LOGGED_WHOLE * every:
        every *= 10
    # Reports come every ten steps, and one at a run's end, which an evaluation tells of as well.
    return step % (10 * every) == 0
