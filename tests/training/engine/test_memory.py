"""What memory is free, and what is said where it is not enough."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rnntext.errors import TrainingError
from rnntext.training.engine import memory
from rnntext.training.engine.memory import (
    explain_out_of_memory,
    free_memory,
    require_memory,
)

CPU = torch.device("cpu")


def limit(folder: Path, value: str, used: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"anon {used}\nfile 999999\n")


def test_the_tightest_limit_of_the_control_groups(tmp_path: Path) -> None:
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    membership.write_text("4:memory:/old\n0::/service/run\n")
    limit(root / "service/run", "max", 10)
    limit(root / "service", "5000", 1200)
    limit(root, "7000", 2000)
    limit(tmp_path, "1", 0)  # not a control group
    assert memory._free_in_control_groups(root, membership) == 3800
    limit(root / "service/run", "900", 1000)
    assert memory._free_in_control_groups(root, membership) == 0


@pytest.mark.parametrize("content", ["", "4:memory:/old\n", "0::/gone\n"])
def test_without_a_control_group_there_is_no_limit(content: str, tmp_path: Path) -> None:
    (tmp_path / "membership").write_text(content)
    for membership in ("membership", "missing"):
        found = memory._free_in_control_groups(tmp_path / "cgroup", tmp_path / membership)
        assert found == math.inf


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_limit_on_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    assert 0 < free_memory(CPU) < math.inf
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 50, 1 << 51))
    assert (1 << 49) < memory._free_addresses() < (1 << 50)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000, 1 << 51))
    assert memory._free_addresses() == free_memory(CPU) == 0


def test_what_needs_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda _: 2e9)
    require_memory(2e9, CPU, "a model", "none")
    message = r"^a model needs 1,234\.5 GB of memory, and 2\.0 GB are free here: make it smaller$"
    with pytest.raises(TrainingError, match=message):
        require_memory(1.2345e12, CPU, "a model", "make it smaller")


def test_an_allocation_that_fails_is_explained() -> None:
    message = r"^there is not enough memory for this run: make it smaller$"
    with pytest.raises(TrainingError, match=message), explain_out_of_memory("make it smaller"):
        torch.empty(1 << 55)
    with pytest.raises(TrainingError, match=message), explain_out_of_memory("make it smaller"):
        np.empty(1 << 55)
    with pytest.raises(TrainingError, match=message), explain_out_of_memory("make it smaller"):
        raise RuntimeError("could not create a primitive")  # oneDNN


def test_another_error_stays_as_it_is() -> None:
    with pytest.raises(RuntimeError, match=r"^a bug$"), explain_out_of_memory("make it smaller"):
        raise RuntimeError("a bug")
