"""The tokenizer that all tasks share: text to ids and back.

Knows: the four kinds (bpe, word, char, byte), how each is trained, what stands for a line's
end, and which of them lose text. Does not know: models, files of examples or batches.

Every kind has one id for the end of a line, `eos_id`; there is no padding id, because padding
is told by lengths and can never be predicted. Only `word` and `char` can meet something they
do not know and have an `unk_id`.

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

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from rnntext.errors import DataError, UsageError

KINDS = ("bpe", "word", "char", "byte")
UNKNOWN = "<unk>"
LINE_END = "<eos>"

Ids = npt.NDArray[np.int32]

# Words of raw text, in the order in which they are tried: web and mail addresses; mentions and
# hashtags; numbers with inner points, commas and colons; dotted abbreviations and common titles;
# the stem before an English clitic, then the clitic ("do n't", "Mara 's", "they 'll"); words with
# inner apostrophes and hyphens; runs of one punctuation mark ("...", "!!"); any other mark alone.
# The tagger's treebanks split English this way, so that raw text meets the words it was taught.
_LETTER = r"[\p{L}\p{M}\p{N}_]"
_CLITIC = r"['’](?:s|re|ve|ll|d|m|S|RE|VE|LL|D|M)(?!" + _LETTER + ")"
_NOT = r"[nN]['’][tT](?!" + _LETTER + ")"
WORD_PATTERN = "|".join(
    [
        r"(?:https?://|www\.)\S*[^\s.,;:!?'\")\]}]",
        r"(?<![\p{L}\p{N}_.+-])[\p{L}\p{N}_.+-]++@[\p{L}\p{N}-]+\.[\p{L}\p{N}.-]*[\p{L}\p{N}]",
        rf"[@#]{_LETTER}+",
        r"\p{N}+(?:[.,:/]\p{N}+)+",
        r"(?:\p{L}\.){2,}",
        rf"(?<!{_LETTER})(?:Mr|Mrs|Ms|Dr|St|Prof|vs|etc|Jr|Sr|Inc|Corp|Co|Ltd)\.",
        rf"{_LETTER}+?(?={_NOT})",
        _NOT,
        rf"{_LETTER}(?:{_LETTER}|[-](?={_LETTER}))*?(?={_CLITIC})",
        _CLITIC,
        rf"{_LETTER}+(?:['’-]{_LETTER}+)*",
        r"([^\s\p{L}\p{M}\p{N}_])\1+",
        # any other character, an emoji with its variation mark, skin tone and joined parts
        r"[^\s](?:\p{M}|[\x{1F3FB}-\x{1F3FF}]|\x{200D}[^\s])*",
    ]
)

# Python lowers a word by what stands around it, the tokenizer each character by itself.
_LOWERCASE = normalizers.Lowercase()

# A mark that in ordinary prose hangs on to the word before it.
_ATTACHED = re.compile(r"\w[,;:!?)\]”\"]+$")
_PRESPLIT_SHARE = 1 / 200
_PRESPLIT_SAMPLE = 10_000  # lines looked at

# A line longer than this is encoded in pieces: one call on 3 MB takes hundreds of megabytes.
_PIECE = 1 << 16
# What a trainer reads at most, in characters; more text hardly moves the merges and costs
# memory in proportion.
_TRAINING_LIMIT = 200_000_000


def is_presplit(lines: Iterable[str]) -> bool:
    """Whether the words of this text already stand apart at spaces.

    The rule: `<unk>` stands in it as a word, or at most one in two hundred of its words has a
    comma, semicolon, colon, exclamation or question mark, closing bracket or closing double
    quote hanging on to it. Looks at the first 10,000 lines.
    """
    words = attached = 0
    for line in itertools.islice(lines, _PRESPLIT_SAMPLE):
        for word in line.split():
            if word == UNKNOWN:
                return True
            words += 1
            attached += _ATTACHED.search(word) is not None
    return attached <= words * _PRESPLIT_SHARE


@dataclass(frozen=True, slots=True)
class TokenizerConfig:
    """What `tokenizer.json` does not say about a tokenizer."""

    kind: str
    lowercase: bool = False
    presplit: bool = False  # `word` alone: words are what stands between spaces


@dataclass(frozen=True, slots=True)
class EncodedWords:
    """A sentence of words as tokens: word w is the tokens first[w] to last[w], both included."""

    ids: Ids
    first: Ids
    last: Ids


class Tokenizer:
    """Text to ids and back; made by `train`, or by `load` from a checkpoint's files."""

    def __init__(self, backend: tokenizers.Tokenizer, config: TokenizerConfig) -> None:
        self.config = config
        self._backend = backend
        self.vocab_size: int = backend.get_vocab_size(with_added_tokens=False)
        self.eos_id = int(backend.token_to_id(_line_end(config.kind)) or 0)
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
            head = list(itertools.islice(lines, _PRESPLIT_SAMPLE))
            lines = itertools.chain(head, lines)
            if presplit is None:
                presplit = is_presplit(head)
            if min_frequency is None:
                min_frequency = 1 if any(UNKNOWN in line.split() for line in head) else 2
        config = TokenizerConfig(kind, lowercase, bool(presplit) and kind == "word")
        vocabulary, merges = _learn(config, _bounded(lines), vocab_size, min_frequency or 1)
        return cls(_assemble(config, vocabulary, merges), config)

    @classmethod
    def load(cls, text: str, config: TokenizerConfig) -> Tokenizer:
        """From the content of `tokenizer.json`; raises DataError where it cannot be read."""
        try:
            backend = tokenizers.Tokenizer.from_str(text)
        # The library raises a bare Exception for every malformed file.
        except Exception as error:  # noqa: BLE001
            raise DataError(f"tokenizer.json cannot be read: {error}") from None
        if backend.token_to_id(_line_end(config.kind)) is None:
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
        lines: list[str] = []
        counts: list[int] = []
        for text in texts:
            parts = text.split("\n") if "\n" in text else [text]
            lines.extend(parts)
            counts.append(len(parts))
        encoded = self._encode_lines(lines)
        if len(lines) == len(texts):
            return encoded
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

    def encode_lines(self, lines: Sequence[str]) -> list[Ids]:
        """Ids of each line with `eos_id` at its end, as a language model reads them."""
        end = np.array([self.eos_id], np.int32)
        return [np.concatenate([ids, end]) for ids in self._encode_lines(lines)]

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> list[EncodedWords]:
        """Ids of sentences that are already words; every word has at least one token.

        A word is spelled as it is inside a line; under `char` and `byte` a space stands
        between words, as in text.
        """
        # Each distinct word is encoded once: text repeats itself.
        spelled: dict[str, Ids] = {}
        distinct = list({word for words in sentences for word in words})
        for word, ids in zip(distinct, self._encode_lines(distinct, whole=True), strict=True):
            # A word that the normaliser or the splitter leaves nothing of still needs a token.
            spelled[word] = ids if len(ids) else np.array([self._nothing], np.int32)
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
        return Decoder(self)

    @cached_property
    def _nothing(self) -> int:
        return self.unk_id if self.unk_id is not None else self.eos_id

    @cached_property
    def pieces(self) -> list[bytes]:
        """The bytes each id stands for (bpe and byte), a line's end being a line feed."""
        table = _byte_of_character()
        tokens = (self.token(i) for i in range(self.vocab_size))
        return [
            b"\n" if i == self.eos_id else bytes(table[c] for c in token)
            for i, token in enumerate(tokens)
        ]

    def _encode_lines(self, lines: Sequence[str], *, whole: bool = False) -> list[Ids]:
        if self.config.kind == "word" and whole and not self.config.presplit:
            # Words that somebody else split are looked up as they are.
            lower = self.config.lowercase
            words = [_LOWERCASE.normalize_str(w) if lower else w for w in lines]
            return [np.array([self._word_id(word)], np.int32) for word in words]
        if all(len(line) <= _PIECE for line in lines):
            return [np.array(e.ids, np.int32) for e in self._batch(lines)]
        return [
            np.concatenate([np.array(e.ids, np.int32) for e in self._batch_pieces(line)])
            for line in lines
        ]

    def _batch(self, lines: Sequence[str]) -> list[tokenizers.Encoding]:
        prefixed = [" " + line for line in lines] if self.config.kind == "bpe" else list(lines)
        return list(self._backend.encode_batch_fast(prefixed, add_special_tokens=False))

    def _batch_pieces(self, line: str) -> list[tokenizers.Encoding]:
        if len(line) <= _PIECE or self.config.kind != "bpe":
            return self._batch(list(_cut(line, _PIECE)))
        prefixed = list(_cut(" " + line, _PIECE))
        return list(self._backend.encode_batch_fast(prefixed, add_special_tokens=False))

    def _word_id(self, word: str) -> int:
        found = self._backend.token_to_id(word)
        return self._nothing if found is None else int(found)


