"""How many bytes each file of a checkpoint may have, from the sizes in its `config.json`.

Knows: that the weights and graphs hold each trained weight a few times at most, in at most four
bytes, and that a vocabulary grows with its number of entries. Does not know: what the files hold,
or how they are read.

A listed size is a stranger's word, and a sparse file of a terabyte takes no room on a disk: hashing
it takes an hour, and reading it all memory. So a size is compared with these bounds before any
byte is read. They are generous: what a file must hold exactly is checked where it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError

LONGEST_CONFIG = 1 << 28
LONGEST_RECORD = 1 << 30
_ROOM = 1 << 22  # for names, headers and documentation
_NGRAM_WEIGHTS = 1 << 26  # in all tables together; they are made with 1 << 22 at most
_SPLITTER = 1 << 26  # bytes: it has 1 << 21 weights at most
_ENTRY = 1 << 12  # bytes of an entry of a vocabulary and of its merge, on average


def most_bytes(content: Mapping[str, Any]) -> Callable[[str], int]:
    """Return a function that gives the most bytes of a file by its name. `content`: of
    `config.json`; sizes that cannot be read from it are those of the smallest model."""
    try:
        config = ModelConfig.from_json(content.get("model"))
    except CheckpointError:  # whoever reads the section reports it
        weights = vocabulary = 0
    else:
        weights, vocabulary = _most_weights(config), config.encoder.vocab_size
    bounds = {
        **dict.fromkeys(("model.safetensors", "model.onnx", "generation.onnx"), 4 * weights),
        "tokenizer.json": _ENTRY * (vocabulary + 1),
        "ngrams.safetensors": 4 * _NGRAM_WEIGHTS,
        "splitter.safetensors": _SPLITTER,
    }

    def most(name: str) -> int:
        if name in bounds:
            return _ROOM + bounds[name]
        # A record, or a part of what --resume needs: the optimizer keeps some numbers a weight.
        return LONGEST_RECORD + 64 * weights

    return most


def _most_weights(config: ModelConfig) -> int:
    """At least the number of weights, and of their scales and columns of padding in int8."""
    encoder, labels = config.encoder, len(config.labels)
    rows = 4 * (encoder.hidden_size + 2)
    inputs = max(encoder.embed_size, encoder.output_size) + 2
    layer = rows * (inputs + encoder.hidden_size + 8) * encoder.directions
    layers = layer * encoder.num_layers * (2 if config.backward_encoder else 1)
    embeddings = (encoder.vocab_size + 128) * (encoder.embed_size + 8)
    head = labels * (3 * encoder.output_size + labels + 8)
    projection = 2 * encoder.embed_size * (encoder.output_size + 1)
    return layers + embeddings + head + projection
