"""How a model reads one text: its tokens, in the order in which the network sees them.

Knows: what each task feeds its network, and how tokens are shown to a reader. Does not know: what
happens inside the network (`trace.py`), or views.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext.config import ModelConfig
from rnntext.errors import UsageError
from rnntext.inspection.trace import LayerTrace, trace
from rnntext.runtime.model import TrainedModel, open_model
from rnntext.text.tokenizer import Tokenizer

Array = NDArray[Any]

MOST_STEPS = 2000  # of a text that is looked at
END_OF_LINE = "<eos>"  # as `score --words` prints it
_CONTINUES = "·"  # before a token inside a word
_SPACES = str.maketrans({" ": "␣", "\t": "␉", "\n": "␊"})


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as a model reads it, in T steps."""

    text: str
    ids: Array  # (T)
    steps: Sequence[str]  # each token as it is shown, see `read`
    # (T): the characters of the text that end with each token; none at the end of a line.
    spelled: Sequence[str]
    words: Sequence[str]
    # (T): the index in `words` of each token's word; len(words) where there is none.
    owner: Array

    def start(self, steps: int) -> Reading:
        """The reading of the first steps alone, and of the words that begin there."""
        owner = self.owner[:steps]
        begun = owner[owner < len(self.words)]
        words = self.words[: int(begun.max()) + 1 if len(begun) else 0]
        owner = np.where(owner < len(self.words), owner, len(words))
        shown, spelled = self.steps[:steps], self.spelled[:steps]
        return Reading(self.text, self.ids[:steps], shown, spelled, words, owner)

    def last_steps(self) -> list[int]:
        """The last step of each word; of a word without tokens of its own, that of the word with
        which it shares them."""
        last = dict(zip(self.owner.tolist(), range(len(self.ids)), strict=True))
        found, step = [], 0
        for word in range(len(self.words)):
            step = last.get(word, step)
            found.append(step)
        return found


class InspectedModel:
    """A trained model with its weights, for views. It needs no PyTorch."""

    def __init__(self, model: TrainedModel, name: str) -> None:
        self.model = model
        # Its directory or file, as the user wrote it, and whether its weights are rounded.
        self.name = f"{name} (weights of int8)" if model.has_rounded_weights else name

    @classmethod
    def load(cls, directory: Path, task: str | None = None) -> InspectedModel:
        """Load a checkpoint. Raises CheckpointError if it is not intact, or not of `task`."""
        return cls(open_model(directory, task, when_needed=True, weights=True), str(directory))

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    @property
    def tokenizer(self) -> Tokenizer:
        return self.model.tokenizer

    @property
    def weights(self) -> Mapping[str, Array]:
        """All weights in float32, named as in the PyTorch modules; of a model that has them in an
        int8 graph alone, the values that it computes with."""
        return self.model.weights()

    def read(self, text: str, *, cut: bool = False) -> Reading:
        """Read a text as the model's task does.

        A language model reads the end of the line before, then the line; a classifier reads the
        text; a tagger reads its words one by one. A token inside a word is shown with a dot before
        it, white space as ␣, ␉ and ␊. Raises UsageError for a text of over MOST_STEPS tokens, or
        longer than the classifier's or tagger's window; with `cut` its start is read.
        """
        reading = _READERS[self.config.task](self.model, text)
        most = min(MOST_STEPS, self.config.max_length or MOST_STEPS)
        if cut:
            reading = reading.start(most)
        if len(reading.ids) > most:
            raise UsageError(
                f"the text has {len(reading.ids):,} tokens, and a view shows at most {most:,}: "
                "give a shorter one"
            )
        return reading

    def show_tokens(self, ids: Array) -> list[str]:
        """Show tokens as `read` does."""
        return _shown(self.tokenizer, ids)

    def read_whole(self, text: str) -> Reading:
        """Read a text of any length."""
        return _READERS[self.config.task](self.model, text)

    def trace(self, reading: Reading) -> list[LayerTrace]:
        """Run the encoder over a reading, from the zero state: traces with B = 1."""
        return trace(self.weights, self.config.encoder, reading.ids[None])