class Decoder:
    """Ids to text, one at a time, giving out text as soon as it is sure.

    Bytes that do not yet make a character are held back; `flush` gives them out as U+FFFD.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._held = b""
        self._line_start = True
        self._joined = True  # `word`: the next word follows without a space
        self._open_quote = False

    def push(self, token_id: int) -> str:
        """The text that this id adds."""
        kind = self._tokenizer.config.kind
        if kind in ("bpe", "byte"):
            return self._push_bytes(self._tokenizer.pieces[token_id])
        if token_id == self._tokenizer.eos_id:
            self._joined, self._open_quote = True, False
            return "\n"
        token = self._tokenizer.token(token_id)
        return token if kind == "char" else self._push_word(token)

    def flush(self) -> str:
        """What is left: bytes that never became a character."""
        rest, self._held = self._held, b""
        return rest.decode("utf-8", "replace")

    def _push_bytes(self, piece: bytes) -> str:
        if self._tokenizer.config.kind == "bpe" and self._line_start and piece[:1] == b" ":
            piece = piece[1:]  # the space that encoding put before the line
        self._line_start = piece == b"\n"
        data = self._held + piece
        keep = _incomplete_tail(data)
        self._held = data[len(data) - keep :] if keep else b""
        return data[: len(data) - keep].decode("utf-8", "replace")

    def _push_word(self, word: str) -> str:
        if self._tokenizer.config.presplit:
            space = "" if self._joined else " "
            self._joined = False
            return space + word
        closes = word in _CLOSING or _IS_CLITIC.match(word) is not None
        opens = word in _OPENING
        if word == '"':
            self._open_quote = not self._open_quote
            opens, closes = self._open_quote, not self._open_quote
        space = "" if self._joined or closes else " "
        self._joined = opens
        return space + word


_CLOSING = frozenset([*",.;:!?)]}%”»…", "..."])
_OPENING = frozenset("([{$£€“«#@")
_IS_CLITIC = re.compile(r"(?:['’](?:s|re|ve|ll|d|m)|n['’]t)$", re.IGNORECASE)


def _line_end(kind: str) -> str:
    # Inside a byte-level or character vocabulary the name `<eos>` could be learned from text
    # that holds it; a line feed cannot, because it never stands inside a line.
    return LINE_END if kind == "word" else "\n"


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    characters = 0
    for line in lines:
        yield from _cut(line, _PIECE)
        characters += len(line)
        if characters > _TRAINING_LIMIT:
            return


def _cut(line: str, size: int) -> Iterator[str]:
    """Pieces of about `size` characters, each after the first starting with the white space
    before a word, where a byte-level splitter starts a new piece anyway."""
    start = 0
    while len(line) - start > size:
        space = _WORD_START.search(line, start + size - 1)
        if space is None:
            break
        yield line[start : space.start()]
        start = space.start()
    yield line[start:]


_WORD_START = re.compile(r"(?<=\S) (?=\S)")


def _learn(
    config: TokenizerConfig, lines: Iterator[str], vocab_size: int, min_frequency: int
) -> tuple[list[str], list[tuple[str, str]]]:
    """The vocabulary, commonest first as far as the kind allows, and the merges of `bpe`."""
    if config.kind == "byte":
        return ["\n", *sorted(pre_tokenizers.ByteLevel.alphabet())], []
    if config.kind == "char":
        counts: Counter[str] = Counter()
        for line in lines:
            counts.update(_LOWERCASE.normalize_str(line) if config.lowercase else line)
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
        backend.normalizer = _LOWERCASE
    if config.kind == "word":
        backend.pre_tokenizer = (
            pre_tokenizers.WhitespaceSplit() if config.presplit else word_splitter()
        )
    elif config.kind in ("bpe", "byte"):
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=config.kind == "bpe"
        )


def word_splitter() -> pre_tokenizers.PreTokenizer:
    """The splitter of raw text into words, by WORD_PATTERN; white space is left out."""
    return pre_tokenizers.Split(tokenizers.Regex(WORD_PATTERN), "removed", invert=True)


def split_words(text: str) -> list[str]:
    """The words of a raw sentence, by WORD_PATTERN."""
    return [word for word, _ in word_splitter().pre_tokenize_str(text)]


def _byte_of_character() -> dict[str, int]:
    """The byte behind each character of the byte-level alphabet (Radford et al. 2019): printable
    Latin-1 characters stand for themselves, the others for 256 and up, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    table.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return table


def _incomplete_tail(data: bytes) -> int:
    """How many bytes at the end begin a UTF-8 character that more bytes may complete."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        needed = 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4
        return back if byte >= 0xC0 and byte < 0xF8 and back < needed else 0
    return 0


def tokenizer_config_to_json(config: TokenizerConfig) -> dict[str, object]:
    """For `config.json`."""
    return asdict(config)
