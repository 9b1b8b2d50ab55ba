"""The trees of files that a power cut may leave, for code that flushes files with fsync.

The content of a file survives if the file was flushed. An operation on names (create, rename or
remove a file or a folder) survives if a folder that it changes was flushed. Of the operations that
were not flushed any subset may survive, but none in a new folder without the folder itself.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest

# Inode of a folder, a name in it, and the inode that the name refers to now; None: it was removed.
Change = tuple[int, str, int | None]
# Content by path relative to the root; None for a folder.
Tree = dict[str, bytes | None]


class Disk:
    """Records the operations below `root`; all that exists at the start counts as flushed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._descriptors: dict[int, int] = {}  # kept open, so that no inode number is reused
        self._names = self._look()
        self._flushed = {folder: dict(names) for folder, names in self._names.items()}
        self._contents = {inode: self._read(inode) for inode in self._descriptors}
        self._pending: list[list[Change]] = []
        self._during: dict[frozenset[Any], Tree] = {}

    def record(self, patch: pytest.MonkeyPatch) -> None:
        """Record until `patch` is undone."""
        for name in ("mkdir", "rename", "replace", "unlink", "remove", "rmdir"):
            patch.setattr(os, name, self._recorded(getattr(os, name)))
        flush = os.fsync

        def fsync(descriptor: int) -> None:
            self._note_made()
            self._during.update(self._possible())
            flush(descriptor)
            self._flush(os.fstat(descriptor))

        patch.setattr(os, "fsync", fsync)

    def trees_during(self) -> list[Tree]:
        """Return every tree that a power cut may have left at any moment so far."""
        return [*{**self._during, **self._possible()}.values()]

    def trees_now(self) -> list[Tree]:
        """Return every tree that a power cut may leave now."""
        return [*self._possible().values()]

    def close(self) -> None:
        """Close the descriptors of all files."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)

    def _recorded(self, operation: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any, **options: Any) -> None:
            self._note_made()
            operation(*arguments, **options)
            if changes := self._changes():
                self._pending.append(changes)

        return call

    def _note_made(self) -> None:
        """Record the files that `open` created, which is not patched: one operation for each."""
        self._pending += [[change] for change in self._changes()]

    def _changes(self) -> list[Change]:
        """Return the names that changed since the last call."""
        before, self._names = self._names, self._look()
        return [
            (folder, name, self._names.get(folder, {}).get(name))
            for folder in before.keys() | self._names.keys()
            for name in sorted({*before.get(folder, {}), *self._names.get(folder, {})})
            if before.get(folder, {}).get(name) != self._names.get(folder, {}).get(name)
        ]

    def _look(self) -> dict[int, dict[str, int]]:
        folders: dict[int, dict[str, int]] = {}
        for path, _, _ in os.walk(self._root):
            names = {name: self._inode(Path(path, name)) for name in os.listdir(path)}
            folders[self._inode(Path(path))] = names
        return folders

    def _inode(self, path: Path) -> int:
        inode = path.lstat().st_ino
        if inode not in self._descriptors:
            self._descriptors[inode] = os.open(path, os.O_RDONLY)
        return inode

    def _read(self, inode: int) -> bytes | None:
        status = os.fstat(self._descriptors[inode])
        if stat.S_ISDIR(status.st_mode):
            return None
        return os.pread(self._descriptors[inode], status.st_size, 0)

    def _flush(self, status: os.stat_result) -> None:
        if not stat.S_ISDIR(status.st_mode):
            if status.st_ino in self._descriptors:
                self._contents[status.st_ino] = self._read(status.st_ino)
            return
        survive = [c for c in self._pending if any(folder == status.st_ino for folder, *_ in c)]
        self._pending = [changes for changes in self._pending if changes not in survive]
        _apply(chain(*survive), self._flushed)

    def _possible(self) -> dict[frozenset[Any], Tree]:
        self._note_made()
        assert len(self._pending) < 14, "too many subsets"
        trees: dict[frozenset[Any], Tree] = {}
        for count in range(len(self._pending) + 1):
            for subset in combinations(self._pending, count):
                if self._lacks_a_folder(subset):
                    continue
                names = {folder: dict(inside) for folder, inside in self._flushed.items()}
                _apply(chain(*subset), names)
                tree = dict(self._walk(self._root.stat().st_ino, "", names))
                trees[frozenset(tree.items())] = tree
        return trees

    def _lacks_a_folder(self, subset: Sequence[list[Change]]) -> bool:
        """Return True if an operation adds a name to a new folder that is not in the subset."""
        flushed = {inode for names in self._flushed.values() for inode in names.values()}
        new = {inode for _, _, inode in chain(*self._pending)} - flushed
        kept = {inode for _, _, inode in chain(*subset)}
        return any(inode and folder in new - kept for folder, _, inode in chain(*subset))

    def _walk(
        self, folder: int, prefix: str, names: dict[int, dict[str, int]]
    ) -> Iterator[tuple[str, bytes | None]]:
        for name, inode in names.get(folder, {}).items():
            if self._read(inode) is None:
                yield prefix + name, None
                yield from self._walk(inode, f"{prefix}{name}/", names)
            else:
                yield prefix + name, self._contents.get(inode, b"")


def _apply(changes: Any, names: dict[int, dict[str, int]]) -> None:
    for folder, name, inode in changes:
        inside = names.setdefault(folder, {})
        if inode is None:
            inside.pop(name, None)
        else:
            inside[name] = inode


def write(tree: Tree, root: Path) -> None:
    """Write a tree into the new folder `root`."""
    root.mkdir(parents=True)
    for name, content in tree.items():
        if content is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(content)