def _read_line(model: TrainedModel, text: str) -> Reading:
    """As a language model: the end of the line before, then the tokens without the line's end."""
    tokenizer = model.tokenizer
    ids, words, owner = _lines(tokenizer, text)
    ids = np.concatenate([[tokenizer.eos_id], ids])
    owner = np.concatenate([[len(words)], owner])
    return _reading(tokenizer, text, ids, words, owner)


def _read_text(model: TrainedModel, text: str) -> Reading:
    """As a classifier: the text, or an empty line for a text without tokens."""
    tokenizer = model.tokenizer
    ids, words, owner = _lines(tokenizer, text)
    if not len(ids):
        ids, owner = np.array([tokenizer.eos_id]), np.array([len(words)])
    return _reading(tokenizer, text, ids, words, owner)


def _read_words(model: TrainedModel, text: str) -> Reading:
    """As a tagger: the words of one sentence."""
    tokenizer, (words,) = model.tokenizer, model.words([text])
    if not words:
        raise UsageError("the text has no word: give a sentence")
    (found,) = tokenizer.encode_words([words])
    owner = np.searchsorted(found.last, np.arange(len(found.ids)))
    return _reading(tokenizer, text, found.ids, words, owner)


_READERS = {"lm": _read_line, "classify": _read_text, "tag": _read_words}


def _reading(
    tokenizer: Tokenizer, text: str, ids: Array, words: Sequence[str], owner: Array
) -> Reading:
    spelled = _spelled(tokenizer, ids, words, owner)
    return Reading(text, ids, _shown(tokenizer, ids), spelled, words, owner)


def _spelled(tokenizer: Tokenizer, ids: Array, words: Sequence[str], owner: Array) -> Sequence[str]:
    """The characters of each token. One of several tokens, as a curly quote is in bytes, is of the
    last of them."""
    if tokenizer.config.kind == "word":  # an unknown word has its spelling in the text alone
        return [words[word] if word < len(words) else "" for word in owner.tolist()]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    known = {tokenizer.eos_id: "", tokenizer.unk_id: "\ufffd"}
    return [
        known[token] if token in known else decoder.decode(tokenizer.pieces[token])
        for token in ids.tolist()
    ]


def _lines(tokenizer: Tokenizer, text: str) -> tuple[Array, list[str], Array]:
    """Encode a text of one or several lines: ids without the end of the last line, words, and the
    owner of each id. The end of a line has no word."""
    ids: list[Array] = []
    words: list[str] = []
    owner: list[Array] = []
    for line in tokenizer.encode_lines_of_words(text.split("\n")):
        has_word = line.owner < len(line.words)
        ids.append(line.ids)
        owner.append(np.where(has_word, line.owner + len(words), -1))
        words += line.words
    all_owners = np.concatenate(owner)[:-1]
    return (
        np.concatenate(ids)[:-1],
        words,
        np.where(all_owners < 0, len(words), all_owners),
    )


def show_token(tokenizer: Tokenizer, token: int) -> str:
    """A token as it is shown to a reader: see `InspectedModel.read`."""
    if token == tokenizer.eos_id:
        return END_OF_LINE
    kind = tokenizer.config.kind
    if kind == "word":
        return tokenizer.token(token)
    piece = tokenizer.pieces[token].decode("utf-8", "replace")
    if kind == "bpe":
        # A word begins with a space, also at the start of a line.
        piece = piece.removeprefix(" ") or piece if piece[:1] == " " else _CONTINUES + piece
    return piece.translate(_SPACES)


def _shown(tokenizer: Tokenizer, ids: Array) -> list[str]:
    return [show_token(tokenizer, token) for token in ids.tolist()]
