"""Stale temporary folders, digests, and the error of a temporary file."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from rnntext import files
from rnntext.files import OWNER, owner, remove_stale, sha256_of, temporary_file_error

TEMPORARY = re.compile(rf"\.tmp-{OWNER}-.*")


def machine() -> str:
    return owner().partition("-")[0]


def test_only_what_dead_processes_left_is_stale(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    numbers = [dead.pid, os.getpid(), os.getppid()]
    names = [f".tmp-{machine()}-{number}-a" for number in numbers] + ["entry"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    remove_stale(tmp_path, TEMPORARY)
    # This process made no folder, so the one with its PID was left by an earlier process.
    assert sorted(os.listdir(tmp_path)) == sorted(names[2:])


def test_what_another_machine_writes_is_stale_after_a_week(tmp_path: Path) -> None:
    number = 2**22 + 1  # above the largest PID
    ours, theirs, old = f".tmp-{machine()}-{number}-a", f".tmp-0123abcd-{number}-a", ".tmp-0-1"
    forgotten = f".tmp-89abcdef-{os.getppid()}-a"
    for name in (ours, theirs, forgotten, old):
        (tmp_path / name).mkdir()
    age = time.time() - 8 * 24 * 3600
    for name in (forgotten, old):
        os.utime(tmp_path / name, (age, age))
    remove_stale(tmp_path, TEMPORARY)
    assert sorted(os.listdir(tmp_path)) == sorted([theirs, old])


def test_each_machine_has_its_own_id(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine()
    assert re.fullmatch(OWNER, owner())
    try:
        monkeypatch.setattr(platform, "node", lambda: "another machine")
        files.machine_id.cache_clear()
        assert machine() != here
    finally:
        files.machine_id.cache_clear()


@pytest.mark.parametrize("size", [0, 1, 99, 1000])
def test_a_digest_is_of_the_whole_file(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_CHUNK", 100)
    content = bytes(n % 251 for n in range(size))
    with tempfile.TemporaryFile() as file:
        file.write(content)
        assert sha256_of(file) == hashlib.sha256(content).hexdigest()


def test_the_error_of_a_temporary_file_names_the_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError(28, "No space left on device")
    place = tempfile.gettempdir()
    assert str(temporary_file_error("a copy of x", error)) == (
        f"cannot write a copy of x to {place}: No space left on device; "
        "free some space, or name another place with TMPDIR"
    )

    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert "to a temporary file: No space left" in str(temporary_file_error("x", error))
