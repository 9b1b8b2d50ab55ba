"""Distillation: a classifier also learns from the answers of another one, its teacher.

Knows: the targets that are made of its answers and the gold labels, and which texts it has time to
answer. Does not know: who can teach (`teacher.py`), the loss, or the network that learns
(`classification.py`).

The method is that of Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network"
(2015), at a temperature of 1: a teacher's answers are calibrated, and those to unlabelled texts say
more than the labels that they stand for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from rnntext.checkpoint_config import DataSummary, DistillationRecord
from rnntext.training.data.examples import TextRows, encode_text, one_hot
from rnntext.training.data.store import Array
from rnntext.training.engine.memory import require_memory
from rnntext.training.events import TeacherAnswered
from rnntext.training.linear.ngrams import in_parts
from rnntext.training.options import TrainingOptions
from rnntext.training.tasks.teacher import Teacher

# What the teacher's answer counts in the target of a labelled text; the gold label counts the rest.
TEACHER_WEIGHT = 0.5
# The share of a time budget that the teacher's answers may take.
ANSWERS_SHARE = 0.3
# The number of texts on which the teacher's speed is measured, and the share of a time budget after
# which fewer have to do.
_PROBES, _PROBING_SHARE = 64, 0.03
# The size of a text is its number of bytes and this: short texts take time too.
_TEXT_SIZE = 20


class Distillation:
    """The teacher's answers to the texts of a run, and the targets that are made of them."""

    def __init__(
        self,
        teacher: Teacher,
        texts: TextRows,
        labelled: int,
        labels: int,
        *,
        valid: Sequence[str] = (),
        unanswered: int = 0,
        seed: int = 0,
        seen_valid: bool = False,
        remarks: Sequence[str] = (),
    ) -> None:
        """`texts`: the training texts, of which the first `labelled` have gold labels; `valid`:
        the validation texts, if they are learned from in the end; `unanswered`: how many of all
        these with labels, drawn with `seed`, the teacher has no time for; `seen_valid`: see
        `DistillationRecord`; `remarks`: what a user should know of the teacher. Raises
        TrainingError if memory is too small for the answers."""
        self._teacher, self._texts, self._valid = teacher, texts, valid
        self.labelled, self.remarks = labelled, tuple(remarks)
        count = len(texts.rows)
        self.record = DistillationRecord(
            teacher.name, teacher.digest, count - labelled, unanswered, seen_valid
        )
        needed = 2.0 * labels * (count + len(valid))  # bytes
        what = f"the teacher's answers to {count:,} texts, of {labels} labels each,"
        require_memory(needed, torch.device("cpu"), what, "give fewer unlabelled texts")
        # Until it is asked a teacher has no opinion, as in a dry run, which only times steps. Half
        # precision is nearer to a probability than a teacher is.
        self._answers = np.full((count, labels), 1 / labels, np.float16)
        self._valid_answers = np.full((len(valid), labels), 1 / labels, np.float16)
        has_answer = np.ones(labelled + len(valid), np.bool_)
        has_answer[_order_of_gold(len(has_answer), seed)[len(has_answer) - unanswered :]] = False
        # What the answer counts in the target of each text; the gold label counts the rest.
        shares = (TEACHER_WEIGHT * has_answer).astype(np.float32)
        unlabelled = np.ones(count - labelled, np.float32)
        self._shares = np.concatenate([shares[:labelled], unlabelled])
        self._valid_shares = shares[labelled:]
        self._asked = np.concatenate([has_answer[:labelled], unlabelled > 0])
        self._valid_asked = has_answer[labelled:]

    def ask(self) -> TeacherAnswered:
        """Let the teacher answer the texts. The same teacher gives the same answers."""
        started = time.perf_counter()
        asked, valid_asked = np.flatnonzero(self._asked), np.flatnonzero(self._valid_asked)
        for index in in_parts(asked):
            self._answers[index] = self._teacher.answers(self._texts.read(index))
        for index in in_parts(valid_asked):
            self._valid_answers[index] = self._teacher.answers([self._valid[i] for i in index])
        texts = len(asked) + len(valid_asked)
        return TeacherAnswered(self.record.teacher, texts, time.perf_counter() - started)

    def targets(self, index: Array, gold: Sequence[Array]) -> Array:
        """Return the targets of training texts, given by their numbers and the indices of their
        gold labels, none of which an unlabelled text has: probabilities (N, labels), float32."""
        return _mixed(self._answers[index], gold, self._shares[index])

    def valid_targets(self, gold: Sequence[Array]) -> Array:
        """Return the targets of the validation texts, like `targets`."""
        return _mixed(self._valid_answers, gold, self._valid_shares)


