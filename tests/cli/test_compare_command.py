"""`rnntext compare` as a whole command: it writes no model, also where it is interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.small_runs import write_small_data
from tests.conftest import Shell

MODELS = {
    "lm text.txt": ["rnn", "gru", "lstm", "window", "convolution", "ngrams"],
    "classify reviews.csv": ["rnn", "gru", "lstm", "bag", "convolution", "ngrams"],
    "tag tagged.conllu": ["rnn", "gru", "lstm", "word", "convolution", "features"],
}
SHORT = ("--preset", "tiny", "--threads", 1, "--steps", 1, "--seeds", 1, "--no-cache")
INTERRUPTED = """
import os, signal
from rnntext.training.engine.loop import Loop
events, runs = Loop.events, []

def interrupted(loop):
    runs.append(loop)
    if len(runs) == 2:
        os.kill(os.getpid(), signal.SIGINT)
    yield from events(loop)

Loop.events = interrupted
"""


@pytest.mark.parametrize("words", MODELS)
def test_a_line_a_model(words: str, run: Shell, tmp_path: Path) -> None:
    write_small_data(tmp_path)
    before = sorted(tmp_path.iterdir())
    task, file = words.split()
    found = run("compare", task, file, *SHORT, "-q", cwd=tmp_path).done()
    assert [line.split("\t")[0] for line in found.lines] == MODELS[words]
    assert {len(line.split("\t")) for line in found.lines} == {7}
    assert sorted(tmp_path.iterdir()) == before


def test_ctrl_c_shows_the_rows_so_far_and_leaves_nothing(run: Shell, tmp_path: Path) -> None:
    write_small_data(tmp_path)
    (tmp_path / "tmp").mkdir()
    before = sorted(tmp_path.rglob("*"))
    found = run(
        *("compare", "classify", "reviews.csv", *SHORT),
        cwd=tmp_path,
        env={"TMPDIR": str(tmp_path / "tmp")},
        before=INTERRUPTED,
    )
    assert found.status == 130
    assert [line.split("\t")[0] for line in found.lines] == ["rnn"]
    assert "interrupted: of 6 runs 1 are shown" in found.told
    assert "Traceback" not in found.told
    assert sorted(tmp_path.rglob("*")) == before


def test_memory_reads_no_data_and_writes_no_model(run: Shell, tmp_path: Path) -> None:
    words = ("memory", "--distances", "3,4", "--steps", 1, "--seeds", 1, "--threads", 1, "-q")
    found = run("compare", *words, cwd=tmp_path).done()
    assert [line.split("\t")[:3] for line in found.lines] == [
        [task, model, distance]
        for task in ("recall", "agreement")
        for model in ("window", "rnn", "gru", "lstm")
        for distance in ("3", "4")
    ]
    assert run("compare", *words, cwd=tmp_path).done().out == found.out
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_shows_the_models_of_compare_memory_that_were_finished(run: Shell) -> None:
    found = run(
        *("compare", "memory", "--distances", 3, "--steps", 1, "--seeds", 1, "--threads", 1),
        before="""
        import os, signal
        from rnntext.training.comparison import long_memory
        train, trained = long_memory.train, []

        def interrupted(*given):
            trained.append(given)
            if len(trained) == 2:
                os.kill(os.getpid(), signal.SIGINT)
            train(*given)

        long_memory.train = interrupted
        """,
    )
    assert found.status == 130
    assert [line.split("\t")[1] for line in found.lines] == ["window"]
    assert found.err.endswith("interrupted: the models that were finished are shown\n")
    assert "Traceback" not in found.told
