"""Limits of memory, threads and descriptors: an answer or one line, and no status of Ctrl-C."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import Outcome, Shell

resource = pytest.importorskip("resource")

COMMANDS = {
    "generate": ("lm", ["--length", "5", "--seed", "1", "The"]),
    "score": ("lm", ["--text", "good"]),
    "predict": ("lm", ["--text", "good"]),
    "classify": ("classifier", ["--text", "good"]),
    "tag": ("tagger", ["--text", "good"]),
}
# Without this the number of cores decides how much memory NumPy's library takes.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest, lm: Path, classifier: Path, tagger: Path) -> list[str]:
    model, options = COMMANDS[request.param]
    directory = {"lm": lm, "classifier": classifier, "tagger": tagger}[model]
    return [request.param, "-m", str(directory), *options]


def limit(name: str, most: int) -> str:
    return f"import resource; resource.setrlimit(resource.{name}, ({most}, {most}))"


def answered_or_said_why(found: Outcome) -> bool:
    """Return True if the command answered; fail unless it did, or said in one line why not."""
    if found.status == 0:
        assert found.err == ""
        assert found.out
        return True
    assert found.status == 1, found.err
    assert "Traceback" not in found.err
    assert found.err.count("\n") == 1, found.err
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit address space")
@pytest.mark.parametrize("megabytes", [4, 20, 60, 120, 1000])
def test_memory(megabytes: int, command: list[str], run: Shell) -> None:
    """So much more than the process has when it starts, and has imported what is always needed."""
    before = f"""
    import hashlib, resource
    pages = int(open("/proc/self/statm").read().split()[0])
    most = pages * resource.getpagesize() + ({megabytes} << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    """
    answered_or_said_why(run(*command, before=before, env=ONE_THREAD))


@pytest.mark.parametrize("most", [0, 1, 2])
def test_threads(most: int, command: list[str], run: Shell) -> None:
    """As root a process may have any number of threads: the limit is made here."""
    before = f"""
    import _thread

    real, left = _thread.start_new_thread, [{most}]

    def start(*args):
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        return real(*args)

    _thread.start_new_thread = start
    """
    run(*command, "--threads", 2, before=before).failed(1, "does not allow", "ulimit -u")


@pytest.mark.parametrize("most", [4, 5, 6, 8])
def test_descriptors(most: int, command: list[str], run: Shell) -> None:
    found = run(*command, before=limit("RLIMIT_NOFILE", most))
    if not answered_or_said_why(found):
        assert "Too many open files" in found.err
        assert "free some space" not in found.err


@pytest.mark.parametrize(
    ("more", "length", "most"),
    [((), (8 << 20) + 1, "8,388,608"), (("--max-line", "1K"), 1025, "1,024")],
)
@pytest.mark.parametrize("name", ["classify", "tag", "score", "predict"])
def test_a_line_without_an_end(
    name: str,
    more: tuple[str, ...],
    length: int,
    most: str,
    run: Shell,
    lm: Path,
    classifier: Path,
    tagger: Path,
) -> None:
    """What precedes it is answered."""
    model = {"classify": classifier, "tag": tagger}.get(name, lm)
    wanted = run(name, "-m", model, stdin=b"one line\n").done().out
    found = run(name, "-m", model, *more, stdin=b"one line\n" + b"x" * length)
    found.failed(1, f"standard input, line 2 has more than {most} characters", "--max-line")
    assert found.out == wanted


def test_a_prompt_without_an_end(run: Shell, lm: Path) -> None:
    found = run("generate", "-m", lm, "--max-line", "1K", stdin=b"x\n" * 600)
    found.failed(1, "standard input has more than 1,024 characters", "--max-line")


def test_a_line_of_training_text_without_an_end(run: Shell, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a line\n" * 50 + "x" * 1025)
    found = run("train", "lm", text, "--max-line", "1K", "-o", tmp_path / "m")
    found.failed(1, "text.txt, line 51 has more than 1,024 characters", "--max-line")
    assert not (tmp_path / "m").exists()
