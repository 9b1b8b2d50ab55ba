"""Text from a language model, piece by piece.

Knows: the loop of predicting, sampling and reading on, stop strings, and when a text is over.
Does not know: how a choice is made from scores (`sampling.py`), or where the text goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnntext.errors import UsageError
from rnntext.runtime import sampling
from rnntext.runtime.language import LanguageModel
from rnntext.runtime.sampling import SamplingOptions


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
    model: LanguageModel, prompt: str, options: GenerationOptions, sample: int = 0
) -> Iterator[Piece]:
    """The continuation of `prompt`, as it is produced.

    Each sample draws from a random stream of its own, told by the seed and its number alone, so
    that it does not depend on what else is produced. The unknown word is never produced.
    """
    tokenizer = model.tokenizer
    generator = np.random.default_rng([options.seed, sample])
    ids = np.concatenate([[tokenizer.eos_id], tokenizer.encode([prompt])[0]]).astype(np.int64)
    penalised = options.sampling.repetition_penalty != 1
    history = sorted(set(ids[1:].tolist())) if penalised else []
    decoder = tokenizer.decoder()
    if prompt:
        # The decoder learns where in a line the prompt ends.
        for token in ids[1:]:
            decoder.push(int(token))
    held = _Held(options.stop)
    state = model.start()
    for produced in range(options.length):
        logits, state = model.read(ids, state)
        scores = logits[None]
        if tokenizer.unk_id is not None:
            scores = sampling.ban(scores, [tokenizer.unk_id])
        uniforms = generator.random(1)
        token = int(sampling.choose(scores, options.sampling, [history], uniforms)[0])
        if token == tokenizer.eos_id and options.single_line:
            yield Piece(held.flush() + decoder.flush(), produced, "end")
            return
        text, stopped = held.push(decoder.push(token))
        if stopped:
            yield Piece(text, produced + 1, "stop")
            return
        if text:
            yield Piece(text, produced + 1)
        ids = np.array([token])
        if penalised and token not in history:
            history.append(token)
    text, stopped = held.push(decoder.flush())
    rest = text if stopped else text + held.flush()
    yield Piece(rest, options.length, "stop" if stopped else "length")


def generate(
    model: LanguageModel, prompt: str, options: GenerationOptions, sample: int = 0
) -> Generation:
    """The whole continuation of `prompt`."""
    pieces = list(stream(model, prompt, options, sample))
    reason = pieces[-1].finish_reason
    assert reason is not None  # noqa: S101
    return Generation(prompt, "".join(p.text for p in pieces), pieces[-1].tokens, reason)


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
