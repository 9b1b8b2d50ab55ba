"""The objective of a classifier: batches, loss, calibration, and metrics computed independently."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from rnntext import calibration
from rnntext.calibration import fit_temperature
from rnntext.metrics import classification_metrics
from rnntext.training.data.examples import LabelledIds, LabelledRows, TextRows
from rnntext.training.networks.classifier import Classifier
from rnntext.training.tasks import classification as classification_module
from rnntext.training.tasks import labelled, ngram_half
from rnntext.training.tasks.classification import Classification
from rnntext.training.tasks.classifier import TASK, LabelledExamples
from rnntext.training.tasks.document_reader import DocumentReader
from tests.training.models import (
    CPU,
    DOCUMENTS,
    LABELS,
    Array,
    random_model,
    realistic,
    share_of_text,
    softmax,
)


def classification(
    documents: Sequence[Array],
    labels: Array,
    *,
    multi_label: bool = False,
    balanced: bool = False,
    batch_size: int = 4,
    max_length: int = 50,
    seed: int = 0,
    **options: Any,
) -> Classification:
    """An objective; labels are given as 0 and 1."""
    given = LabelledIds(list(documents), [np.flatnonzero(row) for row in labels])
    return Classification(
        LabelledRows.of(given),
        given,
        labels=LABELS,
        multi_label=multi_label,
        balanced=balanced,
        batch_size=batch_size,
        max_length=max_length,
        seed=seed,
        machine=CPU,
        **options,
    )


def one_hot(*labels: int) -> Array:
    return np.eye(3)[list(labels)]


def logits_alone(model: Classifier, ids: Array) -> Array:
    with torch.no_grad():
        logits = model(torch.from_numpy(ids)[None].long(), torch.tensor([len(ids)]))
    return logits[0].double().numpy()


GOLD = one_hot(0, 2, 1, 2, 2)


def loss_of_all(objective: Classification, model: Classifier, gold: Array) -> float:
    """Return the training loss of all documents in one batch."""
    (batch,) = objective.batches(0)
    expected = gold if objective.multi_label else gold.argmax(1)
    assert sorted(batch.labels.tolist()) == sorted(expected.tolist())
    loss, tokens = objective.loss(model, batch)
    assert tokens == 76
    return float(loss.detach())


def check_metrics(objective: Classification, model: Classifier, expected: dict[str, Any]) -> None:
    """Compare with the metrics of the model as it is, without calibrating it."""
    found = objective._metrics(objective._logits_in_blocks(model, range(len(DOCUMENTS))))
    check(objective, found, expected)


def check(objective: Classification, found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert objective.metric in found
    close = {name: pytest.approx(expected[name], rel=1e-4) for name in ("ece", "log_loss")}
    assert found == {**expected, **close}


def test_evaluation_equals_that_of_documents_one_by_one() -> None:
    model = random_model("classify")
    objective = classification(DOCUMENTS, GOLD, batch_size=5)
    logits = np.stack([logits_alone(model, ids) for ids in DOCUMENTS])
    probabilities = softmax(logits)
    losses = -np.log(probabilities[np.arange(5), GOLD.argmax(1)])
    assert loss_of_all(objective, model, GOLD) == pytest.approx(losses.mean(), rel=1e-5)
    check_metrics(
        objective, model, classification_metrics(list("acbcc"), probabilities, LABELS, False)
    )
    # An evaluation on the way measures the model as if it were calibrated, and leaves it.
    calibrated = softmax(logits / fit_temperature(logits, GOLD, False))
    expected = classification_metrics(list("acbcc"), calibrated, LABELS, False)
    check(objective, objective.evaluate(model.train()), expected)
    assert not model.training
    np.testing.assert_array_equal(logits, [logits_alone(model, ids) for ids in DOCUMENTS])


def test_multi_label_evaluation_equals_that_of_documents_one_by_one() -> None:
    model = random_model("classify", multi=True)
    gold = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 0], [0, 0, 1]])
    objective = classification(DOCUMENTS, gold, multi_label=True, batch_size=5)
    probabilities = 1 / (1 + np.exp(-np.stack([logits_alone(model, ids) for ids in DOCUMENTS])))
    losses = -np.log(np.where(gold == 1, probabilities, 1 - probabilities))
    assert loss_of_all(objective, model, gold) == pytest.approx(losses.mean(), rel=1e-5)
    sets = [{"a", "b"}, set(), {"b", "c"}, {"a"}, {"c"}]
    check_metrics(objective, model, classification_metrics(sets, probabilities, LABELS, True))


def test_training_reads_a_window_of_a_long_document_and_all_of_others() -> None:
    documents = [np.arange(100, 140), np.arange(5), np.arange(50, 60)]
    objective = classification(documents, one_hot(0, 1, 2), max_length=10, batch_size=2)
    starts = set()
    for epoch in range(12):
        rows = [
            ids[row, : lengths[row]].tolist()
            for ids, lengths, *_ in objective.batches(epoch)
            for row in range(len(ids))
        ]
        long = next(row for row in rows if row[0] >= 100)
        assert long == list(range(long[0], long[0] + 10))
        starts.add(long[0])
        assert sorted(rows)[:2] == [list(range(5)), list(range(50, 60))]
    assert len(starts) > 5
    assert min(starts) >= 100
    assert "1 documents have more than" in objective.remarks()[0]
    assert max(starts) <= 130


def test_class_weights_by_hand() -> None:
    """Of 5 documents the labels have 1, 1 and 3: weights 5 / (3 * 1) twice, and 5 / (3 * 3)."""
    model = random_model("classify")
    objective = classification(DOCUMENTS, GOLD, balanced=True, batch_size=5)
    weights = np.array([5 / 3, 5 / 3, 5 / 9])
    probabilities = softmax(np.stack([logits_alone(model, ids) for ids in DOCUMENTS]))
    gold = GOLD.argmax(1)
    losses = -np.log(probabilities[np.arange(5), gold]) * weights[gold]
    want = losses.sum() / weights[gold].sum()
    assert loss_of_all(objective, model, GOLD) == pytest.approx(want, rel=1e-5)
    unweighted = loss_of_all(classification(DOCUMENTS, GOLD, batch_size=5), model, GOLD)
    assert abs(unweighted - want) > 1e-3


def test_little_of_a_batch_is_padding() -> None:
    documents = realistic(5.0, 0.7)
    labels = one_hot(*(n % 3 for n in range(len(documents))))
    objective = classification(documents, labels, batch_size=32, max_length=400)
    assert share_of_text(objective.batches(0)) > 0.9


def test_batches_have_few_widths() -> None:
    documents = [np.zeros(length, np.int32) for length in range(1, 401)]
    objective = classification(
        documents, one_hot(*(n % 3 for n in range(400))), batch_size=2, max_length=400
    )
    widths = {batch.ids.shape[1] for epoch in range(3) for batch in objective.batches(epoch)}
    assert max(widths) == 400
    assert len(widths) < 80  # of 400


def test_a_quick_evaluation_and_a_sample_read_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelled, "QUICK_TOKENS", 41)
    monkeypatch.setattr(labelled, "SAMPLE_TOKENS", 10)
    read: list[list[int]] = []
    objective = classification(DOCUMENTS, GOLD, batch_size=2)

    def read_all(found: Iterable[tuple[Sequence[int], Array]]) -> None:
        read.append([number for part, _ in found for number in part])

    monkeypatch.setattr(objective, "metrics_of", read_all)
    model = random_model("classify")
    objective.evaluate(model, quick=True)
    share = objective.evaluate_sample(model)
    quick, sample = (sum(len(DOCUMENTS[i]) for i in chosen) for chosen in read)
    assert 41 <= quick < 76
    assert 10 <= sample < quick
    assert share == sample / 76
    assert objective.quick_fraction == quick / 76
    assert objective.steps_per_quick_evaluation == quick / (76 / objective.steps_per_epoch)
    assert objective.answers("log_loss") == len(read[0])


def test_answers_are_texts_however_many_labels_these_have() -> None:
    objective = classification(DOCUMENTS, GOLD, multi_label=True)
    for target in ("accuracy", "macro_f1", "micro_f1", "log_loss"):
        assert objective.answers(target) == len(DOCUMENTS)


@pytest.mark.parametrize("multi", [False, True])
def test_calibration_divides_the_logits_by_the_temperature(multi: bool) -> None:
    model = random_model("classify", multi=multi)
    objective = classification(DOCUMENTS, GOLD, multi_label=multi)
    before = np.stack([logits_alone(model, ids) for ids in DOCUMENTS])
    found = objective.final_metrics(model, quick=False)
    after = np.stack([logits_alone(model, ids) for ids in DOCUMENTS])
    ratio = before / after
    assert ratio == pytest.approx(fit_temperature(before, GOLD, multi), rel=1e-3)
    assert abs(ratio.mean() - 1) > 0.05
    check_metrics(objective, model, found)


@pytest.mark.parametrize("multi", [False, True])
def test_validation_documents_are_read_in_blocks(
    multi: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more labels than fit into memory the temperature is fitted on a part."""
    model = random_model("classify", multi=multi)
    objective = classification(DOCUMENTS, GOLD, multi_label=multi, max_length=16)
    whole = objective._metrics(objective._logits_in_blocks(model, range(5)))
    monkeypatch.setattr(classification_module, "_BLOCK_LOGITS", 9)
    read: list[int] = []
    documents = DocumentReader(CPU, 16)
    logits = documents.logits

    def counted(model: Classifier, documents: Sequence[Array]) -> torch.Tensor:
        read.append(len(documents))
        return logits(model, documents)

    monkeypatch.setattr(objective._documents, "logits", counted)
    check_metrics(objective, model, whole)
    # Three labels; the documents have 1, 1, 3, 2 and 1 windows.
    assert read == [2, 1, 2]
    monkeypatch.setattr(calibration, "MAX_TEMPERATURE_LOGITS", 9)
    sample = calibration.temperature_sample(5, 3)
    before = logits(model, DOCUMENTS).numpy()
    found = objective.final_metrics(model, quick=False)
    expected = fit_temperature(before[sample], GOLD[sample], multi)
    np.testing.assert_allclose(logits(model, DOCUMENTS), before / expected, rtol=1e-4)
    check_metrics(objective, model, found)


