"""The n-gram model of a classifier: what it learns from, its file, and the sum with a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rnntext.calibration import fit_mixture, fit_temperature
from rnntext.checkpoint import NGRAMS
from rnntext.metrics import classification_metrics
from rnntext.ngrams import NgramModel, Tables
from rnntext.training.data.examples import LabelledIds, LabelledRows, TextRows
from rnntext.training.linear.ngrams import Strength
from rnntext.training.tasks import ngram_half
from rnntext.training.tasks.classification import Classification
from rnntext.training.tasks.ngram_half import WEIGHT, NgramHalf
from tests.training.models import CPU, DOCUMENTS, LABELS, Array, random_model, softmax

TEXTS = ["red apple", "a red rose", "green leaf", "blue sky", "the blue sea"]
GOLD = [0, 0, 1, 2, 2]
VALID = ["red sky", "green sea", "", "a blue rose", "red red green"]


def labels_of(numbers: Sequence[int]) -> list[Array]:
    return [np.array([n], np.int32) for n in numbers]


def cross_entropy(logits: Tensor, labels: Sequence[Array]) -> Tensor:
    gold = torch.from_numpy(np.concatenate(labels)).long()
    return torch.nn.functional.cross_entropy(logits, gold, reduction="sum")


def learned(**changes: Any) -> NgramHalf:
    half = NgramHalf(TextRows.of(TEXTS), VALID, 3, False)
    gold = labels_of(GOLD)
    options: dict[str, Any] = {
        "labels_of": lambda index: [gold[i] for i in index],
        "valid_labels": labels_of([0, 1, 2, 2, 0]),
        "loss": cross_entropy,
        "minutes": None,
        "seed": 0,
    }
    half.learn(**{**options, **changes})
    return half


def test_it_scores_the_validation_texts_as_its_file_does() -> None:
    half = learned()
    assert half.texts == 5
    tables = Tables.parse(half.files({})[NGRAMS])
    assert tables.scale == 1
    np.testing.assert_allclose(NgramModel(tables, 3).logits(VALID), half.valid_logits, rtol=1e-6)
    assert half.valid_logits[[0, 1, 3]].argmax(1).tolist() == [0, 1, 2]


def test_the_file_has_the_weight_of_the_metrics() -> None:
    half = learned()
    assert Tables.parse(half.files({WEIGHT: 0.25})[NGRAMS]).scale == 0.25
    np.testing.assert_allclose(
        half.model(0.25).logits(VALID), half.valid_logits / 4, rtol=1e-5, atol=1e-6
    )


def test_a_run_that_continues_has_the_same_model() -> None:
    half = learned()
    again = NgramHalf(TextRows.of([]), VALID, 3, False)
    again.restore(half.files({WEIGHT: 0.25})[NGRAMS])
    assert again.valid_logits.tolist() == half.valid_logits.tolist()
    assert again.files({WEIGHT: 0.5}) == half.files({WEIGHT: 0.5})


def test_the_weights_are_learned_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    def loss(logits: Tensor, labels: Sequence[Array]) -> Tensor:
        if logits.requires_grad:
            seen.append(torch.get_num_threads())
        return cross_entropy(logits, labels)

    torch.set_num_threads(2)
    try:
        learned(loss=loss)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_there_is_no_file_before_it_has_learned() -> None:
    assert NgramHalf(TextRows.of(TEXTS), VALID, 3, False).files({}) == {}


def test_the_strength_of_the_least_loss_on_validation_data_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strengths = (Strength(0.001, 0.001), Strength(1.0, 1.0), Strength(0.01, 0.0))
    alone = {}
    for strength in strengths:
        monkeypatch.setattr(ngram_half, "STRENGTHS", (strength,))
        half = learned()
        gold = labels_of([0, 1, 2, 2, 0])
        alone[strength] = float(cross_entropy(torch.from_numpy(half.valid_logits), gold))
    monkeypatch.setattr(ngram_half, "STRENGTHS", strengths)
    half = learned()
    found = float(cross_entropy(torch.from_numpy(half.valid_logits), gold))
    assert found == pytest.approx(min(alone.values()))
    assert min(alone, key=alone.__getitem__) == strengths[1]


def test_many_texts_are_learned_from_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram_half, "largest_size", lambda minutes: int(minutes))
    assert learned(minutes=600).texts == 3
    assert learned(minutes=10_000).texts == 5
    monkeypatch.setattr(ngram_half, "_MAX_LOGITS", 9)
    assert learned(minutes=10_000).texts == 3


def test_more_labels_than_tables_can_tell_apart_have_none() -> None:
    assert NgramHalf.is_possible(256)
    assert not NgramHalf.is_possible(257)


def test_two_labels_have_one_column_unless_both_may_be_right() -> None:
    for multi, columns in ((False, 1), (True, 2)):
        half = NgramHalf(TextRows.of(["a", "b", "a c", "b d"]), ["a", "b"], 2, multi)
        gold = labels_of([0, 1, 0, 1])

        def loss(logits: Tensor, labels: Sequence[Array]) -> Tensor:
            assert logits.shape[1] == 2
            return cross_entropy(logits, labels)

        half.learn(lambda index, gold=gold: gold, labels_of([0, 1]), loss, None, 0)
        assert len(half.model(1.0).tables.bias) == columns
        assert half.valid_logits.argmax(1).tolist() == [0, 1]


# The objective of a classifier with such a model


def objective(*, multi: bool = False, balanced: bool = False, **changes: Any) -> Classification:
    """Five documents with texts of their own, trained and validated on."""
    gold = [np.array([n], np.int32) for n in GOLD]
    given = LabelledIds(list(DOCUMENTS), gold)
    half = NgramHalf(TextRows.of(TEXTS), VALID, 3, multi)
    options: dict[str, Any] = {
        "labels": LABELS, "multi_label": multi, "balanced": balanced, "batch_size": 4,
        "max_length": 50, "seed": 0, "machine": CPU, "ngrams": half,
    }  # fmt: skip
    return Classification(LabelledRows.of(given), given, **{**options, **changes})


def truth() -> Array:
    return np.eye(3)[GOLD]


def network_logits(made: Classification, model: Any) -> Array:
    return made._documents.logits(model, DOCUMENTS).numpy()


def test_preparing_learns_once_and_tells_how_good_the_n_grams_are() -> None:
    made = objective()
    (event,) = made.prepare({})
    assert event.texts == 5
    assert made._ngrams is not None
    expected = classification_metrics(
        [LABELS[n] for n in GOLD], softmax(made._ngrams.valid_logits.astype(float)), LABELS, False
    )
    assert event.metrics["accuracy"] == expected["accuracy"]
    assert event.seconds > 0
    again = objective()
    assert list(again.prepare(made.files({}))) == []
    assert again.files({}) == made.files({})
    without = objective(ngrams=None)
    assert list(without.prepare({})) == []
    assert without.files({}) == {}


@pytest.mark.parametrize("multi", [False, True])
def test_an_evaluation_measures_the_sum(multi: bool) -> None:
    made, model = objective(multi=multi), random_model("classify", multi=multi)
    list(made.prepare({}))
    assert made._ngrams is not None
    logits = network_logits(made, model)
    weights = fit_mixture(logits, made._ngrams.valid_logits, truth(), multi)
    found = made.evaluate(model)
    assert found[WEIGHT] == pytest.approx(weights.second / weights.first)
    total = weights.first * logits + weights.second * made._ngrams.valid_logits
    probabilities = 1 / (1 + np.exp(-total)) if multi else softmax(total.astype(float))
    gold: Any = [{LABELS[n]} for n in GOLD] if multi else [LABELS[n] for n in GOLD]
    expected = classification_metrics(gold, probabilities, LABELS, multi)
    assert found["accuracy"] == expected["accuracy"]
    assert found["log_loss"] == pytest.approx(expected["log_loss"], rel=1e-4)
    assert found["ece"] == pytest.approx(expected["ece"], rel=1e-3)
    np.testing.assert_array_equal(network_logits(made, model), logits)


def test_each_half_is_trained_to_its_own_best() -> None:
    """By default the best checkpoint is that of the network by itself; a metric that is named is
    one of the sum."""
    made, model = objective(), random_model("classify")
    list(made.prepare({}))
    assert (made.metric, made.higher_is_better) == ("network_log_loss", False)
    logits = network_logits(made, model).astype(float)
    calibrated = softmax(logits / fit_temperature(logits, truth(), False))
    expected = classification_metrics([LABELS[n] for n in GOLD], calibrated, LABELS, False)
    found = made.evaluate(model)
    assert found["network_log_loss"] == pytest.approx(expected["log_loss"], rel=1e-4)
    assert found["log_loss"] != pytest.approx(expected["log_loss"], rel=0.01)
    for select, higher in (("log_loss", False), ("accuracy", True)):
        chosen = objective(select=select)
        assert (chosen.metric, chosen.higher_is_better) == (select, higher)


@pytest.mark.parametrize("multi", [False, True])
def test_the_finished_network_is_weighted_and_both_halves_are_measured(multi: bool) -> None:
    made, model = objective(multi=multi), random_model("classify", multi=multi)
    list(made.prepare({}))
    assert made._ngrams is not None
    before = network_logits(made, model)
    weights = fit_mixture(before, made._ngrams.valid_logits, truth(), multi)
    found = made.final_metrics(model, quick=False)
    np.testing.assert_allclose(network_logits(made, model), weights.first * before, rtol=1e-4)
    halves = made.halves()
    assert halves[WEIGHT] == pytest.approx(weights.second)
    assert Tables.parse(made.files(halves)[NGRAMS]).scale == pytest.approx(weights.second)
    # The validation data were not held out, so nothing more is learned from them.
    assert made.finished_files() == made.files(halves)
    assert made.seconds_to_finish() == 0
    total = weights.first * before + weights.second * made._ngrams.valid_logits
    assert found["ece"] == pytest.approx(
        classification_metrics(
            [{LABELS[n]} for n in GOLD] if multi else [LABELS[n] for n in GOLD],
            1 / (1 + np.exp(-total)) if multi else softmax(total.astype(float)),
            LABELS,
            multi,
        )["ece"],
        rel=1e-3,
    )
    for name, logits in (("network", before), ("ngrams", made._ngrams.valid_logits)):
        probabilities = 1 / (1 + np.exp(-logits)) if multi else softmax(logits.astype(float))
        gold: Any = [{LABELS[n]} for n in GOLD] if multi else [LABELS[n] for n in GOLD]
        expected = classification_metrics(gold, probabilities, LABELS, multi)
        shown = "micro_f1" if multi else "accuracy"
        assert halves[f"{name}_{shown}"] == expected[shown]


def test_a_temperature_is_fitted_to_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """An int8 network is calibrated again where it is added to the n-grams, which stay."""
    made, model = objective(), random_model("classify")
    list(made.prepare({}))
    made.final_metrics(model, quick=False)
    logits = 3 * network_logits(made, model)

    class Running:
        def __init__(self, model: Any) -> None: ...

        def logits(self, ids: Sequence[Array]) -> Array:
            assert len(ids) == 5
            return logits

        def probabilities_in_blocks(self, ids: Sequence[Array], added: Any) -> Any:
            for block in (slice(0, 2), slice(2, 5)):
                yield block, softmax((logits[block] + added(block)).astype(float))

    monkeypatch.setattr("rnntext.runtime.classifier.Classifier", Running)
    assert made._ngrams is not None
    added = made.halves()[WEIGHT] * made._ngrams.valid_logits
    expected = fit_temperature(logits, truth(), False, added)
    running: Any = None
    assert made.fit_temperature(running, quick=False) == pytest.approx(expected)
    assert expected != pytest.approx(fit_temperature(logits, truth(), False))
    measured = made.evaluate_runtime(running, quick=False)
    gold = [LABELS[n] for n in GOLD]
    assert (
        measured["accuracy"]
        == classification_metrics(gold, softmax((logits + added).astype(float)), LABELS, False)[
            "accuracy"
        ]
    )


def test_balanced_classes_weigh_in_the_n_grams_too() -> None:
    plain, balanced = objective(), objective(balanced=True)
    list(plain.prepare({}))
    list(balanced.prepare({}))
    assert plain._ngrams is not None
    assert balanced._ngrams is not None
    # Green is seen once, the other two twice: it becomes likelier where nothing is known.
    empty = VALID.index("")
    one, two = (softmax(h._ngrams.valid_logits.astype(float))[empty, 1] for h in (plain, balanced))
    assert two > one


@pytest.mark.parametrize("multi", [False, True])
def test_what_was_held_out_is_learned_from_in_the_end(multi: bool) -> None:
    def made(*, held_out: bool) -> Classification:
        gold = labels_of(GOLD)
        return Classification(
            LabelledRows.of(LabelledIds(DOCUMENTS, gold)),
            LabelledIds(DOCUMENTS, labels_of([0, 1, 2, 2, 0])),
            labels=LABELS,
            multi_label=multi,
            balanced=False,
            batch_size=4,
            max_length=50,
            seed=0,
            machine=CPU,
            ngrams=NgramHalf(TextRows.of(TEXTS), VALID, 3, multi),
            held_out=held_out,
        )

    models = []
    for held_out in (False, True):
        first = made(held_out=held_out)
        assert first.seconds_to_finish() == 0
        list(first.prepare({}))
        assert (first.seconds_to_finish() > 0) == held_out
        on_the_way = first.files({})
        measured = first.final_metrics(random_model("classify", LABELS), quick=False)
        files = first.finished_files()
        assert first.files({}) == on_the_way
        # A run that continues from a state ends with the same file.
        again = made(held_out=held_out)
        list(again.prepare(on_the_way))
        assert again.final_metrics(random_model("classify", LABELS), quick=False) == measured
        assert again.finished_files() == files
        tables = Tables.parse(files[NGRAMS])
        assert tables.scale == pytest.approx(first.halves()[WEIGHT])
        models.append(NgramModel(replace(tables, scale=1.0), 3))
    # "red red green" is of the first class in the validation data alone.
    apart, together = (model.logits(["red red green"])[0] for model in models)
    assert together[0] - together[1] > apart[0] - apart[1]


def test_a_part_of_the_data_is_not_learned_from_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert learned().learns_from_all
    monkeypatch.setattr(ngram_half, "largest_size", lambda minutes: 600)
    assert not learned().learns_from_all
