"""What whoever writes files needs to know of the system.

Knows: how names become durable, which temporary folders a dead process left behind, and what to
say where there is no room for a temporary file. Does not know: what is in them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

from rnntext.errors import DataError

_CHUNK = 1 << 20


def remove_stale(directory: Path, temporary: re.Pattern[str]) -> None:
    """Remove what killed processes left in `directory`: folders whose name matches `temporary`,
    the first group being the process that made them."""
    for name in os.listdir(directory):
        match = temporary.fullmatch(name)
        if match and not _is_other_process(int(match[1])):
            shutil.rmtree(directory / name, ignore_errors=True)


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
    try:
        place = tempfile.gettempdir()
    except OSError:
        place = "a temporary file"
    return DataError(
        f"cannot write {what} to {place}: {error.strerror or error}; "
        "free some space, or name another place with TMPDIR"
    )
