"""Rows of a comparison, and what may be said of them: figures worked out by hand."""

from __future__ import annotations

import math

import pytest

from rnntext.comparison import Comparison, Kind, Metric, Model, Question, Run

RNN, GRU = Model("rnn", "the RNN", Kind.CELL), Model("gru", "the GRU", Kind.CELL)
BAG = Model("bag", "the bag", Kind.BLIND)
FILTERS = Model("convolution", "the convolution", Kind.ORDERED)
NGRAMS = Model("ngrams", "the n-grams", Kind.OTHER, seeded=False)
QUESTION = Question("reading in order", "the order-blind model", "texts")
MANY = 10**9  # validation answers, which leave nothing to chance


def found(
    values: dict[Model, list[float]], metric: str = "accuracy", answers: int = MANY
) -> Comparison:
    comparison = Comparison(QUESTION, Metric(metric, answers), (RNN, GRU, BAG, FILTERS, NGRAMS))
    rates = {RNN: 50.0, GRU: 70.0}
    for model, each in values.items():
        for seed, value in enumerate(each):
            rate = rates.get(model, 10.0) + seed
            comparison = comparison.plus(
                Run(model, seed, value, 12, 3, 2.0 + seed, rate, 48, ((1, 0.5),))
            )
    return comparison


def test_a_row_has_the_mean_and_the_spread_of_its_runs_and_models_keep_their_order() -> None:
    comparison = found({BAG: [0.5, 0.7], RNN: [0.25], NGRAMS: [0.75]})
    rows = comparison.rows()
    assert [row.model for row in rows] == [RNN, BAG, NGRAMS]
    alone, bag, ngrams = rows
    assert bag.mean() == pytest.approx(0.6)
    assert bag.spread == pytest.approx(math.sqrt(0.02))
    assert bag.mean(lambda run: run.seconds) == 2.5
    assert alone.spread is None
    assert ngrams.spread == 0.0  # no random number took part
    assert bag.to_json(comparison.metric, QUESTION) == {
        "model": "bag",
        "kind": "blind",
        "metric": "accuracy",
        "mean": pytest.approx(0.6),
        "spread": pytest.approx(math.sqrt(0.02)),
        "values": [0.5, 0.7],
        "seeds": [0, 1],
        "parameters": 12,
        "width": 3,
        "training_seconds": 2.5,
        "texts_per_second": 10.5,
        "bytes": 48,
    }


def test_a_clear_gain_is_said_with_its_spread() -> None:
    # Standard deviations of 0.01 and 0.02 / sqrt(2), of which the squares add up to 0.0003.
    answer = found({RNN: [0.79, 0.80, 0.81], BAG: [0.70, 0.72]}).answer()
    spread = 100 * math.sqrt(0.0001 + 0.0002)
    assert answer == (
        f"Reading in order gains 9.0 ± {spread:.1f} points of accuracy over the order-blind model "
        "(the RNN 0.8000 against the bag 0.7100)."
    )


def test_a_clear_loss() -> None:
    answer = found({RNN: [0.60, 0.61], BAG: [0.70, 0.71]}).answer()
    assert answer.startswith("Reading in order loses 10.0 ± 1.0 points of accuracy over")


def test_what_is_within_the_spread_is_no_difference() -> None:
    answer = found({RNN: [0.80, 0.84], BAG: [0.79, 0.83]}).answer()
    assert answer == (
        "Reading in order makes no difference that shows: 1.0 ± 4.0 points "
        "(the RNN 0.8200 against the bag 0.8100)."
    )


def test_what_few_validation_answers_cannot_tell_is_no_difference() -> None:
    # sqrt((0.8 * 0.2 + 0.75 * 0.25) / 100) is 5.9 points.
    answer = found({RNN: [0.80, 0.80], BAG: [0.75, 0.75]}, answers=100).answer()
    assert answer == (
        "Reading in order makes no difference that shows: 5.0 ± 0.0 points (the RNN 0.8000 against "
        "the bag 0.7500); 100 validation answers do not tell less than 5.9 points from chance."
    )
    assert "gains 5.0" in found({RNN: [0.80, 0.80], BAG: [0.75, 0.75]}, answers=1000).answer()


def test_of_a_perplexity_less_is_better_and_a_gain_is_a_percentage() -> None:
    values = {RNN: [80.0, 80.0], GRU: [90.0, 90.0], BAG: [100.0, 110.0, 90.0]}
    assert found(values, "perplexity").answer() == (
        "Reading in order lowers the perplexity by 20.0 ± 10.0 % against the order-blind model "
        "(the RNN 80.00 against the bag 100.00). "
        "Of the cells, the RNN is the best, by 11.1 ± 0.0 % over the GRU."
    )
    worse = found({RNN: [120.0, 120.0], BAG: [100.0, 100.0]}, "perplexity").answer()
    assert "raises the perplexity by 20.0 ± 0.0 % against" in worse


def test_cells_within_the_spread_of_each_other_are_told_apart_by_their_speed() -> None:
    assert found({RNN: [0.80, 0.84], GRU: [0.79, 0.83]}).answer() == (
        "The RNN and the GRU are within the spread of each other; "
        "the GRU is the fastest of them in PyTorch."
    )


def test_any_model_that_sees_order_may_answer_the_question() -> None:
    answer = found({RNN: [0.8, 0.8], FILTERS: [0.9, 0.9], BAG: [0.7, 0.7]}).answer()
    assert "gains 20.0 ± 0.0 points" in answer
    assert answer.endswith("Better than every cell, by 10.0 ± 0.0 points: the convolution.")


def test_a_better_linear_model_is_named_and_a_worse_one_is_not() -> None:
    better = found({RNN: [0.8, 0.8], NGRAMS: [0.9]}).answer()
    assert better == "Better than every cell, by 10.0 ± 0.0 points: the n-grams."
    assert found({RNN: [0.8, 0.8], NGRAMS: [0.7]}).answer() == ""


def test_one_seed_says_nothing_of_the_spread() -> None:
    answer = found({RNN: [0.8], BAG: [0.7]}).answer()
    assert "gains 10.0 points of accuracy over" in answer
    assert answer.endswith("With one seed nothing is known of the spread.")


def test_no_runs_say_nothing() -> None:
    assert found({}).answer() == ""
    assert found({}).rows() == []
