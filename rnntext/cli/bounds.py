"""Bounds that metrics must meet: `--min` and `--max` of `evaluate`.

Knows: how a bound is written, which metrics and labels it may name, and when it is met. Does not
know: how metrics are computed or printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnntext.arguments import METRIC_BOUND
from rnntext.config import listed
from rnntext.errors import UsageError
from rnntext.text.source import for_message

# A label's own figures, which a bound names as `f1.LABEL`.
LABEL_FIGURES = ("precision", "recall", "f1", "support")


def parse_bounds(flag: str, values: Sequence[str] | None) -> dict[str, float]:
    """Return the bounds of an option, METRIC=VALUE each, by metric. Raises UsageError."""
    bounds: dict[str, float] = {}
    for bound in values or ():
        # A label may hold an equals sign, a number never does.
        of_label = bound.lstrip().startswith(tuple(f"{name}." for name in LABEL_FIGURES))
        name, _, value = bound.rpartition("=") if of_label else bound.partition("=")
        try:
            bounds[name] = METRIC_BOUND.parse("VALUE", value)
        except UsageError as error:
            raise UsageError(
                f"{flag} {bound}: write METRIC=VALUE, as accuracy=0.9; {error}"
            ) from None
    return bounds


def known_bounds(
    bounds: Mapping[str, float], metrics: Sequence[str], labels: Sequence[str]
) -> dict[str, float]:
    """Return the bounds by the names of the metrics, without the spaces around them. Raises
    UsageError for one that is neither among `metrics` nor the figure of one of `labels`."""
    known = set(labels)
    found = {}
    for written, value in bounds.items():
        # A label may begin or end with a space.
        names = [name for name in (written, written.strip()) if _is_known(name, metrics, known)]
        if not names:
            raise _unknown(written.strip(), metrics, labels)
        found[names[0]] = value
    return found


def unmet_bounds(
    metrics: Mapping[str, Any], floors: Mapping[str, float], ceilings: Mapping[str, float]
) -> list[str]:
    """Return a line for each bound that is not met. Raises UsageError for a metric whose value is
    not known of this model: bits per byte, if the tokenizer loses text."""
    values = {name: _value(metrics, name) for name in (*floors, *ceilings)}
    for name, value in values.items():
        if value is None:
            raise UsageError(f"{name} is not known of this model: leave it out")
    return [
        *(_unmet(metrics, n, "less", v) for n, v in floors.items() if values[n] < v),
        *(_unmet(metrics, n, "more", v) for n, v in ceilings.items() if values[n] > v),
    ]


def _is_known(name: str, metrics: Sequence[str], labels: set[str]) -> bool:
    figure, dot, label = name.partition(".")
    return name in metrics or (dot != "" and figure in LABEL_FIGURES and label in labels)


def _unknown(name: str, metrics: Sequence[str], labels: Sequence[str]) -> UsageError:
    figure, dot, label = name.partition(".")
    if dot and figure in LABEL_FIGURES and labels:
        names = listed([for_message(each) for each in labels])
        return UsageError(f"there is no label {for_message(label)!r} here: there are {names}")
    of_labels = [f"{each}.LABEL" for each in LABEL_FIGURES] if labels else []
    names = ", ".join([*metrics, *of_labels])
    return UsageError(f"there is no metric {for_message(name)!r} here: there are {names}")


def _value(metrics: Mapping[str, Any], name: str) -> Any:
    figure, dot, label = name.partition(".")
    if name in metrics or not dot:
        return metrics.get(name)
    # A label of the model that these data do not have, and that was not predicted, has no entry
    # in a tagger's table: its figures are those of a classifier's label of which there is none.
    return metrics["per_label"].get(label, {}).get(figure, 0)


def _unmet(metrics: Mapping[str, Any], name: str, relation: str, bound: float) -> str:
    line = f"{for_message(name)} is {_value(metrics, name):.6g}, {relation} than {bound:g}"
    _, dot, label = name.partition(".")
    if name in metrics or not dot or _value(metrics, f"support.{label}"):
        return line
    return f"{line} (no gold label of the data is this one)"
