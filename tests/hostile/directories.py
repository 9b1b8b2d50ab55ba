"""Model directories with fixed weights, and what a stranger would do to one: any file or field is
replaced, and the sizes and digests in `config.json` are made to fit.

Knows: how a directory is made without training, and how it is forged. Does not know: what is
refused.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext import checkpoint
from rnntext.checkpoint_config import (
    DataRecord,
    Quantization,
    Results,
    TrainingRecord,
    config_to_json,
)
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.ngrams import Tables
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.networks.build import build_network
from rnntext.training.onnx.build import build, other_graphs
from rnntext.training.onnx.from_network import numpy_weights
from tests.conftest import CORPORA

LABELS = ("no", "yes", "maybe")


@cache
def trained_tokenizer(kind: str = "bpe", lowercase: bool = False) -> Tokenizer:
    lines = (CORPORA / "stories.txt").read_text("utf-8").splitlines()[:300]
    return Tokenizer.train(kind, lines, vocab_size=300, lowercase=lowercase, presplit=False)


def configuration(
    task: str = "classify",
    cell: str = "lstm",
    *,
    bidirectional: bool = False,
    layers: int = 1,
    embed: int = 6,
    vocabulary: int = 300,
) -> ModelConfig:
    labels = () if task == "lm" else LABELS
    encoder = EncoderConfig(cell, vocabulary, embed, 8, layers, bidirectional)
    return ModelConfig(task, encoder, labels, max_length=0 if task == "lm" else 64)


def fixed_weights(config: ModelConfig) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(5)
    return {
        name: random.normal(0, 0.4, array.shape).astype(np.float32)
        for name, array in numpy_weights(build_network(config)).items()
    }


def write_model(
    directory: Path,
    task: str = "classify",
    cell: str = "lstm",
    *,
    bidirectional: bool = False,
    layers: int = 1,
    precision: str = "float32",
    kind: str = "bpe",
    lowercase: bool = False,
    labels: tuple[str, ...] = LABELS,
) -> Path:
    """Write a checkpoint that every command accepts; a classifier has n-grams."""
    tokenizer = trained_tokenizer(kind, lowercase)
    config = configuration(
        task, cell, bidirectional=bidirectional, layers=layers, vocabulary=tokenizer.vocab_size
    )
    if task != "lm":
        config = ModelConfig(task, config.encoder, labels, max_length=64)
    weights = fixed_weights(config)
    files: dict[str, bytes | Path] = {
        checkpoint.TOKENIZER: tokenizer.to_json().encode(),
        checkpoint.WEIGHTS: checkpoint.serialize_tensors(weights),
        checkpoint.GRAPH: build(config, weights, precision),
        **other_graphs(config, weights, precision),
        checkpoint.METRICS: b"",
        checkpoint.MODEL_CARD: b"A model.\n",
    }
    if task == "classify":
        rows = np.zeros((16, len(labels)), np.float16)
        bias = np.zeros(len(labels), np.float32)
        files[checkpoint.NGRAMS] = Tables(rows, rows, rows, bias).serialize()
    metrics = {"lm": {"perplexity": 9.0}, "classify": {"accuracy": 0.5}, "tag": {"f1": 0.5}}[task]
    content = config_to_json(
        version="0.1.0",
        model=config,
        parameters=sum(array.size for array in weights.values()),
        quantization=None if precision == "float32" else Quantization(temperature=1.0),
        tokenizer=tokenizer.config,
        data=DataRecord("lines", 10, 2, 100, 0, "00", {"yes": 3}),
        training=TrainingRecord(options={}, recipe={}, machine="", threads=1, torch_version="2"),
        results=Results(
            metrics=metrics, steps=1, best_step=1, epochs=1.0, seconds=1.0, tokens_per_second=1
        ),
    )
    checkpoint.save(directory, files, content, force=False)
    return directory


def copied(model: Path, directory: Path) -> Path:
    """A copy of a model, to forge."""
    shutil.copytree(model, directory)
    return directory


def change_config(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the content of `config.json`."""
    path = directory / checkpoint.CONFIG
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")


def forge(directory: Path, name: str, content: bytes) -> Path:
    """Replace a file, and list its size and digest. Returns the directory."""
    path = directory / name
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    entry = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    change_config(directory, lambda config: config["files"].update({name: entry}))
    return directory
