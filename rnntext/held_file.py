"""A file of a checkpoint that can be read after another file has taken its place.

Knows: how its content is held, the size and SHA-256 that it must have, and that a stranger's
directory may have a pipe or a device where a file is expected. Does not know: which files a
checkpoint has, or what they contain.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from rnntext.errors import CheckpointError

# A file of at most so many bytes is held as its content, a larger one as an open descriptor: its
# content would take memory, and a process may have only a few descriptors.
_SMALL = 4 << 20
# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class HeldFile:
    """The content of a file as it was when the file was opened. A save replaces files and never
    changes them, so an open descriptor keeps the old content."""

    def __init__(self, path: Path, file: BinaryIO, sha256: str | None) -> None:
        """Hold an open `file`, whose descriptor is duplicated if need be. `sha256`: the digest that
        it must have (None: any)."""
        self.path = path
        self._sha256 = sha256
        self._content: bytes | None = None
        self._descriptor: int | None = None
        self._verified = False
        self._lock = threading.Lock()  # copies of a descriptor have one position
        with reading(path):
            size = os.fstat(file.fileno()).st_size
            if size <= _SMALL:
                self._content = file.read(size)
            else:
                self._descriptor = os.dup(file.fileno())

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            os.close(self._descriptor)  # type: ignore[arg-type]

    def read(self) -> bytes:
        """Return the content. Raises CheckpointError if its SHA-256 is not the listed one."""
        content = self._content
        if content is None:
            with self._open() as file:
                content = file.read()
        if not self._verified:
            self._compare(hashlib.sha256(content).hexdigest())
        return content

    def verify(self) -> None:
        """Raise CheckpointError if the SHA-256 of the content is not the listed one."""
        if self._content is not None:
            self._compare(hashlib.sha256(self._content).hexdigest())
            return
        with self._open() as file:
            self._compare(hashlib.file_digest(file, "sha256").hexdigest())  # type: ignore[arg-type]

    @contextlib.contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        assert self._descriptor is not None  # noqa: S101
        with reading(self.path), self._lock, open(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            yield file

    def _compare(self, digest: str) -> None:
        if self._sha256 not in (None, digest):
            raise damaged(self.path, "its SHA-256 is not the one config.json lists")
        self._verified = True


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file to read it; a link is followed. Raises CheckpointError if it is not a regular
    file, without waiting for the other end of a pipe, and OSError."""
    # Opening a device may do something, so its kind is asked before; it may change until then.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise _irregular(path)
    flags = ("O_NONBLOCK", "O_NOCTTY", "O_BINARY")  # not every system has all of them
    descriptor = os.open(path, os.O_RDONLY | sum(getattr(os, name, 0) for name in flags))
    file = open(descriptor, "rb")  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise _irregular(path)
    return file


def _irregular(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a regular file: the checkpoint is damaged; restore it or train it again"
    )


def check_size(path: Path, file: BinaryIO, listed: Mapping[str, Any]) -> None:
    """Raise CheckpointError if an open file has not the listed `size`."""
    size = os.fstat(file.fileno()).st_size
    if size != listed["size"]:
        start = file.read(len(_LFS_POINTER))
        if start == _LFS_POINTER:
            raise CheckpointError(
                f"{path} is a pointer of git-lfs and not the file itself: run `git lfs pull`"
            )
        raise damaged(path, f"{size} bytes where config.json lists {listed['size']}")


def check_most(path: Path, file: BinaryIO, most: int) -> None:
    """Raise CheckpointError if an open file has more than `most` bytes."""
    size = os.fstat(file.fileno()).st_size
    if size > most:
        raise damaged(path, f"{size} bytes are more than such a file can have")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an OSError into a CheckpointError that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error


def missing(path: Path) -> CheckpointError:
    """Return the error for a file that is not there."""
    return CheckpointError(
        f"{path} is missing: the checkpoint is not complete; restore it or train it again"
    )


def damaged(path: Path, why: object) -> CheckpointError:
    """Return the error for a file whose content is not what it should be."""
    reason = " ".join(str(why).split())
    return CheckpointError(f"{path} is damaged ({reason}): restore it or train it again")
