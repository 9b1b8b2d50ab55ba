"""Checkpoints and cache entries survive a power cut at any moment."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rnntext.checkpoint import load, save
from rnntext.errors import CheckpointError
from rnntext.training.data import cache
from tests.power_cuts import Disk, Tree, write

pytestmark = pytest.mark.skipif(os.name == "nt", reason="folders cannot be flushed on Windows")

KEY = "0123456789abcdef" * 2


def possible_trees(
    root: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]
) -> tuple[list[Tree], list[Tree]]:
    """The trees that a power cut may leave below `root` at any moment of `act`, and after it."""
    disk = Disk(root)
    try:
        with monkeypatch.context() as patch:
            disk.record(patch)
            act()
        return disk.trees_during(), disk.trees_now()
    finally:
        disk.close()


def files(generation: str) -> dict[str, bytes | Path]:
    return {
        "model.onnx": generation.encode() * 9,
        f"only-{generation}.json": b"{}",
        "training-state/state": generation.encode(),
    }


def save_generation(directory: Path, generation: str) -> None:
    save(directory, files(generation), {"generation": generation}, force=True)


def generation_of(directory: Path) -> str:
    """The generation that loads; "" if there is no checkpoint. Fails if a file is not its own."""
    if not directory.exists() or not {"config.json", ".next"} & {*os.listdir(directory)}:
        return ""
    loaded = load(directory)
    generation: str = loaded.config["generation"]
    for name, content in files(generation).items():
        assert loaded.file(name).read_bytes() == content
    return generation


def failing_save(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Save, but fail before the commit: this completes the move of an earlier save."""

    def full(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        patch.setattr(os, "fsync", lambda _: None)
        with pytest.raises(CheckpointError):
            save_generation(directory, "C")


@pytest.mark.parametrize("first", [True, False])
def test_a_checkpoint_survives_a_power_cut(
    first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    directory = root / "above" / "model"
    if not first:
        save_generation(directory, "A")
    during, after = possible_trees(root, monkeypatch, lambda: save_generation(directory, "B"))
    assert len(during) > 20
    seen = set()
    for number, tree in enumerate((*during, *after)):
        cut = tmp_path / str(number)
        write(tree, cut)
        generation = generation_of(cut / "above" / "model")
        seen.add(generation)
        if generation:
            failing_save(cut / "above" / "model", monkeypatch)
            assert generation_of(cut / "above" / "model") == generation
        if number >= len(during):
            assert generation == "B"
    assert seen == {"" if first else "A", "B"}


def test_a_cache_entry_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "disk"
    (root / "rnntext").mkdir(parents=True)

    def fill(draft: cache.Draft) -> bool:
        draft.text("words.txt", "naïve café 你好 🙂")
        draft.stream("numbers", np.uint16).append(np.arange(5))
        return True

    monkeypatch.setenv("XDG_CACHE_HOME", str(root))
    during, after = possible_trees(root, monkeypatch, lambda: cache.build(KEY, fill).close())
    assert len(during) > 5
    for number, tree in enumerate((*during, *after)):
        cut = tmp_path / str(number)
        write(tree, cut)
        monkeypatch.setenv("XDG_CACHE_HOME", str(cut))
        # An entry is never damaged: it is complete if its folder exists.
        expected = (cut / "rnntext" / KEY).exists()
        entry = cache.find(KEY)
        assert (entry is not None) == expected
        if entry is not None:
            assert entry.text("words.txt") == "naïve café 你好 🙂"
            assert entry.array("numbers").tolist() == [0, 1, 2, 3, 4]
            entry.close()
        if number >= len(during):
            assert expected
