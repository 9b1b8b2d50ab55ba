"""Generation of text from a language model, as a stream of chunks.

Knows: the loop of predicting and sampling tokens, stop strings, and when a text is finished. Does
not know: how a token is chosen from logits (`sampling.py`), which tokens can follow in UTF-8
(`text/utf8.py`), or where the text goes.

Text is always UTF-8. A token that would make it something else is drawn again, among those that can
follow, which gives these the probabilities that the model has for them given that one of them comes
(rejection sampling). Bytes of a character that is incomplete when the text ends are left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnntext.arguments import LENGTH, SAMPLES, SEED
from rnntext.errors import UsageError
from rnntext.runtime import sampling
from rnntext.runtime.language_model import GraphSampler, LanguageModel, State, select
from rnntext.runtime.sampling import SamplingOptions
from rnntext.text.tokenizer import Tokenizer

Array = npt.NDArray[Any]

_BATCH_SIZE = 64  # texts generated in one batch
# Tokens that the sampling graph samples in one call, before any of them is looked at. The fixed
# cost of a call is shared by all of them, and a text that ends before the last one wastes the rest.
# The number doubles only after a call that took less than _SHORT_CALL, so that text still arrives
# smoothly. The text does not depend on it.
_MAX_TOKENS_PER_CALL = 16
_SHORT_CALL = 0.005  # seconds


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How to continue a prompt, and when to stop. Raises UsageError, naming the flag, for a value
    out of range."""

    length: int = 200  # maximum number of tokens
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    stop: tuple[str, ...] = ()
    single_line: bool = False  # stop at the end of the line
    seed: int = 0

    def __post_init__(self) -> None:
        LENGTH.check("--length", self.length)
        SEED.check("--seed", self.seed)
        if "" in self.stop:
            raise UsageError("--stop needs a text that is not empty")


@dataclass(frozen=True, slots=True)
class TextChunk:
    """Newly generated text. The last chunk of a text has the reason why it is finished."""

    text: str
    tokens: int  # generated so far
    finish_reason: str | None = None  # length, stop or end


@dataclass(frozen=True, slots=True)
class Generation:
    """A complete sample."""

    prompt: str
    text: str  # the continuation, without the prompt
    tokens: int
    finish_reason: str


