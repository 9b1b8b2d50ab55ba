"""The device that a run trains on.

Knows: which device and which number format a run uses, and how much memory the process holds. Does
not know: models or data. The choice follows rules, not timings, so that the same command computes
the same on the same machine.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from rnntext.errors import UsageError
from rnntext.private import multiplies_bfloat16


@dataclass(frozen=True, slots=True)
class Machine:
    """A device, and the number format of its matrix products."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> AbstractContextManager[None]:
        """Return a context in which matrix products use `dtype`; reductions stay in float32."""
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16
        )

    def __str__(self) -> str:
        return f"{self.device.type}, {str(self.dtype).removeprefix('torch.')}"


def choose_machine(device: str, threads: int) -> Machine:
    """Return the device named by `--device`, or the fastest kind that is available for "auto", and
    set PyTorch to use `threads` threads. Raises UsageError if the device is not available."""
    torch.set_num_threads(threads)
    _keep_freed_memory()
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if device == "auto":
        device = next(name for name in ("cuda", "mps", "cpu") if available[name])
    elif not available[device]:
        raise UsageError(
            f"--device {device}: PyTorch {torch.__version__} sees no such device here; "
            "leave --device out, or install a PyTorch build for it"
        )
    return Machine(torch.device(device), _matmul_dtype(device))


def _matmul_dtype(device: str) -> torch.dtype:
    if device == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    # Emulated bfloat16 is slower than float32, so the processor must have instructions for it.
    if device == "cpu" and multiplies_bfloat16(torch):
        return torch.bfloat16
    return torch.float32


def _keep_freed_memory() -> None:
    """Set malloc to keep large freed blocks instead of returning them to the kernel.

    Each training step frees and allocates the same megabytes. Returning them and faulting the pages
    in again took 5.5 s of system time over 100 steps of a 2x256 language model, keeping them 1.1 s.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # not the GNU C library
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h
    mallopt(mmap_threshold, 1 << 30)
    mallopt(trim_threshold, (1 << 31) - 1)
    mallopt(top_pad, 1 << 26)


def resident_megabytes() -> float:
    """Return the resident memory of this process, in MB: the current value on Linux, the peak on
    other POSIX systems, 0 on Windows."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
