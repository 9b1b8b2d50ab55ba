"""A trained model: the tokenizer, configuration and ONNX graph of a checkpoint.

Knows: how these are opened, and the checks that they belong together. Does not know: what the
tasks do with them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt

from rnntext import checkpoint
from rnntext.checkpoint import Checkpoint
from rnntext.checkpoint_config import CheckpointConfig
from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError, DataError
from rnntext.runtime.session import Session
from rnntext.runtime.task import runtime_task
from rnntext.tasks import TASKS
from rnntext.text.batches import buckets
from rnntext.text.tokenizer import Tokenizer

Array = npt.NDArray[Any]
Value = TypeVar("Value")

# The largest batch, in rows and in tokens with padding, of a bidirectional encoder (True) and of
# another. The graph of a bidirectional one is a loop, and each of its steps has a fixed cost.
_BATCH_LIMITS = {True: (256, 1 << 15), False: (64, 1 << 13)}
# A batch is not made smaller than this to give every thread one.
_MIN_SHARED_ROWS = 16


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A tokenizer and an ONNX graph, with the model's configuration."""

    config: ModelConfig
    tokenizer: Tokenizer
    open_session: Callable[[], Session]  # returns the session of the graph
    # Returns the session of the graph that samples text by itself; None if there is no such graph.
    generation: Callable[[], Session | None] = lambda: None

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


def open_model(
    directory: Path,
    task: str | None = None,
    threads: int | None = None,
    *,
    intra_op: bool = False,
    when_needed: bool = False,
) -> TrainedModel:
    """Open a checkpoint and check that its files belong together.

    `intra_op`: see `Session`. `when_needed`: the graph is opened and checked at its first use.
    Raises CheckpointError if `directory` is no checkpoint, is damaged, or is not of `task`.
    """
    verified = {checkpoint.TOKENIZER} if when_needed else {checkpoint.TOKENIZER, checkpoint.GRAPH}
    found = checkpoint.load(directory, verify=verified)
    saved = CheckpointConfig.of(found)
    config = saved.model
    _check_task(directory, config, task)
    if checkpoint.GRAPH not in found.config["files"] and saved.is_trained:
        raise CheckpointError(
            f"{directory} holds a run that has not come to its first evaluation: go on with "
            f"`rnntext train {config.task} --resume -o {directory}`"
        )
    tokenizer = _load_tokenizer(found, saved)
    _check_sizes(found, config, tokenizer)
    found.file(checkpoint.GRAPH)  # raises CheckpointError if there is none

    def open_graph() -> Session:
        return _open_graph(found, config, threads, intra_op=intra_op, check_again=when_needed)

    open_session = call_once(open_graph)
    if not when_needed:
        open_session()
    generation = call_once(lambda: _open_generation_graph(found, threads))
    return TrainedModel(config, tokenizer, open_session, generation)


def _check_task(directory: Path, config: ModelConfig, task: str | None) -> None:
    if task is not None and config.task != task:
        raise CheckpointError(
            f"{directory} is a {TASKS[config.task].title}, and this needs a {TASKS[task].title}: "
            f"use it with `rnntext {TASKS[config.task].command}`, or name another model with -m"
        )


def _load_tokenizer(found: Checkpoint, saved: CheckpointConfig) -> Tokenizer:
    path = found.file(checkpoint.TOKENIZER)
    try:
        return Tokenizer.load(path.read_text("utf-8"), saved.tokenizer)
    except (UnicodeDecodeError, DataError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None


def _check_sizes(found: Checkpoint, config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Check the size of the vocabulary and the shape of the embeddings."""
    encoder = config.encoder
    if tokenizer.vocab_size != encoder.vocab_size:
        raise CheckpointError(
            f"{found.file(checkpoint.TOKENIZER)} has {tokenizer.vocab_size} entries and "
            f"config.json says {encoder.vocab_size}"
        )
    expected = (encoder.vocab_size, encoder.embed_size)
    shape = checkpoint.tensor_shapes(found).get("encoder.embedding.weight")
    if shape != expected:
        raise CheckpointError(
            f"{found.file(checkpoint.WEIGHTS)} has embeddings of {shape} and config.json says "
            f"{expected}"
        )


def _open_graph(
    found: Checkpoint,
    config: ModelConfig,
    threads: int | None,
    *,
    intra_op: bool,
    check_again: bool,
) -> Session:
    """Open the main graph. With `check_again` the checkpoint was opened earlier, so the graph is
    verified now and must be the one that the checkpoint had then."""
    current = _reload_if_unchanged(found, checkpoint.GRAPH) if check_again else found
    if current is None:
        raise CheckpointError(f"{found.directory} was replaced while it was read: start again")
    graph = current.file(checkpoint.GRAPH)
    session = Session(graph, threads, intra_op=intra_op)
    _check_graph(graph, session, config)
    return session


def _open_generation_graph(found: Checkpoint, threads: int | None) -> Session | None:
    """Open the graph that samples text by itself. Return None if the checkpoint has none (those
    from before version 0.1 do not), or if it was deleted or replaced since it was opened."""
    if checkpoint.GENERATION not in found.config["files"]:
        return None
    is_int8 = CheckpointConfig.of(found).precision == "int8"
    # In float32 the graph has no matrices of its own: they are read from the weights.
    names = (checkpoint.GENERATION, *(() if is_int8 else (checkpoint.WEIGHTS,)))
    current = _reload_if_unchanged(found, *names)
    if current is None:
        return None
    shapes = {} if is_int8 else checkpoint.tensor_shapes(current)
    matrices = [name for name, shape in shapes.items() if len(shape) == 2]
    weights = checkpoint.load_tensors(current, matrices) if matrices else {}
    session = Session(current.file(checkpoint.GENERATION), threads, intra_op=True, weights=weights)
    # The checkpoint may have been replaced between reading one of the files and the next.
    return session if _reload_if_unchanged(found, *names, verify=False) else None


def _reload_if_unchanged(found: Checkpoint, *names: str, verify: bool = True) -> Checkpoint | None:
    """Load the checkpoint again and verify the files `names`. Return None if it was deleted, or
    if one of these files or the tokenizer is another one now."""
    try:
        current = checkpoint.load(found.directory, verify=names if verify else ())
    except CheckpointError:
        if checkpoint.is_checkpoint(found.directory):
            raise
        return None
    listed, before = current.config["files"], found.config["files"]
    same = (listed.get(name) == before[name] for name in (*names, checkpoint.TOKENIZER))
    return current if all(same) else None


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


def _check_graph(graph: Path, session: Session, config: ModelConfig) -> None:
    """Check the names and shapes of the graph's inputs and outputs."""
    task = runtime_task(config)
    width = len(config.labels) or config.encoder.vocab_size
    shapes = session.shapes()
    if task.scores not in shapes or shapes[task.scores][-1] != width:
        raise CheckpointError(f"{graph} does not give the {width} scores that config.json says")
    # The graph of another task, or one from before version 0.1, has other inputs.
    has_state = "hidden" in shapes
    if task.signature not in shapes or has_state == config.encoder.bidirectional:
        raise CheckpointError(f"{graph} is not a graph of this rnntext: train the model again")
