"""A file that is read after another has taken its place."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rnntext import held_file
from rnntext.errors import CheckpointError
from rnntext.held_file import HeldFile, check_size

CONTENT = bytes(range(256)) * 1000
LISTED = {"size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}


def hold(path: Path, content: bytes = CONTENT) -> HeldFile:
    path.write_bytes(content)
    with path.open("rb") as file:
        return HeldFile(path, file, str(LISTED["sha256"]))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(params=[0, len(CONTENT) - 1, len(CONTENT)])
def threshold(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    size: int = request.param
    monkeypatch.setattr(held_file, "_SMALL", size)
    return size


def test_content_stays_after_a_replacement_and_a_removal(threshold: int, tmp_path: Path) -> None:
    path = tmp_path / "f"
    held = hold(path)
    (tmp_path / "g").write_bytes(b"other")
    os.replace(tmp_path / "g", path)
    held.verify()
    assert held.read() == CONTENT
    path.unlink()
    held.verify()
    assert held.read() == CONTENT


def test_other_content_is_refused_each_time(threshold: int, tmp_path: Path) -> None:
    held = hold(tmp_path / "f", CONTENT[:-1] + b"?")
    for read in (held.verify, held.read) * 2:
        with pytest.raises(CheckpointError, match=r"f is damaged .*SHA-256"):
            read()


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no list of descriptors")
def test_a_large_file_takes_one_descriptor_for_as_long_as_it_is_held(
    threshold: int, tmp_path: Path
) -> None:
    before = descriptors()
    held = hold(tmp_path / "f")
    assert descriptors() == before + (threshold < len(CONTENT))
    held.read()
    held.verify()
    assert descriptors() == before + (threshold < len(CONTENT))
    del held
    assert descriptors() == before


def test_threads_read_the_whole_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Copies of a descriptor share one position."""
    monkeypatch.setattr(held_file, "_SMALL", 0)
    held = hold(tmp_path / "f")
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: held.read(), range(40))) == {CONTENT}


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_another_size(size: int, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    with path.open("rb") as file:
        check_size(path, file, LISTED)
        with pytest.raises(CheckpointError, match=f"256000 bytes where config.json lists {size}"):
            check_size(path, file, {**LISTED, "size": size})
