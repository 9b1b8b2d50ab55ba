"""How good a model is, in numbers.

Knows: the textbook definitions, and which of them `evaluate` and `train` report under which
name. Does not know: models, files, or how a number is printed.

Rates are fractions from 0 to 1. Where there is nothing to count, a rate is 0.0 and a perplexity
is 1.0 (no token, no surprise), so that a result is always a number; a caller that must not take
an empty file for a bad or a perfect one says so before it asks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rnntext.metric_sums import CALIBRATION_BINS, Calibration, LogLoss, Thresholds, rate

# A matrix of confusions has at most so many rows: a million numbers, 3 MB of JSON.
MATRIX_LABELS = 1000
_NORMAL_95 = 1.959964  # standard deviations: 95 % of a normal distribution lie within
_LARGEST_EXPONENT = 709.0  # of e in float64; a perplexity stays a finite, JSON number

Pairs = Counter[tuple[str, str]]  # how often a gold label, the first, was taken for another


class Span(NamedTuple):
    """Words `start` up to but not including `end` of a sentence, and what they are."""

    start: int
    end: int
    kind: str


# Language models


def perplexity(total_nats: float, tokens: int) -> float:
    """e to the mean surprisal of a token, in nats; capped at e^709."""
    return math.exp(min(total_nats / tokens, _LARGEST_EXPONENT)) if tokens else 1.0


def bits_per_byte(total_nats: float, n_bytes: int, unknown_bytes: int = 0) -> float:
    """Bits of surprisal a byte of text; unlike perplexity it compares across tokenizers.

    `unknown_bytes` of them are of characters without a token. Each such character is charged the
    bits of the unknown token and 8 bits a byte, as by a model that says that the character is
    unknown and then spells it, all bytes being equally likely: what the text costs at the most.
    """
    return (total_nats / math.log(2) + 8 * unknown_bytes) / n_bytes if n_bytes else 0.0


# The single numbers of each task's metrics, by name.
LANGUAGE_MODEL_METRICS = (
    "perplexity",
    "perplexity_known",
    "bits_per_byte",
    "tokens",
    "unknown_rate",
)


def classification_metric_names(multi_label: bool) -> tuple[str, ...]:
    """Those of `classification_metrics`."""
    micro = ("micro_f1",) if multi_label else ()
    return ("accuracy", "macro_f1", *micro, "log_loss", "ece", "majority")


def tagging_metric_names(span_tags: bool) -> tuple[str, ...]:
    """Those of `tagging_metrics`."""
    return ("accuracy", *(("precision", "recall", "f1") if span_tags else ()))


def language_model_metrics(
    *,
    total_nats: float,
    tokens: int,
    known_nats: float,
    known_tokens: int,
    n_bytes: int | None,
    unknown_bytes: int = 0,
) -> dict[str, float | int | None]:
    """Metrics of a language model, as `evaluate` reports them.

    total_nats: surprisal of all `tokens` scored; known_nats: of the `known_tokens` among them
    that are not the unknown word; n_bytes: bytes of text scored, None where the tokenizer loses
    text, which makes `bits_per_byte` None; unknown_bytes: see `bits_per_byte`.
    """
    return {
        "perplexity": perplexity(total_nats, tokens),
        "perplexity_known": perplexity(known_nats, known_tokens),
        "bits_per_byte": (
            None if n_bytes is None else bits_per_byte(total_nats, n_bytes, unknown_bytes)
        ),
        "tokens": tokens,
        "unknown_rate": rate(tokens - known_tokens, tokens),
    }


# Classifiers


def accuracy(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """The share of items whose prediction equals the gold label."""
    return rate(sum(g == p for g, p in zip(gold, predicted, strict=True)), len(gold))


def majority(gold: Sequence[Hashable]) -> float:
    """The accuracy of always saying the commonest label of `gold`."""
    return _majority(Counter(gold))


def _majority(counts: Counter[Any]) -> float:
    return rate(max(counts.values(), default=0), counts.total())


def confusion(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> dict[str, list[Any]]:
    """How often each gold label was taken for each label, in the order of `labels`, which holds
    all that occur.

    Up to MATRIX_LABELS labels that is `confusion`, a matrix [L gold, L predicted]. A matrix of more
    would fill memory: then it is `confusion_pairs`, sorted [gold, predicted, count] of the pairs
    that occur, each label by its position in `labels`.
    """
    return _confusion(Counter(zip(gold, predicted, strict=True)), labels)


def _confusion(counts: Pairs, labels: Sequence[str]) -> dict[str, list[Any]]:
    index = {label: position for position, label in enumerate(labels)}
    pairs = sorted([index[g], index[p], count] for (g, p), count in counts.items())
    if len(labels) > MATRIX_LABELS:
        return {"confusion_pairs": pairs}
    matrix = [[0] * len(labels) for _ in labels]
    for row, column, count in pairs:
        matrix[row][column] = count
    return {"confusion": matrix}


def per_label(
    gold: Sequence[str], predicted: Sequence[str], labels: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Precision, recall, f1 and support (how often it is the gold label) of each of `labels`."""
    return _per_label(Counter(zip(gold, predicted, strict=True)), labels)


