"""`rnntext demo`, with a few training steps in place of its two minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rnntext
from tests.conftest import Outcome, Shell

CHECK = Path(__file__).parents[2] / ".ci" / "check_demo.py"
# The command chooses the data, the tokenizer and the seed; only the length of training is ours.
FEW_STEPS = """
    import functools
    from rnntext.cli import demo

    real = demo.TrainingOptions
    demo.TrainingOptions = lambda *args, minutes, **named: real(
        *args, **named, steps=2, preset="tiny"
    )
"""


def demo(run: Shell, tmp_path: Path, *options: object) -> Outcome:
    """Run the demo with `tmp_path / "tmp"` as the place for temporary files."""
    (tmp_path / "tmp").mkdir(exist_ok=True)
    env = {"TMPDIR": str(tmp_path / "tmp"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    return run("demo", "--threads", 1, *options, env=env, before=FEW_STEPS)


def check(out: str) -> int:
    """Exit status of the script by which CI checks the output of the whole demo."""
    ran = subprocess.run([sys.executable, CHECK], input=out, text=True, capture_output=True)
    return ran.returncode


@pytest.mark.parametrize("existing", [False, True])
def test_three_models_are_trained_used_and_kept(existing: bool, run: Shell, tmp_path: Path) -> None:
    """In a directory that need not exist, and may if it is empty."""
    kept = tmp_path / "kept"
    if existing:
        kept.mkdir()
    outcome = demo(run, tmp_path, "-q", "-o", kept).done()
    assert check(outcome.text) == 0
    assert sorted(path.name for path in kept.iterdir()) == ["classify", "lm", "tag"]
    for task in ("lm", "classify", "tag"):
        assert rnntext.load(kept / task).task == task
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "tmp"]


def test_without_a_directory_nothing_is_left(run: Shell, tmp_path: Path) -> None:
    outcome = demo(run, tmp_path)
    assert outcome.status == 0
    assert check(outcome.text) == 0
    assert "step 2/2" in outcome.err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not list((tmp_path / "tmp").glob("rnntext-*"))


def test_a_directory_that_is_not_empty_is_refused(run: Shell, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    for place in ("full", "full/file"):
        outcome = demo(run, tmp_path, "-o", tmp_path / place)
        outcome.failed(2, f"{tmp_path / place} exists and is not empty", "-o")
        assert outcome.out == b""
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]
    assert (tmp_path / "full" / "file").read_text() == "mine"


def test_the_check_fails_where_an_answer_or_a_command_is_missing(
    run: Shell, tmp_path: Path
) -> None:
    lines = demo(run, tmp_path, "-q").text.splitlines(keepends=True)
    assert check("".join(lines)) == 0
    removed, command = 0, ""
    for number, line in enumerate(lines):
        if line.startswith("  $ rnntext "):
            command = line.split()[2]
        elif not line.startswith("  ") or command == "generate":
            continue  # a title, an empty line or one of several lines of a text
        removed += 1
        assert check("".join(lines[:number] + lines[number + 1 :])) != 0
    assert removed == 7 + 3 + 4 + 2  # commands, results, reviews and sentences