def _mixed(answers: Array, gold: Sequence[Array], shares: Array) -> Array:
    """Return the means of answers (N, labels), which count `shares` (N), and gold labels."""
    share = shares[:, None]
    mixed = share * answers.astype(np.float32) + (1 - share) * one_hot(gold, answers.shape[1])
    return np.asarray(mixed, np.float32)


class Choice(NamedTuple):
    """Which texts are learned from, and how many of them only by their labels."""

    rows: Array  # the numbers of the training texts, in order
    unanswered: int  # training and validation texts with labels that the teacher has no time for


def choose_texts(
    teacher: Teacher,
    texts: TextRows,
    labelled: int,
    valid: Sequence[str] = (),
    *,
    minutes: float | None,
    seed: int,
    unlabelled: int | None = None,
    unanswered: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Choice:
    """Return which of the training texts to learn from: those with labels, which are the first
    `labelled`, and all others or a random part of them. `valid`: see `Distillation`; `unlabelled`:
    how many others, and `unanswered`: how many texts with labels get no answer (None: what the
    teacher is expected to have time for in its share of `minutes`: first texts with labels)."""
    count, with_labels = len(texts.rows), labelled + len(valid)
    order = labelled + np.random.default_rng(seed).permutation(count - labelled)
    if minutes is not None and (unlabelled is None or unanswered is None):
        sizes = np.asarray(texts.rows.lengths() + _TEXT_SIZE)
        valid_sizes = np.array([len(encode_text(text)) + _TEXT_SIZE for text in valid], np.int64)
        budget = 60 * minutes
        probes = np.random.default_rng([seed, 1]).choice(count, min(count, _PROBES), replace=False)
        speed, took = _speed(teacher, texts, sizes, probes, _PROBING_SHARE * budget, clock)
        room = speed * (ANSWERS_SHARE * budget - took)
        gold = np.concatenate([sizes[:labelled], valid_sizes])[_order_of_gold(with_labels, seed)]
        if unanswered is None:
            unanswered = with_labels - _fitting(gold, room)
        if unlabelled is None:
            unlabelled = _fitting(sizes[order], room - gold.sum())
    unanswered = min(unanswered or 0, with_labels)
    if unlabelled is None or unlabelled >= len(order):
        return Choice(np.arange(count), unanswered)
    return Choice(np.append(np.arange(labelled), np.sort(order[:unlabelled])), unanswered)


def _order_of_gold(count: int, seed: int) -> Array:
    """Return the order in which texts with labels are answered as far as time allows: training
    texts and then validation texts, by their numbers."""
    return np.random.default_rng([seed, 2]).permutation(count)


def _fitting(sizes: Array, room: float) -> int:
    """Return how many texts of these sizes, from the first on, have room."""
    return int(np.searchsorted(np.cumsum(sizes), room, side="right"))


def _speed(
    teacher: Teacher,
    texts: TextRows,
    sizes: Array,
    probes: Array,
    limit: float,
    clock: Callable[[], float],
) -> tuple[float, float]:
    """Return the size of the texts that the teacher answers in a second, measured on `probes`, and
    the seconds that this took. After about `limit` seconds no more of them are answered."""
    started, done, part = clock(), 0, 1
    while True:
        index = probes[done : done + part]
        some, before = texts.read(index), clock()
        teacher.answers(some)
        now = clock()
        speed = float(sizes[index].sum()) / max(now - before, 1e-9)
        # A model is slow at its first answer, which tells nothing of the next, and answers many
        # texts faster than one.
        expected = 2 * (now - before) if done else 0.0
        part = 2 * part if done else 1
        done += len(index)
        if done == len(probes) or now - started + expected > limit:
            return speed, now - started


def remarks(
    options: TrainingOptions, summary: DataSummary, choice: Choice, with_labels: int
) -> list[str]:
    """Return sentences about what a teacher has no time to answer. `with_labels`: training and
    validation texts that have labels and are learned from."""
    reason = f"its answers to all would take more than {ANSWERS_SHARE:.0%} of --minutes"
    if options.minutes is None:
        reason = "as many as in the run that is repeated"
    found = []
    if choice.unanswered:
        found.append(
            f"the teacher answers {_part(with_labels - choice.unanswered, with_labels)} texts with "
            f"labels, and the others are learned from by their labels alone: {reason}"
        )
    learned = len(choice.rows) - summary.train
    if learned < summary.unlabelled:
        found.append(
            f"the teacher answers {_part(learned, summary.unlabelled)} unlabelled texts, and the "
            f"others are not learned from: {reason}"
        )
    return found


def _part(count: int, of: int) -> str:
    return f"a random {count:,} of the {of:,}" if count else f"none of the {of:,}"
