"""`rnntext demo`, with models that are trained already."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from rnntext.checkpoint import load
from rnntext.cli import demo
from rnntext.training.events import Saved
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions
from tests.conftest import Shell


def test_a_directory_that_is_not_empty_is_refused(run: Shell, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    message = "exists and is not empty: name another directory with -o"
    for out in (tmp_path, tmp_path / "mine.txt"):
        assert run("demo", "-o", out).failed(2, f"{out} {message}").out == b""
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("out", ["empty", "absent", None])
def test_each_model_is_trained_and_used(
    out: str | None,
    lm: Path,
    classifier: Path,
    tagger: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    models = {"lm": lm, "classify": classifier, "tag": tagger}
    trained: list[Path] = []

    def train(
        options: TrainingOptions, directory: Path, execution: ExecutionOptions, **_: object
    ) -> tuple[None, Saved]:
        assert (options.seed, execution.cache) == (1, False)
        shutil.copytree(models[options.task], directory)
        trained.append(directory)
        metrics: dict[str, Any] = load(directory).config["results"]["metrics"]
        return None, Saved(directory, options.task, metrics, 1, 1, 1.0, 1.0, 1.0, 1, "done")

    monkeypatch.setattr(demo, "train", train)
    (tmp_path / "empty").mkdir()
    demo.command(None if out is None else tmp_path / out)
    assert [path.name for path in trained] == ["lm", "classify", "tag"]
    assert all(path.exists() == (out is not None) for path in trained)
    if out is not None:
        assert {path.parent for path in trained} == {tmp_path / out}
    lines = capfd.readouterr().out.splitlines()
    commands = [line.strip() for line in lines if line.startswith("  $ ")]
    assert commands == [
        "$ rnntext train lm stories.txt --tokenizer word --minutes 0.9 --seed 1 -o lm",
        '$ rnntext generate -m lm "The heron" -n 70 --temperature 0.6 --seed 3',
        '$ rnntext generate -m lm "Mara said" -n 70 --temperature 0.6 --seed 3',
        "$ rnntext train classify reviews.csv --tokenizer word --minutes 0.4 --seed 1 -o classify",
        "$ rnntext classify -m classify --with-text",
        "$ rnntext train tag tagged.conllu --tokenizer bpe --minutes 0.3 --seed 1 -o tag",
        "$ rnntext tag -m tag",
    ]
    results = [line.split()[0] for line in lines if line.endswith(" on text it has not seen")]
    assert results == ["perplexity", "accuracy", "accuracy"]
    assert any(line.endswith("The soup was cold and the service was poor.") for line in lines)
    assert sum(line.startswith("  Captain/") for line in lines) == 1
