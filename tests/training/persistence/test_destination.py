"""Saves of a run into its directory, and what becomes of the last one if that fails."""

from __future__ import annotations

import re
import resource
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rnntext import checkpoint
from rnntext.claim import Claim
from rnntext.errors import CheckpointError, UsageError
from rnntext.training.persistence import destination as module
from rnntext.training.persistence.destination import Destination

FILES: dict[str, bytes | Path] = {"model.onnx": b"graph", "training-state/loop.json": b"{}"}
CONFIG = {"task": "lm"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory whose name a shell would split."""
    return tmp_path / "my model"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; none takes time."""
    made: list[float] = []
    monkeypatch.setattr(module.time, "sleep", made.append)
    return made


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def fail(
    monkeypatch: pytest.MonkeyPatch, fails: Callable[[Path], bool], error: Exception
) -> list[Path]:
    """Let saves fail; return the directories of all attempts."""
    real, attempts = checkpoint.save, []

    def save(directory: Path, *args: Any, **more: Any) -> None:
        attempts.append(directory)
        if fails(directory):
            raise error
        real(directory, *args, **more)

    monkeypatch.setattr(checkpoint, "save", save)
    return attempts


def keep(directory: Path) -> None:
    with Claim(directory, "training") as claim:
        Destination(directory, claim).save_or_keep(FILES, CONFIG, force=False, noun="model")


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_last_save_is_tried_again(
    failures: int,
    place: Path,
    temporary: Path,
    pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = failures

    def fails(_: Path) -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    attempts = fail(monkeypatch, fails, CheckpointError("full"))
    keep(place)
    assert checkpoint.load(place).config["task"] == "lm"
    assert list(temporary.iterdir()) == []
    assert len(attempts) == failures + 1
    assert pauses == [1.0, 4.0][:failures]


@pytest.mark.parametrize("before", ["nothing", "empty", "checkpoint", "file", "foreign"])
def test_what_cannot_be_saved_is_kept_and_the_command_brings_it_home(
    before: str,
    place: Path,
    temporary: Path,
    pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if before == "file":
        place.write_text("mine")
    elif before != "nothing":
        place.mkdir()
    if before == "checkpoint":
        checkpoint.save(place, {"old": b""}, {"task": "tag"}, force=True)
    if before == "foreign":
        (place / "notes").write_text("mine")
    fail(monkeypatch, lambda directory: directory == place, CheckpointError("no room"))
    claim = SimpleNamespace(confirm=lambda: None)
    with pytest.raises(CheckpointError) as error:
        Destination(place, claim).save_or_keep(FILES, CONFIG, force=False, noun="state")  # type: ignore[arg-type]
    assert len(pauses) == 2
    (kept,) = temporary.iterdir()
    found = re.fullmatch(
        rf"no room\. The state is kept in {re.escape(str(kept))}; when the trouble is mended: (.*)",
        str(error.value),
    )
    assert found
    subprocess.run(["sh", "-c", found[1]], check=True)
    home = checkpoint.load(place)
    assert home.config["task"] == "lm"
    assert home.file("model.onnx").read_bytes() == b"graph"
    aside = place.with_name("my model.old")
    assert aside.exists() == (before in ("checkpoint", "file", "foreign"))


def test_a_directory_of_another_kind_is_not_tried_again(
    place: Path, temporary: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = fail(monkeypatch, lambda directory: directory == place, UsageError("a file"))
    with pytest.raises(CheckpointError, match="kept in"):
        keep(place)
    assert attempts[0] == place
    assert len(attempts) == 2
    assert pauses == []


def test_where_nothing_can_be_written_the_first_error_is_raised(
    place: Path, temporary: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, lambda _: True, CheckpointError("no room"))
    with pytest.raises(CheckpointError, match=r"^no room$"):
        keep(place)
    assert list(temporary.iterdir()) == []
    temporary.rmdir()
    with pytest.raises(CheckpointError, match=r"^no room$"):
        keep(place)


def test_a_save_confirms_the_claim(place: Path) -> None:
    with Claim(place, "training") as claim:
        (place / checkpoint.LOCK).unlink()
        Destination(place, claim).save(FILES, CONFIG, force=False)
        assert (place / checkpoint.LOCK).is_file()
    assert checkpoint.load(place).config["task"] == "lm"


@pytest.mark.parametrize(("free", "short"), [(55_999_999, True), (56_000_000, False)])
def test_room_for_two_generations_of_the_state(
    free: int, short: bool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    monkeypatch.setattr(module, "_file_size_limit", lambda: None)
    text = Destination(place, Claim(place, "training")).describe_shortage(1_000_000)
    assert text == (
        f"{place} has 56.0 MB free, and saving this run needs up to 56.0 MB: free some space"
        if short
        else None
    )


@pytest.mark.parametrize(
    ("limit", "short"), [(20_000_000, True), (20_000_001, False), (resource.RLIM_INFINITY, False)]
)
def test_a_limit_of_the_size_of_a_file(
    limit: int, short: bool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 50))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    text = Destination(place, Claim(place, "training")).describe_shortage(1_000_000)
    assert (text is not None) == short
    if text is not None:
        assert "its largest file needs 20.0 MB and a file may have 20.0 MB here" in text


def test_room_that_cannot_be_measured_is_no_shortage(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_file_size_limit", lambda: None)
    assert Destination(place, Claim(place, "training")).describe_shortage(10) is None
