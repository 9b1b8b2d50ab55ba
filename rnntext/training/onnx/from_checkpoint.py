"""Rebuild a saved model's graph: in another precision, or as one file for other runtimes.

Knows: that graphs are built of float32 weights, and the metadata that a file needs to be used
without rnntext. Does not know: PyTorch, how a graph is built, or how good it is.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path

from rnntext import checkpoint
from rnntext.checkpoint import Checkpoint
from rnntext.checkpoint_config import CheckpointConfig, LineBits, Quantization
from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError
from rnntext.graphs import model_file
from rnntext.graphs.common import Weights, task_graph
from rnntext.graphs.stored import StoredModel, has_float32_weights, stored_weights
from rnntext.training.onnx.build import build, documentation, other_graphs
from rnntext.training.onnx.sidecar import sidecar


def graph_of(found: Checkpoint, precision: str, temperature: float | None = None) -> bytes:
    """The graph of a checkpoint in `precision`. In int8 a classifier's logits are divided by
    `temperature` (None: the temperature that it was calibrated with before).

    Raises CheckpointError.
    """
    return build(*_load(found, precision, temperature), precision)


def one_file(stored: StoredModel, precision: str) -> bytes:
    """The content of one self-contained ONNX file: its doc string describes its inputs and
    outputs, its metadata hold the configuration of the model, the tokenizer and the linear model,
    so that rnntext can run it (`graphs/model_file.py`).

    Raises CheckpointError, also where the model has its weights in int8 alone.
    """
    if not stored.has_float32:
        raise CheckpointError(
            f"{stored.path} holds its weights in int8 alone: export the directory that it was "
            "made from, or copy it with --slim -o DIR"
        )
    config = stored.config
    about = {
        model_file.MODEL: json.dumps(config.to_json(), ensure_ascii=False),
        model_file.TOKENIZER: json.dumps(asdict(stored.tokenizer.config)),
        model_file.TOKENIZER_FILE: stored.tokenizer_json,
        "rnntext.task": config.task,
        "rnntext.labels": json.dumps(config.labels, ensure_ascii=False),
        "rnntext.multi_label": json.dumps(config.multi_label),
        "rnntext.max_length": str(config.max_length),
    }
    if stored.linear is not None:
        about[model_file.LINEAR_MODEL] = base64.b64encode(stored.linear).decode()
    if stored.splitter is not None:
        about[model_file.SPLITTER] = base64.b64encode(stored.splitter).decode()
    weights = _scaled(config, stored.weights(), stored.saved, precision, None)
    return build(config, weights, precision, documentation(config), about)


def sidecar_of(stored: StoredModel, graph: bytes, precision: str, file: str) -> bytes:
    """The content of the sidecar of `graph`, which `one_file` returned and which is in a file of
    the name `file` (see `sidecar.py`). Raises CheckpointError."""
    try:
        return sidecar(
            stored.config,
            stored.tokenizer,
            stored.linear,
            graph,
            file=file,
            precision=precision,
            splitter=stored.splitter,
        )
    except ValueError as error:
        raise CheckpointError(
            f"the linear model or the splitter of {stored.path} cannot be read: {error}"
        ) from None


def replace_graph(
    found: Checkpoint,
    graph: bytes,
    precision: str,
    quantization: Quantization | None = None,
    line_bits: LineBits | None = None,
) -> None:
    """Save the checkpoint again with `graph`. `quantization`, `line_bits`: the new sections of
    config.json about an int8 graph and about lines (None: as they are). Raises CheckpointError."""
    saved = CheckpointConfig.of(found)
    if saved.is_trained and not saved.training.finished:
        raise CheckpointError(
            f"{found.directory} holds a run that is not finished: go on with `rnntext train "
            f"{saved.task} --resume -o {found.directory}` first"
        )
    config = {**found.config, "precision": precision}
    if quantization is not None:
        config["quantization"] = quantization.to_json()
    if line_bits is not None:
        config["line_bits"] = line_bits.to_json()
    there = filter(found.has, found.config["files"])  # records may have gone
    files: dict[str, bytes | Path] = {name: found.read(name) for name in there}
    files[checkpoint.GRAPH] = graph
    files.update(other_graphs(*_load(found, precision, None), precision))
    checkpoint.save(found.directory, files, config, force=True)


def _load(
    found: Checkpoint, precision: str, temperature: float | None
) -> tuple[ModelConfig, Weights]:
    saved = CheckpointConfig.of(found)
    if not has_float32_weights(found):
        raise CheckpointError(
            f"{found.directory} has no {checkpoint.WEIGHTS} to convert: convert the directory "
            "that it was made from, or write a file with -o"
        )
    weights = stored_weights(found)
    return saved.model, _scaled(saved.model, weights, saved, precision, temperature)


def _scaled(
    config: ModelConfig,
    weights: Weights,
    saved: CheckpointConfig | None,
    precision: str,
    temperature: float | None,
) -> Weights:
    """The weights of a graph in `precision`: see `graph_of`."""
    if precision != "int8":
        return weights
    quantization = None if saved is None else saved.quantization
    known = None if quantization is None else quantization.temperature
    return task_graph(config).apply_temperature(weights, temperature or known or 1.0)
