"""Runs that are killed, stopped and resumed, as real processes: they end with the same weights, bit
for bit, as a run that was not interrupted."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.cli.small_runs import (
    KILL,
    STATE,
    TASKS,
    Commands,
    at_message,
    at_save,
    log,
    saved_step,
    send,
    weights,
    without_timings,
    write_small_data,
)
from tests.conftest import Outcome, Shell

EVERY_STEP = ("--save-every", "0")
SIGNALS = pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    folder = tmp_path_factory.mktemp("data")
    write_small_data(folder)
    return Commands(folder)


def succeeded(found: Outcome) -> Outcome:
    assert found.status == 0, found.err
    return found


def killed(run: Shell, words: list[str], saves: int) -> None:
    """Start a run that saves each step, and kill it during the save after so many."""
    found = run(*words, *EVERY_STEP, before=at_save(saves + 1, KILL), timeout=300)
    assert found.status == -signal.SIGKILL, found.err


@pytest.mark.parametrize("task", TASKS)
def test_killed_again_and_again(task: str, command: Commands, run: Shell, tmp_path: Path) -> None:
    """Dropout, averaged weights, a carried state and a shuffled order of batches all resume."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = succeeded(run(*command(task, whole, "--epochs", 3), timeout=300))
    steps = int(expected.pairs["steps"])
    assert steps > 20
    resume = [*command(task, broken, "--epochs", 3), "--resume"]
    # In each of the three epochs; the second run makes the saves between the two steps.
    for last, before in ((steps // 6, 0), (steps // 2, steps // 6), (steps - 2, steps // 2)):
        killed(run, resume, last - before)
        assert saved_step(broken) == last
    found = succeeded(run(*resume, timeout=300))
    assert f"going on after step {steps - 2}\n" in found.told
    assert weights(broken) == weights(whole)
    assert without_timings(found.pairs) == without_timings(expected.pairs)
    assert log(broken) == log(whole)
    # The training state is removed.
    assert sorted(os.listdir(broken)) == sorted(os.listdir(whole))


def test_without_an_end_it_stops_where_it_would_have(
    command: Commands, run: Shell, tmp_path: Path
) -> None:
    """The plateau's patience and its cuts of the rate are carried over."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fast = ("--lr", 0.3, "--batch-size", 64)
    expected = succeeded(run(*command("tag", whole, *fast), timeout=300))
    steps = int(expected.pairs["steps"])
    resume = [*command("tag", broken, *fast), "--resume"]
    killed(run, resume, int(0.4 * steps))
    killed(run, resume, int(0.7 * steps) - int(0.4 * steps))
    found = succeeded(run(*resume, timeout=300))
    assert without_timings(found.pairs) == without_timings(expected.pairs)
    assert weights(broken) == weights(whole)


@SIGNALS
def test_asked_to_end_it_saves_and_says_how_to_go_on(
    number: int, status: int, command: Commands, run: Shell, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "my model"
    expected = succeeded(run(*command("tag", whole, "--epochs", 3), timeout=300))
    interrupt = at_message("best so far", send(number))
    stopped = run(*command("tag", out, "--epochs", 3), before=interrupt, timeout=300)
    assert stopped.status == status, stopped.err
    assert "Traceback" not in stopped.told
    assert stopped.out == b""
    told = re.search(
        r"stopped and saved after step (\d+).*`(rnntext train tag --resume -o .*)`", stopped.told
    )
    assert told is not None, stopped.err
    assert saved_step(out) == int(told[1]) < int(expected.pairs["steps"])
    # The best model so far can be used.
    assert run("tag", "-m", out, "--text", "The heron stood .").done().lines
    resume = ["train", "tag", "--resume", "-o", out]
    assert told[2].startswith("rnntext train tag --resume -o ")
    found = succeeded(run(*resume, timeout=300))
    assert weights(out) == weights(whole)
    # For a finished run, the same command prints the result again and changes nothing.
    before = (out / "config.json").read_bytes()
    again = run(*resume).done()
    assert without_timings(again.pairs) == without_timings(found.pairs)
    assert (out / "config.json").read_bytes() == before


@pytest.fixture(scope="module")
def unfinished(command: Commands, run: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed after its first evaluation."""
    out = tmp_path_factory.mktemp("unfinished") / "model"
    killed(run, command("tag", out, "--epochs", 5, "--batch-size", 8), 14)
    return out


@pytest.fixture
def copy(unfinished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unfinished, tmp_path / "model"))


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (["--epochs", "60"], ["--epochs 60", "started with 5"]),
        (["--lr", "0.5"], ["--lr 0.5", "started without --lr"]),
        (["--cell", "rnn"], ["--cell rnn"]),
        (["--tokenizer", "char"], ["--tokenizer char", "started without --tokenizer"]),
        (["--steps", "10"], ["exclude each other"]),
        (["--force"], ["--resume and --force exclude each other"]),
        (["--dry-run"], ["--resume and --dry-run exclude each other"]),
        (["--save-every", "-1"], ["--save-every must be from 0 "]),
    ],
)
def test_another_run_is_refused_by_name(
    more: list[str], parts: list[str], copy: Path, command: Commands, run: Shell
) -> None:
    before = (copy / "config.json").read_bytes()
    run(*command("tag", copy, "--epochs", 5), "--resume", *more).failed(2, *parts)
    assert (copy / "config.json").read_bytes() == before


