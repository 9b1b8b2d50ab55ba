"""A model in one ONNX file, as `export -o` writes it: all that the graph does not hold is in its
metadata.

Knows: the names of the entries. Does not know: how the file is written
(`training/onnx/from_checkpoint.py`), or what the tasks do with a model.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import mmap
from collections.abc import Mapping
from pathlib import Path

from rnntext.config import ModelConfig, TokenizerConfig
from rnntext.errors import CheckpointError, DataError
from rnntext.graphs.expected import expected_graph, precision_of
from rnntext.graphs.wire import Model, WireError, read_model
from rnntext.held_file import open_regular, reading
from rnntext.json_fields import FieldError, read_record
from rnntext.runtime.model import Array, TrainedModel, check_graph
from rnntext.runtime.session import Session
from rnntext.runtime.task import runtime_task
from rnntext.text.tokenizer import Tokenizer

# Entries of the metadata.
MODEL = "rnntext.model"  # JSON: the section `model` of config.json
TOKENIZER = "rnntext.tokenizer"  # JSON: the section `tokenizer` of config.json
TOKENIZER_FILE = "rnntext.tokenizer.json"  # the content of tokenizer.json
LINEAR_MODEL = "rnntext.ngrams.safetensors"  # base64 of ngrams.safetensors, if there is one
# How a file begins: the field of the format's version.
_ONNX = b"\x08"


def open_file(path: Path, threads: int | None, *, intra_op: bool = False) -> TrainedModel:
    """Open a file. `threads` and `intra_op`: see `Session`. Raises CheckpointError if it is not a
    file that rnntext wrote, or is damaged."""
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
    check_graph(path, lambda: model, expected_graph(config, precision_of(model)))
    session = Session(content, threads, intra_op=intra_op, name=str(path))
    linear = _linear_model(path, about, config)
    digest = hashlib.sha256(content).hexdigest()

    def no_weights() -> Mapping[str, Array]:
        raise CheckpointError(
            f"{path} has no weights to look at: name the directory that it was exported from"
        )

    return TrainedModel(
        config,
        tokenizer,
        lambda: session,
        fingerprint=digest,
        ngrams=lambda: linear,
        weights=no_weights,
    )


def _read_model(path: Path, content: memoryview) -> Model:
    try:
        return read_model(content)
    except WireError as error:
        raise CheckpointError(f"{path} is not a file that rnntext wrote: {error}") from None


def _linear_model(path: Path, about: Mapping[str, str], config: ModelConfig) -> object:
    if LINEAR_MODEL not in about:
        return None
    try:
        content = base64.b64decode(about[LINEAR_MODEL], validate=True)
        return runtime_task(config).parse_linear(content, config)
    except (binascii.Error, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
