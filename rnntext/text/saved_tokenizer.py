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
from typing import Any

import tokenizers

from rnntext.config import TokenizerConfig
from rnntext.errors import DataError
from rnntext.text.decoder import byte_characters
from rnntext.text.vocabulary import KINDS, assemble, line_end
from rnntext.text.word_splitting import UNKNOWN


def load_tokenizer(text: str, config: TokenizerConfig) -> tokenizers.Tokenizer:
    """Return the tokenizer that the content of `tokenizer.json` describes. Raises DataError if it
    is malformed, not of the kind `config`, or has parts that this package does not write."""
    if config.kind not in KINDS:
        raise DataError(f"config.json names an unknown kind of tokenizer: {config.kind[:40]!r}")
    try:
        content = json.loads(text)
        model = content["model"]
        vocabulary, merges = model["vocab"], model.get("merges") or []
        tokens = _in_order(vocabulary)
        pairs = [(str(first), str(second)) for first, second in merges]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise DataError("tokenizer.json cannot be read: it holds no vocabulary") from None
    _check_tokens(tokens, config)
    if len(pairs) > len(tokens) or any(first + second not in vocabulary for first, second in pairs):
        raise DataError("tokenizer.json has merges that give no token")
    try:
        backend = assemble(config, tokens, pairs)
    # The library raises a bare Exception.
    except Exception as error:  # noqa: BLE001
        raise DataError(f"tokenizer.json cannot be read: {error}") from None
    _compare(content, model, assemble(config, [line_end(config.kind), UNKNOWN], []))
    return backend


def _in_order(vocabulary: dict[str, int]) -> list[str]:
    """The tokens by id. Raises ValueError if the ids are not 0, 1, 2, ..."""
    tokens = [""] * len(vocabulary)
    for token, index in vocabulary.items():
        if type(index) is not int or not 0 <= index < len(tokens) or tokens[index] or not token:
            raise ValueError
        tokens[index] = token
    return tokens


def _check_tokens(tokens: list[str], config: TokenizerConfig) -> None:
    known = set(tokens)
    needed = {line_end(config.kind), *([UNKNOWN] if config.kind in ("word", "char") else [])}
    if not needed <= known:
        raise DataError(f"tokenizer.json has no line end and is not of kind {config.kind}")
    characters = set("".join(tokens))
    if config.kind in ("bpe", "byte"):
        # The line feed is a token by itself.
        is_valid = characters <= {*byte_characters(), "\n"}
        is_valid = is_valid and sum("\n" in token for token in tokens) == 1
    else:
        is_valid = not any("\ud800" <= character <= "\udfff" for character in characters)
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
