"""A trained model: the tokenizer, configuration and ONNX graph of a checkpoint.

Knows: how these are opened, and the checks that they belong together. Does not know: what the
tasks do with them.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt

from rnntext import checkpoint
from rnntext.checkpoint import Checkpoint
from rnntext.checkpoint_config import CheckpointConfig
from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError
from rnntext.graphs.expected import check_graph, expected_graph, expected_others, weight_shapes
from rnntext.graphs.stored import (
    check_weights,
    graph_weights,
    has_float32_weights,
    load_tokenizer,
    stored_weights,
)
from rnntext.graphs.wire import read_model
from rnntext.held_file import HeldFile, damaged
from rnntext.runtime.session import Session
from rnntext.runtime.task import runtime_task
from rnntext.splitting.splitter import Splitter, SplitterWeights
from rnntext.tasks import TASKS
from rnntext.text.batches import buckets
from rnntext.text.tokenizer import Tokenizer
from rnntext.text.word_splitting import split_words

Array = npt.NDArray[Any]
Value = TypeVar("Value")

# The largest batch, in rows and in tokens with padding, of a bidirectional encoder (True) and of
# another. The graph of a bidirectional one is a loop, and each of its steps has a fixed cost.
_BATCH_LIMITS = {True: (256, 1 << 15), False: (64, 1 << 13)}
# Files that a model samples text with, besides its main graph.
_SAMPLING = (checkpoint.GENERATION, checkpoint.WEIGHTS)
# A batch is not made smaller than this to give every thread one.
_MIN_SHARED_ROWS = 16


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A tokenizer and an ONNX graph, with the model's configuration."""

    config: ModelConfig
    tokenizer: Tokenizer
    open_session: Callable[[], Session]  # returns the session of the graph
    # Returns the session of the graph that samples text by itself; None if there is no such graph
    # (checkpoints from before version 0.1 have none), or if the model was not opened to sample.
    generation: Callable[[], Session | None] = lambda: None
    fingerprint: str = ""  # of the tokenizer and the graph that were opened
    # Returns the linear model of n-grams whose scores are added to those of the graph, as made by
    # the task's `parse_linear`; None if there is none.
    ngrams: Callable[[], Any] = lambda: None
    # Returns what divides raw text into words as the training data did; None if there is none.
    splitter: Callable[[], Splitter | None] = lambda: None
    # Returns the network's weights in float32 by name; empty if the model was not opened with them.
    weights: Callable[[], Mapping[str, Array]] = dict
    has_rounded_weights: bool = False  # they are those of an int8 graph
    # The description of the checkpoint that was opened; None of a model that was not saved.
    saved: CheckpointConfig | None = None

    @classmethod
    def from_session(
        cls, config: ModelConfig, tokenizer: Tokenizer, session: Session
    ) -> TrainedModel:
        """A model whose session is already open."""
        return cls(config, tokenizer, lambda: session)

    @property
    def session(self) -> Session:
        """The session of the graph."""
        return self.open_session()

    def words(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of texts as a tagger sees them: as it has learned to split text, else by
        the rule."""
        splitter = self.splitter()
        if splitter is None:
            return list(map(split_words, texts))
        return [found.words for found in splitter.divide(texts)]

    def batches(self, lengths: Array) -> list[Array]:
        """Divide texts of these lengths into batches of similar length: the index of each text.
        The batch of the longest texts is first, so that all threads finish at about the same time.
        """
        rows, tokens = _BATCH_LIMITS[self.config.encoder.bidirectional]
        rows_per_thread = -(-len(lengths) // self.session.threads)
        rows = min(rows, max(_MIN_SHARED_ROWS, rows_per_thread))
        return list(buckets(lengths, max_rows=rows, max_tokens=tokens))[::-1]

    def with_graph(self, graph: bytes) -> TrainedModel:
        """This model with another graph."""
        return self.with_session(Session(graph, self.session.threads))

    def with_session(self, session: Session) -> TrainedModel:
        """This model with another session."""
        return replace(self, open_session=lambda: session)


def running_files(found: Checkpoint) -> list[str]:
    """Return the names of the files that running a model needs, apart from `config.json`."""
    names = [
        checkpoint.TOKENIZER,
        checkpoint.GRAPH,
        checkpoint.NGRAMS,
        checkpoint.SPLITTER,
        checkpoint.GENERATION,
    ]
    listed = found.config["files"]
    if checkpoint.GENERATION in listed and CheckpointConfig.of(found).precision == "float32":
        names.append(checkpoint.WEIGHTS)  # the matrices of that graph
    return [name for name in names if name in listed]


def open_model(
    directory: Path,
    task: str | None = None,
    threads: int | None = None,
    *,
    intra_op: bool = False,
    when_needed: bool = False,
    samples: bool = False,
    weights: bool = False,
) -> TrainedModel:
    """Open a checkpoint and check that its files belong together; in place of a directory also a
    file that `export -o` wrote. The model stays what it was, whatever becomes of the directory.

    `intra_op`: see `Session`. `when_needed`: the graph is opened and verified at its first use.
    `samples`: a language model will sample text, for which it has another graph. `weights`: those
    of the network will be looked at.
    Raises CheckpointError if `directory` is no checkpoint, is damaged, or is not of `task`.
    """
    if os.path.isfile(directory):  # unlike the method of Path, False for a name that is too long
        return _open_file(directory, task, threads, intra_op)
    keep = {checkpoint.GRAPH, checkpoint.NGRAMS, checkpoint.SPLITTER}
    keep |= {*_SAMPLING} if samples else set()
    read_now = {checkpoint.TOKENIZER, *(() if when_needed else (checkpoint.GRAPH,))}
    looked_at = {checkpoint.WEIGHTS} if weights else set()
    found = checkpoint.load(directory, verify=read_now, keep=keep, keep_if_there=looked_at)
    saved = CheckpointConfig.of(found)
    config = saved.model
    _check_task(directory, config, task)
    if checkpoint.GRAPH not in found.config["files"] and saved.is_trained:
        raise CheckpointError(
            f"{directory} holds a run that has not come to its first evaluation: go on with "
            f"`rnntext train {config.task} --resume -o {directory}`"
        )
    tokenizer = load_tokenizer(found, saved)
    _check_sizes(found, config, tokenizer)
    graph = found.held(checkpoint.GRAPH)  # raises CheckpointError if there is none
    precision = saved.precision
    open_session = call_once(lambda: _open_graph(graph, config, precision, threads, intra_op))
    if not when_needed:
        open_session()
    model = TrainedModel(
        config, tokenizer, open_session, fingerprint=_fingerprint(found), saved=saved
    )
    if checkpoint.NGRAMS in found.config["files"]:
        model = replace(model, ngrams=call_once(lambda: _open_ngrams(found, config)))
        if not when_needed:
            model.ngrams()
    if checkpoint.SPLITTER in found.config["files"]:
        model = replace(model, splitter=call_once(lambda: _open_splitter(found)))
    if weights:
        model = replace(
            model,
            weights=call_once(lambda: _load_weights(found, config)),
            has_rounded_weights=precision == "int8" and not has_float32_weights(found),
        )
    if not samples or checkpoint.GENERATION not in found.config["files"]:
        return model
    generation = call_once(lambda: _open_generation_graph(found, config, precision, threads))
    return replace(model, generation=generation)


def _open_file(path: Path, task: str | None, threads: int | None, intra_op: bool) -> TrainedModel:
    from rnntext.graphs.model_file import read_model_file

    file = read_model_file(path)
    config, precision = file.config, file.precision
    _check_task(path, config, task)
    session = Session(file.content, threads, intra_op=intra_op, name=str(path))
    linear, splitter = None, None
    try:
        if file.linear is not None:
            linear = runtime_task(config).parse_linear(file.linear, config)
        if file.splitter is not None:
            splitter = Splitter(SplitterWeights.parse(file.splitter))
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    return TrainedModel(
        config,
        file.tokenizer,
        lambda: session,
        fingerprint=hashlib.sha256(file.content).hexdigest(),
        ngrams=lambda: linear,
        splitter=lambda: splitter,
        weights=call_once(lambda: graph_weights(path, file.content, config, precision)),
        has_rounded_weights=precision == "int8",
    )


def _fingerprint(found: Checkpoint) -> str:
    listed = found.config["files"]
    names = (checkpoint.TOKENIZER, checkpoint.GRAPH, checkpoint.NGRAMS, checkpoint.SPLITTER)
    return " ".join(listed[name]["sha256"] for name in names if name in listed)


def _open_ngrams(found: Checkpoint, config: ModelConfig) -> Any:
    file = found.held(checkpoint.NGRAMS)
    try:
        return runtime_task(config).parse_linear(file.read(), config)
    except ValueError as error:
        raise damaged(file.path, error) from None


def _open_splitter(found: Checkpoint) -> Splitter:
    file = found.held(checkpoint.SPLITTER)
    try:
        return Splitter(SplitterWeights.parse(file.read()))
    except ValueError as error:
        raise damaged(file.path, error) from None


def _check_task(directory: Path, config: ModelConfig, task: str | None) -> None:
    if task is not None and config.task != task:
        raise CheckpointError(
            f"{directory} is a {TASKS[config.task].title}, and this needs a {TASKS[task].title}: "
            f"use it with `rnntext {TASKS[config.task].command}`, or name another model with -m"
        )


def _check_sizes(found: Checkpoint, config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Check the size of the vocabulary and the shape of the embeddings, if they are there."""
    encoder = config.encoder
    if tokenizer.vocab_size != encoder.vocab_size:
        raise CheckpointError(
            f"{found.file(checkpoint.TOKENIZER)} has {tokenizer.vocab_size} entries and "
            f"config.json says {encoder.vocab_size}"
        )
    expected = (encoder.vocab_size, encoder.embed_size)
    shape = found.shapes.get("encoder.embedding.weight")
    if found.shapes and shape != expected:
        raise CheckpointError(
            f"{found.file(checkpoint.WEIGHTS)} has embeddings of {shape} and config.json says "
            f"{expected}"
        )


def _open_graph(
    graph: HeldFile, config: ModelConfig, precision: str, threads: int | None, intra_op: bool
) -> Session:
    def check(content: bytes) -> None:
        check_graph(graph.path, lambda: read_model(content), expected_graph(config, precision))

    return Session(graph, threads, intra_op=intra_op, check=check)


def _load_weights(found: Checkpoint, config: ModelConfig) -> dict[str, Array]:
    """Load what the graph consists of: all but a second encoder's weights. Raises CheckpointError
    if they are missing, or have not the shapes of the configuration."""
    weights = stored_weights(found)
    return {name: weights[name] for name in weight_shapes(config)}


def _open_generation_graph(
    found: Checkpoint, config: ModelConfig, precision: str, threads: int | None
) -> Session:
    """Open the graph that samples text by itself. In float32 it has no matrices of its own: they
    are those of the weights."""
    weights: Mapping[str, Array] = {}
    if precision == "float32":
        check_weights(found, config)
        matrices = [name for name, shape in weight_shapes(config).items() if len(shape) == 2]
        weights = checkpoint.load_tensors(found, matrices)
    graph = found.held(checkpoint.GENERATION)
    expected = expected_others(config, precision).get(checkpoint.GENERATION)

    def check(content: bytes) -> None:
        check_graph(graph.path, lambda: read_model(content), expected)

    return Session(graph, threads, intra_op=True, weights=weights, check=check)


def call_once(make: Callable[[], Value]) -> Callable[[], Value]:
    """Return a function that calls `make` the first time and then returns the same value. Threads
    that call it meanwhile wait."""
    lock = threading.Lock()
    values: list[Value] = []

    def get() -> Value:
        with lock:
            if not values:
                values.append(make())
            return values[0]

    return get
