"""The processes of one training job, as in `torchrun`: their ranks and what they exchange.

Knows: torch.distributed, and the environment variables that `torchrun` sets. Does not know: models,
data or steps. A single process is a group of one, which sends nothing.
"""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from rnntext.errors import TrainingError, UsageError

T = TypeVar("T")

# One process may prepare gigabytes of text while the others wait. A process that dies is noticed
# earlier, because its connections are closed.
_TIMEOUT = timedelta(hours=6)
_THREADS_END = 1.0  # seconds; the threads take milliseconds on a machine that does nothing else


@dataclass(frozen=True, slots=True)
class Ranks:
    """The rank of this process and the number of processes, in the job and on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """True for rank 0, which evaluates, plans and writes files for all ranks."""
        return self.rank == 0

    def shard(self, total: int) -> slice:
        """Return this rank's slice of `total` rows. The slices differ by at most one row."""
        return slice(self.rank * total // self.size, (self.rank + 1) * total // self.size)

    def all_reduce_max(self, numbers: Sequence[int]) -> list[int]:
        """Return the maximum over all ranks of each number."""
        if self.size == 1:
            return list(numbers)
        tensor = torch.tensor(numbers)
        with explain_lost_process():
            distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
        return tensor.tolist()

    def all_reduce_mean(self, value: float) -> float:
        """Return the mean of `value` over all ranks."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64)
        with explain_lost_process():
            distributed.all_reduce(tensor)
        return float(tensor) / self.size

    def broadcast(self, compute: Callable[[], T]) -> T:
        """Call `compute` on the main rank and return its result, plain JSON, on all ranks."""
        if self.size == 1:
            return compute()
        result = compute() if self.is_main else None
        content = self.broadcast_bytes(lambda: json.dumps(result).encode())
        return result if self.is_main else json.loads(content)  # type: ignore[return-value]

    def broadcast_bytes(self, compute: Callable[[], bytes]) -> bytes:
        """Call `compute` on the main rank and return the bytes on all ranks."""
        if self.size == 1:
            return compute()
        content = bytearray(compute() if self.is_main else b"")
        with explain_lost_process():
            size = torch.tensor([len(content)])
            distributed.broadcast(size, src=0)
            if int(size) == 0:
                return b""
            tensor = (
                torch.frombuffer(content, dtype=torch.uint8)
                if self.is_main
                else torch.empty(int(size), dtype=torch.uint8)
            )
            distributed.broadcast(tensor, src=0)
        return tensor.numpy().tobytes()

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of `tensor` over all ranks, on the CPU. If each rank fills its own rows
        and leaves the others zero, this gathers all rows."""
        total = tensor.detach().to("cpu", copy=True)
        if self.size > 1:
            with explain_lost_process():
                distributed.all_reduce(total)
        return total

    @contextmanager
    def local_rank_zero_first(self) -> Iterator[None]:
        """Run the body on local rank 0 of each machine first, then on its other ranks, which can
        use the files that the first one made."""
        if self.local_rank > 0:
            self._barrier()
        yield
        if self.local_rank == 0:
            self._barrier()

    def _barrier(self) -> None:
        if self.size > 1:
            with explain_lost_process():
                distributed.barrier()

    def wrap_ddp(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Return `module` wrapped in DistributedDataParallel, which averages gradients over the
        ranks; a single process gets the module itself."""
        if self.size == 1:
            return module
        from torch.nn.parallel import DistributedDataParallel

        device_ids = [device] if device.type == "cuda" else None
        with explain_lost_process():  # the constructor compares and broadcasts the parameters
            return DistributedDataParallel(
                module, device_ids=device_ids, gradient_as_bucket_view=True
            )


SINGLE_PROCESS = Ranks()


def is_distributed() -> bool:
    """Return True if `torchrun` started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank_from_environment() -> int:
    """Return the rank of this process from its environment, 0 for a single process."""
    return int(os.environ["RANK"]) if is_distributed() else 0


@contextmanager
def group(device: str) -> Iterator[Ranks]:
    """Join the process group of the `torchrun` job until the context ends.

    Gradients on GPUs are reduced by NCCL, everything else by gloo. Raises UsageError if the
    processes cannot train on `device`, TrainingError if another process cannot be reached.
    """
    if not is_distributed():
        yield SINGLE_PROCESS
        return
    ranks = Ranks(
        int(os.environ["RANK"]),
        int(os.environ["WORLD_SIZE"]),
        int(os.environ["LOCAL_RANK"]),
        int(os.environ["LOCAL_WORLD_SIZE"]),
    )
    if device == "mps":
        raise UsageError("--device mps: several processes train on CPUs or on CUDA GPUs")
    cuda = device != "cpu" and torch.cuda.is_available()
    if cuda:
        if torch.cuda.device_count() < ranks.local_size:
            raise UsageError(
                f"{ranks.local_size} processes on this machine and {torch.cuda.device_count()} "
                "GPUs: start one for each GPU, or add --device cpu"
            )
        torch.cuda.set_device(ranks.local_rank)
    # DistributedDataParallel imports this module, whose default arguments keep a reference to the
    # process group that exists at the import. Import it while there is none.
    from torch.distributed.nn import functional  # noqa: F401

    with explain_lost_process():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_TIMEOUT)
    try:
        yield ranks
        # DistributedDataParallel refers to the group too. Only a group without references stops its
        # threads, and a thread that is still busy when the interpreter exits aborts the process.
        gc.collect()
    finally:
        distributed.destroy_process_group()


@contextmanager
def explain_lost_process() -> Iterator[None]:
    """Raise TrainingError, a one-line message, if communication fails because another process has
    ended."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, distributed.DistError) and "gloo" not in text.lower():
            raise
        # gloo's threads need the GIL to free the tensors of other operations that failed. Without
        # this pause the destructor of the process group, which holds the GIL, often began to join
        # them before they were done: one process in four never exited.
        time.sleep(_THREADS_END)
        reason = text.strip().splitlines()[0][:160]
        raise TrainingError(
            f"another process of this job has ended or cannot be reached ({reason}): "
            "start the job again with --resume"
        ) from error
