"""The tokenizer of all tasks: text to ids and back.

Knows: how lines and words are encoded in bounded memory, the id of a line end, and which kinds lose
text. Does not know: how a vocabulary is trained, how raw text is split into words; models, data
files or batches.

Every kind has one id for the end of a line, `eos_id`. There is no padding id: lengths tell padding
apart, and no model predicts it. Only `word` and `char` have an `unk_id` for unknown text.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import tokenizers

from rnntext.config import TokenizerConfig
from rnntext.text.chunk_cache import ChunkCache
from rnntext.text.decoder import Decoder, PieceDecoder, WordDecoder, byte_characters
from rnntext.text.saved_tokenizer import load_tokenizer
from rnntext.text.scripts import unit_edges
from rnntext.text.utf8 import Utf8Vocabulary
from rnntext.text.vocabulary import KINDS, LOWERCASE, line_end, train_tokenizer
from rnntext.text.word_splitting import (
    PRESPLIT_SAMPLE,
    UNKNOWN,
    WORD_PATTERN,
    is_presplit,
    split_long_line,
    split_words,
)

__all__ = [
    "KINDS",
    "WORD_PATTERN",
    "Decoder",
    "EncodedWords",
    "Ids",
    "LineOfWords",
    "Tokenizer",
    "TokenizerConfig",
    "is_presplit",
    "split_words",
    "tokenizer_config_to_json",
]

Ids = npt.NDArray[np.int32]

# White space belongs to the word after it.
_WORD_AND_SPACE_BEFORE = re.compile(r"\s*\S+|\s+")

# Characters. A longer line is encoded in pieces, and about this many characters of pieces in one
# call, because the library's result takes over a hundred bytes per token.
_PIECE_CHARACTERS = 1 << 14
_CALL_CHARACTERS = 1 << 19
_PART_CHARACTERS = 1 << 16  # of a text that is encoded in parts
# Tokens that a single word may have; a longer one is reduced to its start and its end.
MAX_WORD_TOKENS = 256


@dataclass(frozen=True, slots=True)
class EncodedWords:
    """An encoded sentence of words: word w has the tokens first[w] to last[w], inclusive."""

    ids: Ids
    first: Ids
    last: Ids

    def pieces(self, size: int) -> Iterator[EncodedWords]:
        """Split the sentence between words into pieces of at most `size` tokens, so that memory
        does not grow with its length.

        A longer word is a piece of its own. A sentence without words has no pieces.
        """
        if 0 < len(self.ids) <= size:
            yield self
            return
        start = offset = 0
        while start < len(self.first):
            # At least one word, and all whose last token still fits.
            stop = max(int(np.searchsorted(self.last, offset + size)), start + 1)
            end = int(self.last[stop - 1]) + 1
            yield EncodedWords(
                self.ids[offset:end],
                self.first[start:stop] - offset,
                self.last[start:stop] - offset,
            )
            start, offset = stop, end


@dataclass(frozen=True, slots=True)
class LineOfWords:
    """A line encoded for a language model, with the word of each token."""

    ids: Ids  # (T), eos_id last
    words: list[str]  # spelled as in the line
    owner: Ids  # (T): index in `words` of each token's word; len(words) for the line end


class Tokenizer:
    """Encodes text to ids and decodes ids; created by `train`, or by `load` from a checkpoint."""

    def __init__(self, backend: tokenizers.Tokenizer, config: TokenizerConfig) -> None:
        self.config = config
        self._backend = backend
        self.vocab_size: int = backend.get_vocab_size(with_added_tokens=False)
        self.eos_id = int(backend.token_to_id(line_end(config.kind)) or 0)
        self.unk_id: int | None = (
            backend.token_to_id(UNKNOWN) if config.kind in ("word", "char") else None
        )

    @property
    def loses_text(self) -> bool:
        """Return True if decoding may not restore a text even if all its tokens are known."""
        return self.config.kind == "word" or self.config.lowercase

    @classmethod
    def train(
        cls,
        kind: str,
        lines: Iterable[str],
        *,
        vocab_size: int,
        lowercase: bool = False,
        min_frequency: int | None = None,
        presplit: bool | None = None,
    ) -> Tokenizer:
        """Train a vocabulary of at most `vocab_size` tokens on `lines`, which are read once.

        Tokens rarer than `min_frequency` are left out. None means 1, but 2 for `word` unless the
        text contains `<unk>`, so that a model is trained on unknown words. `presplit` is for
        `word`; None means that `is_presplit` decides. Raises DataError for a text without anything
        to learn from, UsageError for an invalid size.
        """
        lines = iter(lines)
        if kind == "word":
            head = list(itertools.islice(lines, PRESPLIT_SAMPLE))
            lines = itertools.chain(head, lines)
            if presplit is None:
                presplit = is_presplit(head)
            if min_frequency is None:
                min_frequency = 1 if any(UNKNOWN in line.split() for line in head) else 2
        config = TokenizerConfig(kind, lowercase, bool(presplit) and kind == "word")
        return cls(train_tokenizer(config, lines, vocab_size, min_frequency or 1), config)

    @classmethod
    def load(cls, text: str, config: TokenizerConfig) -> Tokenizer:
        """Load the content of `tokenizer.json`; raises DataError if it is malformed, or has parts
        that this package does not write."""
        return cls(load_tokenizer(text, config), config)

    def __reduce__(self) -> tuple[object, tuple[str, TokenizerConfig]]:
        return (Tokenizer.load, (self.to_json(), self.config))

    def to_json(self) -> str:
        """Return the content of `tokenizer.json`."""
        return str(self._backend.to_str(pretty=False))

    def token(self, token_id: int) -> str:
        """Return the token of an id, as spelled in the vocabulary."""
        return str(self._backend.id_to_token(token_id))

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Encode each text. A line feed becomes `eos_id`; no `eos_id` is appended."""
        if not any("\n" in text for text in texts):
            return self._encode_lines(texts)
        lines: list[str] = []
        counts: list[int] = []
        for text in texts:
            parts = text.split("\n") if "\n" in text else [text]
            lines.extend(parts)
            counts.append(len(parts))
        encoded = self._encode_lines(lines)
        results: list[Ids] = []
        position = 0
        end = np.array([self.eos_id], np.int32)
        for count in counts:
            parts_ids = [encoded[position]]
            for ids in encoded[position + 1 : position + count]:
                parts_ids += [end, ids]
            results.append(np.concatenate(parts_ids) if count > 1 else parts_ids[0])
            position += count
        return results

    def encode_prompts(self, texts: Sequence[str]) -> list[Ids]:
        """Encode each text as a prompt to continue.

        `eos_id` of a preceding line comes first. If the text ends at the start of a line, that
        line has no ids yet.
        """
        end = np.array([self.eos_id], np.int32)
        # The space that `bpe` puts before a line belongs to the first word, which is generated.
        empty = len(self.encode([""])[0])
        prompts = []
        for text, ids in zip(texts, self.encode(texts), strict=True):
            starts_line = not text or text.endswith("\n")
            prompts.append(np.concatenate([end, ids[: len(ids) - empty] if starts_line else ids]))
        return prompts

    def encode_lines(self, lines: Sequence[str]) -> list[Ids]:
        """Encode each line with `eos_id` at its end, as for a language model."""
        end = np.array([self.eos_id], np.int32)
        return [np.concatenate([ids, end]) for ids in self.encode(lines)]

    def encode_in_parts(self, text: str) -> Iterator[Ids]:
        """Yield what `encode_lines([text])` returns in parts, one after the other, of which each
        has at least one id: memory does not grow with the text."""
        end = np.array([self.eos_id], np.int32)
        line = 0
        for line_indices, texts in self._piece_batches(_lines_of(text), _PART_CHARACTERS):
            ids: list[Ids] = []
            for index, piece in zip(line_indices, self._encode_pieces(texts), strict=True):
                ids += [end] * (index - line)
                ids.append(piece)
                line = index
            part = _concatenate(ids)
            if len(part):
                yield part
        yield end

    def encode_lines_of_words(self, lines: Sequence[str]) -> list[LineOfWords]:
        """Encode each line like `encode_lines`, and find the word of each token.

        Under `word` each token is a word, spelled as in the line; under the other kinds words are
        separated by white space, and in scripts without spaces between words (`scripts.py`) a token
        that begins with such a letter, or follows one, begins a word. White space, and a token that
        starts with it, belongs to the next word, or to the line end; a token that spans two words
        belongs to the first.
        """
        interned: dict[str, str] = {}
        builders = [_LineBuilder(interned) for _ in lines]
        for line_indices, texts in self._piece_batches(lines):
            pieces = self._encode_with_owners(texts)
            for index, (ids, words, owner) in zip(line_indices, pieces, strict=True):
                builders[index].add(ids, words, owner)
        return [builder.finish(self.eos_id) for builder in builders]

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> list[EncodedWords]:
        """Encode sentences that are already split into words.

        Every word has at least one token; of a word with more than 256 tokens the first and the
        last 128 remain. A word has the same tokens as inside a line; under `char` and `byte` a
        space separates words, as in text.
        """
        # Each distinct word is encoded once: text is repetitive.
        ids_of: dict[str, Ids] = {}
        distinct = list({word for words in sentences for word in words})
        for word, ids in zip(distinct, self._encode_lines(distinct, are_words=True), strict=True):
            # A word may be empty after normalization or pre-tokenization, but needs a token.
            ids_of[word] = ids if len(ids) else np.array([self.fallback_id], np.int32)
            if len(ids) > MAX_WORD_TOKENS:
                half = MAX_WORD_TOKENS // 2
                ids_of[word] = np.concatenate([ids[:half], ids[-half:]])
        space = self._encode_lines([" "])[0] if self.config.kind in ("char", "byte") else None
        results = []
        for words in sentences:
            pieces: list[Ids] = []
            first = np.empty(len(words), np.int32)
            last = np.empty(len(words), np.int32)
            position = 0
            for index, word in enumerate(words):
                if index and space is not None:
                    pieces.append(space)
                    position += len(space)
                first[index] = position
                pieces.append(ids_of[word])
                position += len(ids_of[word])
                last[index] = position - 1
            ids = np.concatenate(pieces) if pieces else np.empty(0, np.int32)
            results.append(EncodedWords(ids, first, last))
        return results

    def known_bytes(self, ids: Ids) -> int:
        """Return the number of bytes of the tokens that are not unknown (not for `word`)."""
        return int(self._piece_sizes[ids].sum(where=ids != self.unk_id))

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids that begin at the start of a line; `eos_id` becomes a line feed."""
        decoder = self.decoder()
        return "".join(decoder.push(int(i)) for i in ids) + decoder.flush()

    def decoder(self) -> Decoder:
        """Return a new decoder that takes ids one at a time."""
        if self.config.kind == "word":
            return WordDecoder(self.token, self.eos_id, presplit=self.config.presplit)
        return PieceDecoder(self.pieces, prefixed=self.config.kind == "bpe")

    @cached_property
    def utf8(self) -> Utf8Vocabulary | None:
        """The vocabulary as bytes that may be parts of characters; None where every token is of
        whole characters."""
        return None if self.config.kind in ("word", "char") else Utf8Vocabulary(self.pieces)

    @cached_property
    def fallback_id(self) -> int:
        """The id of text that has no token of its own."""
        return self.unk_id if self.unk_id is not None else self.eos_id

    @cached_property
    def pieces(self) -> list[bytes]:
        """The bytes of each id (not for `word`); those of `eos_id` are a line feed."""
        if self.config.kind == "char":
            return [self.token(i).encode() for i in range(self.vocab_size)]
        byte_of = {character: byte for byte, character in enumerate(byte_characters())}
        tokens = (self.token(i) for i in range(self.vocab_size))
        return [
            b"\n" if i == self.eos_id else bytes(byte_of[c] for c in token)
            for i, token in enumerate(tokens)
        ]

    def _encode_lines(self, lines: Sequence[str], *, are_words: bool = False) -> list[Ids]:
        if self.config.kind == "word" and are_words and not self.config.presplit:
            # Words that the caller split are looked up without splitting them again.
            return [np.array([self._word_id(self._lowered(word))], np.int32) for word in lines]
        line_indices: list[int] = []
        encoded: list[Ids] = []
        for indices, texts in self._piece_batches(lines):
            line_indices += indices
            encoded += self._encode_pieces(texts)
        if len(encoded) == len(lines):
            return encoded
        of_line = itertools.groupby(zip(line_indices, encoded, strict=True), itemgetter(0))
        return [_concatenate([ids for _, ids in pieces]) for _, pieces in of_line]

    def _piece_batches(
        self, lines: Iterable[str], most: int | None = None
    ) -> Iterator[tuple[list[int], list[str]]]:
        """Yield batches of pieces of lines, of about `most` characters, with the index of the line
        of each piece."""
        most = _CALL_CHARACTERS if most is None else most
        prefix = " " if self.config.kind == "bpe" else ""
        line_indices: list[int] = []
        texts: list[str] = []
        size = 0
        for index, line in enumerate(lines):
            for text in split_long_line(line, _PIECE_CHARACTERS, prefix):
                line_indices.append(index)
                texts.append(text)
                size += len(text)
                if size >= most:
                    yield line_indices, texts
                    line_indices, texts, size = [], [], 0
        if texts:
            yield line_indices, texts

    def _encode_pieces(self, texts: list[str]) -> list[Ids]:
        if self.config.kind in ("char", "byte"):
            return [self._encode_units(text) for text in texts]
        return self._chunk_cache.encode(texts)

    @cached_property
    def _chunk_cache(self) -> ChunkCache:
        def encode(texts: list[str]) -> list[list[int]]:
            batch = self._backend.encode_batch_fast(texts, add_special_tokens=False)
            return [encoding.ids for encoding in batch]

        return ChunkCache(encode, " " if self.config.kind == "bpe" else "")

    def _encode_units(self, text: str) -> Ids:
        """Encode a text whose tokens are its characters (char) or bytes (byte)."""
        text = self._lowered(text)
        if self.config.kind == "char":
            units = np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))
        else:
            units = np.frombuffer(text.encode(), np.dtype(np.uint8))
        return self._id_of_unit[units]

    @cached_property
    def _id_of_unit(self) -> Ids:
        """The id of each code point (char) or byte (byte)."""
        table = np.full(sys.maxunicode + 1, self.fallback_id, np.int32)
        for index, token in enumerate(map(self.token, range(self.vocab_size))):
            if len(token) == 1:
                table[ord(token)] = index
        if self.config.kind == "char":
            return table
        return table[[ord(character) for character in byte_characters()]]

    def _encode_with_owners(self, texts: list[str]) -> Iterator[tuple[Ids, list[str], Ids]]:
        """Yield the ids, the words and the word index of each token, for each piece of a line."""
        if self.config.kind == "word":
            batch = self._backend.encode_batch(texts, add_special_tokens=False)
            for text, encoding in zip(texts, batch, strict=True):
                ids = np.array(encoding.ids, np.int32)
                yield ids, *_words_of_tokens([text[a:b] for a, b in encoding.offsets])
        else:
            for text, ids in zip(texts, self._encode_pieces(texts), strict=True):
                yield ids, *self._words_and_owner(text, ids)

    def _words_and_owner(self, text: str, ids: Ids) -> tuple[list[str], Ids]:
        """Return the words of a text and the word index of each token, from the lengths of words
        and tokens in the text.

        Encoding loses nothing but case, and parts of a text are lower-cased one by one.
        """
        chunks = [match.end() for match in _WORD_AND_SPACE_BEFORE.finditer(text)]
        edges = {edge for edge in unit_edges(text) if edge and not text[edge - 1].isspace()}
        cuts = sorted(edges.union(chunks))
        parts = list(map(self._lowered, _parts(text, cuts)))
        if self.config.kind == "char":
            ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
            starts = np.arange(len(ids))
        else:
            ends = np.cumsum([len(part.encode()) for part in parts], dtype=np.int64)
            sizes = self._piece_sizes[ids]
            starts = np.cumsum(sizes) - sizes
        if edges:
            keep = np.isin(ends, starts) | np.isin(cuts, chunks)
            ends, cuts = ends[keep], np.array(cuts)[keep].tolist()
        words = [word for part in _parts(text, cuts) if (word := part.strip())]
        return words, np.searchsorted(ends, starts, side="right").astype(np.int32)

    @cached_property
    def _piece_sizes(self) -> npt.NDArray[np.int64]:
        return np.array([len(piece) for piece in self.pieces], np.int64)

    def _lowered(self, text: str) -> str:
        return str(LOWERCASE.normalize_str(text)) if self.config.lowercase else text

    def _word_id(self, word: str) -> int:
        token_id = self._backend.token_to_id(word)
        return self.fallback_id if token_id is None else int(token_id)


class _LineBuilder:
    """Concatenates the encoded pieces of a line to a LineOfWords."""

    def __init__(self, interned: dict[str, str]) -> None:
        self._interned = interned  # equal words share one string
        self._words: list[str] = []
        self._ids: list[Ids] = []
        self._owner: list[Ids] = []

    def add(self, ids: Ids, words: list[str], owner: Ids) -> None:
        self._ids.append(ids)
        self._owner.append(owner + np.int32(len(self._words)))
        self._words += [self._interned.setdefault(word, word) for word in words]

    def finish(self, eos_id: int) -> LineOfWords:
        self.add(np.array([eos_id], np.int32), [], np.zeros(1, np.int32))
        return LineOfWords(_concatenate(self._ids), self._words, _concatenate(self._owner))


def _parts(text: str, cuts: Sequence[int]) -> Iterator[str]:
    """Yield the parts of a text that end at these offsets."""
    return (text[start:end] for start, end in pairwise([0, *cuts]))


def _lines_of(text: str) -> Iterator[str]:
    """Yield what `text.split("\\n")` holds, one line at a time."""
    start = 0
    while (stop := text.find("\n", start)) >= 0:
        yield text[start:stop]
        start = stop + 1
    yield text[start:] if start else text


def _concatenate(pieces: list[Ids]) -> Ids:
    """Concatenate the arrays, and clear the list to free their memory."""
    joined = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    pieces.clear()
    return joined


def _words_of_tokens(tokens: list[str]) -> tuple[list[str], Ids]:
    """Return the tokens that are not white space, and the index of each token's word: itself or
    the next one."""
    is_word = np.array([not token.isspace() for token in tokens], np.int32)
    owner = np.cumsum(is_word, dtype=np.int32) - is_word
    return [token for token in tokens if not token.isspace()], owner


def tokenizer_config_to_json(config: TokenizerConfig) -> dict[str, object]:
    """Return the configuration as written to `config.json`."""
    return asdict(config)
