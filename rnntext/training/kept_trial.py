"""The model of a trial, made what the model of a final run is.

Knows: what a trial leaves out to save time: its linear model has not learned from the validation
part, and its graph is float32 with `--quantize` too. Does not know: which trial is kept, where
(`tuning.py`), or how a graph becomes int8.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnntext import checkpoint
from rnntext.checkpoint import Checkpoint
from rnntext.checkpoint_config import CheckpointConfig, Quantization
from rnntext.training.onnx.build import other_graphs
from rnntext.training.options import TrainingOptions
from rnntext.training.persistence.repeat import command_of
from rnntext.training.persistence.saver import metric_rows
from rnntext.training.run import is_final_evaluation_partial
from rnntext.training.setup import Setup

if TYPE_CHECKING:
    from rnntext.training.onnx.quantized_model import Quantized

Files = dict[str, bytes]


class TrialFinisher:
    """Finishes trials of the data and the linear model in `setup`, which is that of a run with the
    options of the search. Of its network nothing is used."""

    def __init__(self, setup: Setup, published: Path) -> None:
        """`published`: the directory that the model card names."""
        self._published = published
        self.objective = setup.objective
        self._tokenizer, self._threads = setup.data.tokenizer, setup.prepared.threads
        self._quantizes = setup.options.quantize
        self._quick = is_final_evaluation_partial(setup)

    def finish(self, found: Checkpoint) -> tuple[Files, dict[str, Any]]:
        """Return the files that replace those of the trial in `found`, and the content of its
        `config.json`, where nothing but the model and what is said of it changes. Raises
        CheckpointError."""
        saved = CheckpointConfig.of(found)
        tables = found.read(checkpoint.EVALUATION) if found.has(checkpoint.EVALUATION) else None
        results = saved.results_with_tables(tables)
        self.objective.restore_halves(results.halves)
        learned = self.objective.learns_from_validation()
        results = replace(results, learned_from_valid=learned)
        files = self.objective.finished_files()
        config = {**found.config, "results": results.to_json()}
        if not self._quantizes:
            return files, config
        weights = checkpoint.load_tensors(found, found.shapes)
        quantized = self._quantized(saved, weights)
        files |= {checkpoint.GRAPH: quantized.graph, **other_graphs(saved.model, weights, "int8")}
        int8 = replace(results, metrics=quantized.metrics, float32=results.metrics)
        files |= int8.evaluation_file()
        options = {**saved.training.options, "quantize": True}
        config |= {
            "precision": "int8",
            "quantization": Quantization(temperature=quantized.temperature).to_json(),
            "training": {**config["training"], "options": options},
            "results": int8.to_json(),
        }
        if quantized.line_bits is not None:
            config["line_bits"] = quantized.line_bits.to_json()
        card = found.read(checkpoint.MODEL_CARD).decode()
        for old, new in (
            (metric_rows(results.metrics), metric_rows(int8.metrics)),
            ([self._command(saved.training.options)], [self._command(options)]),
        ):
            card = card.replace("\n".join(old), "\n".join(new))
        files[checkpoint.MODEL_CARD] = card.encode()
        return files, config

    def _command(self, options: dict[str, Any]) -> str:
        return command_of(TrainingOptions.from_json(options), self._published)

    def _quantized(self, saved: CheckpointConfig, weights: dict[str, Any]) -> Quantized:
        from rnntext.training.onnx.quantized_model import quantize

        return quantize(
            saved.model, weights, self._tokenizer, self.objective, self._threads, quick=self._quick
        )
