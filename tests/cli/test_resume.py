"""Runs that are killed, stopped and taken up again, as real processes: they end with the same
weights, bit for bit, as the run that nobody touched."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CORPORA, RNNTEXT, Outcome, Shell, environment

# Dropout, averaging, a carried state and an order of batches are all at work in these.
TASKS: dict[str, tuple[str, ...]] = {
    "lm": ("lm", "stories.txt", "--tokenizer", "word", "--cell", "gru"),
    "classify": ("classify", "reviews.csv"),
    "tag": ("tag", "tagged.conllu"),
}
SMALL = ("--preset", "tiny", "--seed", "5")
STATE = "training-state/loop.json"


def command(task: str, out: Path, *more: object) -> list[str]:
    kind, file, *options = TASKS[task]
    words = [kind, CORPORA / file, "-o", out, *options, *SMALL, *more]
    return ["train", *map(str, words)]


def start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*RNNTEXT, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        assert time.monotonic() < end, "nothing was saved"
        time.sleep(0.01)


def saved_step(out: Path) -> int:
    try:
        return int(json.loads((out / STATE).read_bytes())["step"])
    except (OSError, ValueError):
        return 0


def killed_at(step: int, arguments: Sequence[str], out: Path) -> None:
    """Start a run and kill it once so many steps are saved."""
    with start(arguments) as process:
        wait_for(lambda: saved_step(out) >= step, process)
        process.kill()


def weights(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


def log(directory: Path) -> list[Any]:
    lines = (directory / "metrics.jsonl").read_text("utf-8").splitlines()
    timings = ("seconds", "tokens_per_second", "memory_mb")
    return [
        {name: value for name, value in json.loads(line).items() if name not in timings}
        for line in lines
    ]


def without_timings(found: Outcome) -> dict[str, str]:
    return {
        name: value
        for name, value in found.pairs.items()
        if name not in ("seconds", "tokens_per_second", "model")
    }


@pytest.mark.parametrize("task", TASKS)
def test_killed_again_and_again(task: str, run: Shell, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = run(*command(task, whole, "--epochs", 6), timeout=120)
    assert expected.status == 0, expected.err
    total = int(expected.pairs["steps"])
    often = [*command(task, broken, "--epochs", 6), "--save-every", "0.1", "--resume"]
    for part in (0.1, 0.5, 0.8):
        killed_at(int(part * total), often, broken)
    found = run(*often, timeout=120)
    assert found.status == 0, found.err
    assert f"going on after step {saved_step(broken) or ''}" in found.err
    assert weights(broken) == weights(whole)
    assert without_timings(found) == without_timings(expected)
    assert log(broken) == log(whole)
    # What only going on needs is gone.
    assert sorted(os.listdir(broken)) == sorted(os.listdir(whole))


def test_without_an_end_it_stops_where_it_would_have(run: Shell, tmp_path: Path) -> None:
    """The plateau's patience and its cuts of the rate are carried over."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fast = ("--lr", 0.05, "--batch-size", 64)
    expected = run(*command("tag", whole, *fast), timeout=300)
    assert expected.status == 0, expected.err
    often = [*command("tag", broken, *fast), "--save-every", "0.1", "--resume"]
    for part in (0.4, 0.7):
        killed_at(int(part * int(expected.pairs["steps"])), often, broken)
    assert without_timings(run(*often, timeout=300)) == without_timings(expected)
    assert weights(broken) == weights(whole)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_end_it_saves_and_says_how_to_go_on(
    number: int, status: int, run: Shell, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "my model"
    assert run(*command("tag", whole, "--steps", 150), timeout=120).status == 0
    with start(command("tag", out, "--steps", 150)) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        while b"best so far" not in process.stderr.readline():
            assert process.poll() is None  # until the first evaluation
        process.send_signal(number)
        assert process.wait(60) == status
        said = process.stderr.read().decode()
        assert "Traceback" not in said
        assert process.stdout.read() == b""
    told = re.search(
        r"stopped and saved after step (\d+).*`(rnntext train tag --resume -o .*)`", said
    )
    assert told is not None, said
    assert saved_step(out) == int(told[1]) < 150
    # What was best so far can be used already.
    assert run("tag", "-m", out, "--text", "The heron stood .").done().lines
    arguments = ["train", "tag", "--resume", "-o", out]
    assert told[2].startswith("rnntext train tag --resume -o ")
    found = run(*arguments, timeout=120)
    assert found.status == 0, found.err
    assert weights(out) == weights(whole)
    # Done is done: the same command tells the result again and changes nothing.
    before = (out / "config.json").read_bytes()
    again = run(*arguments).done()
    assert without_timings(again) == without_timings(found)
    assert (out / "config.json").read_bytes() == before


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unfinished") / "model"
    killed_at(20, [*command("tag", out, "--epochs", 20), "--save-every", "0"], out)
    return out


@pytest.fixture
def copy(unfinished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unfinished, tmp_path / "model"))


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (["--epochs", "60"], ["--epochs 60", "started with 20"]),
        (["--lr", "0.5"], ["--lr 0.5", "started without --lr"]),
        (["--cell", "rnn"], ["--cell rnn"]),
        (["--tokenizer", "char"], ["--tokenizer char", "started without --tokenizer"]),
        (["--steps", "10"], ["exclude each other"]),
        (["--force"], ["--resume and --force exclude each other"]),
        (["--dry-run"], ["--resume and --dry-run exclude each other"]),
        (["--save-every", "-1"], ["--save-every must be 0 or more"]),
    ],
)
def test_another_run_is_refused_by_name(
    more: list[str], parts: list[str], copy: Path, run: Shell
) -> None:
    before = (copy / "config.json").read_bytes()
    run(*command("tag", copy, "--epochs", 20), "--resume", *more).failed(2, *parts)
    assert (copy / "config.json").read_bytes() == before


