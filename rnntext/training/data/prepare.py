"""What every task does to its data on the way from text to ids.

Knows: how much of a text a tokenizer is learned from, how much is encoded at once, and what an
entry of the cache holds besides ids. Does not know: what is learned from the ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any, TypeVar

from rnntext.text.tokenizer import Tokenizer, tokenizer_config_to_json
from rnntext.training.data.cache import Draft
from rnntext.training.data.sampling import spread
from rnntext.training.events import DataSummary
from rnntext.training.options import TrainingOptions
from rnntext.training.presets import choose_tokenizer

# Writes an entry, and says whether it is all that was asked for: a run that had no time for
# that leaves nothing to others.
Write = Callable[[Draft], bool]

TOKENIZER = "tokenizer.json"
IDS, TARGETS, COUNTS = "ids", "targets", "counts"
TRAIN, VALID = ".train", ".valid"  # the end of the name of what both parts have

# Where no validation file is named: this part of the data, but no more than is needed to tell
# two models apart.
VALID_SHARE = 0.1
VALID_CHARACTERS = 400_000
VALID_EXAMPLES = 5000
# Characters that a tokenizer is learned from. More hardly move a vocabulary, and cost memory:
# byte pairs of 50 MB of film reviews took 124 MB and 6 s to learn, of 100 MB 146 MB and 12 s.
TOKENIZER_CHARACTERS = 50_000_000
# Lines or examples, and characters, that are encoded together.
CHUNK = 10_000
CHUNK_CHARACTERS = 1 << 20

# What part of a time budget is over; 0 where there is none.
Spent = Callable[[], float]
# Until such a part is over what can be read once is copied, data are looked through and data are
# encoded, and for such a part at least. Each has time of its own: what was read but not encoded
# would be of no use. Looking through has little, because the same is read up to four times more.
COPYING, READING, ENCODING = 0.1, 0.06, 0.35
READING_AT_LEAST, ENCODING_AT_LEAST = 0.05, 0.15

Item = TypeVar("Item")


def reading_until(spent: Spent) -> float:
    """The part of a time budget after which looking through, which begins now, has to end."""
    return max(READING, spent() + READING_AT_LEAST)


def encoding_until(spent: Spent) -> float:
    """The part of a time budget after which encoding, which begins now, has to end."""
    return max(ENCODING, spent() + ENCODING_AT_LEAST)


def chunks(items: Iterable[Item], size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """The items, as many at a time as are encoded together; `size` is the characters of one."""
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


def learn_tokenizer(
    options: TrainingOptions,
    lines: Iterable[str],
    characters: int,
    presplit: bool | None = None,
) -> Tokenizer:
    """A tokenizer for lines of so many characters, or for a sample of them."""
    kind, size, lowercase = choose_tokenizer(options, characters)
    return Tokenizer.train(
        kind,
        spread(lines, characters, TOKENIZER_CHARACTERS),
        vocab_size=size,
        lowercase=lowercase,
        min_frequency=options.min_frequency,
        presplit=presplit,
    )


def sampled(characters: int, tokenizer: Tokenizer, given: Tokenizer | None) -> int:
    """The characters that a tokenizer was learned from, where it was not from all; else 0."""
    # Bytes are known.
    if given is not None or tokenizer.config.kind == "byte":
        return 0
    return TOKENIZER_CHARACTERS if characters > TOKENIZER_CHARACTERS else 0


class Fingerprint:
    """The SHA-256 of texts and labels, in their order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, parts: Iterable[str]) -> None:
        for part in parts:
            self._digest.update(part.encode("utf-8", "surrogatepass"))
            self._digest.update(b"\0")

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def write_meta(draft: Draft, tokenizer: Tokenizer, summary: DataSummary, **more: Any) -> None:
    """Write what an entry holds besides ids."""
    draft.text(TOKENIZER, tokenizer.to_json())
    config = tokenizer_config_to_json(tokenizer.config)
    draft.meta.update(tokenizer=config, summary=asdict(summary), **more)
