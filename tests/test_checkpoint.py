"""Saving killed at every file operation, disks that fill, and each file damaged in each way."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnntext import checkpoint, held_file
from rnntext.checkpoint import (
    FORMAT_VERSION,
    Checkpoint,
    check_target,
    load,
    load_config,
    load_tensors,
    read_file,
    save,
    serialize_tensors,
)
from rnntext.errors import CheckpointError, RnntextError, UsageError
from rnntext.files import owner
from tests.killing import kill_before_each_file_operation

TENSORS = {
    "encoder.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "bias": np.array([1.5, -2.0, 3.0, 4.0, 5.0], np.float32),
    "scale": np.array(7.0, np.float32),
}
FILES: dict[str, bytes | Path] = {
    "tokenizer.json": '{"text": "naïve café 你好 🙂"}'.encode(),
    "model.safetensors": serialize_tensors(TENSORS),
    "model.onnx": b"graph" * 100,
    "training-state/optimizer.safetensors": b"moments",
}
CONFIG: dict[str, Any] = {"task": "lm", "labels": ["naïve", "你好"], "steps": 7}
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX processes")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    save(directory, FILES, CONFIG, force=False)
    return directory


def content(loaded: Checkpoint) -> dict[str, bytes]:
    return {name: loaded.file(name).read_bytes() for name in loaded.config["files"]}


def tree(directory: Path) -> set[str]:
    """All that is in a directory, apart from what every save leaves for git."""
    names = {p.relative_to(directory).as_posix() for p in directory.rglob("*")}
    return {name for name in names if Path(name).name != ".gitattributes"}


def assert_one_line(error: RnntextError, *parts: str) -> None:
    message = str(error)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def change_a_bit(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def change_config(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = directory / "config.json"
    config = json.loads(path.read_bytes())
    change(config)
    path.write_text(json.dumps(config), "utf-8")


# One generation


def test_what_was_saved_is_loaded(model: Path) -> None:
    loaded = load(model)
    assert content(loaded) == FILES
    assert {name: loaded.config[name] for name in CONFIG} == CONFIG
    assert loaded.config["format_version"] == FORMAT_VERSION
    assert tree(model) == {*FILES, "config.json", "training-state"}
    assert loaded.file("config.json") == model / "config.json"


def test_the_config_lists_size_and_hash(model: Path) -> None:
    files = json.loads((model / "config.json").read_bytes())["files"]
    graph = b"graph" * 100
    assert files["model.onnx"] == {"size": 500, "sha256": hashlib.sha256(graph).hexdigest()}
    assert "config.json" not in files


def test_the_same_content_gives_the_same_bytes(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "missing" / "folders" / "other"
    save(other, dict(reversed(FILES.items())), CONFIG, force=False)
    assert (other / "config.json").read_bytes() == (model / "config.json").read_bytes()


def test_files_are_copied_from_paths_also_from_the_directory_itself(model: Path) -> None:
    weights = load(model).file("model.safetensors")
    save(model, {"model.safetensors": weights, "model.onnx": b"int8"}, CONFIG, force=True)
    loaded = load(model)
    assert content(loaded) == {
        "model.safetensors": FILES["model.safetensors"],
        "model.onnx": b"int8",
    }


def test_a_config_may_hold_any_string(tmp_path: Path) -> None:
    labels = ["🙂", "\ud800", "\udcff\\", '"', "\u2028\x00"]
    save(tmp_path / "m", {}, {"labels": labels}, force=False)
    assert load(tmp_path / "m").config["labels"] == labels


def test_a_config_that_was_loaded_can_be_saved_again(model: Path) -> None:
    save(model, {"model.onnx": b"int8"}, load(model).config, force=True)
    assert list(load(model).config["files"]) == ["model.onnx"]


def test_a_new_generation_removes_what_it_lacks_but_no_other_files(model: Path) -> None:
    (model / "notes.txt").write_text("mine", "utf-8")
    (model / "training-state" / "mine").write_text("mine", "utf-8")
    save(model, {"tokenizer.json": b"{}", "metrics.jsonl": b""}, CONFIG, force=True)
    assert tree(model) == {
        "config.json",
        "tokenizer.json",
        "metrics.jsonl",
        "notes.txt",
        "training-state",
        "training-state/mine",
    }
    with pytest.raises(CheckpointError) as caught:
        load(model).file("training-state/optimizer.safetensors")
    assert_one_line(caught.value, str(model), "has no training-state/optimizer.safetensors")


def test_a_folder_that_a_new_generation_leaves_empty_goes(model: Path) -> None:
    save(model, {"tokenizer.json": b"{}"}, CONFIG, force=True)
    assert tree(model) == {"config.json", "tokenizer.json"}


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../x", "config.json", ".next", "a//b", "a\\b", "", ".", "C:x", "a/"]
)
def test_names_that_would_leave_the_directory(name: str, model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a file name"):
        save(tmp_path / "new", {name: b""}, CONFIG, force=False)
    assert not (tmp_path / "new").exists()
    change_config(model, lambda config: config["files"].update({name: {"size": 0, "sha256": ""}}))
    with pytest.raises(CheckpointError) as caught:
        load(model)
    assert_one_line(caught.value, "config.json is damaged", repr(name))


def test_a_config_that_is_not_json_leaves_everything_alone(model: Path) -> None:
    before = content(load(model))
    with pytest.raises(ValueError, match="JSON"):
        save(model, {"model.onnx": b"new"}, {"loss": float("nan")}, force=True)
    assert content(load(model)) == before
    assert tree(model) == {*FILES, "config.json", "training-state"}


# Killed while saving

SAVES = """
    import os, shutil, sys
    from pathlib import Path
    from rnntext.checkpoint import save

    start, folder, generation = sys.argv[1:]
    files = {"model.onnx": generation.encode() * 1000, f"only-{generation}.json": b"{}",
             "training-state/state": generation.encode()}

    def target(k):
        return Path(folder) / str(k) / "model"

    def prepare(k):
        if os.path.isdir(start):
            shutil.copytree(start, target(k))
        else:
            target(k).parent.mkdir()

    def act(k):
        save(target(k), files, {"generation": generation}, force=True)
