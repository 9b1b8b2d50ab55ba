"""Encoded text that is kept from run to run.

Knows: where entries are kept, how one is written at one stroke, when it counts as damaged or
forgotten, and what is done where none can be kept. Does not know: what is in an entry; it is
handed arrays, texts and a dictionary, and hands them back.

An entry is a folder whose name is a digest of all that it was made from. It is written as
`.tmp-MACHINE-PID-...` and renamed at the end: whoever finds an entry finds all of it, and of two
processes that write the same one the second takes the first's. Its `entry.json` lists every
other file with its size and SHA-256, and has a SHA-256 of itself; what does not agree with that
is removed and made again. Where nothing can be kept, the files are temporary ones without names,
of which nothing is left however the process ends.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy.typing as npt

from rnntext.files import (
    OWNER,
    flush_directory,
    owner,
    remove_stale,
    sha256_of,
    temporary_file_error,
)
from rnntext.training.data.store import Array, Rows, RowsWriter, Stream, StreamWriter

_ENTRY = "entry.json"
_NAME = re.compile("[0-9a-f]{32}")
_TEMPORARY = re.compile(rf"\.tmp-{OWNER}-.*")
_FORGOTTEN = 30 * 24 * 3600.0  # seconds without use


def directory() -> Path:
    """Where entries are kept; raises OSError where the system says of no such place."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):  # the specification has a relative one passed over
        return Path(named) / "rnntext"
    if os.name == "nt" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "rnntext"
    try:
        home = Path.home()
    except RuntimeError:
        raise FileNotFoundError(errno.ENOENT, "there is no home directory") from None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "rnntext"


def key_of(settings: Mapping[str, Any], files: Iterable[tuple[str, BinaryIO]]) -> str:
    """The name of what is made with these settings from these files: a digest of the settings,
    and of the files' names and bytes."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, file in files:
        digest.update(json.dumps([name, sha256_of(file)]).encode())
    return digest.hexdigest()[:32]


class Entry:
    """What is in an entry: arrays, rows, texts, and `meta`, a dictionary of plain JSON.

    Its files are open until it is closed, but for those of streams and rows that were asked for.
    """

    def __init__(
        self,
        files: dict[str, BinaryIO],
        types: Mapping[str, str],
        meta: dict[str, Any],
        folder: Path | None,
    ) -> None:
        self._files, self._types = files, types
        self.meta, self.folder = meta, folder
        self.reused = False  # another run wrote it
        self.trouble: str | None = None  # why the cache could not be used
        self.size = sum(os.fstat(file.fileno()).st_size for file in files.values())  # bytes

    def stream(self, name: str) -> Stream:
        """An array that is read from the disk as it is needed."""
        return Stream(self._files.pop(name), self._types[name])

    def array(self, name: str) -> Array:
        """An array in memory."""
        return self.stream(name)[:]

    def rows(self, name: str) -> Rows:
        """Rows that are read from the disk as they are needed."""
        return Rows(self.stream(name), self.stream(_offsets(name)))

    def rows_in_memory(self, name: str) -> Rows:
        """Rows in memory."""
        return Rows(self.array(name), self.array(_offsets(name)))

    def text(self, name: str) -> str:
        """A text."""
        file = self._files[name]
        file.seek(0)
        return file.read().decode()

    def close(self) -> None:
        """Close what nobody asked for."""
        for file in self._files.values():
            file.close()


class Draft:
    """An entry that is being written: files in a folder, or temporary ones without names."""

    def __init__(self, folder: Path | None) -> None:
        self.meta: dict[str, Any] = {}
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self._types: dict[str, str] = {}

    def stream(self, name: str, dtype: npt.DTypeLike) -> StreamWriter:
        """Where an array is written bit by bit."""
        writer = StreamWriter(self._create(name), dtype)
        self._types[name] = writer.dtype.str
        return writer

    def rows(self, name: str, dtype: npt.DTypeLike) -> RowsWriter:
        """Where rows are written one after the other."""
        return RowsWriter(self.stream(name, dtype), self.stream(_offsets(name), "<i8"))

    def text(self, name: str, content: str) -> None:
        """Write a text."""
        self._create(name).write(content.encode())

    def finished(self) -> Entry:
        """What was written; its files are the entry's from here on."""
        for file in self._files.values():
            file.flush()
        files, self._files = self._files, {}
        return Entry(files, self._types, self.meta, None)

    def list(self) -> None:
        """Flush every file down to the disk and list them, and `meta`, in the folder."""
        assert self._folder is not None  # noqa: S101
        listing = {}
        for name, file in self._files.items():
            file.flush()
            os.fsync(file.fileno())
            listing[name] = [os.fstat(file.fileno()).st_size, sha256_of(file)]
        content = {"files": listing, "types": self._types, "meta": self.meta}
        with (self._folder / _ENTRY).open("wb") as file:
            file.write(json.dumps([_digest(content), content]).encode())
            file.flush()
            os.fsync(file.fileno())
        flush_directory(self._folder)

    def close(self) -> None:
        """Close every file."""
        for file in self._files.values():
            # What could not be written is tried again here.
            with contextlib.suppress(OSError):
                file.close()

    def _create(self, name: str) -> BinaryIO:
        if self._folder is None:
            self._files[name] = tempfile.TemporaryFile()  # noqa: SIM115
        else:
            self._files[name] = (self._folder / name).open("x+b")
        return self._files[name]


