"""What whoever writes files needs to know of the system.

Knows: how names become durable, which temporary folders a dead process left behind, and what to
say where there is no room for a temporary file. Does not know: what is in them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
import time
from functools import cache
from pathlib import Path
from typing import BinaryIO

from rnntext.errors import DataError

_CHUNK = 1 << 20
# Seconds after which what another machine left is taken for forgotten: nobody here can ask whether
# the process that made it is still at work.
_FOREIGN = 7 * 24 * 3600.0

# What `owner` gives, in the pattern of a temporary name.
OWNER = r"([0-9a-f]{8})-(\d{1,9})"


def owner() -> str:
    """This process, for the name of a temporary folder: other machines may see that folder too."""
    return f"{_machine()}-{os.getpid()}"


@cache
def _machine() -> str:
    """This machine, or this container on it, as far as they number their processes apart."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        namespace = ""
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


def remove_stale(directory: Path, temporary: re.Pattern[str]) -> None:
    """Remove what killed processes left in `directory`: folders whose name matches `temporary`,
    which has OWNER's groups first."""
    for name in os.listdir(directory):
        match = temporary.fullmatch(name)
        if match and not _is_at_work(directory / name, match[1], int(match[2])):
            shutil.rmtree(directory / name, ignore_errors=True)


def _is_at_work(folder: Path, machine: str, pid: int) -> bool:
    """Whether another process may still be writing what is in a temporary folder."""
    if machine == _machine():
        return _is_other_process(pid)
    try:
        return time.time() - folder.stat().st_mtime < _FOREIGN
    except OSError:  # it has just been removed or renamed
        return True


def _is_other_process(pid: int) -> bool:
    # On Windows signal 0 is Ctrl-C, not a question; there a temporary is always taken as stale.
    if os.name == "nt" or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and another user's
    return True


def sha256_of(file: BinaryIO) -> str:
    """The SHA-256 of all that is in a file."""
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def flush_directory(folder: Path) -> None:
    """Make the names in `folder` durable, where the system can do that."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(handle)


def no_temporary(what: str, error: OSError) -> DataError:
    """What to say where `what` cannot be kept in a temporary file."""
    import tempfile  # 3 ms that nobody need wait for who only runs a model

    try:
        place = tempfile.gettempdir()
    except OSError:
        place = "a temporary file"
    return DataError(
        f"cannot write {what} to {place}: {error.strerror or error}; "
        "free some space, or name another place with TMPDIR"
    )
