"""Training data, from files to the encoded examples of a task.

Knows: how a run's data are read, the key under which the cache keeps them encoded, and how a cache
entry becomes a tokenizer, labels and examples. Does not know: any one task (it is handed what
scans and encodes the files), networks or the run.

Arrays are read from disk as they are needed, whether this run or an earlier one wrote them, so
that both learn from the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import tokenizers

from rnntext import __version__
from rnntext.checkpoint_config import DataSummary
from rnntext.errors import DataError
from rnntext.text.formats import HUB_PREFIX, DataOptions
from rnntext.text.source import source_name
from rnntext.text.tokenizer import Tokenizer, TokenizerConfig
from rnntext.training.data import cache
from rnntext.training.data.buffering import buffer_sources
from rnntext.training.data.cache import Draft, Entry
from rnntext.training.data.prepare import (
    COPY_SHARE,
    DIGEST_SHARE,
    MIN_DIGEST_SHARE,
    TOKENIZER,
    EntryWriter,
    ShareSpent,
)
from rnntext.training.data.store import Array
from rnntext.training.events import EncodedFiles
from rnntext.training.options import TrainingOptions, data_fields

# The version of a cache entry's content and of the rules that made it, those for splits and
# vocabularies included: a new number makes old entries unused.
_FORMAT = 11

# Reads of a megabyte that are digested even if a time budget is spent.
_FREE_READS = 32

Examples_co = TypeVar("Examples_co", covariant=True)
Examples = TypeVar("Examples")


class ExampleSource(Protocol[Examples_co]):
    """Scans, encodes and reads back the examples of a task."""

    def files(self, directory: str) -> Iterator[str]:
        """The files that are read where a directory is named as data, in order."""

    def plan(
        self,
        options: TrainingOptions,
        reading: DataOptions,
        tokenizer: Tokenizer | None,
        spent: ShareSpent,
    ) -> EntryWriter:
        """Scan the data and learn a tokenizer, unless one is given; the result encodes the data
        into a cache entry. Raises DataError for data that cannot be used."""

    def examples(self, entry: Entry) -> Examples_co:
        """The encoded training and validation data of a cache entry."""


@dataclass(frozen=True, slots=True)
class Data(Generic[Examples]):
    """The data of a run, encoded."""

    tokenizer: Tokenizer
    labels: tuple[str, ...]  # none for a language model
    examples: Examples
    summary: DataSummary
    encoded: EncodedFiles
    # Labels of the validation data that training lacks; their ids follow those of `labels`.
    unseen: tuple[str, ...] = ()


def load_data(
    source: ExampleSource[Examples],
    options: TrainingOptions,
    tokenizer: Tokenizer | None = None,
    *,
    spent: ShareSpent = lambda: 0.0,
    keep: bool,
) -> Data[Examples]:
    """Read, split and encode the data that `options` names, or take them from the cache.

    `tokenizer`: another model's, to continue with; None: one is learned. Where too much of a time
    budget is spent, a part of the data is used and stated; that part is not kept for other runs,
    nor is anything if not `keep`. Raises DataError for data that cannot be used.
    """
    paths = [*options.data, *filter(None, [options.valid]), *options.unlabelled]
    with buffer_sources(paths, data_options(options), lambda: spent() > COPY_SHARE) as reading:
        before = _states(source, paths)
        data_key = _key(source, options, paths, reading, spent) if keep else None
        name = _entry_name(data_key, tokenizer)
        entry = _find_own(data_key, tokenizer) or (cache.find(name) if name is not None else None)
        if entry is None:
            write = source.plan(options, reading, tokenizer, spent)

            def write_unchanged(draft: Draft) -> bool:
                is_whole = write(draft)
                after = _states(source, paths)
                _require_unchanged(before, after)
                # A file that has grown must not be kept under its former digest.
                return is_whole and after == before

            entry = cache.build(name, write_unchanged)
    with closing(entry):
        place = None if entry.folder is None else str(entry.folder)
        return Data(
            tokenizer or _tokenizer_in(entry),
            tuple(entry.meta.get("labels", ())),
            source.examples(entry),
            DataSummary(**entry.meta["summary"]),
            EncodedFiles(entry.size, place, entry.reused, entry.trouble),
            tuple(entry.meta.get("unseen", ())),
        )


def _entry_name(key: str | None, tokenizer: Tokenizer | None) -> str | None:
    """The name of the cache entry of these data, encoded with this tokenizer."""
    if key is None or tokenizer is None:
        return key
    return cache.key_of({"data": key, "given": _content(tokenizer)}, ())


def _find_own(key: str | None, tokenizer: Tokenizer | None) -> Entry | None:
    """The cache entry of a run that learned this tokenizer from these data, as a resumed run
    did."""
    if key is None or tokenizer is None:
        return None
    entry = cache.find(key)
    if entry is not None and _content(_tokenizer_in(entry)) != _content(tokenizer):
        entry.close()
        return None
    return entry


def _content(tokenizer: Tokenizer) -> list[Any]:
    return [tokenizer.to_json(), asdict(tokenizer.config)]


def _tokenizer_in(entry: Entry) -> Tokenizer:
    return tokenizer_of(entry.text(TOKENIZER), entry.meta["tokenizer"])


def data_options(options: TrainingOptions) -> DataOptions:
    """The options of a run that say how its files are read."""
    return DataOptions(
        format=options.format,
        text_column=options.text_column,
        label_column=options.label_column or "label",
        tag_column=options.tag_column,
        group_column=options.group_column,
        multi_label=options.multi_label,
        label_separator=options.label_separator,
        encoding=options.encoding,
        encoding_errors=options.encoding_errors,
        max_line=options.max_line,
        split=options.split,
        delimiter=options.delimiter,
        header=options.header,
    )


def _key(
    source: ExampleSource[Any],
    options: TrainingOptions,
    paths: list[str],
    reading: DataOptions,
    spent: ShareSpent,
) -> str | None:
    """The cache key of these data. None for remote data sets, for files that cannot be read, which
    the readers report, and where a time budget does not allow for a digest of all files."""
    if any(path.startswith(HUB_PREFIX) for path in paths):
        return None
    settings = {name: getattr(options, name) for name in data_fields()}
    settings |= {
        "versions": [_FORMAT, __version__, tokenizers.__version__],
        "seed": options.seed if options.valid is None else None,
        "unlabelled": len(options.unlabelled),  # the last of the files
    }
    try:
        return cache.key_of(settings, _files(source, paths, reading), _digest_limit(spent))
    except OSError:
        return None


class _FileState(NamedTuple):
    inode: tuple[int, int]
    size: int
    modified: int

    def may_hold_the_text_of(self, earlier: _FileState) -> bool:
        """Return False if what stood there `earlier` has been cut, changed or replaced. Text may
        have been appended: a run reads as much as there was at first."""
        if self.size == earlier.size:
            return self == earlier
        return self.inode == earlier.inode and self.size > earlier.size


def _states(source: ExampleSource[Any], paths: list[str]) -> dict[str, _FileState]:
    """The state of each regular file that is read for `paths`."""
    states: dict[str, _FileState] = {}
    for path in paths:
        for name in source.files(path) if os.path.isdir(path) else [path]:
            with contextlib.suppress(OSError):  # the readers report what cannot be opened
                found = os.stat(name)
                if stat.S_ISREG(found.st_mode):
                    inode = (found.st_dev, found.st_ino)
                    states[name] = _FileState(inode, found.st_size, found.st_mtime_ns)
    return states


def _require_unchanged(before: dict[str, _FileState], after: dict[str, _FileState]) -> None:
    """Raise DataError if a file has changed: files are read several times, and a part of one text
    would be trained on with a part of another."""
    for name in before.keys() | after.keys():
        if not (
            name in before and name in after and after[name].may_hold_the_text_of(before[name])
        ):
            raise DataError(
                f"{source_name(name)} changed while it was read: start again, or train on a copy"
            )


def _digest_limit(spent: ShareSpent) -> Callable[[], None]:
    """Return a function to call between two reads of a digest, which raises TimeoutError, an
    OSError, once too much of a time budget is spent on it. The first reads are always made: a
    small file is digested at once, and what the cache has saves time."""
    reads = itertools.count(1)
    deadline: float | None = None

    def check() -> None:
        nonlocal deadline
        if next(reads) < _FREE_READS:
            return
        if deadline is None:
            deadline = max(DIGEST_SHARE, spent() + MIN_DIGEST_SHARE)
        elif spent() > deadline:
            raise TimeoutError

    return check


def _files(
    source: ExampleSource[Any], paths: list[str], reading: DataOptions
) -> Iterator[tuple[str, BinaryIO]]:
    """The files that are read for `paths`, each with its path's number and its name there."""
    for number, path in enumerate(paths):
        copy = reading.buffered_sources.get(path)
        if copy is not None:
            with open(copy.descriptor, "rb", closefd=False) as file:
                yield f"{number} {os.path.basename(path)}", file
            continue
        above = os.path.dirname(path.rstrip(os.sep))
        for name in source.files(path) if os.path.isdir(path) else [path]:
            with open(name, "rb") as file:
                yield f"{number} {os.path.relpath(name, above)}", file


def tokenizer_of(text: str, config: dict[str, Any]) -> Tokenizer:
    """The tokenizer of a checkpoint."""
    return Tokenizer.load(text, TokenizerConfig(**config))


def digest_of(arrays: Iterable[Array], suffix: Iterable[bytes] = ()) -> str:
    """SHA-256 of some rows of integers, their lengths included, and of the bytes `suffix`."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.int64(len(array)).tobytes() + array.astype(np.int64).tobytes())
    for part in suffix:
        digest.update(part)
    return digest.hexdigest()
