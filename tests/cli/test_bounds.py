"""What a bound of `evaluate` may name, and when it is met."""

from __future__ import annotations

import pytest

from rnntext.cli.bounds import known_bounds, parse_bounds, unmet_bounds
from rnntext.errors import UsageError

NAMES = ("accuracy", "macro_f1")
LABELS = ("pos", "naïve café", " 好 ", "a.b=c")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (" accuracy =0.5", "accuracy"),
        ("f1.pos=0.5", "f1.pos"),
        (" recall.pos =0.5", "recall.pos"),
        ("support.naïve café=0.5", "support.naïve café"),
        # A label is what the file says, with its spaces, points and equals signs.
        ("precision. 好 =0.5", "precision. 好 "),
        ("f1.a.b=c=0.5", "f1.a.b=c"),
    ],
)
def test_names_of_bounds(written: str, name: str) -> None:
    assert known_bounds(parse_bounds("--min", [written]), NAMES, LABELS) == {name: 0.5}


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        (
            "f1.neg",
            LABELS[:2],
            "there is no label 'neg' here: there are pos, naïve café",
        ),
        (
            "f2.pos",
            LABELS,
            "there is no metric 'f2.pos' here: there are accuracy, macro_f1, precision.LABEL,"
            " recall.LABEL, f1.LABEL, support.LABEL",
        ),
        # A language model has no labels.
        ("f1.x", (), "there is no metric 'f1.x' here: there are accuracy, macro_f1"),
        ("f1.", (), "there is no metric 'f1.' here: there are accuracy, macro_f1"),
        (
            "f1.2\n",
            tuple(f"{n}\n" for n in range(100, 130)),
            "there is no label '2' here: there are "
            + ", ".join(repr(f"{n}\n") for n in range(100, 120))
            + " and 10 more",
        ),
    ],
)
def test_unknown_names(name: str, labels: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as error:
        known_bounds({name: 0.5}, NAMES, labels)
    assert str(error.value) == message


def test_bounds_of_labels_are_those_of_the_table() -> None:
    scores = {"precision": 0.75, "recall": 0.5, "f1": 0.6, "support": 4}
    none = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    metrics = {"accuracy": 0.5, "per_label": {"pos": scores, "a.b=c": none}}
    met = {"accuracy": 0.5, "precision.pos": 0.75, "recall.pos": 0.5, "f1.pos": 0.6}
    assert unmet_bounds(metrics, met, met) == []
    assert unmet_bounds(metrics, {n: v + 0.01 for n, v in met.items()}, {}) == [
        "accuracy is 0.5, less than 0.51",
        "precision.pos is 0.75, less than 0.76",
        "recall.pos is 0.5, less than 0.51",
        "f1.pos is 0.6, less than 0.61",
    ]
    absent = "(no gold label of the data is this one)"
    assert unmet_bounds(metrics, {"f1.a.b=c": 0.1, "f1.naïve café": 0.2}, {"support.pos": 3}) == [
        f"f1.a.b=c is 0, less than 0.1 {absent}",
        f"f1.naïve café is 0, less than 0.2 {absent}",
        "support.pos is 4, more than 3",
    ]


def test_a_metric_that_a_model_does_not_have() -> None:
    for metrics in ({"bits_per_byte": None}, {}):
        with pytest.raises(
            UsageError, match=r"^bits_per_byte is not known of this model: leave it"
        ):
            unmet_bounds(metrics, {"bits_per_byte": 1.0}, {})
