"""A checkpoint's graph made anew: in other numbers, or as one file for other runtimes.

Knows: that the weights in float32 are always there to make a graph from, and what a file must
say about itself to be used without rnntext. Does not know: torch, how a graph is built, or
whether it is any good.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnntext import checkpoint
from rnntext.checkpoint import Checkpoint
from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError
from rnntext.training.onnx.build import apply_temperature, build, documentation
from rnntext.training.onnx.generation import generation_files


def graph_of(found: Checkpoint, precision: str, temperature: float | None = None) -> bytes:
    """The graph of a checkpoint in `precision`; in int8 a classifier's logits are divided by
    `temperature`, None being the one it was calibrated with before.

    Raises CheckpointError.
    """
    return build(*_load(found, precision, temperature), precision)


def one_file(found: Checkpoint, precision: str) -> bytes:
    """The content of one ONNX file that needs nothing else: its description says what its inputs
    and outputs are, its metadata hold the task, the labels and the tokenizer.

    Raises CheckpointError.
    """
    config, weights = _load(found, precision, None)
    about = {
        "rnntext.task": config.task,
        "rnntext.labels": json.dumps(config.labels, ensure_ascii=False),
        "rnntext.multi_label": json.dumps(config.multi_label),
        "rnntext.max_length": str(config.max_length),
        "rnntext.tokenizer": json.dumps(found.config["tokenizer"]),
        "rnntext.tokenizer.json": found.file(checkpoint.TOKENIZER).read_text("utf-8"),
    }
    return build(config, weights, precision, documentation(config), about)


def replace_graph(
    found: Checkpoint, graph: bytes, precision: str, quantization: Mapping[str, Any] | None = None
) -> None:
    """Save the checkpoint's next generation, which runs `graph`; `quantization` says what is
    known of an int8 one, None: nothing new. Raises CheckpointError."""
    if not found.config.get("training", {}).get("finished", True):
        raise CheckpointError(
            f"{found.directory} holds a run that is not finished: go on with `rnntext train "
            f"{found.config['model']['task']} --resume -o {found.directory}` first"
        )
    config = {**found.config, "precision": precision}
    if quantization is not None:
        config["quantization"] = quantization
    files: dict[str, bytes | Path] = {name: found.file(name) for name in found.config["files"]}
    files[checkpoint.GRAPH] = graph
    if found.config["model"]["task"] == "lm":
        files.update(generation_files(*_load(found, precision, None), precision))
    checkpoint.save(found.directory, files, config, force=True)


def _load(
    found: Checkpoint, precision: str, temperature: float | None
) -> tuple[ModelConfig, dict[str, Any]]:
    config = ModelConfig.from_json(found.config["model"])
    weights = checkpoint.load_tensors(found, checkpoint.tensor_shapes(found))
    if config.task == "classify" and precision == "int8":
        known = found.config.get("quantization", {}).get("temperature")
        weights = apply_temperature(weights, temperature or known or 1.0)
    return config, weights