"""


def save_killed(start: Path, folder: Path, generation: str) -> list[Path]:
    """Directories in which saving `generation` over `start` was killed ever later; last: never."""
    folder.mkdir()
    runs = kill_before_each_file_operation(SAVES, start, folder, generation)
    assert runs > 10
    return [folder / str(k) / "model" for k in range(1, runs + 1)]


def generation_of(directory: Path) -> str:
    """Which generation loads; fails if any part of it belongs to another."""
    loaded = load(directory)
    generation: str = loaded.config["generation"]
    assert content(loaded) == {
        "model.onnx": generation.encode() * 1000,
        f"only-{generation}.json": b"{}",
        "training-state/state": generation.encode(),
    }
    return generation


def save_generation(directory: Path, generation: str) -> None:
    files = {
        "model.onnx": generation.encode() * 1000,
        f"only-{generation}.json": b"{}",
        "training-state/state": generation.encode(),
    }
    save(directory, files, {"generation": generation}, force=True)


def assert_clean(directory: Path, generation: str) -> None:
    expected = {"config.json", "model.onnx", f"only-{generation}.json"}
    assert tree(directory) == expected | {"training-state", "training-state/state"}


@posix
def test_a_save_killed_at_any_moment_leaves_the_old_generation_or_the_new(tmp_path: Path) -> None:
    save_generation(tmp_path / "old", "A")
    directories = save_killed(tmp_path / "old", tmp_path / "killed", "B")
    found = [generation_of(directory) for directory in directories]
    assert found == sorted(found)
    assert {*found[:-1]} == {"A", "B"}  # kills before and after the moment that counts
    assert_clean(directories[-1], "B")
    for directory in directories:
        save_generation(directory, "C")
        assert generation_of(directory) == "C"
        assert_clean(directory, "C")


@posix
def test_a_first_save_killed_at_any_moment_leaves_nothing_or_the_new(tmp_path: Path) -> None:
    directories = save_killed(tmp_path / "absent", tmp_path / "killed", "A")
    found = []
    for directory in directories:
        try:
            found.append(generation_of(directory))
        except CheckpointError as error:
            assert_one_line(error, str(directory))
            check_target(directory, force=False)  # what is left does not stand in the way
            found.append("")
    assert found == sorted(found)
    assert {*found} == {"", "A"}
    for directory in directories:
        save_generation(directory, "B")
        assert_clean(directory, "B")


@posix
def test_a_save_killed_while_it_finishes_an_earlier_one(tmp_path: Path) -> None:
    save_generation(tmp_path / "old", "A")
    directories = save_killed(tmp_path / "old", tmp_path / "first", "B")
    half_moved = [d for d in directories if (d / ".next" / "config.json").exists()]
    assert len(half_moved) > 3
    for number, start in enumerate((half_moved[0], half_moved[-2])):
        assert generation_of(start) == "B"
        again = save_killed(start, tmp_path / f"second-{number}", "C")
        found = [generation_of(directory) for directory in again]
        assert found == sorted(found)
        assert {*found[:-1]} == {"B", "C"}
        assert_clean(again[-1], "C")


@posix
def test_a_half_moved_generation_can_be_copied_from(tmp_path: Path) -> None:
    save_generation(tmp_path / "old", "A")
    directories = save_killed(tmp_path / "old", tmp_path / "killed", "B")
    directory = next(d for d in directories if (d / ".next" / "model.onnx").exists())
    graph = load(directory).file("model.onnx")
    assert graph.parent.name == ".next"
    save(directory, {"model.onnx": graph}, {}, force=True)
    assert content(load(directory)) == {"model.onnx": b"B" * 1000}


@posix
def test_only_the_temporaries_of_dead_processes_are_removed(model: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as alive:
        machine = owner().partition("-")[0]
        numbers = (alive.pid, 2**22 + 1)
        living, dead = (model / f".next.tmp-{machine}-{number}" for number in numbers)
        living.mkdir()
        dead.mkdir()
        save(model, FILES, CONFIG, force=True)
        assert living.exists()
        assert not dead.exists()
        alive.communicate(b"\n")


def test_what_cannot_be_moved_yet_is_read_from_where_it_is(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where a file that some process has open cannot be replaced."""
    real = os.replace

    def in_use(source: Path, target: Path) -> None:
        if Path(target).name == "model.onnx":
            raise PermissionError(errno.EACCES, "in use", str(target))
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", in_use)
        save(model, {**FILES, "model.onnx": b"new"}, CONFIG, force=True)
        assert content(load(model))["model.onnx"] == b"new"
        assert (model / "model.onnx").read_bytes() == FILES["model.onnx"]
        with pytest.raises(CheckpointError, match="in use"):
            save(model, FILES, CONFIG, force=True)
        assert content(load(model))["model.onnx"] == b"new"
    save(model, {"model.onnx": b"newer"}, CONFIG, force=True)
    assert content(load(model)) == {"model.onnx": b"newer"}
    assert not (model / ".next").exists()


