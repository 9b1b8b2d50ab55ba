"""What whoever writes files needs to know of the system."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rnntext import files
from rnntext.files import no_temporary, remove_stale, sha256_of

TEMPORARY = re.compile(r"\.tmp-(\d+)-.*")


def test_only_what_dead_processes_left_is_stale(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = [f".tmp-{dead.pid}-a", f".tmp-{os.getpid()}-b", f".tmp-{os.getppid()}-c", "entry"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    remove_stale(tmp_path, TEMPORARY)
    # A process that has our number now is not the one that made a folder before.
    assert sorted(os.listdir(tmp_path)) == sorted(names[2:])


@pytest.mark.parametrize("size", [0, 1, 99, 1000])
def test_a_digest_is_of_the_whole_file(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_CHUNK", 100)
    content = bytes(n % 251 for n in range(size))
    with tempfile.TemporaryFile() as file:
        file.write(content)
        assert sha256_of(file) == hashlib.sha256(content).hexdigest()


def test_where_no_temporary_file_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError(28, "No space left on device")
    place = tempfile.gettempdir()
    assert str(no_temporary("a copy of x", error)) == (
        f"cannot write a copy of x to {place}: No space left on device; "
        "free some space, or name another place with TMPDIR"
    )

    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert "to a temporary file: No space left" in str(no_temporary("x", error))
