"""The machine a run trains on.

Knows: which device and which number format a run may use. Chosen by rule, never by timing, so
that the same command computes the same on the same machine.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from rnntext.errors import UsageError


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a run computes, and in what format its matrix products are."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> AbstractContextManager[None]:
        """Matrix products inside run in `dtype`; everything that sums stays float32."""
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16
        )

    def __str__(self) -> str:
        return f"{self.device.type}, {str(self.dtype).removeprefix('torch.')}"


def choose_machine(device: str, threads: int) -> Machine:
    """Raises UsageError where the device that was asked for is not there."""
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
    # Emulated bfloat16 is slower than float32: only a processor that multiplies it counts.
    if device == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32


def _keep_freed_memory() -> None:
    """Have the C library keep large blocks that were freed instead of giving them back.

    A training step frees and asks for the same megabytes again and again; giving them back to
    the kernel and faulting them in anew took 5.5 s of system time over 100 steps of a 2x256
    language model, and keeping them 1.1 s.
    """
    if not sys.platform.startswith("linux"):
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
    """The memory that this process holds now; its peak, where the system does not tell."""
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
