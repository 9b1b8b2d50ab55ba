"""Several processes that train one model, started by torchrun: they compute what one computes,
end together, and a job that lost one of them can go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CORPORA, Shell, environment

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TASKS: dict[str, tuple[str, ...]] = {
    "lm": ("lm", "stories.txt", "--tokenizer", "word"),
    "classify": ("classify", "reviews.csv", "--class-weights", "balanced"),
    "tag": ("tag", "tagged.conllu"),
}
# A batch that two processes cannot share equally.
PLAIN = ("--preset", "tiny", "--dropout", "0", "--batch-size", "7", "--seed", "2")


def arguments(task: str, out: Path, *more: object) -> list[str]:
    kind, file, *options = TASKS[task]
    return ["train", kind, *map(str, [CORPORA / file, "-o", out, *options, *PLAIN, *more])]


def start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TORCHRUN, "-m", "rnntext", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
        start_new_session=True,
    )


def two(words: list[str], status: int = 0) -> tuple[str, str]:
    """What two processes wrote on stdout and stderr."""
    with start(words) as process:
        out, err = process.communicate(timeout=180)
        assert process.returncode == status, err
    return out, err


def numbers(directory: Path) -> list[float]:
    """Every loss and perplexity of a log, in order: what rounding moves by little, where an
    accuracy jumps by an example."""
    found = []
    for line in (directory / "metrics.jsonl").read_text("utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        found += [row[name] for name in ("loss", "perplexity") if name in row]
    return found


def saved_step(out: Path) -> int:
    try:
        return int(json.loads((out / "training-state" / "loop.json").read_bytes())["step"])
    except (OSError, ValueError):
        return 0


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """The processes that `torchrun` started, by their ranks."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parent = int(Path("/proc", name, "stat").read_text().rsplit(")", 1)[1].split()[1])
                variables = Path("/proc", name, "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            rank = [v for v in variables if v.startswith(b"RANK=")]
            if parent == pid and rank:
                found[int(rank[0][5:])] = int(name)
    return [found[rank] for rank in sorted(found)]


@pytest.mark.parametrize("task", TASKS)
def test_two_compute_what_one_computes(task: str, run: Shell, tmp_path: Path) -> None:
    one, both = tmp_path / "one", tmp_path / "both"
    alone = run(*arguments(task, one, "--steps", 40, "--threads", 1), timeout=120)
    assert alone.status == 0, alone.err
    out, err = two(arguments(task, both, "--steps", 40))
    assert "2 processes" in err
    # One of them speaks.
    assert err.count("to train on") == 1
    assert [line.split("\t")[0] for line in out.splitlines()] == list(alone.pairs)
    assert numbers(both) == pytest.approx(numbers(one), rel=5e-3)
    assert len(numbers(both)) >= 5
    if task == "tag":  # done is done, and one of them says so
        again, _ = two([*arguments(task, both, "--steps", 40), "--resume"])
        rounded = ("seconds", "tokens_per_second")
        results = [
            [line for line in text.splitlines() if not line.startswith(rounded)]
            for text in (again, out)
        ]
        assert results[0] == results[1]
    assert json.loads((both / "config.json").read_bytes())["training"]["processes"] == 2


def test_stopped_by_ctrl_c_it_goes_on_in_one_process(run: Shell, tmp_path: Path) -> None:
    one, out = tmp_path / "one", tmp_path / "out"
    assert run(*arguments("lm", one, "--steps", 300, "--threads", 1), timeout=120).status == 0
    words = arguments("lm", out, "--steps", 300)
    with start([*words, "--save-every", "0.2"]) as process:
        wait_for(lambda: saved_step(out) > 20, process)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert err.count("stopped and saved after step") == 1, err
    assert 20 < saved_step(out) < 300
    found = run(*words, "--resume", "--threads", 1, timeout=120)
    assert found.status == 0, found.err
    assert "processes 2 then, 1 now" in found.err
    assert numbers(out) == pytest.approx(numbers(one), rel=1e-2)


def test_a_lost_process_ends_the_job_and_resume_goes_on_to_the_bit(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    two(arguments("tag", whole, "--steps", 250))
    words = [*arguments("tag", out, "--steps", 250), "--save-every", "0.2", "--resume"]
    with start(words) as process:
        wait_for(lambda: saved_step(out) > 10, process)
        os.kill(children(process.pid)[1], signal.SIGKILL)
        _, err = process.communicate(timeout=90)
        assert process.returncode != 0
    ours = [line for line in err.splitlines() if line.startswith("rnntext: ")]
    assert len(ours) <= 1
    assert all("another process of this job has ended" in line for line in ours)
    assert 10 < saved_step(out) < 250
    two(words)
    weights = [(path / "model.safetensors").read_bytes() for path in (whole, out)]
    assert weights[0] == weights[1]


def test_a_budget_holds_for_both(tmp_path: Path) -> None:
    began = time.monotonic()
    out, err = two([*arguments("lm", tmp_path / "m"), "--minutes", "0.3"])
    took = time.monotonic() - began
    pairs = dict(line.split("\t") for line in out.splitlines())
    assert float(pairs["seconds"]) < 18
    assert took < 30  # with what torchrun takes to start and to end
    assert "the time was over" not in err


def test_too_few_rows_to_share(tmp_path: Path) -> None:
    words = [*arguments("lm", tmp_path / "m"), "--batch-size", "1", "--steps", "2"]
    _, err = two(words, status=1)
    assert "2 processes cannot share a batch of 1 rows" in err
    assert not (tmp_path / "m").exists()


def test_what_can_be_read_once_is_refused(tmp_path: Path) -> None:
    """The second process would find it empty, or wait for it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = ["train", "lm", CORPORA / "stories.txt", "--valid", pipe, "-o", tmp_path / "m"]
    _, err = two(list(map(str, words)), status=1)
    assert f"{pipe} gives its text once, and 2 processes read it: save it as a file" in err
    assert not (tmp_path / "m").exists()


# Runs on what is named for each rank, and what these say in the end.
OTHERS = """
import os, sys
from pathlib import Path
from rnntext.training.options import TrainingOptions
from rnntext.errors import RnntextError
from rnntext.training.run import run

told, *files = map(Path, sys.argv[1:])
rank = os.environ["RANK"]
options = TrainingOptions("lm", (str(files[int(rank)]),), preset="tiny", steps=3)
try:
    for event in run(options, told / f"out{rank}"):
        pass
except RnntextError as error:
    (told / rank).write_text(str(error))
"""


def test_each_must_read_the_same(tmp_path: Path) -> None:
    script, other = tmp_path / "script.py", tmp_path / "other.txt"
    script.write_text(OTHERS)
    other.write_text((CORPORA / "stories.txt").read_text("utf-8") + "One line more.\n", "utf-8")
    words = [script, tmp_path, CORPORA / "stories.txt", other]
    subprocess.run([*TORCHRUN, *map(str, words)], env=environment(), check=True, timeout=120)
    assert "not those of the first: give every machine the same" in (tmp_path / "1").read_text()
    assert "another process of this job has ended" in (tmp_path / "0").read_text()
    # Only the first has a directory.
    words = [script, tmp_path, CORPORA / "stories.txt", CORPORA / "stories.txt"]
    (tmp_path / "out1").write_text("in nobody's way")
    subprocess.run([*TORCHRUN, *map(str, words)], env=environment(), check=True, timeout=120)
    assert (tmp_path / "out0" / "model.onnx").exists()


def test_a_dry_run_is_told_once() -> None:
    words = ["train", "tag", str(CORPORA / "tagged.conllu"), "--dry-run", "--json"]
    out, _ = two(words)
    assert json.loads(out)["task"] == "tag"


# What the process of each rank leaves running when a run is over.
THREADS = """
import json, os, sys
from pathlib import Path
from rnntext.training.options import TrainingOptions
from rnntext.training.run import run

data, out, told = map(Path, sys.argv[1:])
for event in run(TrainingOptions("lm", (str(data),), preset="tiny", steps=3), out):
    pass
tasks = Path("/proc/self/task").iterdir()
names = [(task / "comm").read_text().strip() for task in tasks]
(told / os.environ["RANK"]).write_text(json.dumps(names))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_nothing_of_the_group_goes_on_when_a_run_is_over(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(THREADS)
    told = tmp_path / "told"
    told.mkdir()
    words = [script, CORPORA / "stories.txt", tmp_path / "out", told]
    subprocess.run([*TORCHRUN, *map(str, words)], env=environment(), check=True, timeout=120)
    for rank in "01":
        names = json.loads((told / rank).read_text())
        assert not [name for name in names if "gloo" in name]
