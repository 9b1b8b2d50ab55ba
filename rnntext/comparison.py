"""What a comparison of models of one task found: its runs, a row for each model, and the answer.

Knows: means and spreads over seeds, and what may be said of a difference between two models. Does
not know: how models are trained (`training/comparison/`), or how the rows are shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from statistics import fmean, stdev
from typing import Any


class Kind(Enum):
    """What a model shows in a comparison."""

    CELL = "recurrent"
    ORDERED = "order"  # it sees what the question is about, without recurrence
    BLIND = "blind"  # it does not see what the question is about
    OTHER = "other"  # it sees a part of it


@dataclass(frozen=True, slots=True)
class Model:
    """One of the models that are compared."""

    name: str  # in a pipe and in JSON
    title: str  # in a sentence
    kind: Kind
    seeded: bool = True  # random numbers take part in its training


@dataclass(frozen=True, slots=True)
class Question:
    """What the comparison asks: what a model gains that sees something over those that do not."""

    subject: str  # such as "reading in order"
    blind: str  # the models that do not, such as "the order-blind model"
    records: str  # what a model reads, in the plural: texts, sentences or tokens


@dataclass(frozen=True, slots=True)
class Metric:
    """The metric that is compared: a rate, of which more is better, or the perplexity."""

    name: str
    answers: int  # of the validation data, which the metric is about

    @property
    def is_rate(self) -> bool:
        return self.name != "perplexity"

    @property
    def unit(self) -> str:
        """The unit of a gain."""
        return "points" if self.is_rate else "%"

    def described(self, amount: str, *, better: bool) -> str:
        """Return what a gain of so much is, or a loss, up to what it is compared with."""
        if self.is_rate:
            return f"{'gains' if better else 'loses'} {amount} {self.unit} of {self.name} over"
        verb = "lowers" if better else "raises"
        return f"{verb} the {self.name} by {amount} {self.unit} against"

    def gain(self, value: float, other: float) -> float:
        """Return how much better `value` is: in points of a rate, or by how many percent a
        perplexity is lower."""
        return 100 * (value - other) if self.is_rate else 100 * (other - value) / other

    def chance(self, value: float, other: float) -> float:
        """Return the standard error of the gain, in its unit, as the validation data are a sample:
        that of a difference of two rates, which is too large for two models that err on the same
        examples. 0 for a perplexity, which many tokens tell."""
        if not self.is_rate:
            return 0.0
        variance = sum(rate * (1 - rate) for rate in (value, other)) / max(1, self.answers)
        return 100 * math.sqrt(max(0.0, variance))


@dataclass(frozen=True, slots=True)
class Run:
    """A model that was trained once."""

    model: Model
    seed: int
    value: float  # of the metric, on all validation data
    parameters: int
    width: int | None  # hidden units of a layer and direction, or filters; None: it has none
    seconds: float  # spent in training steps, or in learning a linear model
    rate: float  # records a second when it runs
    size: int  # bytes of its weights on disk
    curve: tuple[tuple[int, float], ...] = ()  # step and metric of each evaluation on the way


@dataclass(frozen=True, slots=True)
class Row:
    """The runs of one model together."""

    model: Model
    runs: tuple[Run, ...]

    def mean(self, of: Callable[[Run], float] = lambda run: run.value) -> float:
        """Return the mean over the runs, of the metric or of another number."""
        return fmean(map(of, self.runs))

    @property
    def spread(self) -> float | None:
        """The standard deviation of the metric over the seeds; None if there is only one."""
        if not self.model.seeded:
            return 0.0
        return stdev(run.value for run in self.runs) if len(self.runs) > 1 else None

    def to_json(self, metric: Metric, question: Question) -> dict[str, Any]:
        """Return the object of `--json`."""
        run = self.runs[0]
        return {
            "model": self.model.name,
            "kind": self.model.kind.value,
            "metric": metric.name,
            "mean": self.mean(),
            "spread": self.spread,
            "values": [each.value for each in self.runs],
            "seeds": [each.seed for each in self.runs],
            "parameters": run.parameters,
            "width": run.width,
            "training_seconds": self.mean(lambda each: each.seconds),
            f"{question.records}_per_second": self.mean(lambda each: each.rate),
            "bytes": run.size,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """The runs so far."""

    question: Question
    metric: Metric
    models: tuple[Model, ...]  # in the order of the table
    runs: tuple[Run, ...] = ()

    def plus(self, run: Run) -> Comparison:
        """Return the comparison with one more run."""
        return replace(self, runs=(*self.runs, run))

    def rows(self) -> list[Row]:
        """Return a row for each model that has a run."""
        of_models = (
            Row(model, tuple(run for run in self.runs if run.model == model))
            for model in self.models
        )
        return [row for row in of_models if row.runs]

    def answer(self) -> str:
        """Return what the runs say, in a few sentences; empty as long as they say nothing.

        A difference counts if it is larger than its spread, the root of the sum of both models'
        variances over the seeds, and than what the validation data tell apart.
        """
        rows = self.rows()
        cells = self._best_first(rows, Kind.CELL)
        sighted = self._best_first(rows, Kind.CELL, Kind.ORDERED)
        blind = self._best_first(rows, Kind.BLIND)
        found = []
        if sighted and blind:
            found.append(self._about_order(sighted[0], blind[0]))
        if len(cells) > 1:
            found.append(self._about_cells(cells))
        if cells:
            others = [r for r in rows if r.model.kind in (Kind.ORDERED, Kind.OTHER)]
            found += self._about_others(cells[0], others)
        if found and any(row.spread is None for row in rows):
            found.append("With one seed nothing is known of the spread.")
        return " ".join(found)

    def _best_first(self, rows: Sequence[Row], *kinds: Kind) -> list[Row]:
        chosen = [row for row in rows if row.model.kind in kinds]
        return sorted(chosen, key=Row.mean, reverse=self.metric.is_rate)

    def _difference(self, row: Row, other: Row) -> _Difference:
        value, reference = row.mean(), other.mean()
        spread = None
        if row.spread is not None and other.spread is not None:
            whole = 1.0 if self.metric.is_rate else reference
            spread = 100 * math.hypot(row.spread, other.spread) / whole
        return _Difference(
            self.metric.gain(value, reference), spread, self.metric.chance(value, reference)
        )

    def _about_order(self, row: Row, other: Row) -> str:
        found = self._difference(row, other)
        subject = _capitalized(self.question.subject)
        figures = " against ".join(
            f"{each.model.title} {format_value(each.mean())}" for each in (row, other)
        )
        if found.is_clear:
            described = self.metric.described(str(found), better=found.gain > 0)
            return f"{subject} {described} {self.question.blind} ({figures})."
        text = f"{subject} makes no difference that shows: {found} {self.metric.unit} ({figures})"
        if found.spread is not None and abs(found.gain) <= found.spread:
            return f"{text}."
        return (
            f"{text}; {self.metric.answers:,} validation answers do not tell less than "
            f"{found.chance:.1f} {self.metric.unit} from chance."
        )

    def _about_cells(self, cells: Sequence[Row]) -> str:
        best, *others = cells
        close = [row for row in others if not self._difference(best, row).is_clear]
        if not close:
            found = self._difference(best, others[0])
            second = others[0].model.title
            return (
                f"Of the cells, {best.model.title} is the best, by {found} {self.metric.unit} "
                f"over {second}."
            )
        equal = [best, *close]
        names = _capitalized(_listed([row.model.title for row in equal]))
        fastest = max(equal, key=lambda row: row.mean(lambda run: run.rate))
        return (
            f"{names} are within the spread of each other; "
            f"{fastest.model.title} is the fastest of them in PyTorch."
        )

    def _about_others(self, cell: Row, others: Sequence[Row]) -> list[str]:
        better = [
            (found.gain, row, found)
            for row in others
            if (found := self._difference(row, cell)).is_clear and found.gain > 0
        ]
        if not better:
            return []
        _, row, found = max(better, key=lambda each: each[0])
        return [f"Better than every cell, by {found} {self.metric.unit}: {row.model.title}."]


@dataclass(frozen=True, slots=True)
class _Difference:
    """How much better one model is than another, in the unit of the metric's gains."""

    gain: float
    spread: float | None  # over the seeds; None: unknown
    chance: float  # as the validation data are a sample

    @property
    def is_clear(self) -> bool:
        return abs(self.gain) > max(self.spread or 0.0, self.chance)

    def __str__(self) -> str:
        spread = "" if self.spread is None else f" ± {self.spread:.1f}"
        return f"{abs(self.gain):.1f}{spread}"


def format_value(value: float) -> str:
    """Format a metric for a reader's eyes: a rate with four decimals, a perplexity with two."""
    return f"{value:.4f}" if value < 1 else f"{value:.2f}"


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
