"""Which trial of a search comes next, and which options are chosen in the end.

Knows: the rows of a search's table, successive halving (Jamieson and Talwalkar 2016) over them, and
when a better figure is more than chance. Does not know: which options there are, how a trial is
run, files or PyTorch.

A search tries some candidates, each in a training run of the same length, then the better half of
them in runs of twice that length, until two are left. The defaults are candidate 0 and take part
in every round, so that what is chosen is compared with them at the same length. A longer trial
begins anew and does not continue the shorter one: the learning rate of that has come down to its
end. Models of the objective (Bayesian optimization) need tens of trials before they are better than
random draws; a budget of minutes has room for fewer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rnntext.json_fields import FieldError, read_record

# Numbers of candidates, and the shortest first trial in seconds with which so many are tried. Few
# steps tell little, so with less time there are fewer candidates rather than shorter trials.
_SIZES = ((16, 60.0), (8, 10.0), (4, 6.0), (2, 6.0))
# Metrics of which a smaller value is better.
_LOSSES = ("log_loss", "tag_log_loss", "perplexity")


@dataclass(frozen=True, slots=True)
class Plan:
    """How many candidates a search begins with, a power of two, and the seconds of a trial in the
    first round."""

    candidates: int
    seconds: float

    def trial_seconds(self, round_number: int) -> float:
        """Return the seconds of a trial in a round, counted from 1."""
        return float(self.seconds * 2 ** (round_number - 1))

    def size(self, round_number: int) -> int:
        """Return the number of candidates in a round, at least 2; 0 after the last round."""
        size = self.candidates >> (round_number - 1)
        return size if size >= 2 else 0

    def trials(self) -> int:
        """Return the number of trials in all rounds."""
        return 2 * self.candidates - 2


def plan_search(seconds: float, candidates: int) -> Plan | None:
    """Plan a search of so many seconds over at most so many candidates; None if it is too short, or
    if there are no candidates but the defaults."""
    for size, least in _SIZES:
        rounds = size.bit_length() - 1  # each takes as long as the first
        shortest = seconds / (rounds * size)
        if size <= candidates and shortest >= least:
            return Plan(size, shortest)
    return None


@dataclass(frozen=True, slots=True)
class Trial:
    """A row of the table: one finished or failed trial."""

    trial: int  # its number, from 1, in the order in which they were run
    round: int  # from 1
    candidate: int  # 0: the defaults
    options: dict[str, Any]  # that differ from the defaults
    minutes: float  # that it was given
    seconds: float = 0.0  # that it took
    steps: int = 0
    parameters: int = 0
    # The figures of its best evaluation, on the part of the validation data that every evaluation
    # on the way reads: the same for all trials.
    metrics: dict[str, float] = field(default_factory=dict)
    answers: int = 0  # tokens, texts, words or spans that the compared one is about
    error: str | None = None  # why it failed
    chosen: bool = False  # of the options that are chosen: the trial that decided
    kept: bool = False  # its model is the one that was saved, not that of the final run

    @property
    def done(self) -> bool:
        """True if the trial did not fail."""
        return self.error is None

    def to_json(self) -> dict[str, Any]:
        """The fields in order; the last three only where they say something."""
        content = asdict(self)
        return {n: v for n, v in content.items() if v or n not in ("error", "chosen", "kept")}


def table_of(trials: Sequence[Trial]) -> bytes:
    """Return the content of `tuning.jsonl`: a line for each trial."""
    return "".join(json.dumps(row.to_json()) + "\n" for row in trials).encode()


def trials_in(table: bytes) -> tuple[Trial, ...]:
    """Return the trials of a `tuning.jsonl`. Raises FieldError."""
    try:
        rows = [json.loads(line) for line in table.splitlines()]
    except ValueError as error:
        raise FieldError(f"a line is not JSON: {error}") from None
    return tuple(read_record(Trial, row, f"[{n}]") for n, row in enumerate(rows))


def target_of(names: Sequence[str], metrics: Mapping[str, Any]) -> str | None:
    """Return the first of `names` that is among these metrics."""
    return next((name for name in names if name in metrics), None)


def score(trial: Trial, target: str) -> float:
    """Return a number that is larger for a better trial: the metric, or minus a mean loss in nats.
    It is minus infinity for a trial that failed."""
    value = trial.metrics.get(target, math.nan)
    if not trial.done or not math.isfinite(value):
        return -math.inf
    if target == "perplexity":
        return -math.log(max(value, 1.0))
    return -value if target in _LOSSES else value


def margin_of(trial: Trial, target: str) -> float:
    """Return by how much a score has to be better than that of this trial to be more than chance.

    Of a rate p of n answers it is its standard error, sqrt(p (1 - p) / n), of a mean loss half of
    the loss over sqrt(n). An F1 is no rate, but the same formula with it as p comes near its
    standard error: simulated answers gave 0.7 times it for spans (n of them in the data), for
    `micro_f1` of n texts 0.9 times it with 0.8 labels a text and 0.5 times it with 2, and for
    `macro_f1` of n texts 1.0 (even labels) to 1.4 times it (20 labels, most of them rare).

    Two models of one kind err on the same examples, so that the standard error of their difference
    (paired, which needs the answers of both) is smaller. Measured for two sets of options: 0.6 of
    that of the accuracy, and 0.33 times the loss over sqrt(n), on 872 sentences of SST-2; 0.35
    times it on 11,000 words, by a language model. So the margin is about 1.5 paired standard
    errors. The best of 7 candidates that are as good as the defaults is better by 1.35 of them, on
    average.
    """
    n = max(1, trial.answers)
    found = score(trial, target)
    if target in _LOSSES:
        return abs(found) / (2 * math.sqrt(n))
    return math.sqrt(max(0.0, found * (1 - found)) / n)


def is_better(trial: Trial, other: Trial, target: str) -> bool:
    """Return True if a trial is better than another by more than chance, or the other failed."""
    reached = score(other, target)
    return reached == -math.inf or score(trial, target) - reached > margin_of(other, target)


def saved_options(table: Sequence[Trial]) -> dict[str, Any]:
    """Return the options, beside those of the defaults, of the model that a search saved with this
    table: of the trial that was kept, or else of the one that decided."""
    rows = [row for row in table if row.kept] or [row for row in table if row.chosen]
    return rows[0].options if rows else {}


def is_flattered(table: Sequence[Trial]) -> bool:
    """Return True if the figures of the saved model are the best of several on the same data, and
    not simply those of the defaults."""
    return bool(saved_options(table)) or any(row.kept for row in table)


def _done(table: Sequence[Trial], target: str) -> list[Trial]:
    """Return the trials that have a figure to compare."""
    return [row for row in table if score(row, target) > -math.inf]


@dataclass(frozen=True, slots=True)
class Choice:
    """What a search chose."""

    target: str  # the metric that was compared
    trial: Trial  # the trial that decided, of the options that are chosen
    best: Trial  # the best trial of the same round
    default: Trial | None  # the defaults' in that round; None if they failed
    margin: float  # by which the score has to be better than that of the defaults


@dataclass(frozen=True, slots=True)
class Search:
    """Successive halving over a table of trials. Everything follows from the table alone, so that a
    search goes on where it was interrupted."""

    plan: Plan
    targets: tuple[str, ...]  # metrics, of which the first that trials have is compared

    def target(self, table: Sequence[Trial]) -> str:
        """Return the metric that is compared; empty if no trial is done."""
        metrics: Mapping[str, float] = next((row.metrics for row in table if row.done), {})
        return target_of(self.targets, metrics) or ""

    def next(self, table: Sequence[Trial]) -> tuple[int, int] | None:
        """Return round and candidate of the next trial; None after the last."""
        number = 1
        while self.plan.size(number):
            entrants = self._entrants(table, number)
            if len(entrants) < 2:  # the others failed
                return None
            tried = {row.candidate for row in table if row.round == number}
            for candidate in entrants:
                if candidate not in tried:
                    return number, candidate
            number += 1
        return None

    def _entrants(self, table: Sequence[Trial], number: int) -> list[int]:
        """Return the candidates of a round, the defaults first, then the better ones first."""
        if number == 1:
            return list(range(self.plan.candidates))
        target = self.target(table)
        before = [row for row in _done(table, target) if row.round == number - 1]
        ranked = sorted(before, key=lambda row: -score(row, target))
        others = [row.candidate for row in ranked if row.candidate != 0]
        defaults = [0] if len(others) < len(ranked) else []
        return [*defaults, *others[: self.plan.size(number) - len(defaults)]]

    def best(self, table: Sequence[Trial]) -> Trial | None:
        """Return the trial with the best figure of all rounds, the earliest of equals."""
        target = self.target(table)
        return max(_done(table, target), key=lambda row: score(row, target), default=None)

    def missing(self, table: Sequence[Trial]) -> int:
        """Return how many trials are still to come if none of them fails."""
        following = self.next(table)
        if following is None:
            return 0
        number, _ = following
        here = len(self._entrants(table, number)) - sum(row.round == number for row in table)
        later = self.plan.trials() - sum(self.plan.size(n) for n in range(1, number + 1))
        return here + later

    def choose(self, table: Sequence[Trial]) -> Choice | None:
        """Choose among the trials of the last round in which the defaults and others are done; None
        if no trial is.

        The best of several figures on the same validation data is better than what it stands for.
        So the defaults stay unless another trial is better by more than a margin, see `margin_of`
        (as the rule of Breiman et al. 1984 takes the simplest tree within one standard error of
        the best).
        """
        target = self.target(table)
        done = _done(table, target)
        if not done:
            return None
        rounds = sorted({row.round for row in done}, reverse=True)
        of_round = {n: [row for row in done if row.round == n] for n in rounds}
        decided = [
            n for n in rounds if len(of_round[n]) > 1 and any(r.candidate == 0 for r in of_round[n])
        ]
        rows = of_round[decided[0] if decided else rounds[0]]
        best = max(rows, key=lambda row: score(row, target))
        default = next((row for row in rows if row.candidate == 0), None)
        if default is None:
            return Choice(target, best, best, None, 0.0)
        chosen = best if is_better(best, default, target) else default
        return Choice(target, chosen, best, default, margin_of(default, target))
