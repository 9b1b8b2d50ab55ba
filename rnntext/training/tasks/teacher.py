"""The teacher of a distilled classifier: another classifier, whose answers are learned from.

Knows: which classifier can teach which, and when it may have seen validation texts. Does not know:
what is made of its answers, or which texts it is asked (`distillation.py`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from rnntext.checkpoint_config import CheckpointConfig, DataSummary, Progress, Results
from rnntext.config import listed
from rnntext.errors import CheckpointError, UsageError
from rnntext.graphs.stored import stored_config
from rnntext.packaged import locate_model
from rnntext.tasks import TASKS
from rnntext.training.data.store import Array
from rnntext.training.engine.distributed import Ranks
from rnntext.training.linear.ngrams import MAX_LABELS
from rnntext.training.options import TrainingOptions


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
    directory = locate_model(options.distil)
    if ranks.size > 1:
        raise UsageError(
            f"--distil trains in one process, and this job has {ranks.size}: start one, or leave "
            "it out"
        )
    model = stored_config(directory)
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


def seen_validation(
    saved: CheckpointConfig | None, options: TrainingOptions, summary: DataSummary
) -> str:
    """Return a sentence if the teacher learned from validation texts of the run, or may have; empty
    if it did not."""
    too_good = "and the metrics may then be too good"
    unknown = (
        f"the teacher may have learned from validation texts, {too_good}: "
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
        if data.valid != summary.valid:  # another file by now
            return unknown
        shared = data.duplicates + data.near_duplicates
        if shared:
            return (
                f"the teacher learned from {shared:,} of the {data.valid:,} validation texts (near "
                f"duplicates included), {too_good}: take them out of its DATA"
            )
    elif data.fingerprint != summary.fingerprint or (
        data.unlabelled and (named, options.valid) != (None, None)
    ):
        # Texts that were unlabelled to the teacher are none of its own validation texts.
        return unknown
    learned = _linear_model_learned_from_valid(results, named)
    if learned and options.valid is None:
        return (
            "the teacher's n-grams were learned from the validation texts too, in the end: for "
            "metrics that are free of them give both runs the same --valid"
        )
    taught = training.distilled
    if learned is not False or (taught is not None and taught.seen_valid is None):
        return unknown
    if taught is not None and taught.seen_valid:
        return (
            "the teacher's own teacher had learned from validation texts, or may have, "
            f"{too_good}: give all three runs the same --valid, and none of its texts in DATA"
        )
    return ""


def _linear_model_learned_from_valid(results: Results | Progress, named: object) -> bool | None:
    """Return whether the linear model of a teacher learned from its validation texts; None:
    unknown. `named`: the file of the texts; None: they were held out."""
    if named is not None or not isinstance(results, Results) or not results.halves:
        return False
    return results.learned_from_valid


def _same(first: str, second: str) -> bool:
    return os.path.abspath(first) == os.path.abspath(second)
