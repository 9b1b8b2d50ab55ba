"""Help of the commands, and command lines that are not complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rnntext.cli.main import COMMANDS
from rnntext.training.declaration import declarations, flag_of
from rnntext.training.options import TrainingOptions
from tests.conftest import CORPORA, TINY, Outcome, Shell

# Options of `train` that not all tasks have.
OWN = {
    "lm": {"--bptt"},
    "classify": {
        *("--class-weights", "--group-column", "--label-column", "--label-separator"),
        "--multi-label",
    },
    "tag": {"--group-column", "--tag-column"},
}

# A command of each group.
GROUPS = {"train": ("lm",), "inspect": ("states",), "compare": ("lm",)}


def sections(found: Outcome) -> dict[str, set[str]]:
    """The long flags in each section of a help text."""
    flags: dict[str, set[str]] = {}
    title = ""
    for line in found.done().lines:
        if heading := re.fullmatch(r"([A-Z][A-Za-z ]+):", line):
            title = heading[1]
        elif entry := re.match(r"  (-.*?)(  |$)", line):
            flags.setdefault(title, set()).update(re.findall(r"--[a-z][a-z0-9-]*", entry[1]))
    return flags


@pytest.mark.parametrize("task", OWN)
def test_train_shows_the_options_of_the_task(task: str, run: Shell) -> None:
    found = sections(run("train", task, "--help"))
    assert set(found) == {
        "Data", "Model", "Tokenizer", "Training", "Checkpoints and logs", "Other options",
    }  # fmt: skip
    assert {"--valid", "--text-column", "--encoding", "--no-cache"} < found["Data"]
    assert {"--preset", "--cell", "--init"} < found["Model"]
    assert {"--vocab-size", "--no-lowercase"} < found["Tokenizer"]
    assert {"--epochs", "--lr", "--seed", "--device", "--threads"} < found["Training"]
    assert {"--output", "--resume", "--save-every"} < found["Checkpoints and logs"]
    assert {"--config", "--dry-run", "--json", "--quiet", "--help"} == found["Other options"]
    shown = set().union(*found.values())
    assert shown & set().union(*OWN.values()) == OWN[task]
    everything = declarations(TrainingOptions).items()
    assert {flag_of(name) for name, d in everything if d.help_text and task in d.tasks} < shown


def test_select_shows_the_metrics_of_the_task(run: Shell) -> None:
    for task, metrics in (
        ("lm", "perplexity|loss"),
        ("tag", "loss|accuracy|f1"),
        ("classify", "loss|accuracy|macro_f1|micro_f1"),
    ):
        words = run("train", task, "--help").done().text.split()
        assert words[words.index("--select") + 1] == metrics


def test_train_names_the_tasks(run: Shell) -> None:
    found = run("train", "--help").done()
    assert [line.split()[0] for line in found.text.partition("Commands:\n")[2].splitlines()] == [
        "lm", "classify", "tag",
    ]  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_quiet(name: str, run: Shell) -> None:
    words = [name, *GROUPS.get(name, ())]
    assert "--quiet" in run(*words, "--help").done().text


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ("lm|classify|tag", "train --help")),
        (["-o", "x"], ("lm|classify|tag", "train --help")),
        (["--no-such", "lm"], ("No such option: --no-such", "train --help")),
        (["-o"], ("'-o' requires an argument",)),
        (["translate"], ("lm, classify, tag", "'translate'")),
        (["--steps", "3", "translate", "x"], ("lm, classify, tag", "'translate'")),
        (["lm", "x", "--class-weights", "balanced"], ("--class-weights is for train classify",)),
        (["lm", "x", "--group-column", "x"], ("--group-column is for train classify and tag",)),
        (["tag", "x", "--multi-label"], ("--multi-label is for train classify",)),
        (["classify", "x", "--tag-column", "upos"], ("--tag-column is for train tag",)),
        (["tag", "x", "--threads", "0"], ("--threads", "from 1 to 1,024")),
    ],
)
def test_incomplete_and_wrong_lines_of_train(
    words: list[str], parts: tuple[str, ...], run: Shell
) -> None:
    assert run("train", *words).failed(2, *parts).out == b""


def test_options_of_train_may_precede_the_task(run: Shell, tmp_path: Path) -> None:
    out = tmp_path / "lm"
    data = CORPORA / "reviews.csv"
    run("train", "-q", "--seed", 3, "-o", out, *TINY, 2, "classify", data).done()
    assert run("info", out).done().pairs["task"] == "classify"
