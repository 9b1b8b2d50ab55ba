"""What another runtime needs beside an exported graph, as one JSON file: the sidecar.

Knows: the fields of the file, and how regular expressions are written so that several engines read
them alike. Does not know: how a graph is built or where the files are put. docs/onnx.md explains
each field; `examples/runtimes/` reads them.

ONNX Runtime for JavaScript does not show a file's metadata, so what is there stands here too.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy.typing as npt

from rnntext.config import ModelConfig
from rnntext.held_file import reading
from rnntext.ngrams import read_tensors
from rnntext.splitting.ranges import RANGES_PREFIX
from rnntext.splitting.splitter import SplitterWeights
from rnntext.text.tokenizer import MAX_WORD_TOKENS, WORD_PATTERN, Tokenizer
from rnntext.training.onnx.common import Carried, sidecar_parts

FORMAT, VERSION = "rnntext-model", 2
# How a sidecar begins, so that no other JSON file is ever replaced by one.
_BEGINNING = f'{{\n"format": "{FORMAT}",'

# Oniguruma, which `tokenizers` uses, and what JavaScript reads in the same way (flag u). Within a
# word of letters and signs before "@" nothing is found by going back: the possessive quantifier
# changes only how long the search takes.
_PORTABLE = (
    ("]++@", "]+@"),
    (r"\"", '"'),
    (r"\x{1F3FB}-\x{1F3FF}", "\U0001f3fb-\U0001f3ff"),
    (r"\x{200D}", r"\u200D"),
    (r"\s", r"\p{White_Space}"),
    (r"\S", r"\P{White_Space}"),
)


def sidecar_path(file: Path) -> Path:
    """Return the place of the sidecar of an exported file: `model.json` beside `model.onnx`."""
    return file.with_name(f"{file.name.removesuffix('.onnx')}.json")


def is_sidecar(path: Path) -> bool:
    """Return True if this is a file that begins as a sidecar does. Raises DataError if it cannot
    be read."""
    if not path.is_file():
        return False
    with reading(path), path.open("rb") as file:
        return file.read(len(_BEGINNING)) == _BEGINNING.encode()


def portable_word_pattern() -> str:
    """Return WORD_PATTERN as Oniguruma and JavaScript (flag u) both read it."""
    pattern = WORD_PATTERN
    for ours, portable in _PORTABLE:
        pattern = pattern.replace(ours, portable)
    return pattern


def sidecar(
    config: ModelConfig,
    tokenizer: Tokenizer,
    linear: bytes | None,
    graph: bytes,
    *,
    file: str,
    precision: str,
    splitter: bytes | None = None,
) -> bytes:
    """Return the content of the sidecar of `graph`, which is in a file of the name `file`.
    `linear`: the content of `ngrams.safetensors`; `splitter`: that of `splitter.safetensors`.
    Raises ValueError if they cannot be used."""
    encoder, parts = config.encoder, sidecar_parts(config)
    fields = {
        "format": FORMAT,
        "version": VERSION,
        "graph": {"file": file, "sha256": hashlib.sha256(graph).hexdigest()},
        "precision": precision,
        "task": config.task,
        "labels": config.labels,
        "multi_label": config.multi_label,
        "max_length": config.max_length,
        "encoder": {
            "cell": encoder.cell,
            "layers": encoder.num_layers,
            "hidden_size": encoder.hidden_size,
            "bidirectional": encoder.bidirectional,
        },
        "state": _state(config),
        "path_scores": parts.path_scores(config),
        "word_pattern": portable_word_pattern(),
        "empty": parts.empty(tokenizer),
        "tokenizer": _tokenizer(tokenizer),
        "linear": None if linear is None else _linear(config, linear),
        "splitter": None if splitter is None else _splitter(splitter),
    }
    lines = (f"{json.dumps(key)}: {_json(value)}" for key, value in fields.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _state(config: ModelConfig) -> dict[str, Any]:
    """The inputs of the graph that carry what was read before."""
    encoder = config.encoder
    if encoder.bidirectional:
        return {}
    shape = (encoder.num_layers, 1, encoder.hidden_size)
    read = {name: Carried(shape) for name in encoder.state_names}
    pooled = sidecar_parts(config).pooled(encoder)
    return {name: asdict(carried) for name, carried in {**read, **pooled}.items()}


def _tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    config = tokenizer.config
    between = tokenizer.encode([" "])[0].tolist() if config.kind in ("char", "byte") else []
    return {
        "kind": config.kind,
        "lowercase": config.lowercase,
        "presplit": config.presplit,
        "prefix": " " if config.kind == "bpe" else "",
        "line_end": tokenizer.eos_id,
        "unknown": tokenizer.unk_id,
        "between_words": between,
        "max_word_tokens": MAX_WORD_TOKENS,
        "json": json.loads(tokenizer.to_json()),
    }


def _linear(config: ModelConfig, content: bytes) -> dict[str, Any]:
    return {**sidecar_parts(config).linear(config), "tensors": _tensors(read_tensors(content))}


def _splitter(content: bytes) -> dict[str, Any]:
    weights = SplitterWeights.parse(content)
    arrays, rules = weights.characters.tensors(), None
    if weights.ranges is not None:
        arrays |= weights.ranges.features.tensors(RANGES_PREFIX)
        rules = [rule._asdict() for rule in weights.ranges.rules]
    return {"rules": rules, "tensors": _tensors(arrays)}


def _tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    return {
        name: {
            "dtype": str(array.dtype),
            "shape": array.shape,
            "data": base64.b64encode(array.tobytes()).decode(),
        }
        for name, array in arrays.items()
    }
