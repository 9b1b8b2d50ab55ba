"""Models that are replaced again and again while they are loaded and answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import rnntext
from rnntext import checkpoint
from rnntext.runtime.api import Runtime
from tests.cli.small_runs import Commands, write_small_data
from tests.conftest import Shell

# Each load gives five answers. With 700 a task, more than 10,000 answers, this takes a minute and a
# half; `tests/test_checkpoint.py` saves at each moment of a load.
LOADS = 100
TEXTS = ["a good story", "not one word of it", "The end .", "", "Once upon a time"]
METHODS: dict[str, Callable[[Runtime], Any]] = {
    "lm": lambda model: (
        model.score(TEXTS, carry=True),
        model.generate(TEXTS[:1], seed=1, length=4),
        model.generate(TEXTS[:1], seed=1, length=4, top_k=5),
    ),
    "classify": lambda model: model.classify(TEXTS),
    "tag": lambda model: model.tag(TEXTS),
}

REPLACING = """
import sys, threading
from pathlib import Path
from rnntext import checkpoint

target, *sources = map(Path, sys.argv[1:])
generations = []
for source in sources:
    found = checkpoint.load(source)
    generations.append(({n: found.read(n) for n in found.config["files"]}, found.config))
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
count = 0
while not ended.is_set():
    files, config = generations[count % 2]
    checkpoint.save(target, files, config, force=True)
    count += 1
print(count)
"""


@pytest.fixture(scope="module")
def generations(run: Shell, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Two models of each task, whose files have the same sizes as far as chance allows."""
    folder = tmp_path_factory.mktemp("data")
    write_small_data(folder)
    models: dict[str, list[Path]] = {}
    for task in METHODS:
        for seed in (1, 2):
            command = Commands(folder, ("--preset", "tiny", "--threads", "1", "--seed", seed))
            out = folder / f"{task}-{seed}"
            assert run(*command(task, out, "--steps", 2)).status == 0
            models.setdefault(task, []).append(out)
    return models


@contextmanager
def replaced(target: Path, sources: list[Path]) -> Iterator[list[int]]:
    """Replace the model in `target` until the context ends; then the list has the count."""
    counts: list[int] = []
    process = subprocess.Popen(
        [sys.executable, "-c", REPLACING, str(target), *map(str, sources)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        while not (target / checkpoint.CONFIG).exists():
            assert process.poll() is None
        yield counts
    finally:
        written, _ = process.communicate()
    counts.append(int(written))


@pytest.mark.parametrize("task", METHODS)
def test_no_answer_is_mixed_and_none_fails(
    task: str, generations: dict[str, list[Path]], tmp_path: Path
) -> None:
    answer = METHODS[task]
    allowed = [answer(rnntext.load(source, threads=1)) for source in generations[task]]
    assert allowed[0] != allowed[1]
    seen = []
    with replaced(tmp_path / "model", generations[task]) as count:
        for _ in range(LOADS):
            model = rnntext.load(tmp_path / "model", threads=1)
            found = answer(model)
            assert found in allowed
            seen.append(allowed.index(found))
    assert {*seen} == {0, 1}
    assert count[0] > 10
