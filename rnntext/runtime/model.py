"""A checkpoint opened to be run.

Knows: that configuration, tokenizer and graph of one checkpoint belong together. Does not
know: what the tasks do with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnntext import checkpoint
from rnntext.checkpoint import Checkpoint
from rnntext.config import TASK_NAMES, ModelConfig
from rnntext.errors import CheckpointError, DataError
from rnntext.runtime.session import Session
from rnntext.text.tokenizer import Tokenizer, TokenizerConfig

# The command that uses a model of each task.
_COMMANDS = {"lm": "generate", "classify": "classify", "tag": "tag"}


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What runs: the tokenizer and the graph, with what they are."""

    checkpoint: Checkpoint
    config: ModelConfig
    tokenizer: Tokenizer
    session: Session


def open_model(
    directory: Path, task: str | None = None, threads: int | None = None
) -> TrainedModel:
    """Open a checkpoint and see that its files agree.

    Raises CheckpointError for a directory that is none, is damaged, or is not of `task`.
    """
    found = checkpoint.load(directory)
    config = ModelConfig.from_json(_section(found, "model"))
    if task is not None and config.task != task:
        raise CheckpointError(
            f"{directory} is a {TASK_NAMES[config.task]}, and this needs a {TASK_NAMES[task]}: "
            f"use it with `rnntext {_COMMANDS[config.task]}`, or name another model with -m"
        )
    path = found.file(checkpoint.TOKENIZER)
    try:
        settings = TokenizerConfig(**_section(found, "tokenizer"))
        tokenizer = Tokenizer.load(path.read_text("utf-8"), settings)
    except (TypeError, UnicodeDecodeError, DataError) as error:
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
    graph = found.file(checkpoint.GRAPH)
    session = Session(graph, threads)
    output = {"lm": "logits", "classify": "logits", "tag": "emissions"}[config.task]
    width = len(config.labels) or encoder.vocab_size
    shapes = session.shapes()
    if output not in shapes or shapes[output][-1] != width:
        raise CheckpointError(f"{graph} does not give the {width} scores that config.json says")
    return TrainedModel(found, config, tokenizer, session)


def _section(found: Checkpoint, name: str) -> dict[str, Any]:
    section = found.config.get(name)
    if not isinstance(section, dict):
        raise CheckpointError(f"{found.file(checkpoint.CONFIG)} has no {name!r}")
    return section
