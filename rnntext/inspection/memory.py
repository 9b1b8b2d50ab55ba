"""The view `memory`: how long a model remembers a token that it has read.

Knows: how the effect of a changed token on state and prediction is measured over a corpus, what a
half-life is, and what the curves say. Does not know: how a step is computed (`trace.py`), how a
gradient is (`training/backward.py`), or how a page is drawn.

At many places of a corpus one token is replaced by another, and both versions are read on: the
difference k steps after the place is the effect of a token k steps back. All distances are measured
at the same places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rnntext.errors import DataError
from rnntext.inspection.reading import InspectedModel
from rnntext.inspection.trace import trace
from rnntext.plotting.page import Array, Line, Lines, Note, Page, Panel, Table, View
from rnntext.runtime.model import TrainedModel
from rnntext.tasks import TASKS

DEFAULT_DISTANCE = 64
_PLACES = 256  # of the corpus at most, where a token is changed
_LEAST_PLACES = 32
# The default distance is one that at least this share of all tokens have after them in their text.
# Otherwise the few longest texts of a corpus would speak for all.
_LEAST_SHARE = 0.25
_CONTEXT = 32  # tokens before a place that are read too, where there are so many
_BATCH_TOKENS = 1 << 14  # read at once, so that memory does not grow with the distance

_NOTE = (
    "At {places} places of the text one token was replaced by another from the same text, and both "
    "versions were read on. State: how much of the difference between the two hidden states (last "
    "layer, forward direction) is left so many tokens later. It is 1 at the changed token, and 0 "
    "once the token is forgotten. {prediction}Half-life: the distance after which less than half "
    "is left. The shorter it is, the sooner the model forgets."
)
_PREDICTION = (
    "Prediction: how different the model's guesses of the next token are (KL divergence in bits; 0 "
    "is no difference). "
)
_GRADIENT = (
    "Gradient: how much the loss at the end of a text depends on the state so many tokens back "
    "(the hidden state, with an LSTM's cell): the length of its derivative, relative to that of "
    "the last state. Training learns from it: where it vanishes, a network cannot learn to use "
    "what stands so far back (Bengio, Simard and Frasconi 1994). The axis is logarithmic: on a "
    "straight line down the same share is lost at every step."
)
_LOSS = {
    "lm": "",
    "classify": (
        "A classifier's loss is that of its own answer, to which every state contributes directly "
        "too, through the mean and the maximum over all states: its gradient need not vanish."
    ),
    "tag": "A tagger's loss is that of its own tag of the last token, without the CRF.",
}
_TOKENS = (
    "Distances are counted in each model's own tokens: words, parts of words or characters, as its "
    "tokenizer has them. A curve that levels off at a millionth of its start, or less, shows no "
    "more than rounding errors."
)


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """How memory is measured."""

    distance: int | None = None  # the largest; None: 64, or less where the texts are short
    gradient: bool = False  # measure the gradient too, which needs PyTorch
    seed: int = 1  # of the places and the tokens that take their place


@dataclass(frozen=True, slots=True)
class Curve:
    """An effect at each distance: its mean over the places, and the standard error of that."""

    values: Array  # (D)
    errors: Array  # (D)


@dataclass(frozen=True, slots=True)
class Memory:
    """What was measured of one model."""

    places: int
    distances: Array  # (D) in tokens, from 0
    state: Curve  # relative to distance 0
    prediction: Curve | None  # in bits; None of a model that predicts no next token
    gradient: Curve | None  # relative to distance 0; None if it was not asked for

    def half_lives(self) -> dict[str, float | None]:
        """Return the half-life of each curve, see `half_life`; None also for one that is not."""
        return {
            name: None if curve is None else half_life(self.distances, curve.values)
            for name, curve in self.curves().items()
        }

    def curves(self) -> dict[str, Curve | None]:
        """Return the curves by name."""
        return {"state": self.state, "prediction": self.prediction, "gradient": self.gradient}


def memory(models: Sequence[InspectedModel], lines: Sequence[str], options: MemoryOptions) -> View:
    """View how long each model remembers, measured over the lines of a corpus.

    A language model reads all lines as one text, as in its training; a classifier or a tagger reads
    each line by itself. Raises DataError where the text is too little.
    """
    found = [(model, measure(model, lines, options)) for model in models]
    objects: list[dict[str, Any]] = []
    rows: list[Sequence[str | float]] = []
    for model, each in found:
        curves = {name: curve for name, curve in each.curves().items() if _shown(name, options)}
        half_lives = {name: value for name, value in each.half_lives().items() if name in curves}
        for index, distance in enumerate(each.distances.tolist()):
            values: dict[str, float | None] = {}
            for name, curve in curves.items():
                values[name] = None if curve is None else float(curve.values[index])
                values[f"{name}_error"] = None if curve is None else float(curve.errors[index])
            row = [_digits(values[name]) for name in curves]
            rows.append((model.name, distance, *row))
            if each.gradient is not None:
                # JSON has six decimals, and a gradient vanishes beyond them.
                share = each.gradient.values[index]
                values["gradient_log10"] = float(np.log10(share)) if share > 0 else None
            objects.append(
                {
                    "model": model.name,
                    "cell": model.config.encoder.cell,
                    "distance": distance,
                    "places": each.places,
                    **values,
                    "half_life": half_lives,
                }
            )
    names = ", ".join(model.name for model in models)
    return View(Page(f"Memory of {names}", _panels(found, options)), objects, rows)


def measure(model: InspectedModel, lines: Sequence[str], options: MemoryOptions) -> Memory:
    """Measure how long one model remembers. Raises DataError where the text is too little."""
    has_labels = TASKS[model.config.task].has_labels
    texts = _ENCODERS[model.config.task](model.model, lines)
    # A language model's loss at the last token of a window needs the token after it.
    spare = 0 if has_labels else 1
    eos = model.tokenizer.eos_id
    distance = _largest_distance(model.name, texts, spare, eos, options.distance)
    distances = distances_to(distance)
    windows = Windows(texts, distance, spare, eos, np.random.default_rng(options.seed))
    norms = None
    if options.gradient:
        from rnntext.training.backward import gradient_norms
        from rnntext.training.networks.build import network_of

        norms = partial(gradient_norms, network_of(model.config, model.weights))
    states, bits, gradients = [], [], []
    for batch in windows.batches():
        # The changed token is `distance` steps before the last.
        after = batch.ids.shape[1] - 1 - distance + distances
        hidden = _hidden(model, batch.ids)[after]  # (D, B, H)
        changed = _hidden(model, batch.changed)[after]
        states.append(np.linalg.norm((hidden - changed).astype(np.float64), axis=-1).T)  # (B, D)
        if not has_labels:
            bits.append(_divergence(model, hidden, changed).T)
        if norms is not None:
            gradients.append(norms(batch.ids, distance, batch.following)[distances].T)
    return Memory(
        windows.count,
        distances,
        ratio_curve(np.concatenate(states)),
        mean_curve(np.concatenate(bits)) if bits else None,
        ratio_curve(np.concatenate(gradients)) if gradients else None,
    )


def distances_to(most: int) -> Array:
    """Return the distances that are measured: each to 8, then four to each doubling, and `most`."""
    found = [0]
    while found[-1] < most:
        octave = 1 << (found[-1].bit_length() - 1) if found[-1] else 1
        found.append(min(most, found[-1] + max(1, octave // 4)))
    return np.array(found)


def half_life(distances: Array, values: Array) -> float | None:
    """Return the first distance at which a curve is below half of its first value, interpolated
    between the measured distances; None where it never is."""
    half = values[0] / 2
    below = np.flatnonzero(values < half)
    if not len(below):
        return None
    before, after = below[0] - 1, below[0]
    share = (values[before] - half) / (values[before] - values[after])
    return float(distances[before] + share * (distances[after] - distances[before]))


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows of one length that end at the largest distance after the changed token."""

    ids: Array  # (B, T)
    changed: Array  # (B, T): the same but for one token
    following: Array | None  # (B): the token after the window, of a language model


