"""A trial that is finished is what the run itself would have saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rnntext import checkpoint
from rnntext.training import run as running
from rnntext.training.kept_trial import TrialFinisher
from rnntext.training.options import TrainingOptions
from rnntext.training.setup import Shared, set_up
from tests.conftest import CORPORA

# They tell when the run was, or how fast.
TIMES = ("seconds", "tokens_per_second")


def small(task: str, folder: Path, **changes: Any) -> TrainingOptions:
    name, separator = {"tag": ("tagged.conllu", "\n\n")}.get(task, ("reviews.csv", "\n"))
    parts = (CORPORA / name).read_text("utf-8").split(separator)[:60]
    data = folder / name
    data.write_text(separator.join(parts) + separator, "utf-8")
    return TrainingOptions(task, (str(data),), steps=4, threads=1, preset="tiny", **changes)


def without_times(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {n: without_times(v) for n, v in value.items() if not n.endswith(TIMES)}


@pytest.mark.parametrize("quantize", [False, True])
@pytest.mark.parametrize("task", ["classify", "tag", "lm"])
def test_a_finished_trial_is_what_its_run_saves(task: str, quantize: bool, tmp_path: Path) -> None:
    options = small(task, tmp_path, quantize=quantize)
    published = tmp_path / "published"
    setup = set_up(options, None, cache=False)
    list(setup.objective.prepare({}))
    trial = Shared(setup.data, setup.objective.files({}), published, is_trial=True)
    list(running.run(replace(options, quantize=False), tmp_path / "trial", shared=trial))
    list(running.run(options, tmp_path / "final", shared=replace(trial, is_trial=False)))
    found, expected = (checkpoint.load(tmp_path / name) for name in ("trial", "final"))
    files, config = TrialFinisher(setup, published).finish(found)
    names = expected.config["files"].keys()
    assert names == {**found.config["files"], **files}.keys()
    for name in names - {checkpoint.METRICS, checkpoint.MODEL_CARD}:
        content = files.get(name) or found.read(name)
        assert content == expected.read(name), name
    cards = (files.get(checkpoint.MODEL_CARD) or found.read(checkpoint.MODEL_CARD)).decode()
    lines = [
        [line for line in card.splitlines() if not line.startswith("- run: ")]
        for card in (cards, expected.read(checkpoint.MODEL_CARD).decode())
    ]
    assert lines[0] == lines[1]
    for section in config.keys() - {"files"}:
        assert without_times(config[section]) == without_times(expected.config[section]), section
    if task != "lm":
        assert checkpoint.NGRAMS in files
        assert files[checkpoint.NGRAMS] != found.read(checkpoint.NGRAMS)
