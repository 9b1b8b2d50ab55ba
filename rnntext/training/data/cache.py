"""An on-disk cache of encoded text, shared between runs.

Knows: where entries are stored, how one is written atomically, when it is damaged or expired, and
the fallback if the cache cannot be written. Does not know: the meaning of an entry, which holds
arrays, texts and a dictionary.

An entry is a folder named by a digest of everything it was made from. It is written as
`.tmp-MACHINE-PID-...` and renamed at the end, so that an entry is always complete; if two processes
write the same entry, the second uses the first's. Its manifest `entry.json` lists every other file
with size and SHA-256, and contains a SHA-256 of itself; an entry that does not match is removed and
written again. If the cache cannot be used, the files are unnamed temporary files, which the system
removes however the process ends.
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
from rnntext.training.data.store import Array, RaggedArray, RaggedArrayWriter, Stream, StreamWriter

_MANIFEST = "entry.json"
_NAME = re.compile("[0-9a-f]{32}")
_TEMPORARY = re.compile(rf"\.tmp-{OWNER}-.*")
_MAX_UNUSED = 30 * 24 * 3600.0  # seconds after which an unused entry is removed


def directory() -> Path:
    """Return the directory of the cache; raises OSError if the user has no home directory."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):  # the specification says to ignore a relative path
        return Path(named) / "rnntext"
    if os.name == "nt" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "rnntext"
    try:
        # With an empty HOME Python takes the root of all files for the home directory.
        home = Path.home() if os.environ.get("HOME") != "" else None
    except RuntimeError:
        home = None
    if home is None or not home.is_absolute():
        raise FileNotFoundError(errno.ENOENT, "there is no home directory")
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "rnntext"


def key_of(
    settings: Mapping[str, Any],
    files: Iterable[tuple[str, BinaryIO]],
    check: Callable[[], None] = lambda: None,
) -> str:
    """Return the key of an entry made from these files with these settings: a digest of the
    settings, and of the names and bytes of the files. `check` is called between two reads, and may
    raise an exception."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, file in files:
        digest.update(json.dumps([name, sha256_of(file, check)]).encode())
    return digest.hexdigest()[:32]


class Entry:
    """The content of an entry: arrays, ragged arrays, texts, and `meta`, a JSON dictionary.

    `close` closes its files, except those that `stream` and `rows` returned.
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
        self.reused = False  # True if another run wrote it
        self.trouble: str | None = None  # the error, if the cache could not be used
        self.size = sum(os.fstat(file.fileno()).st_size for file in files.values())  # bytes

    def stream(self, name: str) -> Stream:
        """Return an array that is read from disk on demand."""
        return Stream(self._files.pop(name), self._types[name])

    def array(self, name: str) -> Array:
        """Read an array into memory."""
        return self.stream(name)[:]

    def rows(self, name: str) -> RaggedArray:
        """Return a ragged array that is read from disk on demand."""
        return RaggedArray(self.stream(name), self.stream(_offsets(name)))

    def rows_in_memory(self, name: str) -> RaggedArray:
        """Read a ragged array into memory."""
        return RaggedArray(self.array(name), self.array(_offsets(name)))

    def text(self, name: str) -> str:
        """Read a text."""
        file = self._files[name]
        file.seek(0)
        return file.read().decode()

    def close(self) -> None:
        """Close the files that were not handed out."""
        for file in self._files.values():
            file.close()


