"""Distillation: a classifier also learns from the answers of another one, its teacher.

Knows: which classifier can teach which, the targets that are made of its answers and the gold
labels, how many unlabelled texts it has time to answer, and when it may have seen validation texts.
Does not know: the loss, or the network that learns (`classification.py`).

The method is that of Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network"
(2015), at a temperature of 1: a teacher's answers are calibrated, and those to unlabelled texts say
more than the labels that they stand for.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from rnntext import checkpoint
from rnntext.checkpoint_config import (
    NGRAMS_TEXTS,
    CheckpointConfig,
    DataSummary,
    DistillationRecord,
    Results,
)
from rnntext.config import listed
from rnntext.errors import CheckpointError, UsageError
from rnntext.tasks import TASKS
from rnntext.training.data.examples import TextRows, one_hot
from rnntext.training.data.store import Array
from rnntext.training.engine.distributed import Ranks
from rnntext.training.engine.memory import require_memory
from rnntext.training.events import TeacherAnswered
from rnntext.training.linear.ngrams import MAX_LABELS, in_parts
from rnntext.training.options import TrainingOptions

# What the teacher's answer counts in the target of a labelled text; the gold label counts the rest.
TEACHER_WEIGHT = 0.5
# The share of a time budget that the teacher's answers may take, and the number of texts on which
# its speed is measured.
ANSWERS_SHARE = 0.3
_PROBES = 64
# The size of a text is its number of bytes and this: short texts take time too.
_TEXT_SIZE = 20


class Teacher(Protocol):
    """Answers texts."""

    name: str
    digest: str  # SHA-256 of what its answers depend on

    def answers(self, texts: Sequence[str]) -> Array:
        """Return the probabilities of the student's labels, in their order: (N, labels)."""


class TrainedTeacher:
    """The classifier of a checkpoint, which answers as `rnntext classify` does."""

    def __init__(
        self, directory: Path, labels: Sequence[str], multi_label: bool, threads: int | None
    ) -> None:
        """`labels`: those of the student. Raises CheckpointError, and UsageError for a teacher of
        other labels."""
        from rnntext.runtime.classifier import Classifier
        from rnntext.runtime.model import open_model

        model = open_model(directory, "classify", threads)
        self._classifier = Classifier(model)
        _require_same_labels(directory, self._classifier.labels, labels)
        _require_same_kind(directory, model.config.multi_label, multi_label)
        self._order = [self._classifier.labels.index(label) for label in labels]
        self.name, self.saved = name_of(directory), model.saved
        self.digest = hashlib.sha256(model.fingerprint.encode()).hexdigest()

    def answers(self, texts: Sequence[str]) -> Array:
        return self._classifier.probabilities(texts)[:, self._order]


def name_of(directory: Path) -> str:
    """Return the name of a teacher: that of its directory."""
    return directory.absolute().resolve().name


def check_teacher(options: TrainingOptions, ranks: Ranks) -> None:
    """Raise RnntextError, before the data are read, if the model of `--distil` cannot teach."""
    assert options.distil is not None  # noqa: S101
    directory = Path(options.distil)
    if ranks.size > 1:
        raise UsageError(
            f"--distil trains in one process, and this job has {ranks.size}: start one, or leave "
            "it out"
        )
    model = CheckpointConfig.of(checkpoint.load(directory, verify=())).model
    if model.task != options.task:
        raise UsageError(
            f"--distil {directory}: it is a {TASKS[model.task].title}, and a classifier has to "
            "teach a classifier"
        )
    _require_same_kind(directory, model.multi_label, options.multi_label)


def _require_same_kind(directory: Path, taught: bool, multi_label: bool) -> None:
    if taught != multi_label:
        change = "leave --multi-label out" if multi_label else "add --multi-label"
        several = "several labels" if taught else "one label"
        raise UsageError(
            f"--distil {directory}: the teacher gives a text {several}: {change}, or name another "
            "teacher"
        )