def test_another_task_is_refused(copy: Path, run: Shell) -> None:
    found = run("train", "lm", CORPORA / "stories.txt", "-o", copy, "--resume")
    found.failed(2, str(copy), "a run of train tag, not of train lm")


@pytest.mark.parametrize("part", ["training", "validation"])
def test_other_data_are_refused(part: str, copy: Path, run: Shell, tmp_path: Path) -> None:
    text = (CORPORA / "tagged.conllu").read_text("utf-8")
    other = tmp_path / "other.conllu"
    if part == "training":
        sentence = "1\tNew\t_\tADJ\t_\t_\t_\t_\t_\t_\n\n"
        other.write_text(text + sentence * 3, "utf-8")
        arguments = [other]
    else:
        other.write_text(text, "utf-8")
        arguments = [CORPORA / "tagged.conllu", "--valid", other]
    found = run("train", "tag", *arguments, "-o", copy, "--resume", timeout=120)
    assert found.status == 2, found.err
    assert "Traceback" not in found.err
    last = found.err.splitlines()[-1]
    assert "data are not those of the run" in last or "started without --valid" in last


def test_without_a_run_it_begins_one(run: Shell, tmp_path: Path) -> None:
    arguments = [*command("tag", tmp_path / "new", "--steps", 3), "--resume", "-q"]
    run(*arguments, timeout=120).done()
    run("train", "tag", "--resume", "-o", tmp_path / "none").failed(2, "no run to go on with")