class Windows:
    """Windows of a corpus in which one token is changed: sampled places, without replacement, and
    for each a token that the corpus has elsewhere, as often as it has it."""

    def __init__(
        self, texts: Sequence[Array], distance: int, spare: int, eos: int, random: Any
    ) -> None:
        self._texts, self._distance, self._spare = texts, distance, spare
        places = _places(texts, distance + spare, eos)
        self.count = min(_PLACES, len(places))
        self._places = places[np.sort(random.choice(len(places), self.count, replace=False))]
        pool = np.concatenate(texts)
        pool = pool[pool != eos]  # the end of a line is no word
        self._replacements = []
        for text, place in self._places:
            others = pool[pool != texts[text][place]]
            if not len(others):
                raise DataError("all tokens of the text are the same: give text with other words")
            self._replacements.append(random.choice(others))

    def batches(self) -> Iterator[Batch]:
        """Yield the windows in batches of equal context."""
        contexts = np.minimum(self._places[:, 1], _CONTEXT)
        for context in np.unique(contexts):
            chosen = np.flatnonzero(contexts == context)
            rows = max(1, _BATCH_TOKENS // (context + 1 + self._distance))
            for start in range(0, len(chosen), rows):
                yield self._batch(int(context), chosen[start : start + rows])

    def _batch(self, context: int, chosen: Array) -> Batch:
        length = context + 1 + self._distance
        windows = np.stack(
            [
                self._texts[text][place - context : place - context + length + self._spare]
                for text, place in self._places[chosen]
            ]
        )  # (B, T + spare)
        ids = windows[:, :length]
        changed = ids.copy()
        changed[:, context] = [self._replacements[index] for index in chosen]
        return Batch(ids, changed, windows[:, length] if self._spare else None)


def _places(texts: Sequence[Array], after: int, eos: int) -> Array:
    """Return each place that is no line end and has so many tokens after it, (N, 2): the index of
    its text, and of the token."""
    found = []
    for index, ids in enumerate(texts):
        places = np.flatnonzero(ids[: max(0, len(ids) - after)] != eos)
        found.append(np.stack([np.full_like(places, index), places], axis=1))
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)


