"""A saved run that cannot be read, or is not the one that the command line describes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from safetensors.torch import save as save_tensors

from rnntext import checkpoint
from rnntext.checkpoint_config import (
    CheckpointConfig,
    DataRecord,
    DistillationRecord,
    Progress,
    TrainingRecord,
    config_to_json,
)
from rnntext.config import EncoderConfig, ModelConfig, TokenizerConfig
from rnntext.errors import CheckpointError, UsageError
from rnntext.training.options import TrainingOptions
from rnntext.training.persistence.resume import LOOP, TENSORS, SavedRun, find_saved_run
from rnntext.training.recipes import Recipe

OPTIONS = TrainingOptions("tag", ("a.conllu",), epochs=20, lr=0.01)
TENSOR = torch.arange(6.0).reshape(2, 3)
FILES = {
    checkpoint.TOKENIZER: b"{}",
    checkpoint.METRICS: b"",
    TENSORS: save_tensors({"model.weight": TENSOR}),
    LOOP: json.dumps({"step": 7, "spent": 1.5}).encode(),
}


def config(
    *,
    cut_short: bool = False,
    finished: bool = False,
    distilled: DistillationRecord | None = None,
    data: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    training = TrainingRecord(
        options=OPTIONS.to_json(),
        recipe=Recipe("gru", 1, 6, 4, True, 8, 0.01, 0.1, 0.0, 0, 9).to_json(),
        machine="cpu, float32",
        threads=2,
        processes=1,
        torch_version=str(torch.__version__),
        finished=finished,
        distilled=distilled,
    )
    return config_to_json(
        version="0.1.0",
        model=ModelConfig("tag", EncoderConfig("gru", 9, 4, 6, 1, True), ("A", "B"), False, 9),
        parameters=123,
        quantization=None,
        tokenizer=TokenizerConfig("char"),
        data=DataRecord(
            "sentences",
            40,
            10,
            99,
            0,
            "1" * 64,
            {"A": 4},
            50,
            cut_short,
            valid_digest="2" * 64,
            **data,
        ),
        training=training,
        results=Progress(20, 2.5, 3.5, None, None),
    )


def saved_run(
    *,
    cut_short: bool = False,
    distilled: DistillationRecord | None = None,
    data: Mapping[str, Any] = MappingProxyType({}),
    **files: bytes,
) -> SavedRun:
    content = config(cut_short=cut_short, distilled=distilled, data=data)
    read = CheckpointConfig(Path("model"), json.loads(json.dumps(content)))
    return SavedRun(Path("model"), read, OPTIONS, False, {**FILES, **files})


def test_a_state_is_read_once() -> None:
    run = saved_run()
    state, seconds = run.state()
    assert (state.values, seconds) == ({"step": 7, "spent": 1.5}, 1.5)
    assert torch.equal(state.tensors["model.weight"], TENSOR)
    assert TENSORS not in run.files  # the memory is free


@pytest.mark.parametrize(
    "files",
    [
        {LOOP: b""},
        {LOOP: b"{"},
        {LOOP: b"\xff"},
        {LOOP: b'{"step": 7}'},
        {TENSORS: b""},
        {TENSORS: FILES[TENSORS][:-1]},
        {TENSORS: b"\xff" * 40},
    ],
    ids=str,
)
def test_a_state_that_cannot_be_read(files: dict[str, bytes]) -> None:
    with pytest.raises(CheckpointError) as caught:
        saved_run(**files).state()
    message = str(caught.value)
    assert message.startswith("model: its saved state cannot be read (")
    assert message.endswith("): start anew with --force")
    assert "\n" not in message


def test_a_saved_run_is_found(tmp_path: Path) -> None:
    assert find_saved_run(tmp_path / "absent") is None
    checkpoint.save(tmp_path / "m", FILES, config(), force=False)
    run = find_saved_run(tmp_path / "m")
    assert run is not None
    assert (run.options, run.finished, run.files) == (OPTIONS, False, FILES)
    checkpoint.save(tmp_path / "m", {}, config(finished=True), force=True)
    run = find_saved_run(tmp_path / "m")
    assert run is not None
    assert (run.finished, run.files) == (True, {})


@pytest.mark.parametrize(
    ("training", "fault"),
    [
        (None, "training must be an object, not null"),
        ({}, "training.options is missing"),
        ({"options": OPTIONS.to_json()}, "training.recipe is missing"),
        (3, "training must be an object, not 3"),
    ],
)
def test_a_checkpoint_that_describes_no_run(training: object, fault: str, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "m", FILES, {**config(), "training": training}, force=False)
    with pytest.raises(CheckpointError, match=rf"config.json is damaged \({re.escape(fault)}\)"):
        find_saved_run(tmp_path / "m")


def test_a_state_without_one_of_its_files(tmp_path: Path) -> None:
    files = {name: content for name, content in FILES.items() if name != LOOP}
    checkpoint.save(tmp_path / "m", files, config(), force=False)
    with pytest.raises(CheckpointError, match=r"has no training-state/loop\.json"):
        find_saved_run(tmp_path / "m")


def test_only_paths_and_hardware_may_change() -> None:
    given = TrainingOptions("tag", ("b.conllu",), valid="v", device="cpu", threads=3)
    merged = saved_run().merge_options(given)
    assert merged == replace(given, epochs=20, lr=0.01)
    unchanged = saved_run().merge_options(TrainingOptions("tag", (), epochs=20))
    assert unchanged == replace(OPTIONS, threads=2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (TrainingOptions("lm", ()), "holds a run of train tag, not of train lm"),
        (TrainingOptions("tag", (), epochs=3), "--epochs 3: model .* started with 20; leave it"),
        (TrainingOptions("tag", (), lr=0.5), r"--lr 0.5: model .* started with 0\.01; leave it"),
        (TrainingOptions("tag", (), seed=4), "--seed 4: model .* started without --seed; leave"),
    ],
)
def test_other_options_are_refused(given: TrainingOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        saved_run().merge_options(given)


def test_a_part_of_the_data_is_read_again() -> None:
    run = saved_run(cut_short=True)
    assert run.merge_options(TrainingOptions("tag", ())).part == (50, 40, 0)


TEACHER = DistillationRecord("sage", "7" * 64, 3)


@pytest.mark.parametrize(
    ("fingerprint", "digest", "unlabelled", "part"),
    [
        ("3", "2", "", "training"),
        ("1", "3", "", "validation"),
        ("1", "2", "4", "unlabelled"),
    ],
)
def test_other_data_are_refused(fingerprint: str, digest: str, unlabelled: str, part: str) -> None:
    run = saved_run()
    run.require_same(run.config.data, "2" * 64, None)
    summary = replace(
        run.config.data,
        fingerprint=fingerprint * 64,
        unlabelled_fingerprint=unlabelled * 64,
    )
    with pytest.raises(UsageError, match=f"the {part} data are not those of the run that model"):
        run.require_same(summary, digest * 64, None)


def test_another_teacher_is_refused() -> None:
    run = saved_run(distilled=TEACHER)
    data = run.config.data
    # The directory may have moved.
    run.require_same(data, "2" * 64, replace(TEACHER, teacher="moved"))
    with pytest.raises(UsageError, match="the teacher sage is not the one of the run that model"):
        run.require_same(data, "2" * 64, replace(TEACHER, digest="8" * 64))


def test_a_teacher_answers_as_many_texts_again() -> None:
    """Of all texts it is their number too: with a time budget a clock would be asked otherwise."""
    for data, unanswered, part in (
        ({"unlabelled": 3}, 0, None),
        ({"unlabelled": 5}, 2, None),
        ({"unlabelled": 5, "unlabelled_read": 6, "unlabelled_cut": True}, 0, (6, 5)),
    ):
        run = saved_run(distilled=replace(TEACHER, unanswered=unanswered), data=data)
        options = run.merge_options(TrainingOptions("tag", ()))
        assert (options.unlabelled_texts, options.unlabelled_part) == (3, part)
        assert options.unanswered == unanswered
    alone = saved_run().merge_options(TrainingOptions("tag", ()))
    assert (alone.unlabelled_texts, alone.unanswered) == (None, None)


@pytest.mark.parametrize("name", ["unlabelled", "unanswered"])
def test_a_teacher_that_answers_another_number_of_texts_is_refused(name: str) -> None:
    run = saved_run(distilled=replace(TEACHER, unanswered=3))
    now = replace(TEACHER, **{"unlabelled": 3, "unanswered": 3, name: 2})
    with pytest.raises(UsageError, match=rf"other texts than .* model holds \({name}: 3 then, 2 "):
        run.require_same(run.config.data, "2" * 64, now)


def test_the_paths_of_a_teacher_and_of_its_texts_may_change() -> None:
    saved = TrainingOptions("classify", ("a.csv",), distil="sage", unlabelled=("u.txt", "v.txt"))
    run = replace(saved_run(), options=saved)
    same = run.merge_options(TrainingOptions("classify", ()))
    assert (same.distil, same.unlabelled) == ("sage", ("u.txt", "v.txt"))
    given = replace(saved, distil="moved/sage", unlabelled=("u.txt.gz",))
    moved = run.merge_options(given)
    assert (moved.distil, moved.unlabelled) == ("moved/sage", ("u.txt.gz",))


def test_changes_of_the_machine_are_described() -> None:
    run = saved_run()
    assert run.describe_changes("cpu, float32", 2, 1) == ""
    assert run.describe_changes("cpu, bfloat16", 1, 2) == (
        "machine cpu, float32 then, cpu, bfloat16 now; threads 2 then, 1 now; "
        "processes 1 then, 2 now"
    )
