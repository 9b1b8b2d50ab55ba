"""The tokenizer that all tasks share: text to ids and back.

Knows: how lines and words become ids in memory that does not grow with their length, what
stands for a line's end, and which kinds lose text. Does not know: how a vocabulary is learnt,
how words of raw text are told; models, files of examples or batches.

Every kind has one id for the end of a line, `eos_id`; there is no padding id, because padding
is told by lengths and can never be predicted. Only `word` and `char` can meet something they
do not know and have an `unk_id`.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import tokenizers

from rnntext.errors import DataError
from rnntext.text.chunk_cache import Chunks
from rnntext.text.decoder import Decoder, PieceDecoder, WordDecoder, byte_characters
from rnntext.text.vocabulary import KINDS, LOWERCASE, TokenizerConfig, learn, line_end
from rnntext.text.word_splitting import (
    PRESPLIT_SAMPLE,
    UNKNOWN,
    WORD_PATTERN,
    cut,
    is_presplit,
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

# White space goes with the word after it.
_WORD_AND_SPACE_BEFORE = re.compile(r"\s*\S+|\s+")

# In characters: a longer line is encoded in pieces, so many at a time as make about a group,
# because what the library returns takes over a hundred bytes a token while it is held.
_PIECE = 1 << 14
_GROUP = 1 << 19
# Tokens of a word that is read by itself: of a longer one, its start and its end.
_LONGEST_WORD = 256


@dataclass(frozen=True, slots=True)
class EncodedWords:
    """A sentence of words as tokens: word w is the tokens first[w] to last[w], both included."""

    ids: Ids
    first: Ids
    last: Ids

    def pieces(self, size: int) -> Iterator[EncodedWords]:
        """The sentence cut between words into pieces of at most `size` tokens, so that one without
        end costs no more memory than a piece; a longer word is one. Without words there is none."""
        if 0 < len(self.ids) <= size:
            yield self
            return
        start = offset = 0
        while start < len(self.first):
            # The words whose last token still fits, and at least one.
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
    """A line as a language model reads it, and which word each token belongs to."""

    ids: Ids  # (T), eos_id last
    words: list[str]  # as they stand in the line
    owner: Ids  # (T): each token's index in `words`; len(words) for the line's end


class Tokenizer:
    """Text to ids and back; made by `train`, or by `load` from a checkpoint's files."""

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
        """Whether decoding cannot give the text back even where every token is known."""
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
        """Learn a vocabulary of at most `vocab_size` entries from `lines` (read once).

        `min_frequency`: what is rarer is left out; None is 1, but 2 for `word`, so that a model
        learns what an unknown word is like, unless the text has its own `<unk>`. `presplit` is
        for `word`: None tells by `is_presplit`. Raises DataError where the text holds nothing
        to learn from and UsageError for a size that cannot be.
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
        return cls(learn(config, lines, vocab_size, min_frequency or 1), config)

    @classmethod
    def load(cls, text: str, config: TokenizerConfig) -> Tokenizer:
        """From the content of `tokenizer.json`; raises DataError where it cannot be read."""
        try:
            backend = tokenizers.Tokenizer.from_str(text)
        # The library raises a bare Exception for every malformed file.
        except Exception as error:  # noqa: BLE001
            raise DataError(f"tokenizer.json cannot be read: {error}") from None
        if backend.token_to_id(line_end(config.kind)) is None:
            raise DataError(f"tokenizer.json has no line end and is not of kind {config.kind}")
        return cls(backend, config)

    def __reduce__(self) -> tuple[object, tuple[str, TokenizerConfig]]:
        return (Tokenizer.load, (self.to_json(), self.config))

    def to_json(self) -> str:
        """The content of `tokenizer.json`."""
        return str(self._backend.to_str(pretty=False))

    def token(self, token_id: int) -> str:
        """How the vocabulary spells one id."""
        return str(self._backend.id_to_token(token_id))

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of each text. A line feed inside a text becomes `eos_id`; none is put at the end."""
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
        """Ids of each text as something that goes on: `eos_id`, of the line before, comes first,
        and where the text is at the start of a line nothing of that line."""
        end = np.array([self.eos_id], np.int32)
        # The space that `bpe` puts before a line belongs to a word that is still to come.
        empty = len(self.encode([""])[0])
        prompts = []
        for text, ids in zip(texts, self.encode(texts), strict=True):
            starts_line = not text or text.endswith("\n")
            prompts.append(np.concatenate([end, ids[: len(ids) - empty] if starts_line else ids]))
        return prompts

    def encode_lines(self, lines: Sequence[str]) -> list[Ids]:
        """Ids of each line with `eos_id` at its end, as a language model reads them."""
        end = np.array([self.eos_id], np.int32)
        return [np.concatenate([ids, end]) for ids in self.encode(lines)]

    def encode_lines_of_words(self, lines: Sequence[str]) -> list[LineOfWords]:
        """What `encode_lines` gives for each line, and which word each token belongs to.

        Under `word` the tokens are the words, spelled as in the line; under the other kinds
        words stand between white space. White space, and a token that starts with it, belongs
        to the word after it, or to the line's end; a token over two words to the first.
        """
        spelled: dict[str, str] = {}
        found = [_LineInPieces(spelled) for _ in lines]
        for numbers, texts in self._groups(lines):
            pieces = self._pieces_of_words(texts)
            for number, (ids, words, owner) in zip(numbers, pieces, strict=True):
                found[number].add(ids, words, owner)
        return [line.end(self.eos_id) for line in found]

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> list[EncodedWords]:
        """Ids of sentences that are already words; every word has at least one token, and a word
        of more than 256 has the first and the last half of that many.

        A word is spelled as it is inside a line; under `char` and `byte` a space stands
        between words, as in text.
        """
        # Each distinct word is encoded once: text repeats itself.
        spelled: dict[str, Ids] = {}
        distinct = list({word for words in sentences for word in words})
        for word, ids in zip(distinct, self._encode_lines(distinct, whole=True), strict=True):
            # A word that the normaliser or the splitter leaves nothing of still needs a token.
            spelled[word] = ids if len(ids) else np.array([self._nothing], np.int32)
            if len(ids) > _LONGEST_WORD:
                half = _LONGEST_WORD // 2
                spelled[word] = np.concatenate([ids[:half], ids[-half:]])
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
                pieces.append(spelled[word])
                position += len(spelled[word])
                last[index] = position - 1
            ids = np.concatenate(pieces) if pieces else np.empty(0, np.int32)
            results.append(EncodedWords(ids, first, last))
        return results

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids from a line's start on; a line's end becomes a line feed."""
        decoder = self.decoder()
        return "".join(decoder.push(int(i)) for i in ids) + decoder.flush()

    def decoder(self) -> Decoder:
        """A fresh decoder that takes ids one at a time."""
        if self.config.kind == "word":
            return WordDecoder(self.token, self.eos_id, presplit=self.config.presplit)
        return PieceDecoder(self.pieces, prefixed=self.config.kind == "bpe")

    @cached_property
    def _nothing(self) -> int:
        return self.unk_id if self.unk_id is not None else self.eos_id

    @cached_property
    def pieces(self) -> list[bytes]:
        """The bytes each id stands for (not for `word`), a line's end being a line feed."""
        if self.config.kind == "char":
            return [self.token(i).encode() for i in range(self.vocab_size)]
        byte_of = {character: byte for byte, character in enumerate(byte_characters())}
        tokens = (self.token(i) for i in range(self.vocab_size))
        return [
            b"\n" if i == self.eos_id else bytes(byte_of[c] for c in token)
            for i, token in enumerate(tokens)
        ]

    def _encode_lines(self, lines: Sequence[str], *, whole: bool = False) -> list[Ids]:
        if self.config.kind == "word" and whole and not self.config.presplit:
            # Words that somebody else split are looked up as they are.
            return [np.array([self._word_id(self._lowered(word))], np.int32) for word in lines]
        numbers: list[int] = []
        encoded: list[Ids] = []
        for group, texts in self._groups(lines):
            numbers += group
            encoded += self._encode_pieces(texts)
        if len(encoded) == len(lines):
            return encoded
        of_line = itertools.groupby(zip(numbers, encoded, strict=True), itemgetter(0))
        return [_joined([ids for _, ids in pieces]) for _, pieces in of_line]

    def _groups(self, lines: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
        """Pieces of lines, as many as may be encoded at once, and each one's line's number."""
        prefix = " " if self.config.kind == "bpe" else ""
        numbers: list[int] = []
        texts: list[str] = []
        size = 0
        for number, line in enumerate(lines):
            for text in cut(prefix + line, _PIECE):
                numbers.append(number)
                texts.append(text)
                size += len(text)
                if size >= _GROUP:
                    yield numbers, texts
                    numbers, texts, size = [], [], 0
        if texts:
            yield numbers, texts

    def _encode_pieces(self, texts: list[str]) -> list[Ids]:
        if self.config.kind in ("char", "byte"):
            return [self._look_up(text) for text in texts]
        return self._chunks.encode(texts)

    @cached_property
    def _chunks(self) -> Chunks:
        def ids(texts: list[str]) -> list[list[int]]:
            batch = self._backend.encode_batch_fast(texts, add_special_tokens=False)
            return [encoding.ids for encoding in batch]

        return Chunks(ids, " " if self.config.kind == "bpe" else "")

    def _look_up(self, text: str) -> Ids:
        """The ids of a text whose characters (char) or bytes (byte) are its tokens."""
        text = self._lowered(text)
        if self.config.kind == "char":
            units = np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))
        else:
            units = np.frombuffer(text.encode(), np.dtype(np.uint8))
        return self._id_of_unit[units]

    @cached_property
    def _id_of_unit(self) -> Ids:
        """The id of each code point (char) or byte (byte)."""
        table = np.full(sys.maxunicode + 1, self._nothing, np.int32)
        for index, token in enumerate(map(self.token, range(self.vocab_size))):
            if len(token) == 1:
                table[ord(token)] = index
        if self.config.kind == "char":
            return table
        return table[[ord(character) for character in byte_characters()]]

    def _pieces_of_words(self, texts: list[str]) -> Iterator[tuple[Ids, list[str], Ids]]:
        """The ids of pieces of lines, the words, and which of these each token belongs to."""
        if self.config.kind == "word":
            batch = self._backend.encode_batch(texts, add_special_tokens=False)
            for text, encoding in zip(texts, batch, strict=True):
                ids = np.array(encoding.ids, np.int32)
                yield ids, *_tokens_as_words([text[a:b] for a, b in encoding.offsets])
        else:
            for text, ids in zip(texts, self._encode_pieces(texts), strict=True):
                yield ids, text.split(), self._owner(text, ids)

    def _owner(self, text: str, ids: Ids) -> Ids:
        """Which word each token belongs to, by the length in the text of words and of tokens:
        nothing but case is lost, and lower-casing leaves white space where it is."""
        words = _WORD_AND_SPACE_BEFORE.findall(self._lowered(text))
        if self.config.kind == "char":
            ends = np.cumsum([len(word) for word in words], dtype=np.int64)
            starts = np.arange(len(ids))
        else:
            ends = np.cumsum([len(word.encode()) for word in words], dtype=np.int64)
            sizes = self._piece_sizes[ids]
            starts = np.cumsum(sizes) - sizes
        return np.searchsorted(ends, starts, side="right").astype(np.int32)

    @cached_property
    def _piece_sizes(self) -> npt.NDArray[np.int64]:
        return np.array([len(piece) for piece in self.pieces], np.int64)

    def _lowered(self, text: str) -> str:
        return str(LOWERCASE.normalize_str(text)) if self.config.lowercase else text

    def _word_id(self, word: str) -> int:
        found = self._backend.token_to_id(word)
        return self._nothing if found is None else int(found)