def _largest_distance(
    name: str, texts: Sequence[Array], spare: int, eos: int, wanted: int | None
) -> int:
    total = len(_places(texts, 0, eos))
    for distance in (wanted,) if wanted is not None else range(DEFAULT_DISTANCE, 0, -1):
        enough = len(_places(texts, distance + spare, eos))
        if enough >= (_LEAST_PLACES if wanted else max(_LEAST_PLACES, _LEAST_SHARE * total)):
            return distance
    smaller = ", or a smaller --distance" if distance > 1 else ""
    raise DataError(
        f"too little text to measure memory over a distance of {distance}: of the {total:,} tokens "
        f"that {name} finds, {enough:,} have so many after them in their text, and "
        f"{_LEAST_PLACES} must: give more or longer text{smaller}"
    )


def _stream(model: TrainedModel, lines: Sequence[str]) -> list[Array]:
    """One text of all lines, a line end before each, as a language model reads them."""
    tokenizer = model.tokenizer
    return [np.concatenate([[tokenizer.eos_id], *tokenizer.encode_lines(lines)])]


def _each_line(model: TrainedModel, lines: Sequence[str]) -> list[Array]:
    return list(model.tokenizer.encode(lines))


def _each_sentence(model: TrainedModel, lines: Sequence[str]) -> list[Array]:
    return [found.ids for found in model.tokenizer.encode_words(model.words(lines))]


_ENCODERS = {"lm": _stream, "classify": _each_line, "tag": _each_sentence}


def _hidden(model: InspectedModel, ids: Array) -> Array:
    """Return the hidden states of the last layer's forward direction: ids (B, T) -> (T, B, H)."""
    traces = trace(model.weights, model.config.encoder, ids)
    return [each for each in traces if each.direction == "forward"][-1].hidden


