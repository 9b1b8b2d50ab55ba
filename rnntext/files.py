"""Helpers for writing files safely: atomic writes, fsync of directories, stale temporary folders.

Knows: how a file is replaced at once and names become durable, which temporary folders a dead
process left behind, and the error for a temporary file that cannot be written. Does not know: the
content of files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import BinaryIO

from rnntext.errors import DataError, RnntextError, UsageError

_CHUNK = 1 << 20
# The disk is full, or the user's share of it, or the file has the largest size that is allowed.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Age in seconds at which a folder of another machine is stale: this machine cannot check whether
# the process that made it still runs.
_REMOTE_STALE_AGE = 7 * 24 * 3600.0

# Matches the return value of `owner` inside the pattern of a temporary name.
OWNER = r"([0-9a-f]{8})-(\d{1,9})"


def owner() -> str:
    """Return an id of this process for temporary folder names, unique across machines that share
    the folder."""
    return f"{machine_id()}-{os.getpid()}"


@cache
def machine_id() -> str:
    """Return an id of this machine and PID namespace (a container has its own PIDs)."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        namespace = ""
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


def remove_stale(directory: Path, temporary: re.Pattern[str]) -> None:
    """Remove the folders in `directory` that killed processes left behind.

    `temporary` matches the names of such folders; its first two groups are those of OWNER.
    """
    for name in os.listdir(directory):
        match = temporary.fullmatch(name)
        if match and not _may_be_in_use(directory / name, match[1], int(match[2])):
            shutil.rmtree(directory / name, ignore_errors=True)


def _may_be_in_use(folder: Path, machine: str, pid: int) -> bool:
    """Return True if another process may still be writing to a temporary folder."""
    if machine == machine_id():
        return is_other_live_process(pid)
    try:
        return time.time() - folder.stat().st_mtime < _REMOTE_STALE_AGE
    except OSError:  # another process has just removed or renamed it
        return True


def is_other_live_process(pid: int) -> bool:
    """Return True if a process of this machine other than this one has the number `pid`."""
    # On Windows signal 0 would send Ctrl-C; there a temporary folder always counts as stale.
    if os.name == "nt" or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs as another user
    return True


def sha256_of(file: BinaryIO, check: Callable[[], None] = lambda: None) -> str:
    """Return the SHA-256 of the whole content of a file. `check` is called between two reads."""
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        check()
    return digest.hexdigest()


def make_directories(directory: Path, made: list[Path]) -> None:
    """Make `directory` and its missing parents, and append each to `made` for a rollback."""
    missing = [p for p in (directory, *directory.parents) if not os.path.exists(p)]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        made.append(folder)
        if os.access(folder.parent, os.R_OK):  # else it cannot be opened to flush it
            flush_directory(folder.parent)


def flush_directory(folder: Path) -> None:
    """Make the names in `folder` durable with fsync, where the system supports it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (
            errno.EINVAL,
            errno.ENOTSUP,
        ):  # network file systems
            raise
    finally:
        os.close(handle)


def temporary_file_error(what: str, error: OSError) -> DataError:
    """Return the error for `what` that cannot be written to a temporary file."""
    import tempfile  # takes 3 ms, which running a model should not pay

    try:
        directory = tempfile.gettempdir()
    except OSError:
        directory = "a temporary file"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        advice = "raise the limit of open files (`ulimit -n`)"
    elif error.errno in _FULL:
        advice = "free some space, or name another place with TMPDIR"
    else:
        advice = "name another place with TMPDIR"
    return DataError(f"cannot write {what} to {directory}: {error.strerror or error}; {advice}")


def write_error(path: Path, error: OSError, option: str = "-o") -> str:
    """Return the message for what an option names and cannot be written."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        advice = "raise the limit of open files (`ulimit -n`)"
    elif error.errno in _FULL:
        advice = f"free some space or choose another place with {option}"
    else:
        advice = f"choose another place with {option}"
    return f"cannot write {path}: {error.strerror or error}; {advice}"


def check_file(path: Path, option: str = "-o") -> None:
    """Raise UsageError if the path given to an option is a directory."""
    if not path.name or os.path.isdir(path):  # False for a name that is too long
        raise UsageError(f"{path} is a directory: name a file with {option}")


def write_file(path: Path, content: bytes) -> None:
    """Write or replace a file atomically, by a rename. Raises RnntextError."""
    write_files({path: content})


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write or replace files, each atomically, by a rename. All of them are complete before the
    first is renamed, so that an error of the disk leaves none. Raises RnntextError."""
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in contents}
    path = Path()
    try:
        for path, content in contents.items():
            if path.exists() and not path.is_file():
                path.write_bytes(content)  # a pipe or device must not be replaced by a file
            else:
                temporary[path].write_bytes(content)
        for path, written in temporary.items():
            if written.exists():
                os.replace(written, path)
    except OSError as error:
        raise RnntextError(write_error(path, error)) from None
    finally:
        for written in temporary.values():
            # Fails too if the directory does not exist; the error above says so.
            with contextlib.suppress(OSError):
                written.unlink()


def write_durably(path: Path, content: bytes) -> None:
    """Write or replace a file atomically, and flush it and its name to the disk: after a crash or a
    power cut it has the old content or the new. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        flush_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replaced_file(path: Path, option: str = "-o") -> Iterator[Callable[[bytes], None]]:
    """Yield a function that appends bytes to a file. The file takes the place of `path` by a rename
    when the `with` block ends without an error; otherwise nothing is left, and `path` stays what it
    was.

    A pipe or device is written directly. Raises RnntextError, which names the option, if the file
    cannot be opened or written.
    """
    with replacement(path, option) as written:
        with write_errors(path, option):
            file = written.open("wb")

        def write(content: bytes) -> None:
            with write_errors(path, option):
                file.write(content)

        try:
            yield write
            with write_errors(path, option):
                file.close()
        finally:
            with contextlib.suppress(OSError):
                file.close()


@contextlib.contextmanager
def replacement(path: Path, option: str = "-o") -> Iterator[Path]:
    """Yield the path of a file to write, which takes the place of `path` as that of `replaced_file`
    does. A pipe or device is yielded itself."""
    is_device = path.exists() and not path.is_file()
    written = path if is_device else path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield written
        if not is_device:
            with write_errors(path, option):
                os.replace(written, path)
    finally:
        if not is_device:
            with contextlib.suppress(OSError):
                written.unlink()


@contextlib.contextmanager
def write_errors(path: Path, option: str) -> Iterator[None]:
    """Errors of the system within the `with` block become RnntextError, which names the option."""
    try:
        yield
    except OSError as error:
        raise RnntextError(write_error(path, error, option)) from None
