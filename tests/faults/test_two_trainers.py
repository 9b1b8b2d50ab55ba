"""Two processes that write into one directory: the second is refused in time, nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rnntext import checkpoint
from rnntext.claim import Claim
from tests.cli.small_runs import Commands, write_small_data
from tests.conftest import HUNG, Shell

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no flock")

FLAGS = [
    (),
    ("--force",),
    ("--resume",),
    ("--save-every", "0"),
    ("--force", "--save-every", "0"),
    ("--resume", "--save-every", "0"),
]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    folder = tmp_path_factory.mktemp("data")
    write_small_data(folder)
    return Commands(folder)


@pytest.fixture(scope="module")
def trained(command: Commands, run: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "model"
    assert run(*command("tag", out, "--steps", 3)).status == 0
    return out


def content(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def in_use(directory: Path) -> str:
    return (
        rf"rnntext: {re.escape(str(directory))} is in use: process {os.getpid()} on \S+ holds it "
        r"for training since .*; wait until it ends, or name another directory\n"
    )


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("old", [False, True])
def test_a_second_trainer_is_refused_and_changes_nothing(
    old: bool, flags: tuple[str, ...], command: Commands, run: Shell, trained: Path, tmp_path: Path
) -> None:
    out = trained if old else tmp_path / "model"
    with Claim(out, "training"):
        before = content(out)
        found = run(*command("tag", out, "--steps", 3, *flags))
        assert content(out) == before
    assert found.status == 1
    assert re.fullmatch(in_use(out), found.err), found.err


def test_a_model_in_training_is_not_converted(trained: Path, run: Shell) -> None:
    with Claim(trained, "training"):
        before = content(trained)
        found = run("export", str(trained), "--int8")
        assert content(trained) == before
    assert found.status == 1
    assert re.fullmatch(in_use(trained), found.err), found.err
    assert content(trained).keys() == before.keys() - {checkpoint.LOCK}


@pytest.mark.parametrize("flags", [(), ("--force",), ("--resume",)])
def test_of_two_at_once_one_trains(
    flags: tuple[str, ...], command: Commands, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    words = command("tag", out, "--steps", 1_000_000, "--save-every", "0", *flags)
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "rnntext", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    limit = time.monotonic() + HUNG
    try:
        while not (ended := [p for p in started if p.poll() is not None]):
            assert time.monotonic() < limit
            time.sleep(0.02)
        (loser,) = ended
        (winner,) = (p for p in started if p is not loser)
        assert loser.stderr is not None
        assert b" is in use: process %d on " % winner.pid in loser.stderr.read()
        assert loser.returncode == 1
        while not (out / checkpoint.CONFIG).exists():
            assert time.monotonic() < limit
            time.sleep(0.02)
    finally:
        for process in started:
            process.terminate()
            process.communicate()
    assert winner.returncode == 128 + signal.SIGTERM
    assert (out / checkpoint.load(out).file("training-state/loop.json")).is_file()