def test_another_task_is_refused(copy: Path, command: Commands, run: Shell) -> None:
    found = run("train", "lm", command.folder / "text.txt", "-o", copy, "--resume")
    found.failed(2, str(copy), "a run of train tag, not of train lm")


@pytest.mark.parametrize("part", ["training", "validation"])
def test_other_data_are_refused(
    part: str, copy: Path, command: Commands, run: Shell, tmp_path: Path
) -> None:
    data = command.folder / "tagged.conllu"
    text = data.read_text("utf-8")
    other = tmp_path / "other.conllu"
    if part == "training":
        sentence = "1\tNew\t_\tADJ\t_\t_\t_\t_\t_\t_\n\n"
        other.write_text(text + sentence * 3, "utf-8")
        arguments = [other]
    else:
        other.write_text(text, "utf-8")
        arguments = [data, "--valid", other]
    found = run("train", "tag", *arguments, "-o", copy, "--resume", timeout=120)
    assert found.status == 2, found.err
    assert "Traceback" not in found.told
    last = found.err.splitlines()[-1]
    assert "data are not those of the run" in last or "started without --valid" in last


def test_without_a_run_it_begins_one(command: Commands, run: Shell, tmp_path: Path) -> None:
    arguments = [*command("tag", tmp_path / "new", "--steps", 3), "--resume", "-q"]
    run(*arguments, timeout=120).done()
    run("train", "tag", "--resume", "-o", tmp_path / "none").failed(2, "no run to go on with")