def test_a_save_during_a_load_is_not_mistaken_for_damage(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checkpoint._read_config
    reads: list[bytes] = []

    def read_then_save(directory: Path) -> bytes:
        raw = real(directory)
        if not reads:
            reads.append(raw)
            save(model, {"model.onnx": b"new"}, CONFIG, force=True)
        return raw

    # `save` itself reads the config; by then `reads` is not empty.
    monkeypatch.setattr(checkpoint, "_read_config", read_then_save)
    assert content(load(model)) == {"model.onnx": b"new"}


def test_all_files_are_of_one_generation_though_another_is_saved_between_two(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of the same sizes, so that only their generation can tell."""
    old = {"a": b"old", "b": b"old", "c": b"old"}
    save(model, old, {"generation": "old"}, force=True)
    real = checkpoint._open
    opened: list[str] = []

    def save_then_open(directory: Path, name: str) -> Any:
        if name != "config.json":
            opened.append(name)
            if opened == ["a", "b"]:
                save(model, dict.fromkeys(old, b"new"), {"generation": "new"}, force=True)
        return real(directory, name)

    monkeypatch.setattr(checkpoint, "_open", save_then_open)
    loaded = load(model, verify={"a"}, keep={"b", "c"})
    assert opened == ["a", "b", "c"] * 2
    assert loaded.config["generation"] == "new"
    assert [loaded.read(name) for name in "abc"] == [b"new"] * 3


@pytest.mark.parametrize("small", [0, 100])
@pytest.mark.parametrize("change", ["replace", "delete"])
def test_what_is_kept_stays_what_it_was(
    change: str, small: int, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_file, "_SMALL", small)
    loaded = load(model, verify={"model.onnx"}, keep={"model.safetensors"})
    if change == "replace":
        save(model, dict.fromkeys(FILES, b"new"), CONFIG, force=True)
    else:
        shutil.rmtree(model)
    for _ in range(2):
        assert loaded.read("model.onnx") == FILES["model.onnx"]
        assert loaded.read("model.safetensors") == FILES["model.safetensors"]
    np.testing.assert_array_equal(load_tensors(loaded, ["bias"])["bias"], TENSORS["bias"])


def test_only_what_is_verified_or_kept_can_be_read(model: Path) -> None:
    loaded = load(model, verify={"model.onnx"}, keep={"model.safetensors"})
    with pytest.raises(KeyError):
        loaded.read("tokenizer.json")
    with pytest.raises(CheckpointError, match="has no other"):
        loaded.read("other")


def test_a_kept_file_is_verified_when_it_is_read(model: Path) -> None:
    change_a_bit(model / "model.onnx")
    loaded = load(model, verify=(), keep={"model.onnx"})
    for _ in range(2):
        with pytest.raises(CheckpointError) as caught:
            loaded.read("model.onnx")
        assert_one_line(caught.value, str(model / "model.onnx"), "SHA-256")


def test_a_run_that_is_still_going_on(model: Path) -> None:
    """Its files do not match `config.json`, or are not there."""
    (model / "model.onnx").unlink()
    (model / "tokenizer.json").write_bytes(b"longer than it was" * 10)
    with pytest.raises(CheckpointError):
        load(model)
    assert load_config(model)["steps"] == 7
    assert read_file(model, "tokenizer.json") == b"longer than it was" * 10
    with pytest.raises(CheckpointError, match="onnx is missing"):
        read_file(model, "model.onnx")
    # A generation that counts already, but has not been moved, goes first.
    (model / ".next").mkdir()
    (model / ".next" / "tokenizer.json").write_bytes(b"new")
    assert read_file(model, "tokenizer.json") == b"new"


# Full disks and interruptions

# EFBIG from a limit on the size of files is what a full disk does, without filling one.
LIMITED = textwrap.dedent(
    """
    import resource, signal, sys
    from pathlib import Path
    from rnntext.checkpoint import save
    from rnntext.errors import CheckpointError

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        save(Path(sys.argv[1]), {"a.json": b"{}", "model.onnx": b"x" * 100_000}, {}, force=True)
    except CheckpointError as error:
        print(error)
    """
)


@posix
@pytest.mark.parametrize("limit", [0, 1, 50_000, 99_999])
@pytest.mark.parametrize("exists", [False, True])
def test_a_file_that_cannot_be_written_in_full(tmp_path: Path, limit: int, exists: bool) -> None:
    directory = tmp_path / "above" / "model"
    if exists:
        save(directory, FILES, CONFIG, force=False)
    command = [sys.executable, "-c", LIMITED, str(directory), str(limit)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert finished.stdout == (
        f"cannot write {directory}: File too large;"
        " free some space or choose another place with -o\n"
    )
    assert finished.stderr == ""
    if exists:
        assert content(load(directory)) == FILES
        assert tree(directory) == {*FILES, "config.json", "training-state"}
    else:
        assert tree(tmp_path) == set()


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "No space left on device; free some space or choose another place with -o",
        ),
        (
            OSError(errno.EACCES, "Permission denied"),
            "Permission denied; choose another place with -o",
        ),
        (KeyboardInterrupt(), None),
    ],
    ids=["full", "denied", "interrupted"],
)
def test_a_failure_at_any_flush_leaves_the_old_generation(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    exists: bool,
    failure: BaseException,
    expected: str | None,
) -> None:
    directory = tmp_path / "model"
    if exists:
        save(directory, FILES, CONFIG, force=False)
    before = tree(tmp_path)
    real = os.fsync
    for k in range(1, 8):  # four files, the config and two folders
        calls = 0

        def fail(handle: int, k: int = k) -> None:
            nonlocal calls
            calls += 1
            if calls == k:
                raise failure
            real(handle)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(CheckpointError if expected else KeyboardInterrupt) as caught:
                save(directory, {**FILES, "model.onnx": b"new"}, CONFIG, force=True)
        if expected:
            assert str(caught.value) == f"cannot write {directory}: {expected}"
        assert tree(tmp_path) == before
        if exists:
            assert content(load(directory)) == FILES


def test_a_missing_source_is_not_blamed_on_the_target(model: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save(tmp_path / "new", {"model.onnx": tmp_path / "gone"}, CONFIG, force=False)
    assert not (tmp_path / "new").exists()


# Where to write


def refusal(directory: Path, force: bool) -> str:
    with pytest.raises(UsageError) as caught:
        check_target(directory, force)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_absent_or_empty_directory_will_do(tmp_path: Path) -> None:
    for force in (False, True):
        check_target(tmp_path, force)
        check_target(tmp_path / "new" / "newer", force)
    assert tree(tmp_path) == set()


def test_a_checkpoint_is_replaced_only_when_forced(model: Path) -> None:
    assert refusal(model, False) == (
        f"{model} exists and is not empty: add --force to replace it, or name another with -o"
    )
    with pytest.raises(UsageError):
        save(model, {}, CONFIG, force=False)
    check_target(model, True)


def test_a_search_is_resumed_or_replaced(tmp_path: Path, model: Path) -> None:
    alone = tmp_path / "alone"
    for directory in (alone, model):
        (directory / checkpoint.SEARCH).mkdir(parents=True)
        (directory / checkpoint.SEARCH / checkpoint.SEARCH_STATE).touch()
        assert refusal(directory, False) == (
            f"{directory} holds a search that is not finished: add --resume to go on, --force to "
            "start anew, or name another with -o"
        )
        check_target(directory, True)
    (alone / "diary.txt").touch()
    assert "are not an rnntext checkpoint" in refusal(alone, True)


def test_a_search_without_a_state_is_ignored(tmp_path: Path) -> None:
    search = tmp_path / checkpoint.SEARCH
    search.mkdir()
    check_target(tmp_path, False)
    for name in (
        "final",
        "trial-12",
        "ngrams.safetensors",
        "splitter.safetensors",
        ".search.json.77",
    ):
        (search / name).touch()
    check_target(tmp_path, False)


@pytest.mark.parametrize("force", [True, False])
def test_a_persons_files_in_the_place_of_a_search(tmp_path: Path, force: bool) -> None:
    search = tmp_path / checkpoint.SEARCH
    search.mkdir()
    (search / "trial-one").touch()
    assert refusal(tmp_path, force) == (
        f"{search / 'trial-one'} is not part of a search, and a run would remove it: move it, or "
        "name another directory with -o"
    )
    (search / "trial-one").unlink()
    search.rmdir()
    search.touch()
    assert f"{search} is not part of a search" in refusal(tmp_path, force)


def test_a_persons_other_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", "utf-8")
    assert "not empty" in refusal(tmp_path, False)
    assert "not an rnntext checkpoint" in refusal(tmp_path, True)
    for config in ('{"model_type": "bert"}', "[]", "{"):
        (tmp_path / "config.json").write_text(config, "utf-8")
        assert "not an rnntext checkpoint" in refusal(tmp_path, True)
    with pytest.raises(UsageError):
        save(tmp_path, FILES, CONFIG, force=True)
    assert tree(tmp_path) == {"thesis.txt", "config.json"}


def test_a_newer_checkpoint_may_be_replaced(model: Path) -> None:
    change_config(model, lambda config: config.update(format_version=FORMAT_VERSION + 1))
    save(model, {"model.onnx": b"new"}, CONFIG, force=True)
    assert content(load(model)) == {"model.onnx": b"new"}


@pytest.mark.parametrize("force", [False, True])
def test_a_target_that_is_no_directory(tmp_path: Path, force: bool) -> None:
    file = tmp_path / "file"
    file.write_text("mine", "utf-8")
    assert f"{file} is not a directory" in refusal(file, force)
    assert "Not a directory" in refusal(file / "model", force)
    assert "File name too long" in refusal(tmp_path / ("x" * 300), force)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    assert f"{link} is not a directory" in refusal(link, force)


def test_a_place_that_cannot_be_written_is_refused_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write everywhere, so the answer of the system is put in its mouth.
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != tmp_path)
    assert refusal(tmp_path / "a" / "b", False) == (
        f"cannot write {tmp_path / 'a' / 'b'}: Permission denied; name another with -o"
    )
    assert "Permission denied" in refusal(tmp_path, False)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_parent(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in refusal(tmp_path / "model", False)
    finally:
        tmp_path.chmod(0o700)


# Damage


def failure(directory: Path, verify: bool = True) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(directory, verify=None if verify else (), keep=() if verify else FILES)
    assert_one_line(caught.value)
    return str(caught.value)


def test_no_checkpoint_there(tmp_path: Path) -> None:
    assert f"{tmp_path / 'absent'} does not exist" in failure(tmp_path / "absent")
    assert f"{tmp_path} has no config.json" in failure(tmp_path)
    file = tmp_path / "file"
    file.write_text("", "utf-8")
    assert f"{file} is not a directory" in failure(file)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("verify", [False, True])
def test_a_file_missing_or_of_another_size(model: Path, name: str, verify: bool) -> None:
    path = model / name
    whole = path.read_bytes()
    for damaged in (whole[:-1], b"", whole + b"\n"):
        path.write_bytes(damaged)
        assert f"{path} is damaged ({len(damaged)} bytes" in failure(model, verify)
    path.unlink()
    assert f"{path} is missing" in failure(model, verify)
    path.mkdir()
    assert str(path) in failure(model, verify)


def test_what_is_not_needed_may_change_or_go(model: Path) -> None:
    (model / "tokenizer.json").write_bytes(b"other")
    (model / "model.safetensors").unlink()
    found = load(model, verify=("model.onnx",))
    assert found.read("model.onnx") == FILES["model.onnx"]
    assert found.shapes == {}
    assert not found.has("tokenizer.json")
    with pytest.raises(CheckpointError, match=r"tokenizer.json is damaged \(5 bytes"):
        load(model, verify=("model.onnx",), keep=("tokenizer.json",))


def test_records_may_change_or_go(tmp_path: Path) -> None:
    directory = tmp_path / "m"
    records = {name: f"{name}\nline\n".encode() for name in checkpoint.RECORDS}
    save(directory, {**FILES, **records}, CONFIG, force=False)
    changed, gone, *_ = sorted(records)
    (directory / changed).write_bytes(records[changed].replace(b"\n", b"\r\n"))
    (directory / gone).unlink()
    found = load(directory)
    assert found.read(changed) == records[changed].replace(b"\n", b"\r\n")
    assert found.has(changed)
    assert not found.has(gone)
    with pytest.raises(CheckpointError, match=f"{gone} is missing"):
        found.read(gone)
    assert content_of(found, FILES) == FILES


def content_of(found: Checkpoint, names: Iterable[str]) -> dict[str, bytes]:
    return {name: found.read(name) for name in names}


def test_git_keeps_every_byte(tmp_path: Path) -> None:
    """Also with the setting that Git for Windows has."""
    directory = tmp_path / "repository" / "m"
    files = {**FILES, "README.md": b"# card\n", "tokenizer.json": b'{\n"a": 1\n}\n'}
    save(directory, files, CONFIG, force=False)
    git = ("git", "-c", "core.autocrlf=true", "-c", "user.name=a", "-c", "user.email=a@b.c")
    for command in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "model")):
        subprocess.run([*git, *command], cwd=tmp_path / "repository", check=True)
    copy = tmp_path / "copy"
    subprocess.run([*git, "clone", "-q", tmp_path / "repository", copy], check=True)
    assert (copy / "m" / "config.json").read_bytes() == (directory / "config.json").read_bytes()
    assert content_of(load(copy / "m"), files) == files


def test_attributes_that_a_user_has_written_stay(model: Path) -> None:
    attributes = model / ".gitattributes"
    assert attributes.read_bytes().endswith(b"* -text\n")
    attributes.write_bytes(b"*.onnx filter=lfs diff=lfs merge=lfs -text\n")
    save(model, FILES, CONFIG, force=True)
    assert attributes.read_bytes() == b"*.onnx filter=lfs diff=lfs merge=lfs -text\n"


def test_a_pointer_of_git_lfs_is_named(model: Path) -> None:
    (model / "model.onnx").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\n"
        b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
        b"size 12345\n"
    )
    assert "is a pointer of git-lfs and not the file itself: run `git lfs pull`" in failure(model)


@pytest.mark.parametrize("name", FILES)
def test_one_bit_changed(model: Path, name: str) -> None:
    path = model / name
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    assert f"{path} is damaged (its SHA-256" in failure(model)
    with pytest.raises(CheckpointError, match="SHA-256"):
        load(model, verify=(name,))
    others = [other for other in FILES if other != name]
    assert load(model, verify=others).config["task"] == "lm"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"format_version": 1, "files": {}',
        b'{"format_version": 1, "files": []}',
        b'{"format_version": 1}',
        b'{"format_version": 1, "files": {"a": 3}}',
        b'{"format_version": 1, "files": {"a": {"size": "3", "sha256": ""}}}',
        b'{"format_version": 1, "files": {"a": {"size": 3}}}',
        b'{"task": "\xff"}',
        b"[" * 100_000,
    ],
    ids=lambda raw: repr(raw[:50]),
)
def test_a_config_cut_short_or_damaged(model: Path, raw: bytes) -> None:
    (model / "config.json").write_bytes(raw)
    assert f"{model / 'config.json'} is damaged" in failure(model)


def test_a_config_cut_anywhere_is_refused(model: Path) -> None:
    whole = (model / "config.json").read_bytes()
    for length in {*range(0, len(whole), 17), len(whole) - 2}:
        (model / "config.json").write_bytes(whole[:length])
        assert str(model / "config.json") in failure(model)


@pytest.mark.parametrize("raw", [b"{}", b"[]", b"3", b'{"format_version": "1"}'])
def test_another_programs_config(model: Path, raw: bytes) -> None:
    (model / "config.json").write_bytes(raw)
    assert "not an rnntext checkpoint" in failure(model)


def test_a_newer_format_is_refused_by_name_and_an_older_one_read(model: Path) -> None:
    change_config(model, lambda config: config.update(format_version=FORMAT_VERSION + 2))
    message = failure(model)
    assert f"format version {FORMAT_VERSION + 2}" in message
    assert f"up to {FORMAT_VERSION}: upgrade rnntext" in message
    change_config(model, lambda config: config.update(format_version=FORMAT_VERSION - 1))
    assert load(model).config["format_version"] == FORMAT_VERSION - 1


def test_a_file_that_the_system_will_not_read(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def denied(path: Path, *arguments: Any, **options: Any) -> Any:
        if Path(path).name == "model.onnx":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", denied)
    assert failure(model) == f"cannot read {model / 'model.onnx'}: Permission denied"


# Tensors


def test_tensors_come_back_by_name(model: Path) -> None:
    loaded = load(model)
    assert loaded.shapes == {"bias": (5,), "encoder.weight": (2, 3), "scale": ()}
    tensors = load_tensors(loaded, ["scale", "encoder.weight"])
    assert [*tensors] == ["scale", "encoder.weight"]
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, TENSORS[name])
        assert tensor.dtype == np.float32
    with pytest.raises(CheckpointError) as caught:
        load_tensors(loaded, ["bias", "absent"])
    assert_one_line(caught.value, str(model / "model.safetensors"), "absent")


def test_serialized_tensors_are_the_same_in_any_order_and_layout(tmp_path: Path) -> None:
    forward = serialize_tensors(TENSORS)
    assert forward == serialize_tensors(dict(reversed(TENSORS.items())))
    assert b"__metadata__" not in forward
    # safetensors alone would write a transposed view as it lies in memory.
    weight = TENSORS["encoder.weight"]
    fortran = {**TENSORS, "encoder.weight": np.asfortranarray(weight)}
    assert serialize_tensors(fortran) == forward
    save(tmp_path / "m", {"model.safetensors": serialize_tensors({"w": weight.T})}, {}, force=False)
    np.testing.assert_array_equal(load_tensors(load(tmp_path / "m"), ["w"])["w"], weight.T)


def test_a_checkpoint_without_weights(tmp_path: Path) -> None:
    save(tmp_path / "m", {"model.onnx": b"graph"}, CONFIG, force=False)
    loaded = load(tmp_path / "m")
    assert loaded.shapes == {}
    with pytest.raises(CheckpointError) as caught:
        load_tensors(loaded, ["bias"])
    assert_one_line(caught.value, "has no model.safetensors")


def with_header(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        b"1234567",
        b"\xff" * 8,
        with_header(b"{}")[:-1],
        with_header(b"not json"),
        with_header(b"\xff\xfe"),
        with_header(b"[]"),
        with_header(b'{"a": 3}'),
        with_header(b'{"a": {"dtype": "F32", "data_offsets": [0, 4]}}', b"abcd"),
        with_header(b'{"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 4]}}', b"abcd"),
        with_header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}', b"abcd"),
        with_header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"abc"),
        with_header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"abcde"),
        with_header(b"[" * 100_000),
    ],
    ids=lambda raw: repr(raw[:60]),
)
def test_weights_that_are_not_safetensors(tmp_path: Path, weights: bytes) -> None:
    """Damaged before they were hashed, so that only their form can tell."""
    save(tmp_path / "m", {"model.safetensors": weights}, CONFIG, force=False)
    for verify in (False, True):
        message = failure(tmp_path / "m", verify)
        assert f"{tmp_path / 'm' / 'model.safetensors'} is damaged" in message


def test_a_tensor_type_that_does_not_exist(tmp_path: Path) -> None:
    header = b'{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}'
    save(tmp_path / "m", {"model.safetensors": with_header(header, b"abcd")}, {}, force=False)
    with pytest.raises(CheckpointError) as caught:
        load_tensors(load(tmp_path / "m"), ["a"])
    assert_one_line(caught.value, "model.safetensors is damaged")


def test_nothing_in_a_checkpoint_needs_torch_or_pickle(model: Path) -> None:
    source = Path(checkpoint.__file__).read_text("utf-8")
    assert not re.search(r"^\s*(import|from) (pickle|torch|shelve|joblib)", source, re.MULTILINE)
    program = (
        "import sys; from pathlib import Path; from rnntext.checkpoint import *; "
        "load_tensors(load(Path(sys.argv[1])), ['bias']); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(model)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert finished.stdout == "False\n"


def test_a_copied_directory_loads(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "copy")
    assert content(load(tmp_path / "copy")) == FILES