def _offsets(name: str) -> str:
    return f"{name}.offsets"


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def find(key: str) -> Entry | None:
    """The entry of this name, where there is one that is whole; a damaged one is removed."""
    try:
        folder = directory() / key
        if not os.path.lexists(folder):
            return None
        entry = _open(folder)
    except OSError:
        return None
    with contextlib.suppress(OSError):  # an entry may be read where nothing can be written
        os.utime(folder)
    entry.reused = True
    return entry


def build(key: str | None, write: Callable[[Draft], bool]) -> Entry:
    """What `write` writes, kept as the entry `key` if it says that others may use it.

    Without a key, and where the cache cannot be written, it goes into temporary files; `write`
    may be called a second time then. Raises DataError where those cannot be written either.
    """
    trouble = None
    if key is not None:
        try:
            return _keep(key, write)
        except OSError as error:
            trouble = ": ".join(filter(None, (error.filename, error.strerror or str(error))))
    draft = Draft(None)
    try:
        write(draft)
        entry = draft.finished()
    except OSError as error:
        raise temporary_file_error("the encoded text", error) from error
    finally:
        draft.close()
    entry.trouble = trouble
    return entry


def _keep(key: str, write: Callable[[Draft], bool]) -> Entry:
    root = directory()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_stale(root, _TEMPORARY)
    _forget(root)
    temporary = _temporary(root)
    draft = Draft(temporary)
    try:
        if not write(draft):
            return draft.finished()  # the files lose their names below, and go when closed
        draft.list()
        draft.close()  # Windows moves no folder with open files in it
        return _install(temporary, root / key)
    finally:
        draft.close()
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(root: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f".tmp-{owner()}-", dir=root))


def _install(temporary: Path, folder: Path) -> Entry:
    try:
        os.rename(temporary, folder)
    except OSError:
        # Another process was first, if what is there is whole.
        with contextlib.suppress(OSError):
            return _open(folder)
        os.rename(temporary, folder)
    flush_directory(folder.parent)
    return _open(folder)


def _open(folder: Path) -> Entry:
    """Raises OSError where the entry is not there or is damaged; then it is removed."""
    with contextlib.ExitStack() as stack:
        try:
            digest, content = json.loads((folder / _ENTRY).read_bytes())
            if digest != _digest(content):
                raise ValueError
            files = {}
            for name, (size, wanted) in content["files"].items():
                file = stack.enter_context((folder / name).open("rb"))
                if os.fstat(file.fileno()).st_size != size:
                    raise ValueError
                if sha256_of(file) != wanted:
                    raise ValueError
                files[name] = file
        except (OSError, ValueError, TypeError, RecursionError) as error:
            _discard(folder)
            raise OSError(errno.EIO, "damaged") from error
        stack.pop_all()
    return Entry(files, content["types"], content["meta"], folder)


def _forget(root: Path) -> None:
    """Remove entries that nobody has used for long."""
    for name in os.listdir(root):
        with contextlib.suppress(FileNotFoundError):
            if _NAME.fullmatch(name) and time.time() - (root / name).stat().st_mtime > _FORGOTTEN:
                _discard(root / name)


def _discard(folder: Path) -> None:
    """Remove an entry so that nobody finds half of it."""
    with contextlib.suppress(OSError):
        aside = _temporary(folder.parent)
        try:
            os.rename(folder, aside / folder.name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