def _require_same_labels(directory: Path, taught: Sequence[str], labels: Sequence[str]) -> None:
    missing = [repr(label) for label in labels if label not in set(taught)]
    surplus = [repr(label) for label in taught if label not in set(labels)]
    if missing or surplus:
        lacks = [f"the teacher does not know {listed(missing, 3)}"] if missing else []
        lacks += [f"the data do not have {listed(surplus, 3)}"] if surplus else []
        raise UsageError(
            f"--distil {directory}: {', and '.join(lacks)}: a teacher needs the same labels"
        )
    if len(labels) > MAX_LABELS:
        raise UsageError(
            f"--distil serves at most {MAX_LABELS} labels, not {len(labels):,}: leave it out"
        )


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
        remarks: Sequence[str] = (),
    ) -> None:
        """`texts`: the training texts, of which the first `labelled` have gold labels; `valid`:
        the validation texts, if they are learned from in the end; `remarks`: what a user should
        know of the teacher. Raises TrainingError if memory is too small for the answers."""
        self._teacher, self._texts, self._valid = teacher, texts, valid
        self.labelled, self.remarks = labelled, tuple(remarks)
        count = len(texts.rows)
        self.record = DistillationRecord(teacher.name, teacher.digest, count - labelled)
        needed = 2.0 * labels * (count + len(valid))  # bytes
        what = f"the teacher's answers to {count:,} texts, of {labels} labels each,"
        require_memory(needed, torch.device("cpu"), what, "give fewer unlabelled texts")
        # Until it is asked a teacher has no opinion, as in a dry run, which only times steps. Half
        # precision is nearer to a probability than a teacher is.
        self._answers = np.full((count, labels), 1 / labels, np.float16)
        self._valid_answers = np.full((len(valid), labels), 1 / labels, np.float16)

    def ask(self) -> TeacherAnswered:
        """Let the teacher answer all texts. The same teacher gives the same answers."""
        started = time.perf_counter()
        for index in in_parts(np.arange(len(self._answers))):
            self._answers[index] = self._teacher.answers(self._texts.read(index))
        for index in in_parts(np.arange(len(self._valid))):
            self._valid_answers[index] = self._teacher.answers([self._valid[i] for i in index])
        texts = len(self._answers) + len(self._valid)
        return TeacherAnswered(self.record.teacher, texts, time.perf_counter() - started)

    def targets(self, index: Array, gold: Sequence[Array]) -> Array:
        """Return the targets of training texts, given by their numbers and the indices of their
        gold labels, none of which an unlabelled text has: probabilities (N, labels), float32."""
        return _mixed(self._answers[index], gold, index < self.labelled)

    def valid_targets(self, gold: Sequence[Array]) -> Array:
        """Return the targets of the validation texts, like `targets`."""
        return _mixed(self._valid_answers, gold, np.ones(len(gold), np.bool_))


def _mixed(answers: Array, gold: Sequence[Array], has_gold: Array) -> Array:
    """Return the mean of answers (N, labels) and gold labels, where there are gold labels."""
    share = np.where(has_gold, np.float32(TEACHER_WEIGHT), np.float32(1))[:, None]
    mixed = share * answers.astype(np.float32) + (1 - share) * one_hot(gold, answers.shape[1])
    return np.asarray(mixed, np.float32)


def choose_rows(
    teacher: Teacher,
    texts: TextRows,
    labelled: int,
    *,
    minutes: float | None,
    seed: int,
    unlabelled: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Array:
    """Return the numbers of the texts to learn from, in order: those with labels, which are the
    first, and all others or a random part of them. `unlabelled`: how many others (None: as many as
    the teacher is expected to answer in its share of `minutes`)."""
    count = len(texts.rows)
    order = labelled + np.random.default_rng(seed).permutation(count - labelled)
    if unlabelled is None and minutes is not None and len(order):
        sizes = np.asarray(texts.rows.lengths() + _TEXT_SIZE)
        probes = order[:_PROBES]
        some = texts.read(probes)
        teacher.answers(some[:8])  # a model is slow at its first answers
        started = clock()
        teacher.answers(some)
        speed = sizes[probes].sum() / max(clock() - started, 1e-9)
        room = ANSWERS_SHARE * 60 * minutes * speed - sizes[:labelled].sum()
        unlabelled = int(np.searchsorted(np.cumsum(sizes[order]), room, side="right"))
    if unlabelled is None or unlabelled >= len(order):
        return np.arange(count)
    return np.append(np.arange(labelled), np.sort(order[:unlabelled]))


def remarks(
    saved: CheckpointConfig | None, options: TrainingOptions, summary: DataSummary, answered: int
) -> list[str]:
    """Return sentences about what a teacher has answered of the unlabelled texts, and about what it
    has seen of the validation texts."""
    found = []
    if answered < summary.unlabelled:
        found.append(
            f"a random {answered:,} of the {summary.unlabelled:,} unlabelled texts: the teacher's "
            f"answers to all would take more than {ANSWERS_SHARE:.0%} of the time"
        )
    seen = _seen_validation(saved, options, summary)
    return [*found, seen] if seen else found


def _seen_validation(
    saved: CheckpointConfig | None, options: TrainingOptions, summary: DataSummary
) -> str:
    """Return a sentence if the teacher learned from validation texts, or may have; empty if it
    did not."""
    unknown = (
        "the teacher may have learned from validation texts, and the metrics may then be too good: "
        "train both on the same DATA with the same --seed, or with the same --valid"
    )
    try:
        if saved is None or not saved.is_trained:
            return unknown
        training, data, results = saved.training, saved.data, saved.results
    except CheckpointError:
        return unknown
    named = training.options.get("valid")
    if isinstance(named, str) and options.valid is not None and _same(named, options.valid):
        return ""
    if data.fingerprint != summary.fingerprint:
        return unknown
    halves = results.halves if isinstance(results, Results) else {}
    if named is None and halves.get(NGRAMS_TEXTS) == data.train + data.unlabelled:
        # See `LabelledObjective.finished_files`.
        return (
            "the teacher's n-grams were learned from the validation texts too, in the end: for "
            "metrics that are free of them give both runs the same --valid"
        )
    return ""


def _same(first: str, second: str) -> bool:
    return os.path.abspath(first) == os.path.abspath(second)
