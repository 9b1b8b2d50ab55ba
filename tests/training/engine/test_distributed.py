"""Ranks and what they exchange, with processes that are played by the test."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch import distributed, nn

import rnntext.training.engine.distributed as module
from rnntext.errors import TrainingError, UsageError
from rnntext.training.engine.distributed import (
    SINGLE_PROCESS,
    Ranks,
    explain_lost_process,
    group,
    is_distributed,
    rank_from_environment,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda:1")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Calls of torch.distributed, none of which sends anything."""
    made: list[Any] = []

    def record(name: str) -> None:
        monkeypatch.setattr(distributed, name, lambda *args, **kw: made.append((name, *args, kw)))

    for name in ("all_reduce", "broadcast", "barrier", "init_process_group"):
        record(name)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: made.append("destroyed"))
    return made


def test_one_process_is_a_group_of_one() -> None:
    alone = SINGLE_PROCESS
    assert (alone.rank, alone.size, alone.local_rank, alone.local_size) == (0, 1, 0, 1)
    assert alone.is_main
    assert not Ranks(1, 2).is_main


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("total", [0, 1, 2, 7, 20])
def test_shards_are_even_and_hold_each_row_once(size: int, total: int) -> None:
    rows = list(range(total))
    shards = [rows[Ranks(rank, size).shard(total)] for rank in range(size)]
    assert [row for shard in shards for row in shard] == rows
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_one_process_sends_nothing(calls: list[Any]) -> None:
    numbers, tensor = (3, 1), torch.tensor([1.0, 2.0], requires_grad=True)
    assert SINGLE_PROCESS.all_reduce_max(numbers) == [3, 1]
    assert SINGLE_PROCESS.all_reduce_mean(1 / 3) == 1 / 3
    total = SINGLE_PROCESS.all_reduce_sum(tensor)
    assert (total.tolist(), total.requires_grad) == ([1.0, 2.0], False)
    total[0] = 9.0
    assert tensor[0] == 1.0  # it is a copy
    value = object()
    assert SINGLE_PROCESS.broadcast(lambda: value) is value
    assert SINGLE_PROCESS.broadcast_bytes(lambda: b"") == b""
    with SINGLE_PROCESS.local_rank_zero_first():
        pass
    model = nn.Linear(2, 2)
    assert SINGLE_PROCESS.wrap_ddp(model, CPU) is model
    assert calls == []


def test_numbers_of_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {3: torch.tensor([5, 1, 3]), 2: torch.tensor([10.0, 0.0]), 0: torch.tensor(0.2)}

    def all_reduce(tensor: torch.Tensor, op: Any = distributed.ReduceOp.SUM) -> None:
        theirs = other[len(tensor) if tensor.ndim else 0]
        if op == distributed.ReduceOp.MAX:
            tensor.copy_(torch.maximum(tensor, theirs))
        else:
            assert tensor.dtype == torch.float64 or tensor.ndim
            tensor += theirs

    monkeypatch.setattr(distributed, "all_reduce", all_reduce)
    ranks = Ranks(0, 2)
    assert ranks.all_reduce_max([4, 2, 3]) == [5, 2, 3]
    assert ranks.all_reduce_mean(0.4) == pytest.approx(0.3)
    own = torch.tensor([0.0, 7.0])
    assert ranks.all_reduce_sum(own).tolist() == [10.0, 7.0]
    assert own.tolist() == [0.0, 7.0]


@pytest.mark.parametrize("value", [{"a": [1, None], "text": "naïve 🙂"}, None, 0, "x" * 3000])
def test_what_the_main_rank_computes_is_known_to_all(
    value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[torch.Tensor] = []

    def send(tensor: torch.Tensor, src: int) -> None:
        assert src == 0
        sent.append(tensor.clone())

    def receive(tensor: torch.Tensor, src: int) -> None:
        assert src == 0
        tensor.copy_(sent.pop(0))

    def refuse() -> Any:
        raise AssertionError("only the main rank computes")

    monkeypatch.setattr(distributed, "broadcast", send)
    assert Ranks(0, 2).broadcast(lambda: value) is value
    monkeypatch.setattr(distributed, "broadcast", receive)
    assert Ranks(1, 2).broadcast(refuse) == value
    assert sent == []
    for content in (b"", b"\x00", bytes(range(256))):
        monkeypatch.setattr(distributed, "broadcast", send)
        assert Ranks(0, 2).broadcast_bytes(lambda content=content: content) == content
        monkeypatch.setattr(distributed, "broadcast", receive)
        assert Ranks(1, 2).broadcast_bytes(refuse) == content
        assert sent == []


def test_the_first_process_of_a_machine_goes_first(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "barrier", lambda: calls.append("barrier"))
    for ranks in (Ranks(2, 4, 0, 2), Ranks(1, 4, 1, 2), Ranks(3, 4, 2, 3)):
        with ranks.local_rank_zero_first():
            calls.append("body")
    assert calls == ["body", "barrier", "barrier", "body", "barrier", "body"]


def test_gradients_are_averaged_by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def wrapper(module: nn.Module, *, device_ids: Any, gradient_as_bucket_view: bool) -> str:
        given.append((module, device_ids))
        return "wrapped"

    monkeypatch.setattr(torch.nn.parallel, "DistributedDataParallel", wrapper)
    model = nn.Linear(2, 2)
    assert Ranks(0, 2).wrap_ddp(model, CPU) == "wrapped"
    Ranks(1, 2).wrap_ddp(model, GPU)
    assert given == [(model, None), (model, [GPU])]


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of the third of four processes, the first of two on its machine."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID")
    for name, value in zip(names, ("2", "4", "0", "2", "none"), strict=True):
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_only_torchrun_makes_a_group(torchrun: pytest.MonkeyPatch) -> None:
    assert (is_distributed(), rank_from_environment()) == (True, 2)
    torchrun.setenv("WORLD_SIZE", "2")
    assert is_distributed()
    torchrun.setenv("WORLD_SIZE", "1")
    assert (is_distributed(), rank_from_environment()) == (False, 0)
    torchrun.delenv("WORLD_SIZE")
    assert not is_distributed()
    torchrun.setenv("WORLD_SIZE", "4")
    torchrun.delenv("TORCHELASTIC_RUN_ID")
    assert (is_distributed(), rank_from_environment()) == (False, 0)


