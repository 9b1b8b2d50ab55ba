"""Several processes that train one model: they compute what one computes, end together, and a job
that lost one of them can be resumed.

Two tests start `torchrun` itself. The others set the environment variables that it sets, and fork
both processes from ones that have imported PyTorch.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cli.small_runs import (
    KILL,
    SMALL,
    TASKS,
    Commands,
    at_save,
    saved_step,
    weights,
    without_timings,
    write_small_data,
)
from tests.conftest import CORPORA, Outcome, Shell, environment

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
# A batch that two processes cannot share equally, and no dropout, which differs between ranks.
OPTIONS = (*SMALL, "--dropout", "0", "--batch-size", "7")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    folder = tmp_path_factory.mktemp("data")
    write_small_data(folder)
    return Commands(folder, OPTIONS)


class TwoShells:
    """Runs a command in two processes that train together."""

    def __init__(self, shells: Sequence[Shell]) -> None:
        self._shells = shells

    def __call__(
        self, *words: Sequence[object], before: Sequence[str] = ("", ""), check: bool = True
    ) -> list[Outcome]:
        """Run the words for each rank (the same if there is only one list), after its source in
        `before`. Unless `check` is False both must succeed."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

        def start(rank: int) -> Outcome:
            env = {
                "TORCHELASTIC_RUN_ID": "test",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
                "LOCAL_WORLD_SIZE": "2",
            }
            own = words[rank % len(words)]
            return self._shells[rank](*own, env=env, before=before[rank], timeout=300)

        with ThreadPoolExecutor(2) as pool:
            outcomes = [*pool.map(start, range(2))]
        for outcome in outcomes:
            assert not check or outcome.status == 0, outcome.err
        return outcomes


@pytest.fixture(scope="module")
def two() -> Iterator[TwoShells]:
    # DistributedDataParallel imports PyTorch's compiler, which takes two seconds.
    shells = [Shell("torch._dynamo") for _ in range(2)]
    yield TwoShells(shells)
    for shell in shells:
        shell.close()


