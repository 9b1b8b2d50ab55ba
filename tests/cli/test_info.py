"""The facts that `info` tells of a checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rnntext import checkpoint
from rnntext.checkpoint_config import (
    DataRecord,
    DistillationRecord,
    Progress,
    Quantization,
    Results,
    TrainingRecord,
    config_to_json,
)
from rnntext.cli.commands import click_command
from rnntext.cli.info import command, describe
from rnntext.config import EncoderConfig, ModelConfig, TokenizerConfig
from tests.cli.screens import pipe, screen, written

TRAINING = TrainingRecord(
    options={}, recipe={}, machine="cpu", threads=1, torch_version="2.6", finished=True
)
RESULTS = Results(
    metrics={"f1": 0.5, "bits": None, "per_label": {}, "precision": 0.625},
    steps=30,
    best_step=20,
    epochs=2.5,
    seconds=3.5,
    tokens_per_second=100,
)
FACTS = {
    "task": "classify",
    "cell": "gru",
    "layers": 2,
    "hidden": 6,
    "embed": 4,
    "bidirectional": True,
    "parameters": 123,
    "bytes": 5,
    "precision": "float32",
    "tokenizer": "char",
    "vocabulary": 9,
    "labels": ["a", "b"],
    "trained_on": "8 lines",
    "validated_on": "3 lines",
    "fingerprint": "ab",
    "finished": True,
    "steps": 30,
    "epochs": 2.5,
    "seconds": 3.5,
    "rnntext_version": "0.1.0",
}


def save(
    directory: Path,
    results: Results | Progress = RESULTS,
    quantization: Quantization | None = None,
    labels: tuple[str, ...] = ("a", "b"),
) -> Path:
    encoder = EncoderConfig("gru", 9, 4, 6, 2, bool(labels))
    task = "classify" if labels else "lm"
    config = config_to_json(
        version="0.1.0",
        model=ModelConfig(task, encoder, labels, False, 9 if labels else 0),
        parameters=123,
        quantization=quantization,
        tokenizer=TokenizerConfig("char"),
        data=DataRecord("lines", 8, 3, 99, 0, "ab"),
        training=replace(TRAINING, finished=isinstance(results, Results)),
        results=results,
    )
    files: dict[str, bytes | Path] = {checkpoint.TOKENIZER: b"{}", checkpoint.METRICS: b"abc"}
    checkpoint.save(directory, files, config, force=False)
    return directory


def test_a_finished_model(tmp_path: Path) -> None:
    metrics = {"f1": 0.5, "metrics.precision": 0.625}
    facts = describe(save(tmp_path / "m", replace(RESULTS, metrics={**RESULTS.metrics, "bits": 1})))
    assert facts == {**FACTS, "metrics.precision": 0.625, "f1": 0.5, "bits": 1}
    assert list(facts)[: len(FACTS)] == list(FACTS)
    assert metrics.items() <= facts.items()


def test_an_unfinished_model_without_labels(tmp_path: Path) -> None:
    facts = describe(save(tmp_path / "m", Progress(4, 0.5, 1.5), labels=()))
    expected: dict[str, Any] = {**FACTS, "task": "lm", "finished": False, "bidirectional": False}
    expected |= {"steps": 4, "epochs": 0.5, "seconds": 1.5}
    del expected["labels"]
    assert facts == expected


def test_a_distilled_model_names_its_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = DistillationRecord("sage", "7" * 64, 2345)
    monkeypatch.setattr(f"{__name__}.TRAINING", replace(TRAINING, distilled=record))
    facts = describe(save(tmp_path / "m"))
    assert (facts["distilled_from"], facts["unlabelled"]) == ("sage", 2345)


def test_a_float32_model_that_was_measured_in_int8_too(tmp_path: Path) -> None:
    results = replace(RESULTS, float32={"f1": 0.75})
    assert describe(save(tmp_path / "m", results)) == {**FACTS, "f1": 0.75}


def test_an_int8_model_has_the_metrics_of_both_precisions(tmp_path: Path) -> None:
    int8 = {**FACTS, "precision": "int8", "f1": 0.5}
    results = replace(RESULTS, metrics={"f1": 0.5}, float32={"f1": 0.75, "table": [1]})
    facts = describe(save(tmp_path / "one", results, Quantization(temperature=1.5)))
    assert facts == {**int8, "float32_f1": 0.75}
    results = replace(RESULTS, metrics={"f1": 0.5})
    measured = Quantization(("v.csv",), 1.5, {"f1": 0.25, "bits": None}, {"f1": 0.5})
    facts = describe(save(tmp_path / "two", results, measured))
    assert facts == {**int8, "int8_f1": 0.25, "int8_bits": None}


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = save(tmp_path / "m", labels=tuple(f"label{n}" for n in range(99)))

    def run(*words: str) -> None:
        click_command(command, "info")([str(directory), *words], standalone_mode=False)

    reader = pipe(monkeypatch)
    run("--json")
    facts = json.loads(written(reader))
    assert facts["labels"] == [f"label{n}" for n in range(99)]
    assert facts["seconds"] == 3.5
    reader = pipe(monkeypatch)
    run()
    lines = dict(line.split("\t") for line in written(reader).splitlines())
    assert lines["labels"] == ", ".join(f"label{n}" for n in range(99))
    assert (lines["seconds"], lines["f1"], lines["bits"]) == ("3.5", "0.5", "")
    shown = screen(monkeypatch, columns=400)
    run()
    assert "label0, label1, " in shown.shown
    assert "label98" not in shown.shown
    assert shown.shown.startswith(str(directory))
