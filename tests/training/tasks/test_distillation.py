"""Distillation: the targets of texts, which texts a teacher answers, and who can teach whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rnntext.checkpoint_config import (
    DataSummary,
)
from rnntext.errors import TrainingError
from rnntext.ngrams import NgramModel, Tables
from rnntext.training.data.examples import LabelledIds, LabelledRows, TextRows
from rnntext.training.events import NgramsLearned, TeacherAnswered
from rnntext.training.options import TrainingOptions
from rnntext.training.setup import _choose_model
from rnntext.training.tasks import distillation as distillation_module
from rnntext.training.tasks import ngram_half as ngram_half_module
from rnntext.training.tasks.classification import Classification
from rnntext.training.tasks.classifier import TASK
from rnntext.training.tasks.distillation import (
    ANSWERS_SHARE,
    TEACHER_WEIGHT,
    Choice,
    Distillation,
    choose_texts,
    remarks,
)
from rnntext.training.tasks.ngram_half import NgramHalf
from tests.training.models import CPU, DOCUMENTS, LABELS, Array, random_model, softmax

TEXTS = ["red apple", "a red rose", "green leaf", "blue sky", "the blue sea"]
VALID = ["red sky", "green sea", "blue"]
ANSWERS = {
    text: softmax(np.random.default_rng(number).normal(0, 2, 3))
    for number, text in enumerate((*TEXTS, *VALID))
}


class FixedTeacher:
    """Gives each text the probabilities of a table."""

    name, digest = "sage", "d" * 64

    def __init__(self) -> None:
        self.asked: list[str] = []

    def answers(self, texts: Sequence[str]) -> Array:
        self.asked += texts
        return np.stack([ANSWERS[text] for text in texts])


def indices(*labels: int | None) -> list[Array]:
    return [np.array([] if label is None else [label], np.int32) for label in labels]


def made(labelled: int = 3, valid: Sequence[str] = (), **more: Any) -> Distillation:
    return Distillation(FixedTeacher(), TextRows.of(TEXTS), labelled, 3, valid=valid, **more)


# Targets


def test_a_target_is_between_the_answer_and_the_label() -> None:
    distillation = made()
    event = distillation.ask()
    assert (event.teacher, event.texts) == ("sage", 5)
    found = distillation.targets(np.array([3, 1, 4]), indices(None, 2, None))
    assert found.dtype == np.float32
    expected = [
        ANSWERS[TEXTS[3]],
        TEACHER_WEIGHT * ANSWERS[TEXTS[1]] + (1 - TEACHER_WEIGHT) * np.array([0, 0, 1]),
        ANSWERS[TEXTS[4]],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert 0 < TEACHER_WEIGHT < 1


def test_a_labelled_text_without_labels_is_not_an_unlabelled_one() -> None:
    """With --multi-label a text may have no label: gold says so, and a teacher is half of it."""
    distillation = made(labelled=3)
    distillation.ask()
    nothing, unlabelled = distillation.targets(np.array([2, 3]), indices(None, None))
    np.testing.assert_allclose(nothing, TEACHER_WEIGHT * ANSWERS[TEXTS[2]], atol=1e-3)
    np.testing.assert_allclose(unlabelled, ANSWERS[TEXTS[3]], atol=1e-3)


def test_validation_texts_have_such_targets_too() -> None:
    distillation = made(valid=VALID)
    assert distillation.ask().texts == 8
    found = distillation.valid_targets(indices(0, 1, 1))
    expected = [
        TEACHER_WEIGHT * ANSWERS[text] + (1 - TEACHER_WEIGHT) * np.eye(3)[label]
        for text, label in zip(VALID, (0, 1, 1), strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_some_texts_have_a_label_and_no_answer() -> None:
    """Of those with labels a seeded random part, validation texts included."""
    left = set()
    for seed in range(12):
        teacher = FixedTeacher()
        distillation = Distillation(
            teacher, TextRows.of(TEXTS), 3, 3, valid=VALID, unanswered=4, seed=seed
        )
        assert distillation.ask().texts == len(teacher.asked) == 4
        assert distillation.record.unanswered == 4
        assert {*TEXTS[3:]} < {*teacher.asked}
        train = distillation.targets(np.arange(5), indices(0, 1, 2, None, None))
        found = np.concatenate([train, distillation.valid_targets(indices(0, 1, 2))])
        for row, text, label in zip(found, [*TEXTS, *VALID], (0, 1, 2, 0, 0, 0, 1, 2), strict=True):
            share = 1.0 if text in TEXTS[3:] else TEACHER_WEIGHT
            if text not in teacher.asked:
                share = 0.0
                left.add(text)
            expected = share * ANSWERS[text] + (1 - share) * np.eye(3)[label]
            np.testing.assert_allclose(row, expected, atol=1e-3)
    assert left == {*TEXTS[:3], *VALID}


def test_all_texts_are_asked_in_parts_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnntext.training.linear.ngrams._PART", 2)
    teacher = FixedTeacher()
    distillation = Distillation(teacher, TextRows.of(TEXTS), 2, 3, valid=VALID)
    distillation.ask()
    assert teacher.asked == [*TEXTS, *VALID]
    assert distillation.record.unlabelled == 3


def test_answers_that_do_not_fit_into_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def free(limit: int) -> None:
        monkeypatch.setattr("rnntext.training.engine.memory.free_memory", lambda device: limit)

    free(2 * 3 * 8)
    made(valid=VALID)
    free(2 * 3 * 8 - 1)
    with pytest.raises(TrainingError, match=r"the teacher's answers to 5 texts.*unlabelled"):
        made(valid=VALID)


# The objective


def objective(*, multi: bool = False, labelled: int = 3, **changes: Any) -> Classification:
    """Five documents with texts of their own, of which the first have labels."""
    gold = indices(*(n if n < labelled else None for n in range(5)))
    options: dict[str, Any] = {
        "labels": LABELS, "multi_label": multi, "balanced": False, "batch_size": 8,
        "max_length": 50, "seed": 0, "machine": CPU, "distillation": made(labelled, VALID),
        "ngrams": None,
    }  # fmt: skip
    return Classification(
        LabelledRows.of(LabelledIds(list(DOCUMENTS), gold)),
        LabelledIds(DOCUMENTS[:3], indices(0, 1, 2)),
        **{**options, **changes},
    )


def mixed(multi: bool = False) -> Array:
    answers = np.stack([ANSWERS[text] for text in TEXTS])
    gold = np.concatenate([np.eye(3), answers[3:]])
    return np.asarray(TEACHER_WEIGHT * answers + (1 - TEACHER_WEIGHT) * gold)


@pytest.mark.parametrize("multi", [False, True])
def test_the_loss_is_the_cross_entropy_with_the_targets(multi: bool) -> None:
    training, model = objective(multi=multi), random_model("classify", multi=multi)
    (event,) = training.prepare({})
    assert isinstance(event, TeacherAnswered)
    (batch,) = training.batches(0)
    loss, _ = training.loss(model, batch)
    with torch.no_grad():
        logits = np.concatenate(
            [
                model(torch.from_numpy(ids)[None].long(), torch.tensor([len(ids)])).numpy()
                for ids in DOCUMENTS
            ]
        ).astype(float)
    targets = mixed()
    if multi:
        yes = 1 / (1 + np.exp(-logits))
        nats = -(targets * np.log(yes) + (1 - targets) * np.log(1 - yes)).mean()
    else:
        nats = -(targets * np.log(softmax(logits))).sum(1).mean()
    assert float(loss.detach()) == pytest.approx(nats, rel=2e-3)


def test_in_a_dry_run_the_teacher_has_no_opinion() -> None:
    training = objective()
    (batch,) = training.batches(0)
    rows = {tuple(row) for row in batch.labels.round(decimals=2).tolist()}
    third = round(1 / 3, 2)
    assert tuple(np.float32([third] * 3).tolist()) in rows
    assert len(rows) == 4


def test_it_tells_from_whom_it_learns() -> None:
    training = objective(distillation=made(3, remarks=["beware"]))
    record = training.distilled()
    assert record is not None
    assert asdict(record) == {
        "teacher": "sage",
        "digest": "d" * 64,
        "unlabelled": 2,
        "unanswered": 0,
        "seen_valid": False,
    }
    assert training.remarks() == ("beware",)
    assert objective(distillation=None, labelled=5).distilled() is None


# The n-grams


def half(multi: bool = False) -> NgramHalf:
    return NgramHalf(TextRows.of(TEXTS), VALID, 3, multi, 3)


@pytest.mark.parametrize("multi", [False, True])
def test_n_grams_learn_from_the_same_targets(multi: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one-hot answers to unlabelled texts they are what labels would have made of them; what
    they learn follows the answers."""
    monkeypatch.setattr(distillation_module, "TEACHER_WEIGHT", 0.0)
    monkeypatch.setitem(ANSWERS, TEXTS[3], np.eye(3)[0])
    monkeypatch.setitem(ANSWERS, TEXTS[4], np.eye(3)[1])
    taught = objective(multi=multi, ngrams=half(multi))
    asked, learned = taught.prepare({})
    assert isinstance(asked, TeacherAnswered)
    assert isinstance(learned, NgramsLearned)
    assert learned.texts == 5
    gold = indices(0, 1, 2, 0, 1)
    of_labels = NgramHalf(TextRows.of(TEXTS), VALID, 3, multi)
    plain = objective(multi=multi, labelled=5, distillation=None, ngrams=of_labels)
    plain.train = LabelledRows.of(LabelledIds(list(DOCUMENTS), gold))
    list(plain.prepare({}))
    assert taught._ngrams is not None
    assert plain._ngrams is not None
    np.testing.assert_allclose(taught._ngrams.valid_logits, plain._ngrams.valid_logits, atol=1e-3)


