"""The processes that train one model together: which of them this is, and what they agree on.

Knows: torch.distributed, and the environment that `torchrun` gives each process (a rank). Does
not know: models, data or steps. A process by itself is a group of one, and nothing is sent.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from rnntext.errors import TrainingError, UsageError

T = TypeVar("T")

# A process may prepare gigabytes of text while the others wait. One that has died is noticed at
# once, by its closed connections.
_PATIENCE = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among those on this machine
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that evaluates, plans and writes."""
        return self.rank == 0

    def shard(self, total: int) -> slice:
        """This rank's part of so many rows: an equal one, to a row."""
        return slice(self.rank * total // self.size, (self.rank + 1) * total // self.size)

    def all_reduce_max(self, numbers: Sequence[int]) -> list[int]:
        """Of each number the largest that any rank gave."""
        if self.size == 1:
            return list(numbers)
        tensor = torch.tensor(numbers)
        with one_line_errors():
            distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
        return tensor.tolist()

    def all_reduce_mean(self, value: float) -> float:
        """The mean of what the ranks gave."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64)
        with one_line_errors():
            distributed.all_reduce(tensor)
        return float(tensor) / self.size

    def broadcast(self, find: Callable[[], T]) -> T:
        """What the first rank finds, plain JSON, on all of them; the others wait for it."""
        if self.size == 1:
            return find()
        found = find() if self.first else None
        content = self.broadcast_bytes(lambda: json.dumps(found).encode())
        return found if self.first else json.loads(content)  # type: ignore[return-value]

    def broadcast_bytes(self, find: Callable[[], bytes]) -> bytes:
        """The bytes that the first rank finds, on all of them."""
        if self.size == 1:
            return find()
        content = bytearray(find() if self.first else b"")
        with one_line_errors():
            size = torch.tensor([len(content)])
            distributed.broadcast(size, src=0)
            if int(size) == 0:
                return b""
            tensor = (
                torch.frombuffer(content, dtype=torch.uint8)
                if self.first
                else torch.empty(int(size), dtype=torch.uint8)
            )
            distributed.broadcast(tensor, src=0)
        return tensor.numpy().tobytes()

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """The sum of the tensors of all ranks, on the CPU; where each has zeros but in a place of
        its own, all that they have."""
        total = tensor.detach().to("cpu", copy=True)
        if self.size > 1:
            with one_line_errors():
                distributed.all_reduce(total)
        return total

    @contextmanager
    def local_rank_zero_first(self) -> Iterator[None]:
        """What is inside is done by one process of each machine first, then by the others of
        it, so that these find what that one made."""
        if self.local_rank > 0:
            self._wait()
        yield
        if self.local_rank == 0:
            self._wait()

    def _wait(self) -> None:
        if self.size > 1:
            with one_line_errors():
                distributed.barrier()

    def wrap_ddp(self, module: nn.Module, device: torch.device) -> nn.Module:
        """`module` with its gradients averaged over the ranks as they are computed."""
        if self.size == 1:
            return module
        from torch.nn.parallel import DistributedDataParallel

        places = [device] if device.type == "cuda" else None
        with one_line_errors():  # parameters are compared and sent
            return DistributedDataParallel(module, device_ids=places, gradient_as_bucket_view=True)


SINGLE_PROCESS = Ranks()


def is_distributed() -> bool:
    """Whether `torchrun` started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank_from_environment() -> int:
    """This process's rank as its environment tells it, 0 where it is by itself."""
    return int(os.environ["RANK"]) if is_distributed() else 0


@contextmanager
def group(device: str) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started together, until the context ends.

    On GPUs gradients go through NCCL, everywhere else through gloo.
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
    # `joined` has this imported, and its defaults hold whatever group there is by then for good.
    from torch.distributed.nn import functional  # noqa: F401

    with one_line_errors():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)
    try:
        yield ranks
        # What `joined` made holds the group too. Only a group that nothing holds ends its threads,
        # and one of these that is still busy when the interpreter ends aborts the process.
        gc.collect()
    finally:
        distributed.destroy_process_group()


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Say in one line that another process is gone, where that is what went wrong inside."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, distributed.DistError) and "gloo" not in text.lower():
            raise
        reason = text.strip().splitlines()[0][:160]
        raise TrainingError(
            f"another process of this job has ended or cannot be reached ({reason}): "
            "start the job again with --resume"
        ) from error
