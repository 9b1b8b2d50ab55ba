"""A model in one ONNX file, as `export -o` writes it: all that the graph does not hold is in its
metadata.

Knows: the names of the entries, and the checks that they and the graph belong together. Does not
know: how the file is written (`training/onnx/from_checkpoint.py`), how it is run
(`runtime/model.py`), or what the tasks do with a model.
"""

from __future__ import annotations

import base64
import binascii
import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rnntext.config import ModelConfig, TokenizerConfig
from rnntext.errors import CheckpointError, DataError
from rnntext.graphs.expected import check_graph, expected_graph, precision_of
from rnntext.graphs.wire import Model, WireError, read_model
from rnntext.held_file import open_regular, reading
from rnntext.json_fields import FieldError, read_record
from rnntext.text.tokenizer import Tokenizer

# Entries of the metadata.
MODEL = "rnntext.model"  # JSON: the section `model` of config.json
TOKENIZER = "rnntext.tokenizer"  # JSON: the section `tokenizer` of config.json
TOKENIZER_FILE = "rnntext.tokenizer.json"  # the content of tokenizer.json
LINEAR_MODEL = "rnntext.ngrams.safetensors"  # base64 of ngrams.safetensors, if there is one
SPLITTER = "rnntext.splitter.safetensors"  # base64 of splitter.safetensors, if there is one
# How a file begins: the field of the format's version.
_ONNX = b"\x08"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file whose graph is the one that its configuration implies."""

    path: Path
    config: ModelConfig
    tokenizer: Tokenizer
    tokenizer_json: str
    precision: str
    linear: bytes | None  # the content of `ngrams.safetensors`; None: the model has no such half
    splitter: bytes | None  # the content of `splitter.safetensors`
    content: bytes  # of the whole file


def read_model_file(path: Path) -> ModelFile:
    """Read a file. Raises CheckpointError if it is not one that rnntext wrote, or is damaged."""
    with reading(path), open_regular(path) as file:
        if not file.peek(1).startswith(_ONNX):
            raise CheckpointError(
                f"{path} is not a directory and not an ONNX file: name a checkpoint directory, or "
                "a file that `rnntext export -o` wrote"
            )
        # A sparse file may be larger than memory.
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        model = _read_model(path, mapped)
        content = bytes(mapped)
    about = model.metadata
    try:
        config = ModelConfig.from_json(json.loads(about[MODEL]), path)
        settings = read_record(
            TokenizerConfig, json.loads(about[TOKENIZER]), "tokenizer", allow_unknown=False
        )
        tokenizer = Tokenizer.load(about[TOKENIZER_FILE], settings)
        linear, splitter = _decoded(about, LINEAR_MODEL), _decoded(about, SPLITTER)
    except KeyError as error:
        raise CheckpointError(
            f"{path} lacks {error} in its metadata: write it anew with `rnntext export -o`, or "
            "name a checkpoint directory"
        ) from None
    except (ValueError, RecursionError, FieldError, DataError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    if tokenizer.vocab_size != config.encoder.vocab_size:
        raise CheckpointError(
            f"{path} has a tokenizer of {tokenizer.vocab_size} entries and a model of "
            f"{config.encoder.vocab_size}: write it anew with `rnntext export -o`"
        )
    precision = precision_of(model)
    check_graph(path, lambda: model, expected_graph(config, precision))
    return ModelFile(
        path, config, tokenizer, about[TOKENIZER_FILE], precision, linear, splitter, content
    )


def _read_model(path: Path, content: memoryview) -> Model:
    try:
        return read_model(content)
    except WireError as error:
        raise CheckpointError(f"{path} is not a file that rnntext wrote: {error}") from None


def _decoded(about: Mapping[str, str], entry: str) -> bytes | None:
    """Return what an entry holds; None if there is none. Raises ValueError."""
    if entry not in about:
        return None
    try:
        return base64.b64decode(about[entry], validate=True)
    except binascii.Error as error:
        raise ValueError(f"{entry} is not base64: {error}") from None
