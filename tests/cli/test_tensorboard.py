"""The scalars that a run logs, as TensorBoard reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import CORPORA, TINY, Shell


def test_it_reads_what_the_log_says(run: Shell, tmp_path: Path) -> None:
    out, board = tmp_path / "model", tmp_path / "board"
    data = CORPORA / "tagged.conllu"
    found = run(
        "train", "tag", data, "-o", out, *TINY, 20, "--tensorboard", board, "-q", timeout=120
    )
    assert found.status == 0, found.err
    figures = EventAccumulator(str(board))
    figures.Reload()
    log = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    for tag, kind, name in (
        ("train/loss", "step", "loss"),
        ("train/learning_rate", "step", "learning_rate"),
        ("speed/tokens_per_second", "step", "tokens_per_second"),
        ("valid/accuracy", "evaluation", "accuracy"),
    ):
        expected = [(line["step"], line[name]) for line in log if line["event"] == kind]
        assert expected
        there = [(scalar.step, scalar.value) for scalar in figures.Scalars(tag)]
        assert there == [(step, pytest.approx(value, rel=1e-3)) for step, value in expected]


def test_figures_that_cannot_be_written_do_not_end_the_run(run: Shell, tmp_path: Path) -> None:
    out = tmp_path / "model"
    data = CORPORA / "tagged.conllu"
    # A directory, in which no file can be made.
    found = run(
        "train", "tag", data, "-o", out, *TINY, 20, "--tensorboard", "/proc/self", timeout=120
    )
    assert found.status == 0, found.err
    assert found.err.count("no more figures for TensorBoard: /proc/self") == 1
    assert (out / "model.onnx").exists()


# Limits the size of event files, as a full disk does. The library's own thread writes them.
LITTLE_ROOM = """
import errno, io

real = io.open

def full(file, *args, **more):
    if "tfevents" in str(file):
        raise OSError(errno.ENOSPC, "No space left on device")
    return real(file, *args, **more)

io.open = full
"""


def test_a_disk_that_is_full_gives_one_line(run: Shell, tmp_path: Path) -> None:
    data = CORPORA / "tagged.conllu"
    words = ["train", "tag", data, "-o", tmp_path / "model", *TINY, 40, "-q"]
    found = run(*words, "--tensorboard", tmp_path / "t", before=LITTLE_ROOM, timeout=120)
    assert found.status == 0, found.err
    assert "Traceback" not in found.err
    assert (tmp_path / "model" / "model.onnx").exists()