def test_what_is_no_checkpoint_is_left_alone(run: Shell, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine", "utf-8")
    run(*command("tag", tmp_path / "mine"), "--resume").failed(2, "not an rnntext checkpoint")
    assert os.listdir(tmp_path / "mine") == ["letter.txt"]


def test_a_damaged_state_is_refused(copy: Path, run: Shell) -> None:
    path = copy / STATE
    path.write_bytes(path.read_bytes().replace(b'"step"', b'"stop"', 1))
    run("train", "tag", "--resume", "-o", copy).failed(1, STATE, "damaged")


def test_a_loss_that_is_no_number_keeps_the_last_good_state(run: Shell, tmp_path: Path) -> None:
    """A learning rate that breaks the weights only after some steps were saved."""
    out = tmp_path / "model"
    arguments = [*command("lm", out, "--steps", 400, "--lr", 1e30), "--save-every", 0]
    found = run(*arguments, timeout=120)
    assert found.status == 1, found.err
    last = found.err.splitlines()[-1]
    assert re.search(r"stopped being a number by step \d+, at a learning rate of .*--lr", last)
    if out.exists():
        assert "keeps what was last saved" in last
        assert saved_step(out) > 0


def test_a_full_disk_does_not_end_the_run(tmp_path: Path) -> None:
    """The state does not fit, the finished model does."""
    out = tmp_path / "model"

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    found = subprocess.run(
        [*RNNTEXT, *command("tag", out, "--steps", 40, "--hidden", 96), "--save-every", "0.3"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        preexec_fn=little_room,
        timeout=120,
        check=False,
    )
    said = found.stderr.decode()
    assert found.returncode == 0, said
    assert "the state is not saved, training goes on: cannot write" in said
    assert (out / "model.onnx").stat().st_size < 2_000_000
    assert not (out / "training-state").exists()


def test_no_data_need_be_named_on_a_terminal(copy: Path, run: Shell) -> None:
    ours, theirs = pty.openpty()
    found = run("train", "tag", "--resume", "-o", copy, "-q", stdin=theirs, timeout=120)
    os.close(ours)
    found.done()


def test_other_threads_are_told(copy: Path, run: Shell) -> None:
    found = run("train", "tag", "--resume", "-o", copy, "--threads", 1, timeout=120)
    assert found.status == 0, found.err
    threads = json.loads((copy / "config.json").read_bytes())["training"]["threads"]
    assert threads == 1
    told = "threads" in found.err and "not end with the same weights" in found.err
    assert told == (len(os.sched_getaffinity(0)) > 1)


def test_a_run_that_is_not_finished_says_so(copy: Path, run: Shell) -> None:
    facts = run("info", copy, "--json").done().objects[0]
    assert facts["finished"] is False
    assert facts["steps"] == saved_step(copy)
    assert facts["accuracy"] >= 0
    run("export", copy, "--int8").failed(1, "not finished", "--resume")
    run("tag", "-m", copy, "--text", "The heron stood .").done()


def test_a_run_without_an_evaluation_is_no_model_yet(run: Shell, tmp_path: Path) -> None:
    out = tmp_path / "model"
    killed_at(1, [*command("tag", out, "--steps", 5000), "--save-every", "0"], out)
    assert not (out / "model.onnx").exists()
    assert run("info", out, "--json").done().objects[0]["finished"] is False
    found = run("tag", "-m", out, "--text", "The heron stood .")
    found.failed(1, "not come to its first evaluation", "rnntext train tag --resume")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_end_after_the_last_step_it_saves_that(
    number: int, status: int, run: Shell, tmp_path: Path
) -> None:
    """Measuring an int8 model a byte at a time takes seconds."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    valid = tmp_path / "valid.txt"
    valid.write_bytes((CORPORA / "stories.txt").read_bytes() * 3)
    more = ("--valid", valid, "--tokenizer", "byte", "--steps", 20, "--quantize")
    words = command("lm", out, *more)
    expected = run(*command("lm", whole, *more), timeout=120)
    assert expected.status == 0, expected.err
    with start(words) as process:
        assert process.stderr is not None
        while b"step 20/20" not in (line := process.stderr.readline()):
            assert line
        process.send_signal(number)
        assert process.wait(60) == status
        said = process.stderr.read().decode()
    assert "stopped and saved after step 20" in said
    assert saved_step(out) == 20
    found = run(*words, "--resume", timeout=120)
    assert found.status == 0, found.err
    assert "going on after step 20" in found.err
    assert weights(out) == weights(whole)
    assert without_timings(found) == without_timings(expected)
