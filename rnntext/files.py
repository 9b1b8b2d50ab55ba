"""Folders that are written at one stroke: what whoever writes one needs to know of the system.

Knows: how names become durable, and which temporary folders a dead process left behind. Does not
know: what is in them.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path


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
