"""The checkpoint directory: its file names, how it is written atomically and how it is read.

Knows: the names of the files, that `config.json` lists every other file with its size and SHA-256,
and how a new generation of files replaces the old one without a reader seeing a mixture. Does not
know: what a model, a tokenizer or a training run is. It takes bytes and a dictionary, and returns
paths and a dictionary.

How a generation is written. All files are written to `DIR/.next.tmp-MACHINE-PID` and flushed with
fsync. Renaming that folder to `DIR/.next` is atomic, and commits the new generation. Its files are
then moved over the old ones, `config.json` last. A reader takes each file from `.next` if it is
still there, else from DIR. So a process that is killed at any moment leaves either the old or the
new generation, and the next save completes an interrupted move.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rnntext.errors import CheckpointError, UsageError
from rnntext.file_bounds import LONGEST_CONFIG, LONGEST_RECORD, most_bytes
from rnntext.files import OWNER, flush_directory, make_directories, owner, remove_stale, write_error
from rnntext.held_file import HeldFile, check_most, check_size, damaged, open_regular, reading
from rnntext.tensor_shapes import read_shapes

# 2: a classifier may have an n-gram model, whose logits are added to those of its graph.
FORMAT_VERSION = 2

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
WEIGHTS = "model.safetensors"
GRAPH = "model.onnx"
GENERATION = "generation.onnx"
NGRAMS, SPLITTER = "ngrams.safetensors", "splitter.safetensors"  # see `training/tasks/`
METRICS = "metrics.jsonl"
TUNING = "tuning.jsonl"  # the trials of a search, see `training/search.py`
EVALUATION = "evaluation.json"
MODEL_CARD = "README.md"
# What no running model reads: these may change or go.
RECORDS = frozenset({METRICS, TUNING, EVALUATION, MODEL_CARD})
TRAINING_STATE = "training-state/"  # a folder: its files are named "training-state/..."

LOCK = ".lock"  # of the process that writes into the directory, see `claim.py`
# A folder: a search that is not finished, see `training/tuning.py`. Without its state it is what a
# killed process left behind.
SEARCH = ".tuning"
SEARCH_STATE = "search.json"

# Keeps git from changing line ends, which would change the sizes of files.
_GIT = ".gitattributes", b"# Keep every byte of this model as it is.\n* -text\n"
_NEXT = ".next"
_TEMPORARY = re.compile(rf"\.(?:next|tuning|tuning\.old)\.tmp-{OWNER}")
# What a search has in its folder.
_OF_SEARCH = re.compile(
    rf"(\.?{re.escape(SEARCH_STATE)}|\.?({NGRAMS}|{SPLITTER}))(\.\d+)?|trial-\d+|final"
)
# A downloaded `config.json` is not trusted: it may name no absolute or hidden path and no "..".
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A directory that `load` has checked, with the content of its `config.json`.

    `shapes`: the shape of every tensor in `model.safetensors`, empty if there is no such file, or
    if it is not needed and damaged.
    """

    directory: Path
    config: dict[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    _held: Mapping[str, HeldFile]
    _errors: Mapping[str, CheckpointError]  # of files that are missing or damaged, and not needed

    def held(self, name: str) -> HeldFile:
        """Return a file that `load` was told to verify or to keep: its content stays what it was,
        whatever is saved later. Raises CheckpointError if the checkpoint has no such file, or if it
        was told to keep it if it is there, and it is not, or is damaged."""
        self.file(name)
        if name in self._errors:
            raise self._errors[name]
        return self._held[name]

    def read(self, name: str) -> bytes:
        """Return the content of such a file. Raises CheckpointError as `held` does, and if its
        SHA-256 is not the listed one, except of the RECORDS."""
        return self.held(name).read()

    def has(self, name: str) -> bool:
        """Return True if such a file is listed and was there."""
        return name in self._held

    def file(self, name: str) -> Path:
        """Return the path of a file, which a save in another process may move later. Raises
        CheckpointError if the checkpoint has no such file."""
        if name != CONFIG and name not in self.config["files"]:
            raise CheckpointError(
                f"{self.directory} has no {name}: name another model, or train it again"
            )
        upcoming = self.directory / _NEXT / name
        return upcoming if upcoming.is_file() else self.directory / name


# Writing


def check_target(directory: Path, force: bool) -> None:
    """Check before training that a checkpoint can be written to `directory`.

    Raises UsageError if it is not a directory, cannot be written, or is not empty; with `force` it
    may hold a checkpoint and an unfinished search, but nothing else. What a killed process left
    behind is ignored: the temporary folder of a save, a search without a state, and a lock.
    """
    if os.path.lexists(directory) and not os.path.isdir(directory):  # a file, a broken link
        raise UsageError(f"{directory} is not a directory: name another with -o")
    try:
        names = {name for name in os.listdir(directory) if not _is_passing(name)}
        foreign = _foreign_in_search(directory / SEARCH) if SEARCH in names else None
    except FileNotFoundError:
        names, foreign = set(), None
    except OSError as error:  # also a name too long, or a parent that is a file
        raise UsageError(
            f"cannot use {directory}: {error.strerror}; name another with -o"
        ) from None
    if foreign is not None:
        raise UsageError(
            f"{foreign} is not part of a search, and a run would remove it: move it, or name"
            " another directory with -o"
        )
    if SEARCH in names and not (directory / SEARCH / SEARCH_STATE).is_file():
        names.remove(SEARCH)
    if SEARCH in names and not force:
        raise UsageError(
            f"{directory} holds a search that is not finished: add --resume to go on, --force to"
            " start anew, or name another with -o"
        )
    if names and not force:
        raise UsageError(
            f"{directory} exists and is not empty: add --force to replace it,"
            " or name another with -o"
        )
    if names - {SEARCH} and not is_checkpoint(directory):
        raise UsageError(
            f"{directory} holds files that are not an rnntext checkpoint, and --force does not"
            " replace those: name another with -o"
        )
    nearest = next(p for p in (directory, *directory.absolute().parents) if os.path.exists(p))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write {directory}: Permission denied; name another with -o")


def save(
    directory: Path, files: Mapping[str, bytes | Path], config: Mapping[str, Any], *, force: bool
) -> None:
    """Write a new generation atomically: either all of its files, or none.

    `files` maps names (`training-state/...` for a file in that folder) to their content, or to the
    path of a file to copy, which may be in `directory` itself. `config` must be plain JSON (no
    NaN); `format_version` and `files` are added to it. Files of the last generation that are not in
    `files` are removed; files that rnntext did not write are kept.

    Raises UsageError as `check_target` does, and CheckpointError if writing fails (a full disk, a
    quota, no permission); the last generation is then unchanged, and no temporary file is left.
    """
    check_target(directory, force)
    names = sorted(files)
    for name in names:
        if not _is_safe(name):
            raise ValueError(f"not a file name for a checkpoint: {name!r}")
    # Raise for a config that is not JSON before any file is touched.
    json.dumps(config, allow_nan=False)

    temporary = directory / f"{_NEXT}.tmp-{owner()}"
    made: list[Path] = []
    with contextlib.ExitStack() as stack:
        # Opened outside `try`, so that a missing source is not reported as a failure to write.
        sources = [stack.enter_context(_open_source(files[name])) for name in names]
        try:
            make_directories(directory, made)
            remove_stale(directory, _TEMPORARY)
            temporary.mkdir()
            listing = {}
            for name, source in zip(names, sources, strict=True):
                with source:  # Windows cannot move a file that is open
                    listing[name] = _write(temporary / name, source)
            complete = {**config, "format_version": FORMAT_VERSION, "files": listing}
            text = json.dumps(complete, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
            # UTF-8 cannot encode a lone surrogate, which a label may contain: it becomes \udXXX,
            # which is its JSON escape too.
            raw = text.encode("utf-8", "backslashreplace")
            _write(temporary / CONFIG, io.BytesIO(raw))
            if not os.path.lexists(directory / _GIT[0]):
                _write(temporary / _GIT[0], io.BytesIO(_GIT[1]))
            for folder in {(temporary / name).parent for name in names} | {temporary}:
                flush_directory(folder)
            _finish_move(directory)  # of an earlier save that was killed
            os.rename(temporary, directory / _NEXT)  # commits the new generation
            flush_directory(directory)
        except OSError as error:
            raise CheckpointError(write_error(directory, error)) from error
        finally:
            # Also after KeyboardInterrupt. After the rename `temporary` does not exist and DIR is
            # not empty, so nothing is removed.
            shutil.rmtree(temporary, ignore_errors=True)
            with contextlib.suppress(OSError):
                for folder in reversed(made):
                    folder.rmdir()
    # The new generation is committed, so a file that cannot be moved (on Windows one that another
    # process has open) is no error: readers find it in `.next`, and the next save moves it.
    with contextlib.suppress(OSError):
        _finish_move(directory)


def _is_safe(name: str) -> bool:
    """Return True if `name` is a path inside the directory on every system, not `config.json`."""
    return name != CONFIG and _NAME.fullmatch(name) is not None


def _is_passing(name: str) -> bool:
    return name == LOCK or _TEMPORARY.fullmatch(name) is not None


def _foreign_in_search(folder: Path) -> Path | None:
    """Return what stands in the place of a search, or in its folder, and is not part of one; None
    if nothing does. Raises OSError."""
    if folder.is_symlink() or not folder.is_dir():
        return folder
    names = sorted(os.listdir(folder))
    return next((folder / name for name in names if not _OF_SEARCH.fullmatch(name)), None)


def is_checkpoint(directory: Path) -> bool:
    """Return True if `directory` holds a checkpoint, even one with missing or damaged files."""
    try:
        config = json.loads(_read_config(directory))
    except (CheckpointError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and {"format_version", "files"} <= config.keys()


def _open_source(content: bytes | Path) -> BinaryIO:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


def _write(path: Path, source: BinaryIO) -> dict[str, Any]:
    """Copy `source` to `path` and flush it with fsync; return its size and SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    size = 0
    with path.open("wb") as target:
        while chunk := source.read(_CHUNK):
            target.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        target.flush()
        os.fsync(target.fileno())
    return {"size": size, "sha256": digest.hexdigest()}


def _finish_move(directory: Path) -> None:
    """Move a committed generation from `.next` into `directory`; do nothing without `.next`.

    If the process is killed, the next call completes the move: the old `config.json`, which lists
    the files to remove, is replaced last, and a file that was moved is no longer in `.next`. The
    flushes keep that order on the disk, so that the same holds after a power cut.
    """
    upcoming = directory / _NEXT
    if not upcoming.is_dir():
        return
    if (upcoming / CONFIG).is_file():
        folders = [directory]
        for name in _files_below(upcoming):
            if name != CONFIG:
                folder = (directory / name).parent
                folder.mkdir(parents=True, exist_ok=True)
                os.replace(upcoming / name, directory / name)
                if folder not in folders:
                    folders.append(folder)
        for name in _listed_names(directory / CONFIG) - _listed_names(upcoming / CONFIG):
            (directory / name).unlink(missing_ok=True)
            if name.startswith(TRAINING_STATE):
                # Fails while the folder is not empty.
                with contextlib.suppress(OSError):
                    (directory / TRAINING_STATE).rmdir()
        for folder in folders:  # a new folder's name before what is moved into it
            flush_directory(folder)
        os.replace(upcoming / CONFIG, directory / CONFIG)
        flush_directory(directory)
    shutil.rmtree(upcoming)


def _files_below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def _listed_names(path: Path) -> set[str]:
    """Return the files that a `config.json` lists, none if it is missing or damaged."""
    try:
        with open_regular(path) as handle:
            check_most(path, handle, LONGEST_CONFIG)
            return set(_parse_config(path, handle.read())["files"])
    except (OSError, CheckpointError):
        return set()


# Reading


def load(
    directory: Path,
    *,
    verify: Container[str] | None = None,
    keep: Container[str] = (),
    keep_if_there: Container[str] = (),
) -> Checkpoint:
    """Open a checkpoint of this format version or an older one, and verify its files.

    Of the files that `config.json` lists, those in `verify` must have the listed size and SHA-256
    (None: all but the RECORDS, which can be read if they are there, whatever they hold). These and
    the files in `keep` can be read from the result for as long as it lives, also after they have
    been replaced or deleted; those in `keep` alone are verified when they are read. Other files may
    have changed or gone; those in `keep_if_there` are kept if they have not. All files are of one
    generation: if another process saves meanwhile, `load` starts again. Raises CheckpointError,
    whose one line names the file, if one differs or is missing, and if the format version is newer.
    The caller checks the shapes of tensors and the size of the vocabulary.
    """
    while True:
        raw = _read_config(directory)
        try:
            found = _open_files(directory, raw, verify, keep, keep_if_there)
        except CheckpointError:
            if _read_config(directory) == raw:
                raise
            continue
        # Every save changes config.json before it moves a file: all files that were opened before
        # this comparison are of the generation that it lists.
        if _read_config(directory) == raw:
            break
    for name in found.config["files"]:
        if name not in RECORDS if verify is None else name in verify:
            found.held(name).verify()
    return found


def load_config(directory: Path) -> dict[str, Any]:
    """Return the content of `config.json` without verifying other files.

    Raises CheckpointError as `load` does.
    """
    return _parse_config(directory / CONFIG, _read_config(directory))


def read_file(directory: Path, name: str) -> bytes:
    """Return the content of a record without verifying it.

    Raises CheckpointError if it is missing or cannot be read.
    """
    with reading(directory / name), _open(directory, name) as handle:
        check_most(directory / name, handle, LONGEST_RECORD)
        return handle.read()


def load_tensors(checkpoint: Checkpoint, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Return the named tensors of `model.safetensors`, a file that `load` was told to verify or to
    keep.

    Raises CheckpointError if the file is damaged or lacks one of them.
    """
    # Imported here because most commands read only the ONNX graph.
    from safetensors import SafetensorError
    from safetensors.numpy import load as parse

    path = checkpoint.held(WEIGHTS).path
    wanted = list(names)
    for name in wanted:
        if name not in checkpoint.shapes:
            raise CheckpointError(f"{path} has no tensor {name}: train the model again")
    try:
        tensors = parse(checkpoint.read(WEIGHTS))
    except (SafetensorError, TypeError, KeyError) as error:  # a dtype that NumPy does not have
        raise damaged(path, error) from error
    return {name: tensors[name] for name in wanted}


def serialize_tensors(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Serialize `tensors` as safetensors. The same arrays always give the same bytes."""
    from safetensors.numpy import save as save_tensors

    # safetensors ignores strides, so a transposed view would be saved with its elements permuted.
    contiguous = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    content: bytes = save_tensors(contiguous)
    return content


def _open(directory: Path, name: str) -> io.BufferedReader:
    # Files move from `.next` to DIR and never back, so in this order a file that moves is found.
    try:
        return open_regular(directory / _NEXT / name)
    except (FileNotFoundError, NotADirectoryError):
        return open_regular(directory / name)


def _read_config(directory: Path) -> bytes:
    try:
        with _open(directory, CONFIG) as handle:
            check_most(directory / CONFIG, handle, LONGEST_CONFIG)
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        if not os.path.lexists(directory):
            raise CheckpointError(
                f"{directory} does not exist: name a checkpoint directory"
            ) from None
        if not os.path.isdir(directory):
            raise CheckpointError(
                f"{directory} is not a directory: name a checkpoint directory"
            ) from None
        raise CheckpointError(
            f"{directory} has no {CONFIG}: it is not an rnntext checkpoint"
        ) from None
    except OSError as error:
        raise CheckpointError(f"cannot read {directory / CONFIG}: {error.strerror}") from error


def _parse_config(path: Path, raw: bytes) -> dict[str, Any]:
    """Parse a `config.json` and validate its format version and its list of files."""
    try:
        config = json.loads(raw)
    except (ValueError, RecursionError) as error:  # ValueError: also bytes that are not UTF-8
        raise damaged(path, error) from None
    if not isinstance(config, dict) or type(config.get("format_version")) is not int:
        raise CheckpointError(f"{path} has no format_version: it is not an rnntext checkpoint")
    if config["format_version"] > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {config['format_version']}, this rnntext reads up to"
            f" {FORMAT_VERSION}: upgrade rnntext"
        )
    files = config.get("files")
    if not isinstance(files, dict):
        raise damaged(path, "no list of files")
    for name, entry in files.items():
        if not _is_safe(name):
            raise damaged(path, f"it lists a file {name!r}")
        if (
            not isinstance(entry, dict)
            or type(entry.get("size")) is not int
            or not isinstance(entry.get("sha256"), str)
        ):
            raise damaged(path, f"no size or sha256 for {name}")
    return config


def _open_files(
    directory: Path,
    raw: bytes,
    verify: Container[str] | None,
    keep: Container[str],
    keep_if_there: Container[str],
) -> Checkpoint:
    """Compare the sizes of the files that are needed, and hold those that will be read."""
    config = _parse_config(directory / CONFIG, raw)
    shapes: dict[str, tuple[int, ...]] = {}
    held: dict[str, HeldFile] = {}
    errors: dict[str, CheckpointError] = {}
    found = Checkpoint(directory, config, shapes, held, errors)
    most = most_bytes(config)
    for name, entry in config["files"].items():
        is_record = verify is None and name in RECORDS
        is_needed = name in keep or (verify is None and not is_record) or name in (verify or ())
        is_kept = is_needed or is_record or name in keep_if_there
        if not (is_kept or name == WEIGHTS):
            continue
        path = found.file(name)
        try:
            with reading(path), _open(directory, name) as handle:
                if not is_record:
                    check_size(path, handle, entry)
                check_most(path, handle, most(name))
                if name == WEIGHTS:
                    shapes.update(read_shapes(path, handle))
                    handle.seek(0)
                if is_kept:
                    held[name] = HeldFile(path, handle, None if is_record else entry["sha256"])
        except CheckpointError as error:
            if is_needed:
                raise
            errors[name] = error
    return found
