"""A claimed directory: one holder, who is named, and nothing left of a dead one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rnntext import claim
from rnntext.checkpoint import LOCK
from rnntext.claim import Claim
from rnntext.errors import CheckpointError, UsageError
from rnntext.files import machine_id

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no flock")


def take(directory: Path) -> None:
    with Claim(directory, "training"):
        pass


def write_holder(directory: Path, **values: Any) -> Path:
    """A lock file that another process left or holds; by default one of another kernel."""
    holder = {
        "machine": "0" * 8,
        "kernel": "another",
        "host": "far",
        "pid": 77,
        "purpose": "training",
        "since": "2026-01-02 03:04",
        **values,
    }
    path = directory / LOCK
    path.write_text(json.dumps(holder))
    return path


def age(path: Path, seconds: float) -> None:
    changed = time.time() - seconds
    os.utime(path, (changed, changed))


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks."""
    fcntl = pytest.importorskip("fcntl")

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


@posix
def test_the_second_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with Claim(tmp_path, "training"):
        for purpose in ("training", "conversion"):
            with pytest.raises(CheckpointError) as error, Claim(tmp_path, purpose):
                pass
            text = str(error.value)
            assert text.startswith(f"{tmp_path} is in use: process {os.getpid()} on ")
            assert "holds it for training since 2" in text
        with pytest.raises(CheckpointError, match="is in use"):
            Claim(tmp_path, "training").check()
    assert list(tmp_path.iterdir()) == []
    take(tmp_path)


def test_a_check_claims_and_makes_nothing(tmp_path: Path) -> None:
    Claim(tmp_path / "new", "training").check()
    assert list(tmp_path.iterdir()) == []
    path = write_holder(tmp_path)
    age(path, 120)
    Claim(tmp_path, "training").check()
    assert json.loads(path.read_text())["host"] == "far"
    take(tmp_path)


def test_directories_are_made_and_removed_unless_something_is_in_them(tmp_path: Path) -> None:
    with Claim(tmp_path / "a" / "b", "training"):
        assert (tmp_path / "a" / "b" / LOCK).is_file()
    assert list(tmp_path.iterdir()) == []
    with Claim(tmp_path / "a" / "b", "training"):
        (tmp_path / "a" / "b" / "model").write_text("")
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["model"]


@posix
def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    source = (
        "import os, signal, sys; from pathlib import Path; from rnntext.claim import Claim\n"
        "with Claim(Path(sys.argv[1]), 'training'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", source, str(tmp_path)], check=False)
    assert (tmp_path / LOCK).is_file()
    take(tmp_path)
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_holder_on_another_kernel_lives_while_it_renews_the_file(tmp_path: Path) -> None:
    path = write_holder(tmp_path)
    age(path, 50)
    before = path.stat().st_mtime_ns
    for attempt in (take, lambda directory: Claim(directory, "training").check()):
        with pytest.raises(CheckpointError, match="process 77 on far holds it"):
            attempt(tmp_path)
        assert path.stat().st_mtime_ns == before  # an attempt is no sign of life
    age(path, 70)
    take(tmp_path)


@posix
@pytest.mark.parametrize("same", ["kernel", "host"])
def test_a_dead_holder_of_this_machine_is_not_waited_for(same: str, tmp_path: Path) -> None:
    """Its container is gone, or the machine was started anew."""
    here = {"kernel": claim._kernel(), "host": claim.platform.node()}
    write_holder(tmp_path, **{same: here[same]})
    take(tmp_path)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_process_of_this_machine_is_asked_for(tmp_path: Path) -> None:
    here = {"kernel": claim._kernel(), "machine": machine_id()}
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    write_holder(tmp_path, pid=dead.pid, **here)
    take(tmp_path)
    write_holder(tmp_path, pid=os.getppid(), **here)
    with pytest.raises(CheckpointError, match="is in use"):
        take(tmp_path)
    # Of another container's process only the file tells.
    path = write_holder(tmp_path, kernel=claim._kernel())
    with pytest.raises(CheckpointError, match="is in use"):
        take(tmp_path)
    age(path, 70)
    take(tmp_path)


def test_other_errors_of_a_lock_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def flock(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(CheckpointError, match=r"cannot claim .*: Input/output error; name another"):
        take(tmp_path / "new")


@posix
def test_a_lock_that_its_holder_has_just_removed_is_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, removed = claim._flock, False

    def flock(handle: int, shared: bool) -> bool | None:
        nonlocal removed
        if not removed:
            removed = True
            (tmp_path / LOCK).unlink()
        return real(handle, shared)

    monkeypatch.setattr(claim, "_flock", flock)
    with Claim(tmp_path, "training"), pytest.raises(CheckpointError, match="is in use"):
        take(tmp_path)


def test_a_directory_that_was_removed_is_claimed_again(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    with Claim(directory, "training") as held:
        inode = (directory / LOCK).stat().st_ino
        held.confirm()
        assert (directory / LOCK).stat().st_ino == inode
        shutil.rmtree(directory)
        held.confirm()
        assert json.loads((directory / LOCK).read_text())["pid"] == os.getpid()
    assert not directory.exists()


@posix
def test_a_directory_that_another_took_meanwhile_is_not_confirmed_nor_cleared(
    tmp_path: Path,
) -> None:
    with Claim(tmp_path, "training") as held:
        (tmp_path / LOCK).unlink()
        with Claim(tmp_path, "conversion"):
            with pytest.raises(CheckpointError, match="for conversion since"):
                held.confirm()
            held.__exit__(None, None, None)
            assert (tmp_path / LOCK).is_file()


def test_the_holder_renews_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "_RENEWED_EVERY", 0.005)
    with Claim(tmp_path, "training"):
        age(tmp_path / LOCK, 1000)
        limit = time.monotonic() + 60
        while time.time() - (tmp_path / LOCK).stat().st_mtime > 900:
            assert time.monotonic() < limit
            time.sleep(0.005)


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("text")
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / LOCK).symlink_to(tmp_path / "precious")
    with pytest.raises(CheckpointError, match="cannot claim"):
        take(directory)
    assert (tmp_path / "precious").read_text() == "text"


@posix
def test_a_lock_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(UsageError, match="no regular file: remove it"):
        take(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00" * 5000])
def test_a_lock_with_other_content_is_taken(content: str, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(content)
    with Claim(tmp_path, "training"):
        assert json.loads((tmp_path / LOCK).read_text())["purpose"] == "training"


def test_a_full_disk_takes_no_name_but_the_lock_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        held = Claim(tmp_path, "training").__enter__()
    with pytest.raises(CheckpointError, match="in use: another process holds it"):
        take(tmp_path)
    held.__exit__(None, None, None)