def test_n_grams_give_back_the_answers_of_a_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a thousand texts are the same, their probabilities are those of the answers."""
    texts = ["red"] * 1000 + ["blue"] * 1000
    answers = {"red": np.array([0.7, 0.2, 0.1]), "blue": np.array([0.1, 0.3, 0.6])}
    for text, answer in answers.items():
        monkeypatch.setitem(ANSWERS, text, answer)
    rows = TextRows.of(texts)
    training = Classification(
        LabelledRows.of(LabelledIds([DOCUMENTS[0]] * 2000, indices(*[None] * 2000))),
        LabelledIds(DOCUMENTS[:2], indices(0, 2)),
        labels=LABELS, multi_label=False, balanced=False, batch_size=8, max_length=50, seed=0,
        machine=CPU, ngrams=NgramHalf(rows, ["red", "blue"], 3, False, 0),
        distillation=Distillation(FixedTeacher(), rows, 0, 3),
    )  # fmt: skip
    list(training.prepare({}))
    assert training._ngrams is not None
    found = softmax(training._ngrams.valid_logits.astype(float))
    np.testing.assert_allclose(found, [answers["red"], answers["blue"]], atol=0.03)


def test_the_last_n_grams_learn_from_validation_texts_too() -> None:
    def finished(**changes: Any) -> tuple[Tables, Classification]:
        training = objective(ngrams=half(), **changes)
        list(training.prepare({}))
        training.final_metrics(random_model("classify"), quick=False)
        return Tables.parse(training.finished_files()["ngrams.safetensors"]), training

    apart, _ = finished(held_out=False)
    together, first = finished(held_out=True)
    files, again = finished(held_out=True)
    assert (files.words == together.words).all()  # the same teacher gives the same bytes
    assert first.halves() == again.halves()
    assert first.learns_from_validation()
    first.learn_once()
    assert not first.learns_from_validation()
    one, two = (NgramModel(replace(t, scale=1.0), 3).logits(["sky"])[0] for t in (apart, together))
    # "red sky" is of the first class by its label, and its answer counts as much.
    assert two[0] - two.mean() != pytest.approx(one[0] - one.mean(), rel=0.01)


def test_the_last_n_grams_are_given_the_targets_of_validation_texts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[Array] = []

    def learn(self: NgramHalf, truth_of: Any, valid: Array, *_: object) -> dict[str, bytes]:
        given.extend([truth_of(np.arange(5)), valid])
        return {}

    monkeypatch.setattr(NgramHalf, "learn_from_validation_too", learn)
    training = objective(ngrams=half(), held_out=True)
    list(training.prepare({}))
    training.final_metrics(random_model("classify"), quick=False)
    assert training.finished_files() == {}
    np.testing.assert_allclose(given[0], mixed(), atol=1e-3)
    answers = np.stack([ANSWERS[text] for text in VALID])
    expected = TEACHER_WEIGHT * answers + (1 - TEACHER_WEIGHT) * np.eye(3)
    np.testing.assert_allclose(given[1], expected, atol=1e-3)


def test_of_too_many_texts_those_with_labels_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram_half_module, "_MAX_LOGITS", 9)
    asked: list[list[int]] = []

    def truth_of(index: Array) -> Array:
        asked.append(index.tolist())
        return np.eye(3, dtype=np.float32)

    def loss(logits: torch.Tensor, truth: Any) -> torch.Tensor:
        return (logits - logits.mean()).square().sum()

    half().learn(truth_of, indices(0, 1, 2), loss, None, 0)
    assert asked == [[0, 1, 2]]


# Which texts


def rows_of(count: int) -> TextRows:
    return TextRows.of([f"text number {n}" for n in range(count)])


class TimedTeacher:
    """A teacher that takes a second for each text; its clock is `now`."""

    name, digest = "slow", "e" * 64

    def __init__(self) -> None:
        self.seconds = 0.0

    def answers(self, texts: Sequence[str]) -> Array:
        self.seconds += len(texts)
        return np.zeros((len(texts), 3))

    def now(self) -> float:
        return self.seconds


def choice(count: int, labelled: int, *, valid: int = 0, **changes: Any) -> Choice:
    teacher = TimedTeacher()
    options: dict[str, Any] = {"minutes": None, "seed": 0, "clock": teacher.now, **changes}
    texts = [f"valid text {n}" for n in range(valid)]
    found = choose_texts(teacher, rows_of(count), labelled, texts, **options)
    minutes = options["minutes"]
    if minutes is not None:  # what it measures is a small part of the time
        assert teacher.seconds <= max(1, 0.03 * 60 * minutes)
    return found


def chosen(count: int, labelled: int, **changes: Any) -> list[int]:
    found = choice(count, labelled, **changes)
    assert found.unanswered == 0
    rows: list[int] = found.rows.tolist()
    return rows


def test_without_a_time_budget_all_texts_are_answered() -> None:
    assert chosen(100, 10, valid=5) == list(range(100))


def test_a_time_budget_allows_for_a_seeded_random_part() -> None:
    # In 10 minutes of which the answers may take 3, 16 seconds of them to measure: 164 texts, 20 of
    # which have labels.
    found = chosen(500, 20, minutes=10)
    assert found[:20] == list(range(20))
    assert 159 <= len(found) <= 169  # texts are a little longer or shorter
    assert ANSWERS_SHARE == 0.3
    assert found == sorted(set(found))
    assert found != list(range(len(found)))
    assert found == chosen(500, 20, minutes=10)
    assert found != chosen(500, 20, minutes=10, seed=1)
    assert chosen(500, 20, minutes=100) == list(range(500))
    assert chosen(20, 20, minutes=100) == list(range(20))


def test_validation_texts_take_time_too() -> None:
    without, found = chosen(500, 20, minutes=10), chosen(500, 20, minutes=10, valid=60)
    assert 55 <= len(without) - len(found) <= 65


@pytest.mark.parametrize(("labelled", "valid"), [(500, 0), (400, 0), (20, 400)])
def test_texts_with_labels_that_time_does_not_allow_for_get_no_answer(
    labelled: int, valid: int
) -> None:
    found = choice(500, labelled, valid=valid, minutes=10)
    assert found.rows.tolist() == list(range(labelled))  # they are all learned from
    assert 159 <= labelled + valid - found.unanswered <= 169
    hardly = choice(500, labelled, valid=valid, minutes=0.01)
    assert hardly.unanswered == labelled + valid


def test_a_choice_is_repeated_by_its_numbers_and_asks_no_clock() -> None:
    def clock() -> float:
        raise AssertionError

    found = chosen(500, 20, minutes=10)
    numbers: dict[str, Any] = {"unlabelled": len(found) - 20, "unanswered": 0, "clock": clock}
    assert chosen(500, 20, minutes=10, **numbers) == found
    assert chosen(500, 20, minutes=10, **{**numbers, "unlabelled": 480}) == list(range(500))
    assert chosen(500, 20, unlabelled=0, clock=clock) == list(range(20))
    assert chosen(500, 20, unlabelled=999, clock=clock) == list(range(500))
    again = choice(500, 400, minutes=10, unlabelled=0, unanswered=237, clock=clock)
    assert (again.rows.tolist(), again.unanswered) == (list(range(400)), 237)
    assert choice(500, 20, unanswered=999, clock=clock).unanswered == 20


# What is told


SUMMARY = DataSummary("documents", 8, 2, 99, 0, "1" * 64, unlabelled=4, unlabelled_read=4)


def options(**changes: Any) -> TrainingOptions:
    return TrainingOptions("classify", ("a.csv",), **{"distil": "sage", **changes})


def told(unlabelled: int, unanswered: int = 0, **changes: Any) -> list[str]:
    found = Choice(np.arange(8 + unlabelled), unanswered)
    return remarks(options(**{"minutes": 3.0, **changes}), SUMMARY, found, 10)


def test_texts_that_are_not_answered_are_told_of() -> None:
    assert told(4) == []
    reason = "its answers to all would take more than 30% of --minutes"
    (part,) = told(3)
    assert part == (
        "the teacher answers a random 3 of the 4 unlabelled texts, and the others are not learned "
        f"from: {reason}"
    )
    gold, none = told(0, 4)
    assert gold == (
        "the teacher answers a random 6 of the 10 texts with labels, and the others are learned "
        f"from by their labels alone: {reason}"
    )
    assert none.startswith("the teacher answers none of the 4 unlabelled texts, and")


def test_a_repeated_run_has_no_time_budget_that_would_be_a_reason() -> None:
    for sentence in told(3, 4, minutes=None):
        assert sentence.endswith(": as many as in the run that is repeated")


def test_unlabelled_texts_count_where_defaults_grow_with_the_data() -> None:
    def batch_size(unlabelled: int) -> int:
        summary = replace(SUMMARY, train=1990, characters=10**6, unlabelled=unlabelled)
        data: Any = SimpleNamespace(
            summary=summary, tokenizer=SimpleNamespace(vocab_size=9), labels=("a", "b")
        )
        recipe, _ = _choose_model(TASK, options(), data, None, None)
        return recipe.batch_size

    assert (batch_size(0), batch_size(20)) == (16, 32)
