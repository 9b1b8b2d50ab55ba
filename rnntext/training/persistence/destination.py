"""The directory that a run writes into, and the place where its work is kept if that fails.

Knows: that a failed last save is tried again and then made in the temporary directory, how a kept
model gets to where it belongs, and how much room a run needs. Does not know: which files a run
has.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rnntext import checkpoint
from rnntext.claim import Claim
from rnntext.errors import CheckpointError, UsageError

# Seconds before each further attempt at a last save.
_PAUSES = (1.0, 4.0)

# Bytes for each parameter of a float32 model: its weights and its graph.
_MODEL_BYTES = 8
# The same for the state: the weights, their average, the best ones, and two moments of AdamW.
_STATE_BYTES = 20


class Destination:
    """The claimed directory of one run."""

    def __init__(self, directory: Path, claim: Claim) -> None:
        self.directory, self.claim = directory, claim

    @contextmanager
    def claimed(self, *, force: bool, resume: bool) -> Iterator[None]:
        """Hold the directory while the `with` block runs, if a run may write there: `force`: in
        place of what it holds, `resume`: it goes on with that. Raises UsageError as
        `checkpoint.check_target` does, and CheckpointError if another process holds it."""
        self.claim.check()  # a better reason than the files that it wrote
        checkpoint.check_target(self.directory, force or resume)
        with self.claim:
            # Another run may have ended meanwhile.
            checkpoint.check_target(self.directory, force or resume)
            yield

    def save(
        self, files: Mapping[str, bytes | Path], config: Mapping[str, Any], *, force: bool
    ) -> None:
        """Write a generation, see `checkpoint.save`. Raises CheckpointError and UsageError."""
        self.claim.confirm()
        checkpoint.save(self.directory, files, config, force=force)

    def save_or_keep(
        self,
        files: Mapping[str, bytes | Path],
        config: Mapping[str, Any],
        *,
        force: bool,
        noun: str,
    ) -> None:
        """Write the last generation of a run. `noun` says what it is: the model, or the state.

        Raises CheckpointError if the directory cannot be written: the files are then in a new
        directory below TMPDIR, which the message names with the command that moves it, or nowhere
        if that fails too.
        """
        try:
            self._save_with_patience(files, config, force)
        except (CheckpointError, UsageError) as error:
            kept = _keep(self.directory.name, files, config)
            if kept is None:
                raise
            raise CheckpointError(
                f"{error}. The {noun} is kept in {kept}; when the trouble is mended: "
                f"{_command_to_move(kept, self.directory)}"
            ) from error

    def _save_with_patience(
        self, files: Mapping[str, bytes | Path], config: Mapping[str, Any], force: bool
    ) -> None:
        for pause in _PAUSES:
            try:
                self.save(files, config, force=force)
            except CheckpointError:
                time.sleep(pause)
            else:
                return
        self.save(files, config, force=force)

    def describe_shortage(self, parameters: int) -> str | None:
        """Say that the directory has no room for a run of a model with so many parameters; None
        if it has."""
        # While a new generation of the state is written, the last one is still there.
        needed = 2 * (_MODEL_BYTES + _STATE_BYTES) * parameters
        largest = _STATE_BYTES * parameters
        limit = _file_size_limit()
        if limit is not None and largest < limit:
            limit = None
        try:
            free = shutil.disk_usage(self.directory).free
        except OSError:
            free = needed
        if limit is not None:
            return (
                f"{self.directory} may not be written: its largest file needs {_mb(largest)} and "
                f"a file may have {_mb(limit)} here (see `ulimit -f`)"
            )
        if free < needed:
            return (
                f"{self.directory} has {_mb(free)} free, and saving this run needs up to "
                f"{_mb(needed)}: free some space"
            )
        return None


def _keep(name: str, files: Mapping[str, bytes | Path], config: Mapping[str, Any]) -> Path | None:
    """Save in a new directory below TMPDIR; None if that fails."""
    try:
        kept = Path(tempfile.mkdtemp(prefix=f"rnntext-{name}-"))
    except OSError:
        return None
    try:
        checkpoint.save(kept, files, config, force=True)
    except (CheckpointError, UsageError, OSError):
        shutil.rmtree(kept, ignore_errors=True)
        return None
    return kept


def _command_to_move(kept: Path, directory: Path) -> str:
    source, target = shlex.quote(f"{kept}/."), shlex.quote(str(directory))
    try:
        occupied = bool({*os.listdir(directory)} - {checkpoint.LOCK})
    except FileNotFoundError:
        occupied = False
    except OSError:  # it is a file, or cannot be read
        occupied = True
    aside = f"mv {target} {target}.old && " if occupied else ""
    return f"{aside}cp -R {source} {target}"


def _file_size_limit() -> int | None:
    """The largest size of a file that this process may write, in bytes; None without a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