def test_what_is_no_checkpoint_is_left_alone(command: Commands, run: Shell, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine", "utf-8")
    run(*command("tag", tmp_path / "mine"), "--resume").failed(2, "not an rnntext checkpoint")
    assert os.listdir(tmp_path / "mine") == ["letter.txt"]


def test_a_damaged_state_is_refused(copy: Path, run: Shell) -> None:
    path = copy / STATE
    path.write_bytes(path.read_bytes().replace(b'"step"', b'"stop"', 1))
    run("train", "tag", "--resume", "-o", copy).failed(1, STATE, "damaged")


# Step 5 makes a weight NaN.
DIVERGING = """
import math
from rnntext.training.engine.optimizer import Optimizer

step = Optimizer.step

def diverge(optimizer, rate, number):
    norm = step(optimizer, rate, number)
    if number == 5:
        optimizer._parameters[0].detach().view(-1)[0] = math.nan
    return norm

Optimizer.step = diverge
"""


def test_a_diverged_run_keeps_the_last_good_state(
    command: Commands, run: Shell, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "model"
    succeeded(run(*command("tag", whole, "--steps", 12), timeout=120))
    words = command("tag", out, "--steps", 12)
    found = run(*words, *EVERY_STEP, before=DIVERGING, timeout=120)
    assert found.status == 1, found.err
    last = found.err.splitlines()[-1]
    assert re.search(
        r"weights became infinite or NaN by step 6, at a learning rate of .*--lr", last
    )
    assert last.endswith(f"{out} keeps what was last saved")
    assert saved_step(out) == 5
    succeeded(run(*words, "--resume", timeout=120))
    assert weights(out) == weights(whole)


# A limit on the size of files does what a full disk does.
LITTLE_ROOM = """
import resource, signal

resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
"""


def test_a_full_disk_does_not_end_the_run(command: Commands, run: Shell, tmp_path: Path) -> None:
    """The state does not fit, the finished model does."""
    out = tmp_path / "model"
    words = command("tag", out, "--steps", 4, "--hidden", 96, *EVERY_STEP)
    found = succeeded(run(*words, before=LITTLE_ROOM, timeout=120))
    assert found.err.count("the state is not saved, training goes on: cannot write") == 1
    assert f"{out} may not be written: its largest file needs 2.1 MB and a file may " in found.told
    assert (out / "model.onnx").stat().st_size < 1_000_000
    assert not (out / "training-state").exists()


def test_no_data_need_be_named_on_a_terminal(copy: Path, run: Shell) -> None:
    ours, theirs = pty.openpty()
    found = run("train", "tag", "--resume", "-o", copy, "-q", stdin=theirs, timeout=120)
    os.close(ours)
    found.done()


def test_other_threads_are_told(copy: Path, run: Shell) -> None:
    told = "threads 1 then, 2 now: the run will not end with the same weights to the bit"
    stop = at_message(told, send(signal.SIGTERM))  # before the first step, which two threads share
    words = ("train", "tag", "--resume", "-o", copy, "--threads", 2)
    found = run(*words, before=stop, timeout=120)
    assert found.status == 143, found.err
    assert told in found.told
    assert json.loads((copy / "config.json").read_bytes())["training"]["threads"] == 2


def test_a_run_that_is_not_finished_says_so(copy: Path, run: Shell) -> None:
    facts = run("info", copy, "--json").done().objects[0]
    assert facts["finished"] is False
    assert facts["steps"] == saved_step(copy)
    assert facts["accuracy"] >= 0
    run("export", copy, "--int8").failed(1, "not finished", "--resume")
    run("tag", "-m", copy, "--text", "The heron stood .").done()


def test_a_run_without_an_evaluation_is_no_model_yet(
    command: Commands, run: Shell, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    killed(run, command("tag", out, "--steps", 5000), 1)
    assert not (out / "model.onnx").exists()
    assert run("info", out, "--json").done().objects[0]["finished"] is False
    found = run("tag", "-m", out, "--text", "The heron stood .")
    found.failed(1, "not come to its first evaluation", "rnntext train tag --resume")


# The signal arrives while the n-grams of a classifier are learned.
INTERRUPTED_LEARNING = """
import os, signal
if NUMBER != signal.SIGINT:  # which a parent may ignore, as nohup does SIGHUP
    signal.signal(NUMBER, signal.SIG_DFL)
from rnntext.training.linear.ngrams import NgramLearner

fit = NgramLearner.fit

def interrupted(*arguments, **options):
    os.kill(os.getpid(), NUMBER)
    return fit(*arguments, **options)

NgramLearner.fit = interrupted
"""


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, -signal.SIGTERM),
        (signal.SIGHUP, -signal.SIGHUP),
    ],
)
def test_before_the_first_step_a_signal_ends_the_run_at_once(
    number: int, status: int, command: Commands, run: Shell, tmp_path: Path
) -> None:
    """No step is taken, nothing is saved, and the same command begins anew."""
    out = tmp_path / "out"
    words = command("classify", out, "--steps", 2)
    interrupt = INTERRUPTED_LEARNING.replace("NUMBER", str(int(number)))
    stopped = run(*words, before=interrupt, timeout=120)
    assert stopped.status == status, stopped.err
    assert "n-grams of" not in stopped.told
    assert "stopped and saved" not in stopped.told
    assert "Traceback" not in stopped.told
    if number == signal.SIGINT:
        assert not out.exists()
    else:  # the process had no time to remove its lock
        assert os.listdir(out) == [".lock"]
    assert succeeded(run(*words, timeout=120)).pairs["steps"] == "2"


# The signal arrives after the last step, while the int8 model is made and measured.
INTERRUPTED_QUANTIZING = """
import os
from rnntext.training.onnx import quantized_model as module

quantize = module.quantize

def interrupted(*arguments, **options):
    os.kill(os.getpid(), NUMBER)
    return quantize(*arguments, **options)

module.quantize = interrupted
"""


@SIGNALS
def test_asked_to_end_after_the_last_step_it_saves_that(
    number: int, status: int, command: Commands, run: Shell, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    more = ("--steps", 12, "--quantize")
    expected = succeeded(run(*command("tag", whole, *more), timeout=120))
    words = command("tag", out, *more)
    interrupt = INTERRUPTED_QUANTIZING.replace("NUMBER", str(int(number)))
    stopped = run(*words, before=interrupt, timeout=120)
    assert stopped.status == status, stopped.err
    assert "stopped and saved after step 12" in stopped.told
    assert saved_step(out) == 12
    found = succeeded(run(*words, "--resume", timeout=120))
    assert "going on after step 12" in found.told
    assert weights(out) == weights(whole)
    assert without_timings(found.pairs) == without_timings(expected.pairs)
