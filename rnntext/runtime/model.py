"""A checkpoint opened to be run.

Knows: that configuration, tokenizer and graph of one checkpoint belong together. Does not
know: what the tasks do with them.
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
Made = TypeVar("Made")

# Rows and tokens, padding included, that go through a graph at once, by whether it reads in two
# directions: such a graph is a loop, whose steps cost something whatever is in them.
_MOST = {True: (256, 1 << 15), False: (64, 1 << 13)}
# Fewer rows are not shared out among threads.
_FEW = 16


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What runs: the tokenizer and the graph, with what they are."""

    config: ModelConfig
    tokenizer: Tokenizer
    open_session: Callable[[], Session]  # gives the graph
    # Gives the graph that draws text by itself; None where there is none.
    generation: Callable[[], Session | None] = lambda: None

    @classmethod
    def from_session(
        cls, config: ModelConfig, tokenizer: Tokenizer, session: Session
    ) -> TrainedModel:
        """A model whose graph is open already."""
        return cls(config, tokenizer, lambda: session)

    @property
    def session(self) -> Session:
        """The graph."""
        return self.open_session()

    def batches(self, lengths: Array) -> list[Array]:
        """Which of some whole texts of these lengths are read together: of like length, the
        longest first, so that threads end together."""
        rows, tokens = _MOST[self.config.encoder.bidirectional]
        share = -(-len(lengths) // self.session.threads)
        rows = min(rows, max(_FEW, share))
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
    """Open a checkpoint and see that its files agree; for `intra_op` see `Session`. `when_needed`:
    the graph is opened when it is asked for.

    Raises CheckpointError for a directory that is none, is damaged, or is not of `task`.
    """
    verified = {checkpoint.TOKENIZER} if when_needed else {checkpoint.TOKENIZER, checkpoint.GRAPH}
    found = checkpoint.load(directory, verify=verified)
    saved = CheckpointConfig.of(found)
    config = saved.model
    if task is not None and config.task != task:
        raise CheckpointError(
            f"{directory} is a {TASKS[config.task].title}, and this needs a {TASKS[task].title}: "
            f"use it with `rnntext {TASKS[config.task].command}`, or name another model with -m"
        )
    if checkpoint.GRAPH not in found.config["files"] and saved.is_trained:
        raise CheckpointError(
            f"{directory} holds a run that has not come to its first evaluation: go on with "
            f"`rnntext train {config.task} --resume -o {directory}`"
        )
    path = found.file(checkpoint.TOKENIZER)
    try:
        tokenizer = Tokenizer.load(path.read_text("utf-8"), saved.tokenizer)
    except (UnicodeDecodeError, DataError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    encoder = config.encoder
    if tokenizer.vocab_size != encoder.vocab_size:
        raise CheckpointError(
            f"{path} has {tokenizer.vocab_size} entries and config.json says {encoder.vocab_size}"
        )
    expected = (encoder.vocab_size, encoder.embed_size)
    shape = checkpoint.tensor_shapes(found).get("encoder.embedding.weight")
    if shape != expected:
        raise CheckpointError(
            f"{found.file(checkpoint.WEIGHTS)} has embeddings of {shape} and config.json says "
            f"{expected}"
        )
    found.file(checkpoint.GRAPH)  # is there

    def open_graph() -> Session:
        now = _unchanged(found, checkpoint.GRAPH) if when_needed else found
        if now is None:
            raise CheckpointError(f"{directory} was replaced while it was read: start again")
        graph = now.file(checkpoint.GRAPH)
        session = Session(graph, threads, intra_op=intra_op)
        _check_graph(graph, session, config)
        return session

    opened = call_once(open_graph)
    if not when_needed:
        opened()
    return TrainedModel(config, tokenizer, opened, call_once(lambda: _generation(found, threads)))


def _generation(found: Checkpoint, threads: int | None) -> Session | None:
    """The graph that goes on with texts. None where the checkpoint has none, which one before
    0.1 has not, and where it is gone or another has taken its place since it was opened."""
    if checkpoint.GENERATION not in found.config["files"]:
        return None
    small = CheckpointConfig.of(found).precision == "int8"
    # In float32 the matrices are not in the graph.
    names = (checkpoint.GENERATION, *(() if small else (checkpoint.WEIGHTS,)))
    now = _unchanged(found, *names)
    if now is None:
        return None
    shapes = {} if small else checkpoint.tensor_shapes(now)
    matrices = [name for name, shape in shapes.items() if len(shape) == 2]
    weights = checkpoint.load_tensors(now, matrices) if matrices else {}
    session = Session(now.file(checkpoint.GENERATION), threads, intra_op=True, weights=weights)
    # Another may have come while these files were read one after the other.
    return session if _unchanged(found, *names, verify=False) else None


def _unchanged(found: Checkpoint, *names: str, verify: bool = True) -> Checkpoint | None:
    """The checkpoint as it is now, these files verified; None where it is gone, or they or the
    tokenizer are others by now."""
    try:
        now = checkpoint.load(found.directory, verify=names if verify else ())
    except CheckpointError:
        if checkpoint.is_checkpoint(found.directory):
            raise
        return None
    listed, before = now.config["files"], found.config["files"]
    same = (listed.get(name) == before[name] for name in (*names, checkpoint.TOKENIZER))
    return now if all(same) else None


def call_once(make: Callable[[], Made]) -> Callable[[], Made]:
    """What `make` makes, made when it is first asked for, once whatever threads ask."""
    lock = threading.Lock()
    made: list[Made] = []

    def give() -> Made:
        with lock:
            if not made:
                made.append(make())
            return made[0]

    return give


def _check_graph(graph: Path, session: Session, config: ModelConfig) -> None:
    task = runtime_task(config)
    width = len(config.labels) or config.encoder.vocab_size
    shapes = session.shapes()
    if task.scores not in shapes or shapes[task.scores][-1] != width:
        raise CheckpointError(f"{graph} does not give the {width} scores that config.json says")
    # The graph of another task, or one that was made before version 0.1, has other inputs.
    has_state = "hidden" in shapes
    if task.signature not in shapes or has_state == config.encoder.bidirectional:
        raise CheckpointError(f"{graph} is not a graph of this rnntext: train the model again")