def _per_label(counts: Pairs, labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    support, guesses = Counter[str](), Counter[str]()
    for (gold, predicted), count in counts.items():
        support[gold] += count
        guesses[predicted] += count
    return {la: _label_scores(counts[la, la], guesses[la], support[la]) for la in labels}


def interval(right: int, total: int) -> list[float]:
    """The 95 % confidence interval of a rate of `right` of `total` (Wilson 1927): how far the rate
    on other examples of the same kind may be from this one. [0, 1] without examples.

    >>> [round(bound, 3) for bound in interval(80, 100)]
    [0.711, 0.867]
    """
    if not total:
        return [0.0, 1.0]
    rate, spread = right / total, _NORMAL_95**2 / total
    middle = (rate + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (rate * (1 - rate) + spread / 4)) / (1 + spread)
    return [max(0.0, middle - half), min(1.0, middle + half)]


def macro_f1(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """The plain mean of F1 over the labels seen in `gold` or `predicted`."""
    return _macro_f1(Counter(zip(gold, predicted, strict=True)))


def _macro_f1(counts: Pairs) -> float:
    return _mean_f1(
        _per_label(counts, sorted({label for pair in counts for label in pair})).values()
    )


def ece(
    confidences: NDArray[np.floating[Any]],
    correct: NDArray[np.bool_],
    bins: int = CALIBRATION_BINS,
) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3), over bins of equal width.

    confidences: [N], the probability given to each statement; correct: [N], whether it was true.
    Bin m of M holds the confidences above (m - 1) / M and up to m / M; 0 is in the first.
    """
    calibration = Calibration(bins)
    calibration.add(confidences, correct)
    return calibration.error()


def classification_metrics(
    gold: Sequence[str] | Sequence[Collection[str]],
    probabilities: NDArray[np.floating[Any]],
    labels: Sequence[str],
    multi_label: bool,
    threshold: float = 0.5,
) -> dict[str, Any]:
    """Metrics of a classifier, as `evaluate` reports them.

    gold: N labels, or with `multi_label` N collections of labels; probabilities: [N, L], columns
    in the order of `labels`. A gold label that the model does not have is counted as missed, and
    stands after the model's own in the result's `labels`; a row with one is left out of `log_loss`
    and `ece`, as it would be of a calibration.

    One label: `accuracy`, `macro_f1`, `log_loss` (mean surprisal of the gold label, in nats, at
    most that of a probability of 1e-15), `ece` (of the likeliest label), `majority`,
    `accuracy_interval` (see `interval`), `thresholds`
    (if only answers of at least some confidence are given: how many of them are right, and how many
    of all texts are answered right, and answered at all), `per_label`, `confusion`
    ([gold][predicted], in the order of the result's `labels`), `labels`. With more than
    MATRIX_LABELS labels `confusion_pairs` stands in place of `confusion`.
    Several: a label is predicted from `threshold` on; `accuracy` is that of whole sets (subset
    accuracy), `majority` that of always saying the commonest set, `micro_f1` stands after
    `macro_f1`, `log_loss` and `ece` are over every pair of a row and a label of the model, and
    `confusion` holds
    [[true negatives, false positives], [false negatives, true positives]] of each label.
    """
    tally = classification_tally(labels, multi_label, threshold)
    tally.add(gold, probabilities)
    return tally.metrics()


class ClassificationTally(Protocol):
    """Counts from which `classification_metrics` follow. Documents are added in any number of
    parts, so that the probabilities of all need not be in memory; the metrics are the same to the
    bit."""

    def add(
        self,
        gold: Sequence[str] | Sequence[Collection[str]],
        probabilities: NDArray[np.floating[Any]],
    ) -> None:
        """Add documents, as `classification_metrics` takes them."""

    def metrics(self) -> dict[str, Any]:
        """Metrics of the documents added so far."""


def classification_tally(
    labels: Sequence[str], multi_label: bool, threshold: float = 0.5
) -> ClassificationTally:
    """A tally without documents. The arguments are those of `classification_metrics`."""
    return _MultiLabelTally(labels, threshold) if multi_label else _SingleLabelTally(labels)


class _SingleLabelTally:
    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._pairs: Pairs = Counter()
        self._column = {label: position for position, label in enumerate(labels)}
        self._calibration, self._log_loss = Calibration(), LogLoss()
        self._thresholds = Thresholds()

    def add(
        self,
        gold: Sequence[str] | Sequence[Collection[str]],
        probabilities: NDArray[np.floating[Any]],
    ) -> None:
        answers = cast("Sequence[str]", gold)
        predicted = [self._labels[i] for i in probabilities.argmax(axis=1)]
        correct = [g == p for g, p in zip(answers, predicted, strict=True)]
        right, confidences = np.array(correct, np.bool_), probabilities.max(axis=1)
        self._thresholds.add(confidences, right)
        columns = np.array([self._column.get(label, -1) for label in answers], np.int64)
        known = np.flatnonzero(columns >= 0)
        self._calibration.add(confidences[known], right[known])
        self._log_loss.add(probabilities[known, columns[known]])
        self._pairs.update(zip(answers, predicted, strict=True))

    def metrics(self) -> dict[str, Any]:
        pairs, gold = self._pairs, Counter[str]()
        for (label, _), count in pairs.items():
            gold[label] += count
        right = sum(count for (label, predicted), count in pairs.items() if label == predicted)
        every = _with_unseen(self._labels, gold)
        return {
            "accuracy": rate(right, pairs.total()),
            "macro_f1": _macro_f1(pairs),
            "log_loss": self._log_loss.mean(),
            "ece": self._calibration.error(),
            "majority": _majority(gold),
            "accuracy_interval": interval(right, pairs.total()),
            "thresholds": self._thresholds.table(),
            "per_label": _per_label(pairs, every),
            **_confusion(pairs, every),
            "labels": every,
        }


class _MultiLabelTally:
    def __init__(self, labels: Sequence[str], threshold: float) -> None:
        self._labels, self._threshold = labels, threshold
        self._column = {label: position for position, label in enumerate(labels)}
        self._gold: Counter[frozenset[str]] = Counter()
        self._right = 0  # sets that were predicted as they are
        self._hits, self._guesses = (np.zeros(len(labels), np.int64) for _ in range(2))
        self._calibration, self._log_loss = Calibration(), LogLoss()

    def add(
        self,
        gold: Sequence[str] | Sequence[Collection[str]],
        probabilities: NDArray[np.floating[Any]],
    ) -> None:
        sets = [*map(frozenset, gold)]
        truth = np.zeros(probabilities.shape, np.bool_)  # [N, L]
        for row, labels in enumerate(sets):
            truth[row, [self._column[label] for label in labels if label in self._column]] = True
        guess = probabilities >= self._threshold
        known = np.array([labels <= self._column.keys() for labels in sets], np.bool_)
        self._right += int((known & (truth == guess).all(axis=1)).sum())
        self._hits += (truth & guess).sum(0)
        self._guesses += guess.sum(0)
        shown, true = probabilities[known], truth[known]
        self._calibration.add(shown.ravel(), true.ravel())
        self._log_loss.add(np.where(true, shown, 1 - shown).ravel())
        self._gold.update(sets)

    def metrics(self) -> dict[str, Any]:
        gold, total = self._gold, self._gold.total()
        every = _with_unseen(self._labels, (label for row in gold for label in sorted(row)))
        support = Counter[str]()
        for row, count in gold.items():
            support.update(dict.fromkeys(row, count))
        hits = Counter(dict(zip(self._labels, self._hits.tolist(), strict=True)))
        guesses = Counter(dict(zip(self._labels, self._guesses.tolist(), strict=True)))
        scores = {la: _label_scores(hits[la], guesses[la], support[la]) for la in every}
        return {
            "accuracy": rate(self._right, total),
            "macro_f1": _mean_f1([scores[la] for la in every if support[la] or guesses[la]]),
            "micro_f1": _label_scores(hits.total(), guesses.total(), support.total())["f1"],
            "log_loss": self._log_loss.mean(),
            "ece": self._calibration.error(),
            "majority": _majority(gold),
            "accuracy_interval": interval(self._right, total),
            "per_label": scores,
            "confusion": [
                [
                    [total - support[la] - guesses[la] + hits[la], guesses[la] - hits[la]],
                    [support[la] - hits[la], hits[la]],
                ]
                for la in every
            ],
            "labels": every,
        }


def never_predicted(found: Mapping[str, Any]) -> list[str]:
    """Return the gold labels that no document was given, of the result of
    `classification_metrics`; of other metrics none."""
    labels: list[str] = found.get("labels", [])
    if "confusion_pairs" in found:
        predicted = {column for _, column, _ in found["confusion_pairs"]}
    elif "confusion" not in found:
        return []
    elif "micro_f1" in found:  # a table for each label
        tables = enumerate(found["confusion"])
        predicted = {number for number, (no, yes) in tables if no[1] or yes[1]}
    else:
        predicted = {n for row in found["confusion"] for n, count in enumerate(row) if count}
    return [
        label
        for number, label in enumerate(labels)
        if number not in predicted and found["per_label"][label]["support"]
    ]


# Taggers


def is_span_tags(tags: Iterable[str]) -> bool:
    """Return True if all tags are `O`, `B-...` or `I-...`, or `B` and `I` without a type, and not
    all are `O`."""
    distinct = set(tags) - {"O"}
    return bool(distinct) and all(
        tag in ("B", "I") or tag.startswith(("B-", "I-")) for tag in distinct
    )


def span_type(tag: str) -> str:
    """Return the type of a BIO tag, `span` of one that has none."""
    return tag.partition("-")[2] or "span"


def spans(tags: Sequence[str]) -> list[Span]:
    """The spans of one sentence, as the CoNLL-2003 scorer (conlleval) reads BIO tags.

    A span starts at `B-X`, and also at an `I-X` that follows `O`, another type or the start of
    the sentence; it goes on through `I-X`. A tag that is neither ends it.
    """
    found: list[Span] = []
    start, kind = 0, None
    for position, tag in enumerate((*tags, "O")):  # the last one closes what is open
        prefix = tag.partition("-")[0]
        inside = span_type(tag) if prefix in ("B", "I") else None
        if kind is not None and (prefix == "B" or inside != kind):
            found.append(Span(start, position, kind))
            kind = None
        if kind is None and inside is not None:
            start, kind = position, inside
    return found


def span_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Precision, recall, f1 and support of the spans: of all, then of each type.

    A predicted span counts when its type and both its ends are those of a gold span, as in
    conlleval. gold, predicted: the BIO tags of the same sentences.
    """
    hits: Counter[str] = Counter()
    support: Counter[str] = Counter()
    guesses: Counter[str] = Counter()
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        gold_spans, predicted_spans = spans(gold_tags), spans(predicted_tags)
        support.update(span.kind for span in gold_spans)
        guesses.update(span.kind for span in predicted_spans)
        hits.update(span.kind for span in set(gold_spans) & set(predicted_spans))
    overall = _label_scores(hits.total(), guesses.total(), support.total())
    kinds = sorted({*support, *guesses})
    return overall, {k: _label_scores(hits[k], guesses[k], support[k]) for k in kinds}


def tagging_metrics(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    span_tags: bool | None = None,
) -> dict[str, Any]:
    """Metrics of a tagger, as `evaluate` reports them.

    gold, predicted: one list of tags a sentence, of the same lengths. Always `accuracy`, the
    share of words tagged right, and at the end `per_label`. For span tags also `precision`,
    `recall` and `f1` as conlleval counts them, and `per_label` is by type of span; otherwise it
    is by tag. `span_tags` says which they are; None tells by the tags that occur here, which a
    file without a single span cannot.
    """
    gold_tags = [tag for sentence in gold for tag in sentence]
    predicted_tags = [tag for sentence in predicted for tag in sentence]
    if [len(sentence) for sentence in gold] != [len(sentence) for sentence in predicted]:
        raise ValueError("gold and predicted sentences differ in length")
    result: dict[str, Any] = {"accuracy": accuracy(gold_tags, predicted_tags)}
    seen = sorted({*gold_tags, *predicted_tags})
    if is_span_tags(seen) if span_tags is None else span_tags:
        overall, by_label = span_scores(gold, predicted)
        result.update({name: overall[name] for name in ("precision", "recall", "f1")})
    else:
        by_label = per_label(gold_tags, predicted_tags, seen)
    return {**result, "per_label": by_label}


# Shared


def _label_scores(hits: int, guesses: int, support: int) -> dict[str, Any]:
    return {
        "precision": rate(hits, guesses),
        "recall": rate(hits, support),
        "f1": rate(2 * hits, guesses + support),
        "support": support,
    }


def _mean_f1(scores: Collection[Mapping[str, float]]) -> float:
    return rate(sum(score["f1"] for score in scores), len(scores))


def _with_unseen(labels: Sequence[str], gold: Iterable[str]) -> list[str]:
    """`labels`, then those of `gold` that are not among them, as they come."""
    return list(dict.fromkeys((*labels, *gold)))
