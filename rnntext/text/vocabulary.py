"""The vocabulary of a tokenizer: its four kinds, and how each is learnt from lines.

Knows: what is a token of each kind, which come first, and how lines are split before any is
looked up. Does not know: how lines become arrays of ids, or ids text.

Kinds
    bpe   byte-level byte-pair encoding (Sennrich, Haddow and Birch 2016). One space is put
          before each line, so that a word is spelled the same at a line's start and inside it;
          decoding takes it off again. Loses nothing.
    word  whole words and punctuation marks. Text whose words already stand apart at spaces
          (see `is_presplit`) is kept exactly so; other text is split by WORD_PATTERN.
    char  Unicode characters.
    byte  the bytes of UTF-8. Loses nothing, knows everything, is trained on nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from rnntext.errors import DataError, UsageError
from rnntext.text.word_splitting import UNKNOWN, cut, word_splitter

KINDS = ("bpe", "word", "char", "byte")
LINE_END = "<eos>"

# Python lowers a word by what stands around it, the tokenizer each character by itself.
LOWERCASE = normalizers.Lowercase()

# A trainer is given no longer line than about this many characters.
_PIECE = 1 << 16
# In bytes: merges are learned from longer words in parts, because the time that these take grows
# with the square of a word's length, and a file may be one word.
_LONGEST_WORD = 1024
# What a trainer reads at most, in characters; more text hardly moves the merges and costs
# memory in proportion.
_TRAINING_LIMIT = 200_000_000


@dataclass(frozen=True, slots=True)
class TokenizerConfig:
    """What `tokenizer.json` does not say about a tokenizer."""

    kind: str
    lowercase: bool = False
    presplit: bool = False  # `word` alone: words are what stands between spaces


def line_end(kind: str) -> str:
    """How the vocabulary spells the end of a line."""
    # Inside a byte-level or character vocabulary the name `<eos>` could be learned from text
    # that holds it; a line feed cannot, because it never stands inside a line.
    return LINE_END if kind == "word" else "\n"


def learn(
    config: TokenizerConfig, lines: Iterable[str], vocab_size: int, min_frequency: int
) -> tokenizers.Tokenizer:
    """What looks tokens up, with a vocabulary of at most `vocab_size` entries, each found in
    `lines` at least `min_frequency` times.

    Raises DataError where the text holds nothing to learn from and UsageError for a size that
    cannot be.
    """
    vocabulary, merges = _learn(config, _bounded(lines), vocab_size, min_frequency)
    return _assemble(config, vocabulary, merges)


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    characters = 0
    for line in lines:
        yield from cut(line, _PIECE)
        characters += len(line)
        if characters > _TRAINING_LIMIT:
            return


def _learn(
    config: TokenizerConfig, lines: Iterator[str], vocab_size: int, min_frequency: int
) -> tuple[list[str], list[tuple[str, str]]]:
    """The vocabulary, commonest first as far as the kind allows, and the merges of `bpe`."""
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
        learner = tokenizers.Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        _set_splitting(learner, config)
        learner.train_from_iterator(
            _nonempty(lines),
            trainers.WordLevelTrainer(
                vocab_size=vocab_size, min_frequency=min_frequency, show_progress=False
            ),
        )
        ranked = sorted(learner.get_vocab().items(), key=lambda item: item[1])
        reserved = (LINE_END, UNKNOWN)
        words = [word for word, _ in ranked if word not in reserved]
        return [*reserved, *words[: max(vocab_size - 2, 0)]], []
    if vocab_size < 257:
        raise UsageError("--vocab-size must be at least 257 for bpe: 256 bytes and the line end")
    learner = tokenizers.Tokenizer(models.BPE())
    _set_splitting(learner, config)
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [learner.pre_tokenizer, pre_tokenizers.FixedLength(length=_LONGEST_WORD)]
    )
    learner.train_from_iterator(
        (" " + line for line in _nonempty(lines)),
        trainers.BpeTrainer(
            vocab_size=vocab_size - 1,
            min_frequency=max(min_frequency, 2),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    model = json.loads(learner.to_str())["model"]
    by_id = sorted(model["vocab"].items(), key=lambda item: item[1])
    return ["\n", *(token for token, _ in by_id)], [tuple(pair) for pair in model["merges"]]


def _nonempty(lines: Iterator[str]) -> Iterator[str]:
    seen = False
    for line in lines:
        if not line or line.isspace():
            continue
        seen = True
        yield line
    if not seen:
        raise DataError("the training text is empty: there is nothing to learn from")


def _assemble(
    config: TokenizerConfig, vocabulary: list[str], merges: list[tuple[str, str]]
) -> tokenizers.Tokenizer:
    ids = {token: index for index, token in enumerate(vocabulary)}
    if config.kind == "word":
        backend = tokenizers.Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    elif config.kind == "char":
        backend = tokenizers.Tokenizer(models.BPE(ids, [], unk_token=UNKNOWN, fuse_unk=False))
    else:
        backend = tokenizers.Tokenizer(models.BPE(ids, merges))
    _set_splitting(backend, config)
    return backend


def _set_splitting(backend: tokenizers.Tokenizer, config: TokenizerConfig) -> None:
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
