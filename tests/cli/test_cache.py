"""The cache of encoded text across processes: reused, damaged, killed, used by two at once."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import CORPORA, HUNG, RNNTEXT, TINY, Outcome, Shell, environment

SAMPLE = "naïve café 你好 🙂"
TASKS = {"lm": "stories.txt", "classify": "reviews.csv", "tag": "tagged.conllu"}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str | None]:
    """A cache and a directory for temporary files that only this test uses."""
    (tmp_path / "tmp").mkdir()
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "tmp")}


Train = Callable[..., Outcome]


@pytest.fixture
def train(run: Shell, tmp_path: Path, env: dict[str, str | None]) -> Train:
    def train(name: str, *options: object, task: str = "lm", **shell: object) -> Outcome:
        data = CORPORA / TASKS[task]
        args = ("train", task, data, "-o", tmp_path / name, *TINY, 3, *options)
        outcome = run(*args, env={**env, **shell.pop("env", {})}, **shell)  # type: ignore[arg-type, dict-item]
        assert outcome.status == 0, outcome.err
        return outcome

    return train


def weights(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


def kept(tmp_path: Path) -> list[Path]:
    """The entries of the cache, which holds nothing else; no temporary file is left."""
    # PyTorch and ONNX Runtime leave small files of their own there.
    left = [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in left) < 10_000
    root = tmp_path / "cache" / "rnntext"
    entries = sorted(root.iterdir()) if root.exists() else []
    assert all(len(entry.name) == 32 and entry.is_dir() for entry in entries)
    return entries


def line_about(outcome: Outcome, *parts: str) -> str:
    lines = [line for line in outcome.told.splitlines() if all(part in line for part in parts)]
    assert len(lines) == 1, outcome.err
    return lines[0]


@pytest.mark.parametrize("task", TASKS)
def test_a_second_run_reads_the_entry_of_the_first(task: str, train: Train, tmp_path: Path) -> None:
    first = train("first", task=task)
    (entry,) = kept(tmp_path)
    assert line_about(first, "text encoded into", "kB at", entry.name, "for the next run too")
    second = train("second", task=task)
    assert line_about(second, "kB of encoded text read from", entry.name)
    without = train("without", "--no-cache", task=task)
    assert line_about(without, "text encoded into", "kB of temporary files")
    assert kept(tmp_path) == [entry]
    first_model = tmp_path / "first"
    for name in ("second", "without"):
        assert weights(tmp_path / name) == weights(first_model)
        tokenizer = (tmp_path / name / "tokenizer.json").read_bytes()
        assert tokenizer == (first_model / "tokenizer.json").read_bytes()


def test_quiet_prints_nothing_on_stderr(train: Train) -> None:
    assert train("m", "-q").err == train("again", "-q").err == ""


def test_no_cache_leaves_no_files(train: Train, run: Shell, tmp_path: Path) -> None:
    train("m", "--no-cache")
    assert kept(tmp_path) == []
    assert not (tmp_path / "cache").exists()


def test_a_failed_run_leaves_no_files(
    run: Shell, env: dict[str, str | None], tmp_path: Path
) -> None:
    (tmp_path / "short").write_text("a\nb\nc\n")
    for options in ((), ("--no-cache",)):
        args = ("train", "lm", tmp_path / "short", "-o", tmp_path / "m", *TINY, 2, *options)
        run(*args, env=env).failed(1, "tokens are too few")
        assert kept(tmp_path) == []


def test_a_run_reads_the_entry_of_a_dry_run(
    run: Shell, train: Train, env: dict[str, str | None]
) -> None:
    run("train", "lm", CORPORA / "stories.txt", "--dry-run", "-q", env=env).done()
    assert line_about(train("m"), "encoded text read from")


def test_the_same_standard_input_hits_the_cache(
    run: Shell, env: dict[str, str | None], tmp_path: Path
) -> None:
    text = "".join(f"{SAMPLE} {number}\n" for number in range(99)).encode()
    for name, words in (("one", "text encoded into"), ("two", "encoded text read from")):
        args = ("train", "lm", "-", "-o", tmp_path / name, *TINY, 2)
        line_about(run(*args, stdin=text, env=env), words)
    assert weights(tmp_path / "one") == weights(tmp_path / "two")
    assert len(kept(tmp_path)) == 1


def test_a_damaged_entry_is_made_again(train: Train, tmp_path: Path) -> None:
    train("first")
    (entry,) = kept(tmp_path)
    ids = entry / "ids.train"
    content = bytearray(ids.read_bytes())
    content[len(content) // 2] ^= 1
    ids.write_bytes(content)
    assert line_about(train("second"), "text encoded into", entry.name)
    assert line_about(train("third"), "encoded text read from", entry.name)
    assert (
        weights(tmp_path / "first") == weights(tmp_path / "second") == weights(tmp_path / "third")
    )
    assert kept(tmp_path) == [entry]


def test_a_cache_that_cannot_be_written_is_reported_in_a_line(train: Train, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = train("m", env={"XDG_CACHE_HOME": str(tmp_path / "file")})
    place = tmp_path / "file" / "rnntext"
    assert line_about(found, "temporary files, because the cache cannot be used", str(place))
    assert kept(tmp_path) == []
    train("other")
    assert weights(tmp_path / "m") == weights(tmp_path / "other")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_home(train: Train, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o500)
    try:
        found = train("m", env={"XDG_CACHE_HOME": None, "HOME": str(tmp_path / "home")})
        assert line_about(found, "because the cache cannot be used", "Permission denied")
    finally:
        (tmp_path / "home").chmod(0o700)


# No file may grow beyond 20,000 bytes.
SMALL_FILES = """
    import resource, signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
