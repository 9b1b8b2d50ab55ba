"""Stale temporary folders, digests, durable directories, and files that are written at once."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from rnntext import files
from rnntext.errors import RnntextError, UsageError
from rnntext.files import (
    OWNER,
    check_file,
    flush_directory,
    is_other_live_process,
    make_directories,
    owner,
    remove_stale,
    replaced_file,
    sha256_of,
    temporary_file_error,
    write_durably,
    write_error,
    write_file,
    write_files,
)

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


@pytest.mark.parametrize(("age", "stale"), [(7 * 86_400 - 1, False), (7 * 86_400, True)])
def test_what_another_machine_writes_is_stale_after_a_week(
    age: int, stale: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 2**22 + 1  # above the largest PID
    ours, theirs = f".tmp-{machine()}-{number}-a", f".tmp-0123abcd-{number}-a"
    others, running = ".tmp-0-1", f".tmp-89abcdef-{os.getppid()}-a"
    for name in (ours, theirs, running, others):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000, 1000))
    monkeypatch.setattr(files, "time", SimpleNamespace(time=lambda: 1000.0 + age))
    remove_stale(tmp_path, TEMPORARY)
    left = [others] if stale else [others, theirs, running]
    assert sorted(os.listdir(tmp_path)) == sorted(left)


def test_a_stale_folder_that_cannot_be_removed_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError

    folder = tmp_path / f".tmp-{owner()}-a"
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "rmdir", fail)
        remove_stale(tmp_path, TEMPORARY)
    assert folder.is_dir()
    remove_stale(tmp_path, TEMPORARY)
    assert not folder.exists()


def test_a_folder_that_another_process_has_just_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "listdir", lambda _: [".tmp-0123abcd-1-a"])
    remove_stale(tmp_path, TEMPORARY)


@pytest.mark.parametrize(
    ("error", "lives"), [(None, True), (PermissionError, True), (ProcessLookupError, False)]
)
def test_a_process_is_asked_whether_it_lives_without_a_signal(
    error: type[OSError] | None, lives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        sent.append((pid, number))
        if error is not None:
            raise error

    monkeypatch.setattr(files.os, "kill", kill)
    other = os.getpid() + 1
    assert is_other_live_process(other) == lives
    assert sent == [(other, 0)]
    assert not is_other_live_process(os.getpid())
    monkeypatch.setattr(files.os, "name", "nt")  # there the signal would be Ctrl-C
    found = is_other_live_process(other)
    monkeypatch.undo()
    assert not found
    assert sent == [(other, 0)]


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

    assert f"to {place}: it failed; name another place with TMPDIR" in str(
        temporary_file_error("x", OSError("it failed"))
    )

    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert "to a temporary file: No space left" in str(temporary_file_error("x", error))


def test_directories_are_made_and_their_names_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(files, "flush_directory", flushed.append)
    made = [tmp_path]
    make_directories(tmp_path / "a" / "b", made)
    assert (tmp_path / "a" / "b").is_dir()
    assert made == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    assert flushed == [tmp_path, tmp_path / "a"]
    make_directories(tmp_path / "a" / "b", made)
    assert (len(made), len(flushed)) == (3, 2)


def test_another_process_may_make_the_directory_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = os.path.exists
    place = tmp_path / "a"
    place.mkdir()
    monkeypatch.setattr(files.os.path, "exists", lambda path: path != place and exists(path))
    made: list[Path] = []
    make_directories(place, made)
    assert made == [place]


def test_a_directory_that_cannot_be_opened_is_not_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise AssertionError(folder)

    monkeypatch.setattr(files.os, "access", lambda path, mode: mode != os.R_OK)
    monkeypatch.setattr(files, "flush_directory", refuse)
    make_directories(tmp_path / "a", [])
    assert (tmp_path / "a").is_dir()


@pytest.mark.parametrize(
    ("number", "fails"),
    [(None, False), (errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)],
)
def test_a_directory_is_flushed_where_that_can_be_done(
    number: int | None, fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []

    def fsync(handle: int) -> None:
        flushed.append(os.fstat(handle).st_ino)
        if number is not None:
            raise OSError(number, "it failed")

    monkeypatch.setattr(files.os, "fsync", fsync)
    before = sorted(os.listdir("/dev/fd"))
    if fails:
        with pytest.raises(OSError, match="it failed"):
            flush_directory(tmp_path)
    else:
        flush_directory(tmp_path)
    assert flushed == [tmp_path.stat().st_ino]
    assert sorted(os.listdir("/dev/fd")) == before


def test_a_file_is_named_with_o(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    check_file(tmp_path / "file")
    check_file(tmp_path / "new")
    with pytest.raises(UsageError) as caught:
        check_file(tmp_path)
    assert str(caught.value) == f"{tmp_path} is a directory: name a file with -o"
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match="is a directory"):
        check_file(Path())


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    write_file(path, b"old")
    with path.open("rb") as reader:
        write_file(path, b"new")
        assert reader.read() == b"old"  # it is another file that took its place
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["graph.onnx"]


def test_a_file_that_cannot_be_replaced_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "graph.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(RnntextError) as caught:
        write_file(path, b"new")
    assert str(caught.value) == (
        f"cannot write {path}: No space left on device; free some space or choose another place "
        "with -o"
    )
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["graph.onnx"]


def test_several_files_are_complete_before_one_is_replaced(tmp_path: Path) -> None:
    paths = tmp_path / "graph.onnx", tmp_path / "missing" / "graph.json"
    paths[0].write_bytes(b"old")
    with pytest.raises(RnntextError) as caught:
        write_files(dict.fromkeys(paths, b"new"))
    assert str(caught.value).startswith(f"cannot write {paths[1]}: ")
    assert paths[0].read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["graph.onnx"]
    paths[1].parent.mkdir()
    write_files(dict.fromkeys(paths, b"new"))
    assert [path.read_bytes() for path in paths] == [b"new"] * 2
    assert os.listdir(paths[1].parent) == ["graph.json"]


def test_a_file_in_a_directory_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file"
    with pytest.raises(RnntextError) as caught:
        write_file(path, b"new")
    assert str(caught.value) == (
        f"cannot write {path}: No such file or directory; choose another place with -o"
    )


@pytest.mark.parametrize(
    ("number", "full"),
    [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EFBIG, True), (errno.EACCES, False)],
)
def test_space_is_asked_for_where_there_is_none(number: int, full: bool) -> None:
    text = write_error(Path("out"), OSError(number, "Why"))
    advice = "free some space or choose" if full else "choose"
    assert text == f"cannot write out: Why; {advice} another place with -o"
    assert write_error(Path("out"), OSError("it failed")).startswith("cannot write out: it failed;")


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        write_file(path, b"content")
        assert reader.read() == b"content"
    assert path.is_fifo()


@pytest.mark.parametrize(
    ("number", "temporary", "named"),
    [
        (errno.ENOSPC, "free some space, or name another", "free some space or choose another"),
        (errno.EDQUOT, "free some space, or name another", "free some space or choose another"),
        (errno.EFBIG, "free some space, or name another", "free some space or choose another"),
        (errno.EMFILE, "raise the limit of open files", "raise the limit of open files"),
        (errno.ENFILE, "raise the limit of open files", "raise the limit of open files"),
        (errno.EACCES, "name another place", "choose another place"),
    ],
)
def test_the_advice_suits_the_error(number: int, temporary: str, named: str) -> None:
    error = OSError(number, "it failed")
    assert f": it failed; {temporary}" in str(temporary_file_error("x", error))
    assert write_error(Path("x"), error).startswith(f"cannot write x: it failed; {named}")


# Files written part by part


def test_a_file_takes_its_place_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for content in (b"old", b"new"):
        before = path.read_bytes() if path.exists() else None
        with replaced_file(path) as write:
            write(content[:1])
            write(content[1:])
            assert (path.read_bytes() if path.exists() else None) == before
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["a.jsonl"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RnntextError])
def test_after_an_error_a_file_is_what_it_was(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"

    def fail() -> None:
        with replaced_file(path) as write:
            write(b"new")
            raise error

    with pytest.raises(error):
        fail()
    assert os.listdir(tmp_path) == []
    path.write_bytes(b"old")
    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.jsonl"]


def test_a_file_that_cannot_be_written_names_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "none" / "a.jsonl"
    with pytest.raises(RnntextError) as caught, replaced_file(path, "--predictions"):
        pass
    assert str(caught.value) == (
        f"cannot write {path}: No such file or directory; choose another place with --predictions"
    )

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", fail)
    path = tmp_path / "a.jsonl"
    with pytest.raises(RnntextError, match=r"free some space .* --predictions"):  # noqa: SIM117
        with replaced_file(path, "--predictions") as write:
            write(b"new")
    assert os.listdir(tmp_path) == []


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with replaced_file(path) as write:
        write(b"new")
    assert os.read(reader, 9) == b"new"
    os.close(reader)
    assert path.is_fifo()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_a_full_device_is_an_error_in_one_line() -> None:
    with pytest.raises(RnntextError, match=r"^cannot write /dev/full: No space left"):  # noqa: SIM117
        with replaced_file(Path("/dev/full")) as write:
            write(b"new")


def test_a_durable_file_is_flushed_before_it_takes_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for name in ("fsync", "replace"):
        call = getattr(os, name)
        monkeypatch.setattr(files.os, name, lambda *a, n=name, c=call: (done.append(n), c(*a)))
    path = tmp_path / "search.json"
    path.write_bytes(b"old")
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert done == ["fsync", "replace", "fsync"]  # of the file, then of its name
    assert os.listdir(tmp_path) == ["search.json"]


def test_a_durable_file_that_cannot_be_written_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "search.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["search.json"]
