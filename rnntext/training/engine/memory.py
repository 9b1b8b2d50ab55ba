"""Memory: what this process can still get, and what a run says when it is not enough.

Knows: the limits of the machine and of the system, and how PyTorch reports an allocation that
failed. Does not know: what the memory is for. Linux grants more than it has and later kills the
process that uses it, so what is certain to be too much is refused before it is allocated.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from rnntext.errors import TrainingError

# How PyTorch's allocators for CPU, CUDA and MPS report it, of which only CUDA's has an exception of
# its own, and how oneDNN does, which has no other reason to refuse the sizes of a network.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "could not create a primitive",
    "could not create a memory",
)


def require_memory(needed: float, device: torch.device, what: str, advice: str) -> None:
    """Raise TrainingError if `device` has less free memory than `needed`, in bytes. `what` needs
    it; `advice` says which option to change."""
    free = free_memory(device)
    if needed > free:
        raise TrainingError(
            f"{what} needs {needed / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are free "
            f"here: {advice}"
        )


@contextmanager
def explain_out_of_memory(advice: str) -> Iterator[None]:
    """Raise TrainingError, a one-line message, if an allocation fails."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if not isinstance(error, MemoryError) and not any(m in text for m in _OUT_OF_MEMORY):
            raise
        raise TrainingError(f"there is not enough memory for this run: {advice}") from error


def free_memory(device: torch.device) -> float:
    """Bytes that this process can still get on `device`; infinite where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device.index)[0]  # None: the current one
    return min(_free_on_machine(), _free_in_control_groups(), _free_addresses())


def _free_on_machine() -> float:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            values = dict(line.split(":") for line in file)
        return 1024 * int(values["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        pass
    try:  # not Linux: all memory, because what is free includes none that the system can reclaim
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return math.inf


def _free_in_control_groups(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> float:
    """Bytes that are left of the limits of a container or a service, without the memory of files,
    which the system can reclaim."""
    try:
        lines = membership.read_text("utf-8").splitlines()
    except OSError:
        return math.inf
    # The line of version 2, in which a process belongs to one group.
    own = [line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")]
    free = math.inf
    for group in own:
        place = root / group
        for folder in (place, *(p for p in place.parents if p.is_relative_to(root))):
            try:
                limit = (folder / "memory.max").read_text("ascii").strip()
                used = (folder / "memory.stat").read_text("ascii").split()
                if limit != "max":
                    anonymous = int(used[used.index("anon") + 1])
                    free = min(free, max(0, int(limit) - anonymous))
            except (OSError, ValueError, IndexError):
                continue
    return free


def _free_addresses() -> float:
    """Bytes that are left of the limit that `ulimit -v` sets."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit == resource.RLIM_INFINITY:
            return math.inf
        with open("/proc/self/statm", encoding="ascii") as statm:
            used = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError):
        return math.inf
    return max(0, limit - used)