def stream(
    model: LanguageModel, prompts: Sequence[str], options: GenerationOptions, num_samples: int = 1
) -> Iterator[tuple[int, TextChunk]]:
    """Generate `num_samples` continuations of each prompt, in batches.

    Yields each chunk with the index of its text; sample s of prompt p has the index
    p * num_samples + s. Each sample has its own random stream, seeded by `options.seed` and the
    number of the sample only, so that a text does not depend on the rest of the batch. The unknown
    word is never generated.
    """
    SAMPLES.check("--num-samples", num_samples)
    count = len(prompts) * num_samples
    for first in range(0, count, _BATCH_SIZE):
        texts = [
            _Continuation(
                model.tokenizer, prompts[index // num_samples], options, index % num_samples
            )
            for index in range(first, min(first + _BATCH_SIZE, count))
        ]
        for row, chunk in _generate_batch(model, texts, options):
            yield first + row, chunk


def sort_by_text(chunks: Iterable[tuple[int, TextChunk]]) -> Iterator[tuple[int, TextChunk]]:
    """Yield all chunks of text 0, then all of text 1, and so on.

    Chunks of the first unfinished text are passed on without delay, the others are buffered.
    """
    current = 0
    buffered: dict[int, list[TextChunk]] = {}
    for index, chunk in chunks:
        if index != current:
            buffered.setdefault(index, []).append(chunk)
            continue
        yield index, chunk
        finished = chunk.finish_reason is not None
        while finished:
            current += 1
            ready = buffered.pop(current, [])
            yield from ((current, chunk) for chunk in ready)
            finished = bool(ready) and ready[-1].finish_reason is not None


def generate(
    model: LanguageModel, prompts: Sequence[str], options: GenerationOptions, num_samples: int = 1
) -> Iterator[Generation]:
    """Yield complete continuations in the order of `stream`'s indices, each when it and all before
    it are finished."""
    parts: list[str] = []
    for index, chunk in sort_by_text(stream(model, prompts, options, num_samples)):
        parts.append(chunk.text)
        if chunk.finish_reason is not None:
            prompt = prompts[index // num_samples]
            yield Generation(prompt, "".join(parts), chunk.tokens, chunk.finish_reason)
            parts = []


def _generate_batch(
    model: LanguageModel, texts: Sequence[_Continuation], options: GenerationOptions
) -> Iterator[tuple[int, TextChunk]]:
    if options.length == 0:
        yield from ((row, text.finish("length")) for row, text in enumerate(texts))
        return
    # Each distinct prompt is read once, and its state is copied to all of its samples.
    prompts = {text.prompt: text.ids for text in texts}
    prompt_rows = {prompt: row for row, prompt in enumerate(prompts)}
    ids_before_last = [ids[:-1] for ids in prompts.values()]
    sampler = model.graph_sampler() if options.sampling.is_temperature_only else None
    state = (sampler or model).advance(ids_before_last, model.initial_state(len(prompts)))
    state = select(state, [prompt_rows[text.prompt] for text in texts])
    last = np.array([text.ids[-1] for text in texts], np.int64)
    active = list(enumerate(texts))
    generated, tokens_per_call = 0, 1
    while active:
        active_texts = [text for _, text in active]
        started = time.perf_counter()
        if sampler is None:
            tokens, state = _choose_next(model, last, state, active_texts)
        else:
            uniforms = np.stack(
                [text.random.random(tokens_per_call) for text in active_texts], axis=1
            )  # (K, B)
            tokens, state = _sample_next(model, sampler, last, state, uniforms, active_texts)
        was_short = time.perf_counter() - started < _SHORT_CALL
        unfinished = list(range(len(active)))  # places in `active`
        for token_of_place in tokens.tolist():
            still_unfinished = []
            for place in unfinished:
                row, text = active[place]
                chunk = text.push(token_of_place[place])
                if chunk is not None:
                    yield row, chunk
                if chunk is None or chunk.finish_reason is None:
                    still_unfinished.append(place)
            unfinished = still_unfinished
        generated += len(tokens)
        if was_short:
            tokens_per_call *= 2
        tokens_per_call = min(tokens_per_call, _MAX_TOKENS_PER_CALL, options.length - generated)
        last = tokens[-1]
        if len(unfinished) < len(active):
            active = [active[place] for place in unfinished]
            last, state = last[unfinished], select(state, unfinished)


def _choose_next(
    model: LanguageModel, last: Array, state: State, texts: Sequence[_Continuation]
) -> tuple[Array, State]:
    """Read the `last` token (B) of each text, and choose the next one from its logits.

    Returns what `GraphSampler.sample` returns for one token: ids (1, B), and the state.
    """
    logits, state = model.step(last, state)
    logits[:, _excluded_ids(model)] = -np.inf
    uniforms = np.array([text.random.random() for text in texts])
    options = texts[0].sampling
    tokens = sampling.choose(logits, options, [text.history for text in texts], uniforms)
    for row, text in enumerate(texts):
        if misfit := text.misfit(tokens[row : row + 1]):
            tokens[row] = text.draw_again(logits[row : row + 1], misfit.held)
    return tokens[None], state


def _sample_next(
    model: LanguageModel,
    sampler: GraphSampler,
    last: Array,
    state: State,
    uniforms: Array,
    texts: Sequence[_Continuation],
) -> tuple[Array, State]:
    """Sample K tokens of each text in the graph, as `GraphSampler.sample` does."""
    excluded, temperature = _excluded_ids(model), texts[0].sampling.temperature
    tokens, after = sampler.sample(last, state, uniforms, temperature, excluded)
    for row, text in enumerate(texts):
        first, before, row_state = 0, last[row : row + 1], select(state, [row])
        while misfit := text.misfit(tokens[:, row]):
            # The graph does not know what fits. Sample the same tokens up to this one, for the
            # state there; draw this one again, and sample those after it anew.
            place, held = misfit
            if place > first:
                _, row_state = sampler.sample(
                    before, row_state, uniforms[first:place, row : row + 1], temperature, excluded
                )
                before = tokens[place - 1, row : row + 1]
            logits, row_state = model.step(before, row_state)
            logits[:, excluded] = -np.inf
            tokens[place, row] = text.draw_again(logits, held)
            first, before, end = place + 1, tokens[place, row : row + 1], row_state
            if first < len(tokens):
                tokens[first:, row : row + 1], end = sampler.sample(
                    before, row_state, uniforms[first:, row : row + 1], temperature, excluded
                )
            for part, new in zip(after, end, strict=True):
                part[:, row] = new[:, 0]
    return tokens, after


def _excluded_ids(model: LanguageModel) -> list[int]:
    unknown = model.tokenizer.unk_id
    return [] if unknown is None else [unknown]


class _Misfit(NamedTuple):
    """A token that would make a text something else than UTF-8."""

    place: int  # among the tokens that come next
    held: bytes  # before it, see `Utf8Vocabulary`


class _Continuation:
    """One text in progress: its random stream, decoder and stop strings."""

    def __init__(
        self, tokenizer: Tokenizer, prompt: str, options: GenerationOptions, sample: int
    ) -> None:
        self.prompt = prompt
        self.random = np.random.default_rng([options.seed, sample])
        # A stream of its own, so that the number of tokens of a call makes no difference.
        self._random_again = np.random.default_rng([options.seed, sample, 1])
        self._utf8 = tokenizer.utf8
        self._held = b""  # see `Utf8Vocabulary`
        (self.ids,) = tokenizer.encode_prompts([prompt])
        self.history: list[int] = []  # ids that the repetition penalty applies to
        self._options = options
        self._eos_id = tokenizer.eos_id
        self._decoder = tokenizer.decoder()
        self._stop_buffer = _StopBuffer(options.stop)
        self._tokens = 0
        for token in self.ids[1:].tolist():
            self._add_to_history(token)
            # The decoder needs to know whether the prompt ends inside a line.
            self._decoder.push(token)

    @property
    def sampling(self) -> SamplingOptions:
        return self._options.sampling

    def misfit(self, tokens: Array) -> _Misfit | None:
        """Return the first of the tokens that come next (K) that does not fit; None: all do."""
        if self._utf8 is None:
            return None
        held = self._held
        for place, token in enumerate(tokens.tolist()):
            after = self._utf8.after(held, token)
            if after is None:
                return _Misfit(place, held)
            held = after
        return None

    def draw_again(self, logits: Array, held: bytes) -> int:
        """Choose a token that fits, by logits (1, V)."""
        assert self._utf8 is not None  # noqa: S101  (only then does a token not fit)
        fitting = np.where(self._utf8.allowed(held), logits, np.float32(-np.inf))
        uniforms = self._random_again.random(1)
        return int(sampling.choose(fitting, self.sampling, [self.history], uniforms)[0])

    def push(self, token: int) -> TextChunk | None:
        """Add a token. Return the text that is ready, None if there is none yet."""
        if token == self._eos_id and self._options.single_line:
            return self.finish("end")
        self._tokens += 1
        self._add_to_history(token)
        if self._utf8 is not None:
            self._held = self._utf8.after(self._held, token) or b""
        text, stopped = self._stop_buffer.push(self._decoder.push(token))
        if stopped:
            return TextChunk(text, self._tokens, "stop")
        if self._tokens == self._options.length:
            last = self.finish("length")
            return replace(last, text=text + last.text)
        return TextChunk(text, self._tokens) if text else None

    def finish(self, reason: str) -> TextChunk:
        """End the text. Return the last chunk, with the text that was still buffered, without the
        bytes of an incomplete character."""
        return TextChunk(self._stop_buffer.flush(), self._tokens, reason)

    def _add_to_history(self, token: int) -> None:
        if self.sampling.repetition_penalty != 1 and token not in self.history:
            self.history.append(token)


class _StopBuffer:
    """Buffers the end of the text as long as it may be the beginning of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._text = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Add text. Return the text that is ready, up to the first stop string if there is one, and
        whether there is one."""
        self._text += text
        positions = [at for stop in self._stops if (at := self._text.find(stop)) >= 0]
        if positions:
            return self._text[: min(positions)], True
        keep = max((_overlap(self._text, stop) for stop in self._stops), default=0)
        cut = len(self._text) - keep
        ready, self._text = self._text[:cut], self._text[cut:]
        return ready, False

    def flush(self) -> str:
        """Return the buffered text and empty the buffer."""
        text, self._text = self._text, ""
        return text


def _overlap(text: str, stop: str) -> int:
    """The length of the longest proper prefix of `stop` that is a suffix of `text`."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
