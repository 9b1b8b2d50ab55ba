"""A saved model, from its directory or from the one file that `export -o` wrote.

Knows: where each of them has its configuration, its tokenizer, its linear model and its weights,
and that a slim directory and a file have the weights in their graph. Does not know: how a model
runs, or PyTorch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rnntext import checkpoint
from rnntext.checkpoint import Checkpoint
from rnntext.checkpoint_config import CheckpointConfig
from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError, DataError
from rnntext.graphs.common import Weights, task_graph
from rnntext.graphs.expected import not_the_graph, weight_shapes
from rnntext.graphs.wire import WireError
from rnntext.text.tokenizer import Tokenizer


class StoredModel(NamedTuple):
    """What a directory or a file holds of a model."""

    path: Path
    config: ModelConfig
    tokenizer: Tokenizer
    tokenizer_json: str  # the content of `tokenizer.json`
    saved: CheckpointConfig | None  # the description in a directory; None of a file
    linear: bytes | None  # the content of `ngrams.safetensors`
    splitter: bytes | None  # the content of `splitter.safetensors`
    # Returns the weights in float32, by their names in `model.safetensors`.
    weights: Callable[[], Weights]
    has_float32: bool  # False where the weights are in an int8 graph alone


def read_stored(path: Path) -> StoredModel:
    """Read a directory or a file. Raises CheckpointError if it is neither, or is damaged."""
    if not os.path.isfile(path):  # unlike the method of Path, False for a name that is too long
        return stored_model(checkpoint.load(path))
    from rnntext.graphs.model_file import read_model_file  # commands on directories need it not

    file = read_model_file(path)
    return StoredModel(
        path,
        file.config,
        file.tokenizer,
        file.tokenizer_json,
        None,
        file.linear,
        file.splitter,
        lambda: graph_weights(path, file.content, file.config, file.precision),
        file.precision == "float32",
    )


def stored_model(found: Checkpoint) -> StoredModel:
    """What a checkpoint holds that was opened with all of its files. Raises CheckpointError."""
    saved = CheckpointConfig.of(found)
    linear, splitter = (
        found.read(name) if name in found.config["files"] else None
        for name in (checkpoint.NGRAMS, checkpoint.SPLITTER)
    )
    return StoredModel(
        found.directory,
        saved.model,
        load_tokenizer(found, saved),
        found.read(checkpoint.TOKENIZER).decode(),
        saved,
        linear,
        splitter,
        lambda: stored_weights(found),
        has_float32_weights(found) or saved.precision == "float32",
    )


def stored_config(path: Path) -> ModelConfig:
    """The configuration of the model in a directory or a file. Raises CheckpointError."""
    if os.path.isfile(path):
        from rnntext.graphs.model_file import read_model_file

        return read_model_file(path).config
    return CheckpointConfig.of(checkpoint.load(path, verify=())).model


def load_tokenizer(found: Checkpoint, saved: CheckpointConfig) -> Tokenizer:
    """The tokenizer of a checkpoint. Raises CheckpointError, which names the file."""
    file = found.held(checkpoint.TOKENIZER)
    try:
        return Tokenizer.load(file.read().decode(), saved.tokenizer)
    except (UnicodeDecodeError, DataError) as error:
        raise CheckpointError(f"{file.path} cannot be read: {error}") from None


def has_float32_weights(found: Checkpoint) -> bool:
    """True if a checkpoint has weights apart from its graph."""
    return checkpoint.WEIGHTS in found.config["files"]


def stored_weights(found: Checkpoint) -> Weights:
    """The weights of a checkpoint: those of `model.safetensors`, or, where it has no such file, of
    its graph. Raises CheckpointError."""
    saved = CheckpointConfig.of(found)
    if has_float32_weights(found):
        found.held(checkpoint.WEIGHTS)
        check_weights(found, saved.model)
        return checkpoint.load_tensors(found, found.shapes)
    graph = found.held(checkpoint.GRAPH)
    weights = graph_weights(graph.path, graph.read(), saved.model, saved.precision)
    quantization = saved.quantization if saved.precision == "int8" else None
    if quantization is None or not quantization.temperature:
        return weights
    # An int8 graph has its temperature in the weights of the output, and the file has not.
    return task_graph(saved.model).apply_temperature(weights, 1 / quantization.temperature)


def check_weights(found: Checkpoint, config: ModelConfig) -> None:
    """Raise CheckpointError if `model.safetensors` lacks a weight that graphs consist of, or has it
    in another shape."""
    for name, shape in weight_shapes(config).items():
        if found.shapes.get(name) != shape:
            raise CheckpointError(
                f"{found.file(checkpoint.WEIGHTS)} has {name} of {found.shapes.get(name)} and "
                f"config.json says {shape}"
            )


def graph_weights(path: Path, content: bytes, config: ModelConfig, precision: str) -> Weights:
    """The weights in a graph's file. Raises CheckpointError, which names it, if it holds another
    graph than that of the configuration."""
    from rnntext.graphs.weights import weights_of  # most commands need no weights

    try:
        return weights_of(content, config, precision)
    except WireError as error:
        raise not_the_graph(path, error) from None