def test_without_torchrun_there_is_no_group(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with group("mps") as ranks:
        assert ranks is SINGLE_PROCESS
    assert calls == []


@pytest.fixture
def gpus(torchrun: pytest.MonkeyPatch) -> dict[str, Any]:
    """The number of GPUs, which the tests change, and those that were chosen."""
    found: dict[str, Any] = {"count": 0, "set": []}
    torchrun.setattr(torch.cuda, "is_available", lambda: found["count"] > 0)
    torchrun.setattr(torch.cuda, "device_count", lambda: found["count"])
    torchrun.setattr(torch.cuda, "set_device", found["set"].append)
    return found


@pytest.mark.parametrize(
    ("device", "count", "backend", "chosen"),
    [
        ("auto", 0, "gloo", []),
        ("cpu", 2, "gloo", []),
        ("auto", 2, "cpu:gloo,cuda:nccl", [0]),
        ("cuda", 3, "cpu:gloo,cuda:nccl", [0]),
    ],
)
def test_the_group_of_a_job(
    device: str,
    count: int,
    backend: str,
    chosen: list[int],
    calls: list[Any],
    gpus: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus["count"] = count
    monkeypatch.setattr(gc, "collect", lambda: calls.append("collected"))
    with group(device) as ranks:
        assert ranks == Ranks(rank=2, size=4, local_rank=0, local_size=2)
        ((name, given, settings),) = calls
        assert (name, given) == ("init_process_group", backend)
        assert settings["timeout"].total_seconds() == 6 * 3600
        assert gpus["set"] == chosen
    assert calls[1:] == ["collected", "destroyed"]


def test_the_group_ends_after_an_error(calls: list[Any], torchrun: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError), group("cpu"):
        raise KeyError
    assert calls[-1] == "destroyed"


@pytest.mark.parametrize(
    ("device", "count", "message"),
    [
        ("mps", 0, "--device mps: several processes train on CPUs or on CUDA GPUs"),
        (
            "auto",
            1,
            "2 processes on this machine and 1 GPUs: start one for each GPU, or add --device cpu",
        ),
    ],
)
def test_processes_that_cannot_train_together(
    device: str,
    count: int,
    message: str,
    calls: list[Any],
    gpus: dict[str, Any],
) -> None:
    gpus["count"] = count
    with pytest.raises(UsageError) as caught, group(device):
        pass
    assert str(caught.value) == message
    assert calls == []


def lost(error: RuntimeError) -> None:
    with explain_lost_process():
        raise error


def test_a_lost_process_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    with pytest.raises(TrainingError) as caught:
        lost(RuntimeError(f"\n [Gloo] {'x' * 200}\nmore\n"))
    reason = f"[Gloo] {'x' * 153}"
    assert str(caught.value) == (
        f"another process of this job has ended or cannot be reached ({reason}): start the job "
        "again with --resume"
    )
    assert pauses == [1.0]  # for gloo's threads
    with pytest.raises(TrainingError, match=r"\(unreachable\): start the job again"):
        lost(distributed.DistError("unreachable"))
    error = RuntimeError("shapes cannot be multiplied")
    with pytest.raises(RuntimeError) as bug:
        lost(error)
    assert bug.value is error
    assert len(pauses) == 2


@pytest.mark.parametrize("name", ["all_reduce", "broadcast", "barrier"])
def test_what_fails_to_be_sent_is_explained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise distributed.DistError("unreachable")

    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    monkeypatch.setattr(distributed, name, fail)
    ranks = Ranks(1, 2, 1, 2)
    exchanges = {
        "all_reduce": [
            lambda: ranks.all_reduce_max([1]),
            lambda: ranks.all_reduce_mean(1.0),
            lambda: ranks.all_reduce_sum(torch.ones(1)),
        ],
        "broadcast": [lambda: ranks.broadcast(lambda: 1)],
        "barrier": [lambda: ranks.local_rank_zero_first().__enter__()],
    }
    for exchange in exchanges[name]:
        with pytest.raises(TrainingError, match="another process of this job has ended"):
            exchange()