def torchrun(*words: object, status: int = 0) -> tuple[str, str]:
    """What two processes wrote on stdout and stderr."""
    found = subprocess.run(
        [*TORCHRUN, *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        text=True,
        timeout=300,
        check=False,
        start_new_session=True,
    )
    assert found.returncode == status, found.stderr
    return found.stdout, found.stderr


def numbers(directory: Path) -> list[float]:
    """Every loss and perplexity of a log, in order. Rounding changes these by little, but an
    accuracy by a whole example."""
    found = []
    for line in (directory / "metrics.jsonl").read_text("utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        found += [row[name] for name in ("loss", "perplexity") if name in row]
    return found


@pytest.mark.parametrize("task", TASKS)
def test_two_compute_what_one_computes(
    task: str, command: Commands, two: TwoShells, run: Shell, tmp_path: Path
) -> None:
    one, both = tmp_path / "one", tmp_path / "both"
    alone = run(*command(task, one, "--epochs", 3), timeout=300)
    assert alone.status == 0, alone.err
    first, second = two(command(task, both, "--epochs", 3))
    assert "2 processes" in first.err
    # Only the main process writes to stdout and stderr.
    assert first.err.count("to train on") == 1
    assert list(first.pairs) == list(alone.pairs)
    assert (second.out, second.err) == (b"", "")
    assert numbers(both) == pytest.approx(numbers(one), rel=5e-3)
    assert len(numbers(both)) >= 5
    assert json.loads((both / "config.json").read_bytes())["training"]["processes"] == 2
    # For a finished run, the same command prints the result again.
    again, second = two([*command(task, both, "--epochs", 3), "--resume"])
    assert without_timings(again.pairs) == without_timings(first.pairs)
    assert second.out == b""


def test_torchrun_starts_two_that_compute_what_one_computes(
    command: Commands, run: Shell, tmp_path: Path
) -> None:
    one, both = tmp_path / "one", tmp_path / "both"
    alone = run(*command("tag", one, "--steps", 20), timeout=300)
    assert alone.status == 0, alone.err
    out, err = torchrun("-m", "rnntext", *command("tag", both, "--steps", 20))
    assert err.count("2 processes") == err.count("to train on") == 1
    assert [line.split("\t")[0] for line in out.splitlines()] == list(alone.pairs)
    assert numbers(both) == pytest.approx(numbers(one), rel=5e-3)


# In its fifth save the main process sends SIGINT to the process group of torchrun, as Ctrl-C in a
# terminal does, and waits for the signal that torchrun sends on to it.
CTRL_C = """
import os, runpy, signal, sys, time

heard = []
install = signal.signal

def listening(number, handler):
    def handle(*arguments):
        heard.append(number)
        return handler(*arguments)

    return install(number, handle if callable(handler) else handler)

signal.signal = listening

def interrupt():
    os.killpg(os.getpgid(os.getppid()), signal.SIGINT)
    while not heard:
        time.sleep(0.01)

sys.interrupt = interrupt
{hook}
sys.argv[0] = "rnntext"
runpy.run_module("rnntext", run_name="__main__", alter_sys=True)
"""


def test_stopped_by_ctrl_c_it_goes_on_in_one_process(
    command: Commands, run: Shell, tmp_path: Path
) -> None:
    one, out = tmp_path / "one", tmp_path / "out"
    assert run(*command("lm", one, "--steps", 20), timeout=300).status == 0
    words = command("lm", out, "--steps", 20)
    script = tmp_path / "script.py"
    script.write_text(CTRL_C.replace("{hook}", at_save(5, "sys.interrupt()")), "utf-8")
    _, err = torchrun(script, *words, "--save-every", "0", status=1)
    assert err.count("stopped and saved after step") == 1, err
    assert 5 <= saved_step(out) < 20
    found = run(*words, "--resume", timeout=300)
    assert found.status == 0, found.err
    assert "processes 2 then, 1 now" in found.err
    assert numbers(out) == pytest.approx(numbers(one), rel=1e-2)


# The process is killed in its twelfth step.
KILLED = f"""
import os, signal
from rnntext.training.engine.optimizer import Optimizer

step = Optimizer.step

def step_or_die(optimizer, rate, number):
    if number == 11:
        {KILL}
    return step(optimizer, rate, number)

Optimizer.step = step_or_die
"""


@pytest.fixture(scope="module")
def undisturbed(
    command: Commands, two: TwoShells, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """The weights that two processes train in 20 steps."""
    out = tmp_path_factory.mktemp("undisturbed") / "model"
    two(command("tag", out, "--steps", 20))
    return weights(out)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_process_ends_the_job_and_resume_goes_on_to_the_bit(
    lost: int, undisturbed: bytes, command: Commands, two: TwoShells, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = [*command("tag", out, "--steps", 20), "--save-every", "0", "--resume"]
    before = [KILLED if rank == lost else "" for rank in range(2)]
    outcomes = two(words, before=before, check=False)
    assert outcomes[lost].status == -signal.SIGKILL
    other = outcomes[1 - lost]
    assert other.status == 1
    ours = [line for line in other.err.splitlines() if line.startswith("rnntext: ")]
    assert len(ours) == 1, other.err
    assert "another process of this job has ended" in ours[0]
    assert saved_step(out) == 11
    two(words)
    assert weights(out) == undisturbed


# Trains for 30 s by a clock that each look advances; that of rank 1 is ten times as fast.
TIMED = """
import json, os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from rnntext.training import run as module
from rnntext.training.engine.loop import Loop
from rnntext.training.events import Finished
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions

rank, now = int(os.environ["RANK"]), 0.0

def clock():
    global now
    now += (0.1, 1.0)[rank]
    return now

module.time = SimpleNamespace(perf_counter=clock)
module.Loop = partial(Loop, clock=clock)
options = TrainingOptions(
    "tag", (DATA,), preset="tiny", hidden=16, embed=16, minutes=0.5, threads=1, device="cpu"
)
events = module.run(options, Path(OUT), ExecutionOptions(cache=False), began=clock())
for event in events:
    if isinstance(event, Finished):
        print(json.dumps([event.steps, event.plans, event.reason]))
if rank == 0:
    print(now)
raise SystemExit(0)
"""


def test_a_budget_holds_for_both(command: Commands, two: TwoShells, tmp_path: Path) -> None:
    """The clock of the main process counts for both."""
    source = TIMED.replace("DATA", repr(str(command.folder / "tagged.conllu")))
    source = source.replace("OUT", repr(str(tmp_path / "m")))
    main, other = two([], before=[source, source])
    end, took = main.objects
    assert other.objects == [end]
    steps, plans, reason = end
    assert steps > 20
    assert plans[-1][1] == steps
    assert reason == "the steps are done"
    assert took < 30


def test_too_few_rows_to_share(command: Commands, two: TwoShells, tmp_path: Path) -> None:
    words = command("lm", tmp_path / "m", "--batch-size", "1", "--steps", "2")
    for outcome in two(words, check=False):
        assert outcome.status == 2
        assert "2 processes cannot share a batch of 1 rows" in outcome.err
    assert not (tmp_path / "m").exists()


def test_what_can_be_read_once_is_refused(
    command: Commands, two: TwoShells, tmp_path: Path
) -> None:
    """The second process would find it empty, or wait for it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = command("lm", tmp_path / "m", "--valid", pipe)
    for outcome in two(words, check=False):
        assert outcome.status == 2
        assert f"{pipe} gives its text once, and 2 processes read it: save it" in outcome.err
    assert not (tmp_path / "m").exists()


def test_each_must_read_the_same(command: Commands, two: TwoShells, tmp_path: Path) -> None:
    data, other = command.folder / "text.txt", tmp_path / "other.txt"
    other.write_text(data.read_text("utf-8") + "One line more.\n", "utf-8")
    words = ["train", "lm", *OPTIONS, "--steps", 3]
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    main, second = two([*words, data, "-o", mine], [*words, other, "-o", theirs], check=False)
    assert "not those of the first: give every machine the same" in second.err
    assert "another process of this job has ended" in main.err
    # The other process writes no directory, not even where it could not.
    theirs.write_text("in nobody's way")
    two([*words, data, "-o", mine], [*words, data, "-o", theirs])
    assert (mine / "model.onnx").exists()


def test_a_dry_run_is_told_once(two: TwoShells) -> None:
    main, other = two(["train", "tag", CORPORA / "tagged.conllu", "--dry-run", "--json"])
    assert main.objects[0]["task"] == "tag"
    assert (other.out, other.err) == (b"", "")


# Prints the names of the threads that are left when a run is over.
THREADS = """
import json
import os
from pathlib import Path

from rnntext.training.options import TrainingOptions
from rnntext.training.run import run

options = TrainingOptions("lm", (DATA,), preset="tiny", steps=3, device="cpu", threads=1)
for _ in run(options, Path(OUT)):
    pass
tasks = Path("/proc/self/task").iterdir()
print(json.dumps([(task / "comm").read_text().strip() for task in tasks]))
raise SystemExit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_nothing_of_the_group_goes_on_when_a_run_is_over(
    command: Commands, two: TwoShells, tmp_path: Path
) -> None:
    source = THREADS.replace("DATA", repr(str(command.folder / "text.txt")))
    source = source.replace("OUT", repr(str(tmp_path / "m")))
    for outcome in two([], before=[source, source]):
        (names,) = outcome.objects
        assert names
        assert not [name for name in names if "gloo" in name]