"""


@pytest.mark.parametrize("options", [(), ("--no-cache",)])
def test_a_full_disk(
    options: tuple[str, ...], run: Shell, env: dict[str, str | None], tmp_path: Path
) -> None:
    args = ("train", "lm", CORPORA / "stories.txt", "-o", tmp_path / "m", *TINY, 2, *options)
    run(*args, env=env, before=SMALL_FILES).failed(
        1, f"cannot write the encoded text to {tmp_path / 'tmp'}: File too large", "TMPDIR"
    )
    assert kept(tmp_path) == []
    assert not (tmp_path / "m").exists()


# The process kills itself just before a file operation that EVENT and NAME describe.
KILLED = """
    import os, signal, sys

    def hook(event, arguments):
        if event == "EVENT" and "NAME" in str(arguments[0]):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
"""


@pytest.mark.parametrize(
    ("event", "name"), [("open", "ids.train"), ("open", "entry.json"), ("os.rename", ".tmp-")]
)
def test_a_run_that_is_killed_while_it_encodes(
    event: str, name: str, run: Shell, train: Train, env: dict[str, str | None], tmp_path: Path
) -> None:
    args = ("train", "lm", CORPORA / "stories.txt", "-o", tmp_path / "m", *TINY, 3)
    before = KILLED.replace("EVENT", event).replace("NAME", name)
    killed = run(*args, env=env, before=before)
    assert killed.status == -signal.SIGKILL, killed.err
    (left,) = (tmp_path / "cache" / "rnntext").iterdir()
    assert left.name.startswith(".tmp-")
    assert line_about(train("next"), "text encoded into", "for the next run too")
    assert len(kept(tmp_path)) == 1
    train("without", "--no-cache")
    assert weights(tmp_path / "next") == weights(tmp_path / "without")


def test_two_runs_at_once_share_an_entry(
    env: dict[str, str | None], train: Train, tmp_path: Path
) -> None:
    commands = [
        [*RNNTEXT, "train", "lm", CORPORA / "stories.txt", "-o", tmp_path / name, *TINY, 3]
        for name in ("one", "two")
    ]
    started = [
        subprocess.Popen(list(map(str, command)), env=environment(env), stderr=subprocess.PIPE)
        for command in commands
    ]
    for process in started:
        _, err = process.communicate(timeout=HUNG)
        assert process.returncode == 0, err
    assert len(kept(tmp_path)) == 1
    assert weights(tmp_path / "one") == weights(tmp_path / "two")
    assert line_about(train("three"), "encoded text read from")
    assert weights(tmp_path / "one") == weights(tmp_path / "three")
