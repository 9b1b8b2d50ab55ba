"""Steps of data preparation that all tasks share: limits, tokenizer, fingerprint, metadata.

Knows: how much text a tokenizer is learned from, how much is encoded at a time, which share of a
time budget each step may spend, and what a cache entry holds besides ids. Does not know: what is
learned from the ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, TypeVar

from rnntext.checkpoint_config import DataSummary
from rnntext.text.scripts import lacks_spaces
from rnntext.text.tokenizer import Tokenizer, tokenizer_config_to_json
from rnntext.text.word_splitting import PRESPLIT_SAMPLE
from rnntext.training.data.cache import Draft
from rnntext.training.data.text_sample import spread
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import TokenizerDefaults, choose_tokenizer

# Writes a cache entry; returns True if it holds all of the data. One that the time budget cut
# short is not kept for other runs.
EntryWriter = Callable[[Draft], bool]

TOKENIZER = "tokenizer.json"
IDS, TARGETS, COUNTS, TEXTS, RAW = "ids", "targets", "counts", "texts", "raw"
TRAIN, VALID = ".train", ".valid"  # suffixes of the arrays that both parts have

# The validation share where no file is named, and the size from which two models can be told
# apart, which bounds it.
VALID_SHARE = 0.1
VALID_CHARACTERS = 400_000
VALID_EXAMPLES = 5000
# Characters that a tokenizer is learned from. More hardly change a vocabulary and cost memory:
# BPE on 50 MB of film reviews took 124 MB and 6 s, on 100 MB 146 MB and 12 s.
TOKENIZER_CHARACTERS = 50_000_000
# Lines or examples, and characters, that are encoded in one call.
CHUNK = 10_000
CHUNK_CHARACTERS = 1 << 20

# A run with a time budget learns from fewer characters where learning from all of the sample would
# take more than this share of it. How fast it learns, which depends on the language and on what
# else the machine does, it measures on so many characters.
TOKENIZER_SHARE = 0.07
PROBE_CHARACTERS = 1 << 18

# The share of the time budget that is spent so far, from 0 to 1 and above; 0 without a budget.
ShareSpent = Callable[[], float]
# Each step of preparation ends when this share of the time budget is spent: copying inputs that
# can be read only once, the digest that finds data in the cache, scanning, encoding. Scanning and
# encoding get a share of their own in any case, because data that were scanned and not encoded are
# of no use. Scanning gets little: the same data are read up to four times.
# Little of a long text is learned from: one thread encoded text for 9 s, and an LSTM of 2x256 read
# 3 % of it in the 18 s that were left for steps.
COPY_SHARE, DIGEST_SHARE, SCAN_SHARE, ENCODE_SHARE = 0.1, 0.05, 0.06, 0.25
MIN_DIGEST_SHARE, MIN_SCAN_SHARE, MIN_ENCODE_SHARE = 0.02, 0.03, 0.05

Item = TypeVar("Item")


def scan_deadline(spent: ShareSpent) -> float:
    """The share of the time budget at which a scan that begins now has to end."""
    return max(SCAN_SHARE, spent() + MIN_SCAN_SHARE)


def encode_deadline(spent: ShareSpent) -> float:
    """The share of the time budget at which encoding that begins now has to end."""
    return max(ENCODE_SHARE, spent() + MIN_ENCODE_SHARE)


def limits(options: TrainingOptions) -> tuple[int | None, int | None]:
    """Return the number of lines or examples to read and to encode; None for all."""
    read, encode, _ = options.part or (0, 0, 0)
    return read or None, encode or None


def chunks(items: Iterable[Item], size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Group items into lists that are encoded in one call; `size` gives an item's characters."""
    chunk: list[Item] = []
    characters = 0
    for item in items:
        chunk.append(item)
        characters += size(item)
        if len(chunk) == CHUNK or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


@dataclass(frozen=True, slots=True)
class Learned:
    """A tokenizer, and what it was learned from."""

    tokenizer: Tokenizer
    sampled: int = 0  # characters of the sample; 0: all of the text, or the tokenizer was given
    sample_cut: bool = False  # there was no time for a sample of the usual size
    lacks_spaces: bool = False  # of words, from text in which they are not separated by spaces


def learn_tokenizer(
    options: TrainingOptions,
    lines: Callable[[], Iterable[str]],
    characters: int,
    defaults: TokenizerDefaults,
    spent: ShareSpent,
    given: Tokenizer | None,
    presplit: bool | None = None,
) -> Learned:
    """Learn a tokenizer from lines of `characters` in all, or from an evenly spread sample, unless
    one is `given`. `lines` reads them from the start."""
    if given is not None:
        return Learned(given)
    kind, size, lowercase = choose_tokenizer(options, characters, defaults)

    def learn(sample: Iterable[str]) -> Tokenizer:
        return Tokenizer.train(
            kind,
            sample,
            vocab_size=size,
            lowercase=lowercase,
            min_frequency=options.min_frequency,
            presplit=presplit,
        )

    if kind == "byte":  # its vocabulary is fixed
        return Learned(learn(lines()))
    most = TOKENIZER_CHARACTERS
    if options.part is not None:
        most = options.part[2] or most
    elif characters > 4 * PROBE_CHARACTERS:
        before = spent()
        if before > 0:
            learn(_first(lines(), PROBE_CHARACTERS))
            most = _affordable(spent() - before)
    tokenizer = learn(spread(lines(), characters, most))
    unspaced = kind == "word" and lacks_spaces(islice(lines(), PRESPLIT_SAMPLE))
    if characters <= most:
        return Learned(tokenizer, lacks_spaces=unspaced)
    return Learned(tokenizer, most, most < min(characters, TOKENIZER_CHARACTERS), unspaced)


def _first(lines: Iterable[str], characters: int) -> Iterator[str]:
    """Yield the first lines, up to the one that brings them to `characters`."""
    for line in lines:
        yield line
        characters -= len(line) + 1
        if characters <= 0:
            return


def _affordable(share: float) -> int:
    """Return the number of characters to learn a tokenizer from, if learning it from
    PROBE_CHARACTERS took this share of the time budget."""
    most = int(PROBE_CHARACTERS * TOKENIZER_SHARE / max(share, 1e-9))
    return min(TOKENIZER_CHARACTERS, max(4 * PROBE_CHARACTERS, most))


class Fingerprint:
    """Incremental SHA-256 of texts and labels."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, parts: Iterable[str]) -> None:
        for part in parts:
            self._digest.update(part.encode("utf-8", "surrogatepass"))
            self._digest.update(b"\0")

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def write_meta(draft: Draft, tokenizer: Tokenizer, summary: DataSummary, **more: Any) -> None:
    """Write the tokenizer and the metadata of a cache entry."""
    draft.text(TOKENIZER, tokenizer.to_json())
    config = tokenizer_config_to_json(tokenizer.config)
    draft.meta.update(tokenizer=config, summary=asdict(summary), **more)
