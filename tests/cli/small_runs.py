"""Small training runs, and Python source that kills or interrupts one at an exact moment.

The source is for `before` of the tests' `Shell`. With `--save-every 0` a run saves its state after
each step, so that the number of saves is the number of steps. No moment depends on the clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.conftest import CORPORA

TASKS: dict[str, tuple[str, ...]] = {
    "lm": ("lm", "text.txt", "--tokenizer", "word", "--cell", "gru", "--batch-size", "4"),
    "classify": ("classify", "reviews.csv"),
    "tag": ("tag", "tagged.conllu"),
}
SMALL = ("--preset", "tiny", "--hidden", "16", "--embed", "16", "--threads", "1", "--seed", "5")
STATE = "training-state/loop.json"
KILL = "os.kill(os.getpid(), signal.SIGKILL)"


def write_small_data(folder: Path) -> None:
    """Write the first part of each sample corpus."""
    for name, source, separator, count in (
        ("text.txt", "stories.txt", "\n", 40),
        ("reviews.csv", "reviews.csv", "\n", 130),
        ("tagged.conllu", "tagged.conllu", "\n\n", 110),
    ):
        parts = (CORPORA / source).read_text("utf-8").split(separator)[:count]
        (folder / name).write_text(separator.join(parts) + separator, "utf-8")


class Commands:
    """Command lines of small runs over the data in `folder`."""

    def __init__(self, folder: Path, options: Iterable[object] = SMALL) -> None:
        self.folder, self._options = folder, [*options]

    def __call__(self, task: str, out: Path, *more: object) -> list[str]:
        kind, file, *of_task = TASKS[task]
        words = [kind, self.folder / file, "-o", out, *of_task, *self._options, *more]
        return ["train", *map(str, words)]


def send(number: int) -> str:
    """Source that sends the process itself a signal."""
    return f"os.kill(os.getpid(), {int(number)})"


def at_save(count: int, action: str) -> str:
    """Source that has `action` run just before the process commits its `count`-th save."""
    return f"""
import os, signal, sys

saves = 0

def hook(event, arguments):
    global saves
    if event == "os.rename" and str(arguments[1]).endswith(".next"):
        saves += 1
        if saves == {count}:
            {action}

sys.addaudithook(hook)
"""


def at_message(text: str, action: str) -> str:
    """Source that has `action` run each time that stderr is given a line which contains `text`."""
    return f"""
import os, signal, sys

write = sys.stderr.write

def write_and_act(line):
    count = write(line)
    if {text!r} in line:
        {action}
    return count

sys.stderr.write = write_and_act
"""


def saved_step(out: Path) -> int:
    """The step of the saved state; 0 if there is none."""
    path = out / STATE
    return int(json.loads(path.read_bytes())["step"]) if path.exists() else 0


def weights(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


def log(directory: Path) -> list[dict[str, Any]]:
    """The lines of a run's log, without what is measured by the clock."""
    lines = (directory / "metrics.jsonl").read_text("utf-8").splitlines()
    timings = ("seconds", "tokens_per_second", "memory_mb")
    return [
        {name: value for name, value in json.loads(line).items() if name not in timings}
        for line in lines
    ]


def without_timings(pairs: dict[str, str]) -> dict[str, str]:
    """The result of a run, without what is measured by the clock and without its directory."""
    return {
        name: value
        for name, value in pairs.items()
        if not name.endswith("seconds") and name not in ("tokens_per_second", "model")
    }
