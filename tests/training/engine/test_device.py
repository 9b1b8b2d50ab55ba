"""The device and the number format that a run uses, and the memory of the process."""

from __future__ import annotations

import io
import resource
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import rnntext.training.engine.device as module
from rnntext.errors import UsageError
from rnntext.training.engine.device import Machine, choose_machine, resident_megabytes

CPU = torch.device("cpu")


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bool]]:
    """What this machine has; the tests change it."""
    has = dict.fromkeys(("cuda", "mps", "bf16 of cuda", "bf16 of cpu"), False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has["cuda"])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has["mps"])
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has["bf16 of cuda"])
    monkeypatch.setattr(module, "multiplies_bfloat16", lambda _: has["bf16 of cpu"])
    monkeypatch.setattr(module, "_keep_freed_memory", lambda: None)
    threads = torch.get_num_threads()
    yield has
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("dtype", "product", "text"),
    [
        (torch.float32, torch.float32, "cpu, float32"),
        (torch.bfloat16, torch.bfloat16, "cpu, bfloat16"),
    ],
)
def test_products_have_the_number_format_of_the_machine(
    dtype: torch.dtype, product: torch.dtype, text: str
) -> None:
    machine = Machine(CPU, dtype)
    assert str(machine) == text
    with machine.autocast():
        assert (torch.ones(2, 3) @ torch.ones(3, 4)).dtype == product
        assert torch.nn.functional.mse_loss(torch.ones(2), torch.ones(2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("available", "device"),
    [
        ((), "cpu"),
        (("mps",), "mps"),
        (("cuda",), "cuda"),
        (("cuda", "mps"), "cuda"),
    ],
)
def test_the_fastest_kind_is_chosen(
    available: tuple[str, ...], device: str, hardware: dict[str, bool]
) -> None:
    hardware.update(dict.fromkeys(available, True))
    assert choose_machine("auto", 1) == Machine(torch.device(device), torch.float32)
    # One that is named is taken, whatever else there is.
    for name in (*available, "cpu"):
        assert choose_machine(name, 1).device.type == name


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_here_is_refused(device: str, hardware: dict[str, bool]) -> None:
    with pytest.raises(UsageError) as caught:
        choose_machine(device, 1)
    assert str(caught.value) == (
        f"--device {device}: PyTorch {torch.__version__} sees no such device here; leave "
        "--device out, or install a PyTorch build for it"
    )


@pytest.mark.parametrize(
    ("device", "of", "other"),
    [("cpu", "bf16 of cpu", "bf16 of cuda"), ("cuda", "bf16 of cuda", "bf16 of cpu")],
)
def test_bfloat16_where_the_device_multiplies_it(
    device: str, of: str, other: str, hardware: dict[str, bool]
) -> None:
    hardware.update({"cuda": True, "mps": True, other: True})
    assert choose_machine(device, 1).dtype == torch.float32
    hardware.update({of: True, other: False})
    assert choose_machine(device, 1).dtype == torch.bfloat16
    assert choose_machine("mps", 1).dtype == torch.float32


def test_the_process_is_prepared(
    hardware: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bool] = []
    monkeypatch.setattr(module, "_keep_freed_memory", lambda: kept.append(True))
    for threads in (2, 1):
        choose_machine("cpu", threads)
        assert torch.get_num_threads() == threads
    assert kept == [True, True]


MEGABYTE = 1 << 20


def test_malloc_keeps_what_a_step_frees(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[int, int] = {}
    library = SimpleNamespace(mallopt=given.__setitem__)
    monkeypatch.setattr(module.ctypes, "CDLL", lambda name: {None: library}[name])
    monkeypatch.setattr(sys, "platform", "linux")
    module._keep_freed_memory()
    # By their numbers in malloc.h: M_TRIM_THRESHOLD (as large as a C int can be), M_TOP_PAD and
    # M_MMAP_THRESHOLD.
    assert given == {-1: 2**31 - 1, -2: 64 * MEGABYTE, -3: 1024 * MEGABYTE}


def test_other_systems_have_no_such_malloc(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> Any:
        raise OSError

    asked: list[object] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(module.ctypes, "CDLL", fail)
    module._keep_freed_memory()
    monkeypatch.setattr(module.ctypes, "CDLL", lambda _: SimpleNamespace())
    module._keep_freed_memory()
    monkeypatch.setattr(module.ctypes, "CDLL", asked.append)
    monkeypatch.setattr(sys, "platform", "darwin")
    module._keep_freed_memory()
    assert asked == []


def test_resident_memory_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pages in all, resident ones, shared ones.
    monkeypatch.setattr(
        module, "open", lambda *_: io.BytesIO(b"5000 250 70 1 0 9 0"), raising=False
    )
    monkeypatch.setattr(module.os, "sysconf", {"SC_PAGE_SIZE": 4000}.__getitem__)
    assert resident_megabytes() == 1.0


@pytest.mark.parametrize(("platform", "megabytes"), [("freebsd", 2500.0), ("darwin", 2.5)])
def test_resident_memory_elsewhere(
    platform: str, megabytes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Any:
        raise FileNotFoundError

    usage = {resource.RUSAGE_SELF: SimpleNamespace(ru_maxrss=2_500_000)}
    monkeypatch.setattr(module, "open", fail, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", usage.__getitem__)
    assert resident_megabytes() == megabytes
    monkeypatch.setitem(sys.modules, "resource", None)  # Windows
    assert resident_megabytes() == 0.0