class _LineInPieces:
    """A line of words that is put together from its pieces."""

    def __init__(self, spelled: dict[str, str]) -> None:
        self._spelled = spelled  # a word said twice is held once
        self._words: list[str] = []
        self._ids: list[Ids] = []
        self._owner: list[Ids] = []

    def add(self, ids: Ids, words: list[str], owner: Ids) -> None:
        self._ids.append(ids)
        self._owner.append(owner + np.int32(len(self._words)))
        self._words += [self._spelled.setdefault(word, word) for word in words]

    def end(self, eos_id: int) -> LineOfWords:
        self.add(np.array([eos_id], np.int32), [], np.zeros(1, np.int32))
        return LineOfWords(_joined(self._ids), self._words, _joined(self._owner))


def _joined(pieces: list[Ids]) -> Ids:
    """One array of several, which are let go."""
    whole = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    pieces.clear()
    return whole


def _tokens_as_words(tokens: list[str]) -> tuple[list[str], Ids]:
    """The tokens that are words, and the first word from each token on."""
    is_word = np.array([not token.isspace() for token in tokens], np.int32)
    owner = np.cumsum(is_word, dtype=np.int32) - is_word
    return [token for token in tokens if not token.isspace()], owner


def tokenizer_config_to_json(config: TokenizerConfig) -> dict[str, object]:
    """For `config.json`."""
    return asdict(config)
