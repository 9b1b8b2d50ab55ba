"""Teachers: who can teach whom, and who may have seen validation texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnntext import checkpoint
from rnntext.checkpoint_config import (
    CheckpointConfig,
    DataRecord,
    DataSummary,
    DistillationRecord,
    Progress,
    Results,
    TrainingRecord,
    config_to_json,
)
from rnntext.config import EncoderConfig, ModelConfig, TokenizerConfig
from rnntext.errors import CheckpointError, UsageError
from rnntext.graphs.stored import read_stored
from rnntext.runtime import classifier as classifier_module
from rnntext.runtime import model as model_module
from rnntext.training.engine.distributed import Ranks
from rnntext.training.onnx.from_checkpoint import one_file
from rnntext.training.options import TrainingOptions
from rnntext.training.tasks.teacher import TrainedTeacher, check_teacher, seen_validation
from tests.hostile.directories import LABELS, write_model
from tests.training.models import Array

SUMMARY = DataSummary("documents", 8, 2, 99, 0, "1" * 64, unlabelled=4, unlabelled_read=4)


def options(**changes: Any) -> TrainingOptions:
    return TrainingOptions("classify", ("a.csv",), **{"distil": "sage", **changes})


class Answering:
    """Stands for the classifier of the runtime."""

    def __init__(self, model: Any) -> None:
        self.labels = model.config.labels

    def probabilities(self, texts: Sequence[str]) -> Array:
        return np.tile(np.arange(1.0, 1 + len(self.labels)), (len(texts), 1))


def opened(monkeypatch: pytest.MonkeyPatch, *labels: str, multi: bool = False) -> None:
    encoder = EncoderConfig("gru", 9, 4, 6, 1, True)

    class Model:
        config = ModelConfig("classify", encoder, labels, multi, 9)
        fingerprint, saved = "graph and n-grams", None

    monkeypatch.setattr(model_module, "open_model", lambda *_: Model())
    monkeypatch.setattr(classifier_module, "Classifier", Answering)


def test_labels_are_mapped_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    opened(monkeypatch, "c", "a", "d", "b")
    teacher = TrainedTeacher(Path("models/sage"), ("a", "b", "c", "d"), False, 1)
    assert teacher.answers(["x", "y"]).tolist() == [[2, 4, 1, 3]] * 2
    assert teacher.name == "sage"
    assert len(teacher.digest) == 64


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("a", "b"), "does not know 'c'"),
        (("a", "b", "c", "x"), "the data do not have 'x'"),
        (("a", "b", "x"), "does not know 'c', and the data do not have 'x'"),
    ],
)
def test_a_teacher_of_other_labels_is_refused(
    labels: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(monkeypatch, *labels)
    with pytest.raises(UsageError, match=f"--distil sage: .*{message}"):
        TrainedTeacher(Path("sage"), ("a", "b", "c"), False, 1)


def test_too_many_labels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [f"l{n}" for n in range(257)]
    opened(monkeypatch, *labels)
    with pytest.raises(UsageError, match="at most 256 labels, not 257"):
        TrainedTeacher(Path("sage"), labels, False, 1)
    opened(monkeypatch, *labels[:256])
    TrainedTeacher(Path("sage"), labels[:256], False, 1)


WEIGHTS = checkpoint.serialize_tensors({"weight": np.zeros(2, np.float32)})
HALVES = {"ngrams_weight": 0.5, "ngrams_texts": 8}


def described(task: str = "classify", multi: bool = False, **changes: Any) -> dict[str, Any]:
    labels = () if task == "lm" else ("a", "b")
    record = {
        "unit": "documents", "train": 8, "valid": 2, "characters": 99, "duplicates": 0,
        "fingerprint": "1" * 64, **changes.pop("data", {}),
    }  # fmt: skip
    return config_to_json(
        version="0.1.0",
        model=ModelConfig(task, EncoderConfig("gru", 9, 4, 6, 1, task != "lm"), labels, multi, 9),
        parameters=123,
        quantization=None,
        tokenizer=TokenizerConfig("char"),
        data=DataRecord(**record),
        training=TrainingRecord(
            options=changes.pop("options", {}), recipe={}, machine="cpu", threads=1,
            torch_version="2.6", finished=changes.get("finished", True),
            distilled=changes.pop("distilled", None),
        ),
        results=Results(
            metrics={}, steps=1, best_step=1, epochs=1.0, seconds=1.0, tokens_per_second=1,
            halves=HALVES, learned_from_valid=changes.pop("learned", False),
        ) if changes.pop("finished", True) else Progress(1, 1.0, 1.0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        ({"task": "lm"}, {}, "it is a language model, and a classifier has to teach"),
        ({"task": "tag"}, {}, "it is a tagger, and a classifier has to teach"),
        ({"multi": True}, {}, "gives a text several labels: add --multi-label"),
        ({}, {"multi_label": True}, "gives a text one label: leave --multi-label out"),
    ],
)
def test_a_model_that_cannot_teach_is_refused_before_data_are_read(
    config: dict[str, Any], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    directory = tmp_path / "sage"
    checkpoint.save(directory, {checkpoint.WEIGHTS: WEIGHTS}, described(**config), force=False)
    with pytest.raises(UsageError, match=message):
        check_teacher(options(distil=str(directory), **changes), Ranks())
    with pytest.raises(CheckpointError):
        check_teacher(options(distil=str(tmp_path / "missing")), Ranks())


def test_several_processes_are_refused() -> None:
    with pytest.raises(UsageError, match="--distil trains in one process, and this job has 2"):
        check_teacher(options(), Ranks(1, 2))


# What it has seen


def said(valid: str | None = None, **config: Any) -> list[str]:
    content = json.loads(json.dumps(described(**config)))
    saved = CheckpointConfig(Path("sage/config.json"), content)
    return [*filter(None, [seen_validation(saved, options(valid=valid), SUMMARY)])]


OTHER = {"fingerprint": "2" * 64}


def student(seen: bool | None) -> DistillationRecord:
    return DistillationRecord("first", "3" * 64, 5, seen_valid=seen)


@pytest.mark.parametrize(
    "config",
    [
        {},  # the same training data
        {"distilled": student(False), "data": {"unlabelled": 5}},
        {"data": OTHER, "options": {"valid": "dev/../dev.tsv"}, "valid": "dev.tsv"},
        {"options": {"valid": "x"}, "valid": "y"},
        # Validation texts that it was named are never learned from.
        {"options": {"valid": "x"}, "valid": "y", "learned": None},
        {"options": {"valid": "x"}, "valid": "x", "learned": None},
        # The trial of a search, and a run that was interrupted, have not learned again.
        {"learned": None, "finished": False},
    ],
)
def test_a_teacher_that_has_not_seen_validation_texts_is_not_remarked_on(
    config: dict[str, Any],
) -> None:
    assert said(**config) == []


@pytest.mark.parametrize(
    "config",
    [
        {"data": OTHER},
        {"data": OTHER, "options": {"valid": "x"}},
        {"data": OTHER, "options": {"valid": "x"}, "valid": "y"},
        # The file was another one then.
        {"data": {**OTHER, "valid": 3}, "options": {"valid": "x"}, "valid": "x"},
        # Its own validation part may be this file.
        {"learned": True, "valid": "y"},
        # Its unlabelled texts were none of its own validation texts.
        {"data": {"unlabelled": 5}, "options": {"valid": "x"}, "valid": "y"},
        {"data": {"unlabelled": 5}, "valid": "y"},
        # Checkpoints of earlier versions do not say.
        {"learned": None},
        {"distilled": student(None)},
    ],
)
def test_a_teacher_that_may_have_seen_validation_texts_is_remarked_on(
    config: dict[str, Any],
) -> None:
    (sentence,) = said(**config)
    assert "the teacher may have learned from validation texts" in sentence
    assert "--seed" in sentence
    assert "--valid" in sentence
    assert seen_validation(None, options(), SUMMARY) == sentence


@pytest.mark.parametrize("data", [{}, {"unlabelled": 5}])
def test_n_grams_that_learned_from_validation_texts_in_the_end_are_remarked_on(
    data: dict[str, Any],
) -> None:
    """Of how many of the unlabelled texts they learned says nothing of it."""
    (sentence,) = said(data=data, learned=True)
    assert "the teacher's n-grams were learned from the validation texts too" in sentence


def test_texts_of_the_same_validation_file_that_the_teacher_learned_from_are_counted() -> None:
    data = {**OTHER, "valid": 2, "duplicates": 1, "near_duplicates": 1}
    (sentence,) = said(data=data, options={"valid": "x"}, valid="x")
    assert sentence.startswith("the teacher learned from 2 of the 2 validation texts")


def test_a_student_of_a_teacher_that_had_seen_validation_texts_is_remarked_on() -> None:
    for more in ({}, {"options": {"valid": "x"}, "valid": "x"}):
        (sentence,) = said(distilled=student(True), **more)
        assert sentence.startswith("the teacher's own teacher had learned from validation texts")


def test_one_file_can_teach_where_it_is_of_the_same_kind(tmp_path: Path) -> None:
    for task in ("classify", "tag"):
        model = write_model(tmp_path / task, task)
        (tmp_path / f"{task}.onnx").write_bytes(one_file(read_stored(model), "float32"))
    alone = Ranks()
    check_teacher(options(distil=str(tmp_path / "classify.onnx")), alone)
    with pytest.raises(UsageError, match="leave --multi-label out"):
        check_teacher(options(distil=str(tmp_path / "classify.onnx"), multi_label=True), alone)
    with pytest.raises(UsageError, match="it is a tagger"):
        check_teacher(options(distil=str(tmp_path / "tag.onnx")), alone)
    teacher = TrainedTeacher(tmp_path / "classify.onnx", LABELS[::-1], False, 1)
    whole = TrainedTeacher(tmp_path / "classify", LABELS, False, 1)
    np.testing.assert_array_equal(teacher.answers(["a", "b"])[:, ::-1], whole.answers(["a", "b"]))
    assert (teacher.name, teacher.saved) == ("classify.onnx", None)
