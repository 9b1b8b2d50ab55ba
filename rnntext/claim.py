"""A directory has one writer at a time: the run that trains into it, or a conversion of its model.

Knows: the file `.lock` in a claimed directory, and how to tell whether its holder still runs. Does
not know: what is written there.

The claim is flock(2) on `DIR/.lock`. It ends with its process, however that ends, and many network
file systems pass it on to other hosts. Where one does not, the content of the file tells: it names
the holder, who sets its modification time anew every few seconds. A holder on another kernel that
has not done so for a minute is dead. (The package `filelock` empties the file before it knows
whether the lock is free, and so cannot say who holds it.)
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import stat
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rnntext.checkpoint import LOCK
from rnntext.errors import CheckpointError, UsageError
from rnntext.files import is_other_live_process, machine_id, make_directories

_RENEWED_EVERY = 10.0  # seconds between two renewals of the modification time
_STALE_AFTER = 60.0  # seconds without a renewal after which a holder on another kernel is dead
# Hundredths of a second that a holder has to write its name.
_NAMED_WITHIN = 30
# Errors of a file system that has no locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


class Claim:
    """A context manager that holds a directory, which it makes if there is none.

    Entering raises CheckpointError if another process holds the directory, and if the lock cannot
    be written. Leaving removes the lock, and the directories that were made if they are empty.
    """

    def __init__(self, directory: Path, purpose: str) -> None:
        """`purpose` says in one word what the holder does, such as "training"."""
        self._directory, self._purpose = directory, purpose
        self._path = directory / LOCK
        self._made: list[Path] = []
        self._handle: int | None = None
        self._released = threading.Event()
        self._renewal: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._acquire()
        self._renewal = threading.Thread(target=self._renew, name="claim", daemon=True)
        self._renewal.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._released.set()
        if self._renewal is not None:
            self._renewal.join()
        if self._is_held():
            # Removed before it is unlocked: who opened the file before finds that it is no longer
            # the one that the directory names, and opens the next.
            with contextlib.suppress(OSError):
                self._path.unlink()
        self._close()
        with contextlib.suppress(OSError):
            for folder in reversed(self._made):
                folder.rmdir()

    def confirm(self) -> None:
        """Claim the directory again if it was removed or replaced since. Raises CheckpointError as
        entering does."""
        if not self._is_held():
            self._close()
            self._acquire()

    def check(self) -> None:
        """Raise CheckpointError if another process holds the directory; claim nothing. A command
        does this before it loads what takes seconds."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            handle = os.open(self._path, flags)
        except OSError:  # there is no lock, or entering reports what is wrong
            return
        try:
            self._require_free(handle, shared=True)
        finally:
            os.close(handle)

    def _acquire(self) -> None:
        try:
            make_directories(self._directory, self._made)
            while self._handle is None:
                self._handle = self._lock_file()
        except OSError as error:
            raise CheckpointError(
                f"cannot claim {self._directory}: {error.strerror or error}; name another "
                "directory with -o"
            ) from None

    def _lock_file(self) -> int | None:
        """Open and lock the file; None if another process has removed it meanwhile."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(self._path, flags, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise UsageError(f"{self._path} is no regular file: remove it")
            self._require_free(handle)
            if not _is_same_file(handle, self._path):
                os.close(handle)
                return None
            self._write_holder(handle)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _require_free(self, handle: int, *, shared: bool = False) -> None:
        """Lock an open file. Raises CheckpointError if another process holds it."""
        outcome = _flock(handle, shared)
        holder = _read_holder(handle)
        for _ in range(_NAMED_WITHIN):
            if holder or outcome is not False:
                break
            time.sleep(0.01)  # it has just locked the file
            holder = _read_holder(handle)
        if outcome is False or (holder and _may_be_alive(self._path, holder, outcome)):
            raise CheckpointError(self._in_use(holder))

    def _write_holder(self, handle: int) -> None:
        holder = {
            "machine": machine_id(),
            "kernel": _kernel(),
            "host": platform.node(),
            "pid": os.getpid(),
            "purpose": self._purpose,
            "since": time.strftime("%Y-%m-%d %H:%M"),
        }
        # A full disk takes no content; the lock holds without it.
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, json.dumps(holder).encode())

    def _in_use(self, holder: dict[str, Any]) -> str:
        if not holder:
            return f"{self._directory} is in use: another process holds it; name another directory"
        return (
            f"{self._directory} is in use: process {holder.get('pid')} on {holder.get('host')} "
            f"holds it for {holder.get('purpose')} since {holder.get('since')}; wait until it "
            "ends, or name another directory"
        )

    def _is_held(self) -> bool:
        return self._handle is not None and _is_same_file(self._handle, self._path)

    def _renew(self) -> None:
        while not self._released.wait(_RENEWED_EVERY):
            with contextlib.suppress(OSError):
                os.utime(self._path, follow_symlinks=False)

    def _close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def _flock(handle: int, shared: bool) -> bool | None:
    """Lock an open file: True if it is locked now, False if another process has locked it, None
    if the system has no such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def _may_be_alive(path: Path, holder: dict[str, Any], locked: bool | None) -> bool:
    """Return True if the process that wrote the file may still run, though the file could be
    locked (`locked`) or the system has no locks (None)."""
    if holder.get("kernel") == _kernel() or holder.get("host") == platform.node():
        if locked:  # the lock of a process of this kernel would have been seen
            return False
        if holder.get("machine") == machine_id():
            return is_other_live_process(int(holder.get("pid", 0)))
    return _seconds_since_renewal(path) < _STALE_AFTER


def _seconds_since_renewal(path: Path) -> float:
    """Age of the modification time by the clock of the file system, which other hosts share."""
    before = path.lstat()
    os.utime(path, follow_symlinks=False)
    now = path.lstat().st_mtime
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns), follow_symlinks=False)
    return now - before.st_mtime


def _read_holder(handle: int) -> dict[str, Any]:
    """Return the holder that the file names, empty if it names none."""
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        holder = json.loads(os.read(handle, 4096))
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except OSError:
        return False


def _kernel() -> str:
    """Return an id of the running kernel, which containers on one host share."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux
        return platform.node()