def _divergence(model: InspectedModel, hidden: Array, changed: Array) -> Array:
    """Return the KL divergence of the next-token distribution of each changed state from that of
    the state, in bits: (D, B, H) -> (D, B)."""
    bits = np.empty(hidden.shape[:2])
    for index in range(len(hidden)):  # one at a time: a vocabulary may be large
        log_p = _log_probabilities(model, hidden[index])
        log_q = _log_probabilities(model, changed[index])
        bits[index] = (np.exp(log_p) * (log_p - log_q)).sum(-1)
    return np.asarray(np.maximum(bits, 0) / np.log(2))  # a rounded 0 may be negative


def _log_probabilities(model: InspectedModel, hidden: Array) -> Array:
    """States (B, H) of a language model -> log-probabilities (B, V) in nats, in float64."""
    weights = model.weights
    if "head.projection.weight" in weights:
        hidden = hidden @ weights["head.projection.weight"].T + weights["head.projection.bias"]
    logits = hidden @ weights["encoder.embedding.weight"].T + weights["head.bias"]
    shifted = (logits - logits.max(-1, keepdims=True)).astype(np.float64)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def mean_curve(samples: Array) -> Curve:
    """Means over places: samples (N, D)."""
    return Curve(samples.mean(0), samples.std(0, ddof=1) / np.sqrt(len(samples)))


def ratio_curve(samples: Array) -> Curve:
    """Means over places in proportion to the mean at distance 0: samples (N, D). The standard error
    is that of a ratio of means (Cochran 1977, equation 2.39); at distance 0 it is 0."""
    first = samples[:, :1]
    base = first.mean()
    if base == 0:
        return Curve(np.zeros(samples.shape[1]), np.zeros(samples.shape[1]))
    shares = samples.mean(0) / base
    spread = mean_curve(samples - shares * first)
    return Curve(shares, spread.errors / base)


def _shown(name: str, options: MemoryOptions) -> bool:
    return name != "gradient" or options.gradient


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _panels(found: Sequence[tuple[InspectedModel, Memory]], options: MemoryOptions) -> list[Panel]:
    counts = sorted({each.places for _, each in found})
    places = " to ".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1])))
    prediction = any(each.prediction for _, each in found)
    panels: list[Panel] = [
        Note(_NOTE.format(places=places, prediction=_PREDICTION if prediction else "")),
        Note(_TOKENS),
        _half_lives(found, options),
        _lines("state: share of the difference that is left", "share", found, "state"),
    ]
    if prediction:
        title = "prediction of the next token"
        panels.append(_lines(title, "KL divergence in bits", found, "prediction", log_y=True))
    if options.gradient:
        losses = dict.fromkeys(_LOSS[model.config.task] for model, _ in found)
        panels.append(Note(" ".join([_GRADIENT, *filter(None, losses)])))
        title = "gradient of the loss with respect to the state"
        panels.append(_lines(title, "relative to the last state", found, "gradient", log_y=True))
    return panels


def _lines(
    title: str,
    y_name: str,
    found: Sequence[tuple[InspectedModel, Memory]],
    name: str,
    *,
    log_y: bool = False,
) -> Lines:
    lines = []
    for model, each in found:
        curve = each.curves()[name]
        if curve is not None:
            lines.append(Line(_title(model), each.distances, curve.values, curve.errors))
    return Lines(title, "distance in tokens", y_name, lines, log_y)


def _half_lives(found: Sequence[tuple[InspectedModel, Memory]], options: MemoryOptions) -> Table:
    names = [name for name in ("state", "prediction", "gradient") if _shown(name, options)]
    rows: list[Sequence[str | float]] = []
    for model, each in found:
        values = each.half_lives()
        cells: list[str | float] = []
        for name in names:
            value = values[name]
            unmeasured = each.curves()[name] is None
            cells.append(value if value is not None else _never(each, unmeasured=unmeasured))
        rows.append((_title(model), each.places, *cells))
    return Table("half-lives in tokens", ("model", "places", *names), rows)


def _never(each: Memory, *, unmeasured: bool) -> str:
    return "" if unmeasured else f"over {each.distances[-1]}"


def _title(model: InspectedModel) -> str:
    return f"{model.name} ({model.config.encoder.cell.upper()})"
