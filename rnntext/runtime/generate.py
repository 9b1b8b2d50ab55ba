"""Text from a language model, piece by piece.

Knows: the loop of predicting, sampling and reading on, stop strings, and when a text is over.
Does not know: how a choice is made from scores (`sampling.py`), or where the text goes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext.errors import UsageError
from rnntext.runtime import sampling
from rnntext.runtime.language_model import LanguageModel, State, select
from rnntext.runtime.sampling import SamplingOptions
from rnntext.text.tokenizer import Tokenizer

Array = npt.NDArray[Any]

_ROWS = 64  # texts produced side by side
# Tokens that a graph draws of each before any of them is looked at: most of what a call costs is
# shared by so many, and a text that ends wastes at most as many. They are twice as many as the
# last time only where that took less than _SHORT, so that nobody sees text come in lumps. What is
# drawn does not depend on how many are drawn at once.
_AHEAD = 16
_SHORT = 0.005  # seconds


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How long and how a text goes on."""

    length: int = 200  # tokens at most
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    stop: tuple[str, ...] = ()
    single_line: bool = False  # the end of the line ends the text
    seed: int = 0

    def __post_init__(self) -> None:
        if self.length < 0:
            raise UsageError(f"--length must be at least 0, not {self.length}")
        if "" in self.stop:
            raise UsageError("--stop needs a text that is not empty")
        if self.seed < 0:
            raise UsageError(f"--seed must be at least 0, not {self.seed}")


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that was just produced; the last piece says why the text is over."""

    text: str
    tokens: int  # produced so far
    finish_reason: str | None = None  # length, stop or end


@dataclass(frozen=True, slots=True)
class Generation:
    """A whole sample."""

    prompt: str
    text: str  # the continuation alone
    tokens: int
    finish_reason: str


def stream(
    model: LanguageModel, prompts: Sequence[str], options: GenerationOptions, num_samples: int = 1
) -> Iterator[tuple[int, Piece]]:
    """The continuations of `prompts`, `num_samples` of each, as they are produced side by side:
    each piece with the number of its text, prompt p's sample s being p * num_samples + s.

    Each sample draws from a random stream of its own, told by the seed and the sample's number
    alone, so that a text does not depend on what else is produced. The unknown word is never
    produced.
    """
    texts = [
        _Text(model.tokenizer, prompt, options, sample)
        for prompt in prompts
        for sample in range(num_samples)
    ]
    for first in range(0, len(texts), _ROWS):
        for row, piece in _side_by_side(model, texts[first : first + _ROWS], options):
            yield first + row, piece


def in_order(pieces: Iterable[tuple[int, Piece]]) -> Iterator[tuple[int, Piece]]:
    """The pieces of text 0, as they come, then those of text 1, and so on."""
    current = 0
    waiting: dict[int, list[Piece]] = {}
    for number, piece in pieces:
        if number != current:
            waiting.setdefault(number, []).append(piece)
            continue
        yield number, piece
        over = piece.finish_reason is not None
        while over:
            current += 1
            ready = waiting.pop(current, [])
            yield from ((current, piece) for piece in ready)
            over = bool(ready) and ready[-1].finish_reason is not None


def generate(
    model: LanguageModel, prompts: Sequence[str], options: GenerationOptions, num_samples: int = 1
) -> Iterator[Generation]:
    """The whole continuations of `prompts`, each as soon as it and those before it are over."""
    produced: list[str] = []
    for number, piece in in_order(stream(model, prompts, options, num_samples)):
        produced.append(piece.text)
        if piece.finish_reason is not None:
            prompt = prompts[number // num_samples]
            yield Generation(prompt, "".join(produced), piece.tokens, piece.finish_reason)
            produced = []


def _side_by_side(
    model: LanguageModel, texts: Sequence[_Text], options: GenerationOptions
) -> Iterator[tuple[int, Piece]]:
    if options.length == 0:
        yield from ((row, text.finish("length")) for row, text in enumerate(texts))
        return
    # A prompt's samples go on from one reading of it.
    prompts = {text.prompt: text.ids for text in texts}
    places = {prompt: place for place, prompt in enumerate(prompts)}
    begun = [ids[:-1] for ids in prompts.values()]
    drawing = model.graph_sampler() if options.sampling.plain else None
    state = (drawing or model).advance(begun, model.initial_state(len(begun)))
    state = select(state, [places[text.prompt] for text in texts])
    last = np.array([text.ids[-1] for text in texts], np.int64)
    going = list(enumerate(texts))
    produced, ahead = 0, 1
    while going:
        rest = [text for _, text in going]
        began = time.perf_counter()
        if drawing is None:
            tokens, state = _chosen(model, last, state, rest, options.sampling)
        else:
            uniforms = np.stack([text.random.random(ahead) for text in rest], axis=1)
            tokens, state = drawing.sample(
                last, state, uniforms, options.sampling.temperature, _excluded(model)
            )
        short = time.perf_counter() - began < _SHORT
        kept = list(range(len(going)))
        for column in tokens.tolist():
            left = []
            for place in kept:
                row, text = going[place]
                piece = text.push(column[place])
                if piece is not None:
                    yield row, piece
                if piece is None or piece.finish_reason is None:
                    left.append(place)
            kept = left
        produced += len(tokens)
        ahead = min(2 * ahead if short else ahead, _AHEAD, options.length - produced)
        last = tokens[-1]
        if len(kept) < len(going):
            going = [going[place] for place in kept]
            last, state = last[kept], select(state, kept)


def _chosen(
    model: LanguageModel,
    last: Array,
    state: State,
    texts: Sequence[_Text],
    options: SamplingOptions,
) -> tuple[Array, State]:
    """The next token of texts that were read but for their `last` (B): (1, B), and the state
    before it."""
    logits, state = model.step(last, state)
    logits[:, _excluded(model)] = -np.inf
    uniforms = np.array([text.random.random() for text in texts])
    tokens = sampling.choose(logits, options, [text.history for text in texts], uniforms)
    return tokens[None], state


def _excluded(model: LanguageModel) -> list[int]:
    unknown = model.tokenizer.unk_id
    return [] if unknown is None else [unknown]


class _Text:
    """One text being produced."""

    def __init__(
        self, tokenizer: Tokenizer, prompt: str, options: GenerationOptions, sample: int
    ) -> None:
        self.prompt = prompt
        self.random = np.random.default_rng([options.seed, sample])
        (self.ids,) = tokenizer.encode_prompts([prompt])
        self.history: list[int] = []  # what the repetition penalty holds against a token
        self._options = options
        self._eos_id = tokenizer.eos_id
        self._decoder = tokenizer.decoder()
        self._held = _Held(options.stop)
        self._produced = 0
        for token in self.ids[1:].tolist():
            self._note(token)
            # The decoder learns where in a line the prompt ends.
            self._decoder.push(token)

    def push(self, token: int) -> Piece | None:
        """What one token more adds, None for nothing yet."""
        if token == self._eos_id and self._options.single_line:
            return self.finish("end")
        self._produced += 1
        self._note(token)
        text, stopped = self._held.push(self._decoder.push(token))
        if stopped:
            return Piece(text, self._produced, "stop")
        if self._produced == self._options.length:
            rest = self.finish("length")
            return replace(rest, text=text + rest.text)
        return Piece(text, self._produced) if text else None

    def finish(self, reason: str) -> Piece:
        """The end of the text, with what was held back."""
        text, stopped = self._held.push(self._decoder.flush())
        rest = text if stopped else text + self._held.flush()
        return Piece(rest, self._produced, "stop" if stopped else reason)

    def _note(self, token: int) -> None:
        if self._options.sampling.repetition_penalty != 1 and token not in self.history:
            self.history.append(token)


class _Held:
    """Holds back text that may be the beginning of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._text = ""

    def push(self, text: str) -> tuple[str, bool]:
        """What may be given out now, and whether a stop string, left out, has come."""
        self._text += text
        found = [place for stop in self._stops if (place := self._text.find(stop)) >= 0]
        if found:
            return self._text[: min(found)], True
        keep = max((_overlap(self._text, stop) for stop in self._stops), default=0)
        cut = len(self._text) - keep
        out, self._text = self._text[:cut], self._text[cut:]
        return out, False

    def flush(self) -> str:
        out, self._text = self._text, ""
        return out


def _overlap(text: str, stop: str) -> int:
    """The longest end of `text` that begins `stop`."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
