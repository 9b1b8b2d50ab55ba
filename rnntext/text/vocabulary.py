"""Trains the vocabulary of a tokenizer, which is of one of four kinds.

Knows: what a token of each kind is, the order of ids, and how lines are pre-tokenized. Does not
know: how lines are encoded to arrays of ids, or ids decoded to text.

Kinds
    bpe   byte-level byte-pair encoding (Sennrich, Haddow and Birch 2016). A space is put before
          each line, so that a word has the same tokens at the start of a line and inside it;
          decoding removes it. Lossless.
    word  whole words and punctuation marks. Text whose words are already separated by spaces
          (see `is_presplit`) is split at these alone; other text is split by WORD_PATTERN.
    char  Unicode characters.
    byte  the bytes of UTF-8. Lossless, has no unknown tokens and needs no training.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from rnntext.config import TokenizerConfig
from rnntext.errors import DataError, UsageError
from rnntext.text.word_splitting import UNKNOWN, split_long_line, word_splitter

KINDS = ("bpe", "word", "char", "byte")
LINE_END = "<eos>"

# Python lower-cases a character by its context (final sigma), the tokenizers library does not.
LOWERCASE = normalizers.Lowercase()

# Longer lines, in characters, are split for the trainer.
_PIECE_CHARACTERS = 1 << 16
# Longer words, in bytes, are split before merges are trained: training takes time quadratic in
# the length of a word, and a file may be a single word.
_MAX_WORD_BYTES = 1024
# Characters that a trainer reads at most. More text hardly changes the merges, and needs memory
# in proportion.
_TRAINING_LIMIT = 200_000_000


def line_end(kind: str) -> str:
    """Return the token for the end of a line."""
    # A byte-level or character vocabulary could learn `<eos>` from text that contains it, but
    # not a line feed, which is never inside a line.
    return LINE_END if kind == "word" else "\n"


def train_tokenizer(
    config: TokenizerConfig, lines: Iterable[str], vocab_size: int, min_frequency: int
) -> tokenizers.Tokenizer:
    """Train a vocabulary of at most `vocab_size` tokens that occur in `lines` at least
    `min_frequency` times.

    Raises DataError for a text without anything to learn from, UsageError for an invalid size.
    """
    tokens, merges = _train(config, _bounded(lines), vocab_size, min_frequency)
    return assemble(config, {token: index for index, token in enumerate(tokens)}, merges)


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines up to the training limit, long ones in pieces."""
    characters = 0
    for line in lines:
        yield from split_long_line(line, _PIECE_CHARACTERS)
        characters += len(line)
        if characters > _TRAINING_LIMIT:
            return


def _train(
    config: TokenizerConfig, lines: Iterator[str], vocab_size: int, min_frequency: int
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the tokens in the order of their ids, and the merges of `bpe`."""
    if config.kind == "byte":
        return ["\n", *sorted(pre_tokenizers.ByteLevel.alphabet())], []
    if config.kind == "char":
        counts: Counter[str] = Counter()
        for line in lines:
            counts.update(LOWERCASE.normalize_str(line) if config.lowercase else line)
        frequent = [c for c, n in counts.most_common() if n >= min_frequency and c != "\n"]
        if not frequent:
            raise DataError("the training text is empty: there is nothing to learn from")
        return ["\n", UNKNOWN, *sorted(frequent[: max(vocab_size - 2, 1)])], []
    if config.kind == "word":
        trained = tokenizers.Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        _set_pre_tokenizer(trained, config)
        trained.train_from_iterator(
            _without_blank_lines(lines),
            trainers.WordLevelTrainer(
                vocab_size=vocab_size, min_frequency=min_frequency, show_progress=False
            ),
        )
        ranked = sorted(trained.get_vocab().items(), key=lambda item: item[1])
        reserved = (LINE_END, UNKNOWN)
        words = [word for word, _ in ranked if word not in reserved]
        return [*reserved, *words[: max(vocab_size - 2, 0)]], []
    if vocab_size < 257:
        raise UsageError("--vocab-size must be at least 257 for bpe: 256 bytes and the line end")
    trained = tokenizers.Tokenizer(models.BPE())
    _set_pre_tokenizer(trained, config)
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [trained.pre_tokenizer, pre_tokenizers.FixedLength(length=_MAX_WORD_BYTES)]
    )
    trained.train_from_iterator(
        (" " + line for line in _without_blank_lines(lines)),
        trainers.BpeTrainer(
            vocab_size=vocab_size - 1,
            min_frequency=max(min_frequency, 2),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    model = json.loads(trained.to_str())["model"]
    by_id = sorted(model["vocab"].items(), key=lambda item: item[1])
    return ["\n", *(token for token, _ in by_id)], [tuple(pair) for pair in model["merges"]]


def _without_blank_lines(lines: Iterator[str]) -> Iterator[str]:
    empty = True
    for line in lines:
        if not line or line.isspace():
            continue
        empty = False
        yield line
    if empty:
        raise DataError("the training text is empty: there is nothing to learn from")


def assemble(
    config: TokenizerConfig, ids: dict[str, int], merges: list[tuple[str, str]]
) -> tokenizers.Tokenizer:
    """Return the tokenizer of these tokens with their ids, and of the merges of `bpe`. The library
    raises Exception if the merges are not of the tokens."""
    if config.kind == "word":
        backend = tokenizers.Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    elif config.kind == "char":
        backend = tokenizers.Tokenizer(models.BPE(ids, [], unk_token=UNKNOWN, fuse_unk=False))
    else:
        backend = tokenizers.Tokenizer(models.BPE(ids, merges))
    _set_pre_tokenizer(backend, config)
    return backend


def _set_pre_tokenizer(backend: tokenizers.Tokenizer, config: TokenizerConfig) -> None:
    if config.lowercase:
        backend.normalizer = LOWERCASE
    if config.kind == "word":
        backend.pre_tokenizer = (
            pre_tokenizers.WhitespaceSplit() if config.presplit else word_splitter()
        )
    elif config.kind in ("bpe", "byte"):
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=config.kind == "bpe"
        )