@pytest.mark.parametrize("multi", [False, True])
def test_an_evaluation_searches_only_the_temperature_that_is_new(
    multi: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The n-grams stay the same from one evaluation to the next, and the network is asked about
    twice in each."""
    monkeypatch.setattr(calibration, "_kept", {})
    texts = ["red apple", "blue sky", "green leaf", "a blue sea", "the blue sea"]
    half = ngram_half.NgramHalf(TextRows.of(texts), texts, 3, multi)
    objective = classification(DOCUMENTS, GOLD, multi_label=multi, ngrams=half)
    list(objective.prepare({}))
    searched: list[Array] = []
    search = calibration._search_temperature

    def counted(logits: Array, *more: Any) -> float:
        searched.append(logits)
        return search(logits, *more)

    monkeypatch.setattr(calibration, "_search_temperature", counted)
    model = random_model("classify", multi=multi)
    for evaluation in (1, 2, 3):
        with torch.no_grad():
            model.head.output.weight.mul_(1.5)
        found = objective.evaluate(model)
        assert len(searched) == evaluation + 1
        # What is kept changes no number.
        monkeypatch.setattr(calibration, "_kept", {})
        count = len(searched)
        assert objective.evaluate(model) == found
        del searched[count:]
    np.testing.assert_array_equal(searched[1], half.valid_logits)
    assert not any(np.array_equal(logits, half.valid_logits) for logits in searched[2:])


def test_the_digest_of_the_validation_data_is_that_of_earlier_versions() -> None:
    """They hashed the labels as 0 and 1, and a run that they saved can be resumed."""
    ids = [np.arange(3, dtype=np.int32), np.arange(1, dtype=np.int32)]
    labels = [np.array([1], np.int32), np.array([0, 2], np.int32)]
    valid = LabelledIds(ids, labels)
    texts = TextRows.of(["", ""])
    found = TASK.validation_digest(
        LabelledExamples(LabelledRows.of(valid), valid, 3, texts, texts, 2)
    )
    content = b"".join(np.int64(len(row)).tobytes() + row.astype(np.int64).tobytes() for row in ids)
    dense = np.array([[0, 1, 0], [1, 0, 1]], np.float32)
    assert found == hashlib.sha256(content + dense.tobytes()).hexdigest()


def test_an_epoch_of_documents() -> None:
    """Seed and epoch alone decide the order of the documents; labels stay with their texts."""
    count = 120
    documents = [np.full(1 + n % 9, n) for n in range(count)]
    labels = one_hot(*(n % 3 for n in range(count)))
    one, two = (classification(documents, labels, batch_size=8) for _ in range(2))
    orders = []
    for epoch in range(3):
        seen = []
        for ids, lengths, given, *_ in one.batches(epoch):
            for row in range(len(ids)):
                number = int(ids[row, 0])
                seen.append(number)
                assert int(lengths[row]) == 1 + number % 9
                assert ids[row, lengths[row] :].eq(0).all()
                assert int(given[row]) == number % 3
        assert len(seen) > 0.9 * count
        assert len(set(seen)) > 0.9 * count
        orders.append(seen)
    assert orders[0] != orders[1] != orders[2]
    assert [int(i) for ids, *_ in two.batches(2) for i in ids[:, 0]] == orders[2]
    other = classification(documents, labels, batch_size=8, seed=1)
    assert [int(i) for ids, *_ in other.batches(2) for i in ids[:, 0]] != orders[2]


# Document 1 and 3 have a label that training lacks.
UNSEEN = [[0], [4], [1], [3], [2]]
UNSEEN_SETS = [[0, 1], [0, 4], [], [3], [2]]


def with_unseen(*, multi: bool = False, **options: Any) -> Classification:
    """An objective whose validation data have labels `x` and `y` that training lacks."""
    rows = UNSEEN_SETS if multi else UNSEEN
    valid = LabelledIds(list(DOCUMENTS), [np.array(row, np.int32) for row in rows])
    train = LabelledIds(list(DOCUMENTS), [np.flatnonzero(row) for row in GOLD])
    return Classification(
        LabelledRows.of(train),
        valid,
        labels=LABELS,
        unseen=("x", "y"),
        multi_label=multi,
        balanced=False,
        batch_size=4,
        max_length=50,
        seed=0,
        machine=CPU,
        **options,
    )


def named(multi: bool) -> list[Any]:
    names = [*LABELS, "x", "y"]
    if multi:
        return [{names[i] for i in row} for row in UNSEEN_SETS]
    return [names[i] for (i,) in UNSEEN]


@pytest.mark.parametrize("multi", [False, True])
def test_labels_that_training_lacks_are_errors_and_not_calibrated_on(multi: bool) -> None:
    model, objective = random_model("classify", multi=multi), with_unseen(multi=multi)
    logits = np.stack([logits_alone(model, ids) for ids in DOCUMENTS])
    known = [0, 2, 4]
    truth = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1]]) if multi else one_hot(0, 1, 2)
    scaled = logits / fit_temperature(logits[known], truth, multi)
    probabilities = 1 / (1 + np.exp(-scaled)) if multi else softmax(scaled)
    expected = classification_metrics(named(multi), probabilities, LABELS, multi)
    assert expected["labels"] == ["a", "b", "c", *(["y", "x"])]
    check(objective, objective.evaluate(model), expected)
    check(objective, objective.final_metrics(model, quick=False), expected)
    after = np.stack([logits_alone(model, ids) for ids in DOCUMENTS])
    np.testing.assert_allclose(after, scaled, rtol=1e-3)


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_quick_evaluation_of_labels_that_training_lacks_alone(
    multi: bool, bidirectional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model("classify", multi=multi, bidirectional=bidirectional)
    objective = with_unseen(multi=multi)
    monkeypatch.setattr(objective, "_quick_indices", [1, 3])
    before = np.stack([logits_alone(model, ids) for ids in DOCUMENTS])
    for found in (
        objective.evaluate(model, quick=True),
        objective.final_metrics(model, quick=True),
    ):
        assert (found["accuracy"], found["log_loss"], found["ece"]) == (0.0, 0.0, 0.0)
    after = np.stack([logits_alone(model, ids) for ids in DOCUMENTS])
    np.testing.assert_allclose(after, before, rtol=1e-3)  # there is nothing to calibrate on


@pytest.mark.parametrize("multi", [False, True])
def test_the_ngrams_leave_out_labels_that_training_lacks(multi: bool) -> None:
    texts = ["good film", "bad film", "good", "bad", "so so"]
    half = ngram_half.NgramHalf(TextRows.of(texts), texts, 3, multi)
    objective = with_unseen(multi=multi, ngrams=half)
    model = random_model("classify", multi=multi)
    (event,) = objective.prepare({})
    assert event.metrics["labels"] == ["a", "b", "c", "y", "x"]
    logits = objective._all_logits(model, range(5))
    known = [0, 2, 4]
    truth = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1]]) if multi else one_hot(0, 1, 2)
    weights = calibration.fit_mixture(logits[known], half.valid_logits[known], truth, multi)
    total = (weights.first * logits + weights.second * half.valid_logits).astype(float)
    probabilities = 1 / (1 + np.exp(-total)) if multi else softmax(total)
    expected = classification_metrics(named(multi), probabilities, LABELS, multi)
    for found in (objective.evaluate(model), objective.final_metrics(model, quick=False)):
        assert {name: found[name] for name in ("accuracy", "labels", "per_label")} == {
            name: expected[name] for name in ("accuracy", "labels", "per_label")
        }
        assert found["log_loss"] == pytest.approx(expected["log_loss"], rel=1e-3)


def test_the_best_checkpoint_is_chosen_by_the_loss_or_by_a_metric_that_is_named() -> None:
    for select, higher in (("log_loss", False), ("accuracy", True), ("macro_f1", True)):
        objective = classification(DOCUMENTS, GOLD, select=select)
        assert (objective.metric, objective.higher_is_better) == (select, higher)
        assert select in objective.evaluate(random_model("classify"))
    assert classification(DOCUMENTS, GOLD).metric == "log_loss"


def test_a_model_of_very_many_labels_is_evaluated_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram_half, "MAX_LABELS", 2)
    model, objective = random_model("classify"), classification(DOCUMENTS, GOLD)
    probabilities = softmax(np.stack([logits_alone(model, ids) for ids in DOCUMENTS]))
    expected = classification_metrics(list("acbcc"), probabilities, LABELS, False)
    check(objective, objective.evaluate(model), expected)
