"""The configuration of a model: its encoder, labels and tokenizer settings.

Knows: the fields, their valid values and their JSON. Does not know: the options of a training run
(`training/options.py`), torch, files, or the command line apart from the flags that its messages
name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from rnntext.arguments import LAYERS, LENGTH, VOCABULARY, WIDTH
from rnntext.errors import CheckpointError, UsageError
from rnntext.json_fields import FieldError, read_record
from rnntext.tasks import TASKS

CELLS = ("rnn", "gru", "lstm")
# Blocks of rows in a cell's matrices: one for each gate and one for the candidate.
GATED_BLOCKS = {"rnn": 1, "gru": 3, "lstm": 4}
SHOWN_LABELS = 20  # of a model with more, for a reader's eyes

# The CRF's score of a forbidden transition: its exponential is 0 beside others, and a sum of
# several such scores is still finite.
FORBIDDEN_SCORE = -1e4
# The value of padding in max pooling, and its initial value. Hidden states are at least -1.
POOLING_FLOOR = -1e4
# Prefix of the weights of a language model's second encoder, which no graph has.
BACKWARD_WEIGHTS = "backward_encoder."


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Configuration of the encoder that all tasks share: embeddings and recurrent layers."""

    cell: str
    vocab_size: int
    embed_size: int
    hidden_size: int  # units of one direction of one layer
    num_layers: int
    bidirectional: bool

    def __post_init__(self) -> None:
        one_of("--cell", self.cell, CELLS)
        for flag, value, range_ in (
            ("--vocab-size", self.vocab_size, VOCABULARY),
            ("--embed", self.embed_size, WIDTH),
            ("--hidden", self.hidden_size, WIDTH),
            ("--layers", self.num_layers, LAYERS),
        ):
            at_least(flag, value, 1)
            range_.check(flag, value)

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """Size of the outputs of the last layer: both directions are concatenated."""
        return self.hidden_size * self.directions

    @property
    def state_parts(self) -> int:
        """Number of arrays of a state: the hidden state and, for the LSTM, the cell state."""
        return len(self.state_names)

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of these arrays in the ONNX graph."""
        return ("hidden", "cell") if self.cell == "lstm" else ("hidden",)

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the recurrent layers' weights, by their names in a checkpoint."""
        shapes: dict[str, tuple[int, ...]] = {}
        rows = GATED_BLOCKS[self.cell] * self.hidden_size
        directions = ("forward", "backward")[: self.directions]
        for layer in range(self.num_layers):
            width = self.output_size if layer else self.embed_size
            for direction in directions:
                name = f"encoder.layers.{layer}.{direction}_cell"
                shapes[f"{name}.weight_ih_l0"] = (rows, width)
                shapes[f"{name}.weight_hh_l0"] = (rows, self.hidden_size)
                shapes[f"{name}.bias_ih_l0"] = shapes[f"{name}.bias_hh_l0"] = (rows,)
        return shapes


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Configuration of a model: an encoder with the head of one task."""

    task: str
    encoder: EncoderConfig
    labels: tuple[str, ...] = ()
    multi_label: bool = False
    # Maximum length of a sequence, in tokens; a longer document is read in windows.
    max_length: int = 0
    # A language model has a second encoder of the same sizes, which reads from the end of a text.
    # Nothing that runs the model uses it; `--init` does.
    backward_encoder: bool = False
    # A tagger has a conditional random field: scores of pairs of neighbouring tags. Without one the
    # score of a tag that is a bundle of features is the sum of its parts' (see `tag_parts.py`).
    crf: bool = True

    def __post_init__(self) -> None:
        one_of("task", self.task, tuple(TASKS))
        has_labels = TASKS[self.task].has_labels
        if has_labels:
            at_least("max_length", self.max_length, 1)
        LENGTH.check("max_length", self.max_length)
        if has_labels != bool(self.labels):
            raise UsageError("a classifier and a tagger have labels, a language model has none")
        if len(set(self.labels)) < len(self.labels):
            raise UsageError("each label must be there once")
        if not has_labels and self.encoder.bidirectional:
            raise UsageError("a language model reads in one direction")
        if self.backward_encoder and (has_labels or self.encoder.bidirectional):
            raise UsageError("only a language model has a second encoder, which reads backwards")

    def to_json(self) -> dict[str, Any]:
        fields = {**asdict(self), "labels": list(self.labels)}
        # Versions that do not know these fields can read the model.
        if not self.backward_encoder:
            del fields["backward_encoder"]
        if self.crf:
            del fields["crf"]
        return fields

    @classmethod
    def from_json(cls, value: object, path: str | Path = "config.json") -> Self:
        """Make a configuration of its JSON. Raises CheckpointError, which names the file `path`,
        if a field is missing, unknown or invalid."""
        try:
            return read_record(cls, value, allow_unknown=False)
        except (FieldError, UsageError) as error:
            raise CheckpointError(f"{path} does not describe a model: {error}") from None


@dataclass(frozen=True, slots=True)
class TokenizerConfig:
    """The settings of a tokenizer that `tokenizer.json` does not contain."""

    kind: str
    lowercase: bool = False
    presplit: bool = False  # only for `word`: words are separated by spaces


def one_of(flag: str, value: str | None, allowed: tuple[str, ...]) -> None:
    """Raise UsageError, which names the flag, for another value. None (unset) is valid."""
    if value is not None and value not in allowed:
        raise UsageError(f"{flag} is one of {', '.join(allowed)}, not {value!r}")


def at_least(flag: str, value: int | None, least: int) -> None:
    """Raise UsageError, which names the flag, for a smaller value. None is valid."""
    if value is not None and value < least:
        raise UsageError(f"{flag} must be at least {least}, not {value}")


def listed(names: Sequence[str], most: int = SHOWN_LABELS) -> str:
    """Return the first names with commas between them, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def usable_cores() -> int:
    """Return the number of cores that this process may use, the default of `--threads`."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
