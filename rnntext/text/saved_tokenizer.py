"""A tokenizer from the content of `tokenizer.json`, which may be a stranger's.

Knows: that only the vocabulary and the merges are taken from the file, and that every other part
must be what this package writes for the kind of tokenizer. Does not know: how text is encoded, or
how a vocabulary is trained.

The format has parts that make a tokenizer a program: patterns that take exponential time, padding
to ten million tokens, normalizers that make a text longer, templates that add tokens. So the file
is compared and then built anew from its vocabulary, rather than loaded. A pattern of words that
this package wrote before and writes no more would have to be listed here: so far there is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import tokenizers

from rnntext.config import TokenizerConfig
from rnntext.errors import DataError
from rnntext.text.decoder import byte_characters
from rnntext.text.vocabulary import KINDS, assemble, line_end
from rnntext.text.word_splitting import UNKNOWN

# What tokens consist of: the bytes of text and the line feed, and of words and characters all but
# halves of characters.
_BYTES = re.compile(f"[{re.escape(''.join(byte_characters()))}\n]*")
_SURROGATE = re.compile("[\ud800-\udfff]")


def load_tokenizer(text: str, config: TokenizerConfig) -> tokenizers.Tokenizer:
    """Return the tokenizer that the content of `tokenizer.json` describes. Raises DataError if it
    is malformed, not of the kind `config`, or has parts that this package does not write."""
    if config.kind not in KINDS:
        raise DataError(f"config.json names an unknown kind of tokenizer: {config.kind[:40]!r}")
    try:
        content = json.loads(text)
        model = content["model"]
        vocabulary, merges = model["vocab"], model.get("merges") or []
        _check_ids(vocabulary)
        pairs = [(first, second) for first, second in merges]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise DataError("tokenizer.json cannot be read: it holds no vocabulary") from None
    _check_tokens(vocabulary, config)
    try:
        if len(pairs) > (len(vocabulary) if config.kind == "bpe" else 0):
            raise ValueError
        # The library looks up what each pair of tokens becomes, so it is not looked up here.
        backend = assemble(config, vocabulary, pairs)
    # The library raises a bare Exception.
    except Exception:  # noqa: BLE001
        raise DataError("tokenizer.json has merges that give no token") from None
    _compare(content, model, assemble(config, {line_end(config.kind): 0, UNKNOWN: 1}, []))
    return backend


def _check_ids(vocabulary: dict[str, int]) -> None:
    """Raise ValueError if the ids of the tokens are not 0, 1, 2, ..., or a token is empty."""
    ids = list(vocabulary.values())
    # In JSON true is no 1.
    if set(map(type, ids)) - {int} or sorted(ids) != list(range(len(ids))) or "" in vocabulary:
        raise ValueError


def _check_tokens(vocabulary: Mapping[str, int], config: TokenizerConfig) -> None:
    needed = {line_end(config.kind), *([UNKNOWN] if config.kind in ("word", "char") else [])}
    if not needed <= vocabulary.keys():
        raise DataError(f"tokenizer.json has no line end and is not of kind {config.kind}")
    characters = "".join(vocabulary)
    if config.kind in ("bpe", "byte"):
        # The line feed is a token by itself.
        is_valid = characters.count("\n") == 1 and _BYTES.fullmatch(characters) is not None
    else:
        is_valid = _SURROGATE.search(characters) is None
    if not is_valid:
        raise DataError(f"tokenizer.json has tokens that are not of kind {config.kind}")


def _compare(content: dict[str, Any], model: dict[str, Any], backend: tokenizers.Tokenizer) -> None:
    """Compare all but the vocabulary with what the library writes for `backend`. Other releases of
    it may leave out a part, or have one more that is null."""
    expected = json.loads(backend.to_str())
    for name, found, wanted in (
        ("tokenizer.json", content, expected),
        ("model", model, expected["model"]),
    ):
        for part in found.keys() | wanted.keys():
            value = found.get(part, wanted.get(part))
            if part not in ("model", "vocab", "merges") and value != wanted.get(part):
                raise DataError(
                    f"{name} has a {part[:40]} that rnntext's tokenizers do not have: it is not "
                    "one that rnntext wrote"
                )