class Draft:
    """An entry being written: files in a folder, or unnamed temporary files without one."""

    def __init__(self, folder: Path | None) -> None:
        self.meta: dict[str, Any] = {}
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self._types: dict[str, str] = {}

    def stream(self, name: str, dtype: npt.DTypeLike) -> StreamWriter:
        """Return a writer to which an array is appended in parts."""
        writer = StreamWriter(self._create(name), dtype)
        self._types[name] = writer.dtype.str
        return writer

    def rows(self, name: str, dtype: npt.DTypeLike) -> RaggedArrayWriter:
        """Return a writer to which the rows of a ragged array are appended."""
        return RaggedArrayWriter(self.stream(name, dtype), self.stream(_offsets(name), "<i8"))

    def text(self, name: str, content: str) -> None:
        """Write a text."""
        self._create(name).write(content.encode())

    def finish(self) -> Entry:
        """Return the entry, which takes over the open files."""
        for file in self._files.values():
            file.flush()
        files, self._files = self._files, {}
        return Entry(files, self._types, self.meta, None)

    def write_manifest(self) -> None:
        """Flush all files to disk with fsync, and write the manifest to the folder."""
        assert self._folder is not None  # noqa: S101
        files = {}
        for name, file in self._files.items():
            file.flush()
            os.fsync(file.fileno())
            files[name] = [os.fstat(file.fileno()).st_size, sha256_of(file)]
        content = {"files": files, "types": self._types, "meta": self.meta}
        with (self._folder / _MANIFEST).open("wb") as file:
            file.write(json.dumps([_digest(content), content]).encode())
            file.flush()
            os.fsync(file.fileno())
        flush_directory(self._folder)

    def close(self) -> None:
        """Close every file."""
        for file in self._files.values():
            # Closing retries a write that failed before.
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
    """Return the entry with this key, or None; a damaged entry is removed."""
    try:
        folder = directory() / key
        if not os.path.lexists(folder):
            return None
        entry = _open(folder)
    except OSError:
        return None
    with contextlib.suppress(OSError):  # the cache may be read-only
        os.utime(folder)
    entry.reused = True
    return entry


def build(key: str | None, write: Callable[[Draft], bool]) -> Entry:
    """Write an entry, and keep it in the cache as `key` if `write` returns True.

    Without a key, or if the cache cannot be written, the entry is in temporary files; `write` may
    be called a second time for that. Raises DataError if these cannot be written either.
    """
    trouble = None
    if key is not None:
        try:
            return _build_in_cache(key, write)
        except OSError as error:
            trouble = ": ".join(filter(None, (error.filename, error.strerror or str(error))))
    draft = Draft(None)
    try:
        write(draft)
        entry = draft.finish()
    except OSError as error:
        raise temporary_file_error("the encoded text", error) from error
    finally:
        draft.close()
    entry.trouble = trouble
    return entry


def _build_in_cache(key: str, write: Callable[[Draft], bool]) -> Entry:
    root = directory()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_stale(root, _TEMPORARY)
    _remove_expired(root)
    temporary = _new_folder(root)
    draft = Draft(temporary)
    try:
        if not write(draft):
            return draft.finish()  # the open files are unlinked below, and freed when closed
        draft.write_manifest()
        draft.close()  # Windows cannot rename a folder with open files
        return _install(temporary, root / key)
    finally:
        draft.close()
        shutil.rmtree(temporary, ignore_errors=True)


def _new_folder(root: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f".tmp-{owner()}-", dir=root))


def _install(temporary: Path, folder: Path) -> Entry:
    try:
        os.rename(temporary, folder)
    except OSError:
        # If there is a valid entry, another process wrote it first.
        with contextlib.suppress(OSError):
            return _open(folder)
        os.rename(temporary, folder)
    flush_directory(folder.parent)
    return _open(folder)


def _open(folder: Path) -> Entry:
    """Open an entry and verify its files; a damaged one is removed and raises OSError."""
    with contextlib.ExitStack() as stack:
        try:
            digest, content = json.loads((folder / _MANIFEST).read_bytes())
            if digest != _digest(content):
                raise ValueError
            files = {}
            for name, (size, sha256) in content["files"].items():
                file = stack.enter_context((folder / name).open("rb"))
                if os.fstat(file.fileno()).st_size != size:
                    raise ValueError
                if sha256_of(file) != sha256:
                    raise ValueError
                files[name] = file
        except (OSError, ValueError, TypeError, RecursionError) as error:
            _discard(folder)
            raise OSError(errno.EIO, "damaged") from error
        stack.pop_all()
    return Entry(files, content["types"], content["meta"], folder)


def _remove_expired(root: Path) -> None:
    """Remove entries that have not been used for a month."""
    for name in os.listdir(root):
        with contextlib.suppress(FileNotFoundError):
            if _NAME.fullmatch(name) and time.time() - (root / name).stat().st_mtime > _MAX_UNUSED:
                _discard(root / name)


def _discard(folder: Path) -> None:
    """Remove an entry atomically: rename it to a temporary folder first."""
    with contextlib.suppress(OSError):
        aside = _new_folder(folder.parent)
        try:
            os.rename(folder, aside / folder.name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
