"""The cache of encoded text: an entry is found complete, or not at all."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rnntext.errors import DataError
from rnntext.files import owner
from rnntext.training.data import cache
from rnntext.training.data.cache import Draft, Entry, build, directory, find, key_of
from tests.killing import kill_before_each_file_operation

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX processes")
SAMPLE = "naïve café 你好 🙂"
KEY = key_of({"text": SAMPLE}, ())
Write = Callable[[Draft], bool]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rnntext"


def writing(number: int, lasting: bool = True) -> Write:
    def write(draft: Draft) -> bool:
        draft.text("words.txt", SAMPLE)
        draft.stream("numbers", np.uint16).append(np.arange(number, number + 5))
        draft.rows("rows", np.int32).extend([np.arange(number), np.arange(3)])
        draft.meta.update(number=number, labels=[SAMPLE, "\ud800"])
        return lasting

    return write


def number_in(entry: Entry) -> int:
    """Return the number that was written; fails if anything else differs."""
    number: int = entry.meta["number"]
    assert entry.meta["labels"] == [SAMPLE, "\ud800"]
    assert entry.size == len(SAMPLE.encode()) + 5 * 2 + (number + 3) * 4 + 3 * 8
    assert entry.text("words.txt") == SAMPLE
    assert entry.stream("numbers")[1:9].tolist() == list(range(number + 1, number + 5))
    assert [row.tolist() for row in entry.rows("rows")] == [list(range(number)), [0, 1, 2]]
    entry.close()
    return number


def found() -> int | None:
    entry = find(KEY)
    return None if entry is None else number_in(entry)


# Entries


def test_what_was_written_is_found(root: Path) -> None:
    assert found() is None
    entry = build(KEY, writing(7))
    assert (entry.folder, entry.reused, entry.trouble) == (root / KEY, False, None)
    assert number_in(entry) == 7
    again = find(KEY)
    assert again is not None
    assert (again.folder, again.reused) == (root / KEY, True)
    assert number_in(again) == 7
    assert os.listdir(root) == [KEY]
    assert find(key_of({}, ())) is None


def test_arrays_may_be_read_into_memory() -> None:
    entry = build(None, writing(7))
    assert entry.array("numbers").tolist() == [7, 8, 9, 10, 11]
    assert entry.rows_in_memory("rows").lengths().tolist() == [7, 3]
    entry.close()


@posix
def test_other_users_cannot_read_it(root: Path) -> None:
    build(KEY, writing(1)).close()
    assert root.stat().st_mode & 0o077 == 0
    assert (root / KEY).stat().st_mode & 0o077 == 0


def test_a_key_depends_on_settings_names_and_bytes() -> None:
    def key(settings: object, *files: tuple[str, str]) -> str:
        handles = [(name, io.BytesIO(content.encode())) for name, content in files]
        return key_of({"a": settings}, handles)

    one = key(1, ("x", SAMPLE), ("y", "b"))
    assert one == key(1, ("x", SAMPLE), ("y", "b"))
    others = [
        key(2, ("x", SAMPLE), ("y", "b")),
        key("1", ("x", SAMPLE), ("y", "b")),
        key(1, ("z", SAMPLE), ("y", "b")),
        key(1, ("x", SAMPLE + "b"), ("y", "")),
        key(1, ("y", "b"), ("x", SAMPLE)),
        key(1, ("x", SAMPLE)),
        key(1),
    ]
    assert len({one, *others}) == 8


@pytest.mark.parametrize("lasting", [True, False])
def test_without_a_key_nothing_is_kept(root: Path, lasting: bool) -> None:
    entry = build(None, writing(3, lasting))
    assert (entry.folder, entry.reused, entry.trouble) == (None, False, None)
    assert number_in(entry) == 3
    assert not root.exists()


def test_a_partial_entry_is_not_kept(root: Path) -> None:
    entry = build(KEY, writing(3, lasting=False))
    assert (entry.folder, entry.trouble) == (None, None)
    assert os.listdir(root) == []
    assert number_in(entry) == 3


def test_an_entry_in_use_may_be_removed(root: Path) -> None:
    entry = build(KEY, writing(3))
    shutil.rmtree(root)
    assert number_in(entry) == 3


# The directory


def test_the_directory_follows_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert directory() == tmp_path / "cache" / "rnntext"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # The specification says to ignore a path that is not absolute.
    for value in ("", "relative/cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        monkeypatch.setattr(sys, "platform", "linux")
        assert directory() == tmp_path / "home/.cache/rnntext"
        monkeypatch.setattr(sys, "platform", "darwin")
        assert directory() == tmp_path / "home/Library/Caches/rnntext"


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    assert find(KEY) is None
    entry = build(KEY, writing(2))
    assert (entry.folder, entry.trouble) == (None, "there is no home directory")
    assert number_in(entry) == 2


@pytest.mark.parametrize("home", ["", "relative"])
def test_a_home_that_is_no_absolute_path_is_none(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", home)
    with pytest.raises(FileNotFoundError, match="there is no home directory"):
        directory()


# Damage


def damage_at(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[round(place * (len(content) - 1))] ^= 1
    path.write_bytes(content)


FILES = ["entry.json", "words.txt", "numbers", "rows", "rows.offsets"]


@pytest.mark.parametrize("kind", ["first bit", "last bit", "a bit", "cut", "longer", "gone", "dir"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_entry_is_written_again(name: str, kind: str, root: Path) -> None:
    build(KEY, writing(4)).close()
    path = root / KEY / name
    content = path.read_bytes()
    match kind:
        case "first bit" | "last bit" | "a bit":
            damage_at(path, {"first bit": 0, "last bit": 1, "a bit": 0.4}[kind])
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "longer":
            path.write_bytes(content + b"x")
        case "gone":
            path.unlink()
        case "dir":
            path.unlink()
            path.mkdir()
    assert found() is None
    assert os.listdir(root) == []
    assert number_in(build(KEY, writing(5))) == 5
    assert found() == 5
    assert os.listdir(root) == [KEY]


@pytest.mark.parametrize(
    "content", ["", "null", "[]", "{}", "[1, 2]", '["x", {}]', "[" * 100_000, "\xff", "naïve"]
)
def test_a_malformed_manifest(content: str, root: Path) -> None:
    build(KEY, writing(4)).close()
    (root / KEY / "entry.json").write_text(content, "latin-1")
    assert found() is None
    assert number_in(build(KEY, writing(5))) == 5


def test_a_file_in_the_place_of_an_entry(root: Path) -> None:
    root.mkdir(parents=True)
    (root / KEY).write_text("x")
    assert found() is None
    assert number_in(build(KEY, writing(5))) == 5
    assert found() == 5


# Errors while writing


def full(draft: Draft) -> bool:
    """The disk is full after the entry has been written to the cache."""
    writing(6)(draft)
    if draft._folder is not None:
        raise OSError(errno.ENOSPC, "No space left on device")
    return True


def test_a_full_disk_leaves_nothing_and_says_so(root: Path) -> None:
    entry = build(KEY, full)
    assert (entry.folder, entry.trouble) == (None, "No space left on device")
    assert os.listdir(root) == []
    assert number_in(entry) == 6
    assert found() is None


def test_a_disk_that_is_full_at_the_rename(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_rename(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "rename", no_rename)
    entry = build(KEY, writing(6))
    assert entry.trouble == "No space left on device"
    assert os.listdir(root) == []
    assert number_in(entry) == 6


def test_nowhere_to_write_at_all(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    def write(draft: Draft) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError) as caught:
        build(KEY, write)
    assert str(caught.value) == (
        f"cannot write the encoded text to {tempfile.gettempdir()}: No space left on device; "
        "free some space, or name another place with TMPDIR"
    )
    assert os.listdir(root) == []


@pytest.mark.parametrize("error", [DataError("no"), KeyboardInterrupt(), ValueError("a bug")])
def test_a_failed_write_leaves_nothing(error: BaseException, root: Path) -> None:
    def write(draft: Draft) -> bool:
        writing(1)(draft)
        raise error

    with pytest.raises(type(error)):
        build(KEY, write)
    assert os.listdir(root) == []


@pytest.mark.parametrize("obstacle", ["file", "parent"])
def test_a_cache_that_cannot_be_created(
    obstacle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" if obstacle == "file" else tmp_path / "file" / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    assert found() is None
    entry = build(KEY, writing(2))
    assert entry.trouble == f"{place / 'rnntext'}: Not a directory"
    assert number_in(entry) == 2


def test_a_read_only_cache(root: Path) -> None:
    build(KEY, writing(2)).close()
    root.chmod(0o500)
    (root / KEY).chmod(0o500)
    try:
        if os.access(root, os.W_OK):
            pytest.skip("this user may write everywhere")
        assert found() == 2
        entry = build(key_of({}, ()), writing(3))
        assert entry.trouble is not None
        assert "Permission denied" in entry.trouble
        assert number_in(entry) == 3
    finally:
        root.chmod(0o700)
        (root / KEY).chmod(0o700)


# Several processes


def test_the_first_of_two_writers_is_used_by_both(root: Path) -> None:
    def second(draft: Draft) -> bool:
        assert number_in(build(KEY, writing(1))) == 1
        return writing(2)(draft)

    # Within one process the first writer would remove the folder of the second as stale.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "remove_stale", lambda *_: None)
        entry = build(KEY, second)
    assert entry.folder == root / KEY
    assert number_in(entry) == 1
    assert os.listdir(root) == [KEY]


def test_a_writer_replaces_what_is_damaged(root: Path) -> None:
    def write(draft: Draft) -> bool:
        (root / KEY).mkdir()
        (root / KEY / "entry.json").write_text("[]")
        return writing(2)(draft)

    assert number_in(build(KEY, write)) == 2
    assert found() == 2
    assert os.listdir(root) == [KEY]


BUILDS = """
    import os, shutil, sys
    import numpy as np
    from rnntext.training.data.cache import build

    folder, key, *damaged = sys.argv[1:]

    def write(draft):
        draft.text("words.txt", "naïve café 你好 🙂")
        draft.stream("numbers", np.uint16).append(np.arange(4, 9))
        draft.rows("rows", np.int32).extend([np.arange(4), np.arange(3)])
        draft.meta.update(number=4, labels=["naïve café 你好 🙂", "\\ud800"])
        return True

    def prepare(k):
        place = os.path.join(folder, str(k))
        os.environ["XDG_CACHE_HOME"] = place
        if damaged:
            shutil.copytree(damaged[0], os.path.join(place, "rnntext"))

    def act(k):
        build(key, write)
"""


@posix
@pytest.mark.parametrize("start", ["empty", "damaged"])
def test_killed_at_any_moment(
    start: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry is complete or missing, and the next writer removes what a killed one left."""
    damaged: list[Path] = []
    if start == "damaged":
        build(KEY, writing(4)).close()
        damage_at(root / KEY / "rows", 0.5)
        damaged = [root]
    folder = tmp_path / "killed"
    folder.mkdir()
    outcomes = []
    for k in range(1, kill_before_each_file_operation(BUILDS, folder, KEY, *damaged) + 1):
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / str(k)))
        outcomes.append(found())
        assert number_in(build(KEY, writing(5))) in (4, 5)
        assert found() in (4, 5)
        assert os.listdir(directory()) == [KEY]
    assert set(outcomes) == {None, 4}
    assert outcomes[-1] == 4


@posix
def test_the_folder_of_a_running_process_is_kept(root: Path) -> None:
    root.mkdir(parents=True)
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        theirs = f".tmp-{owner().partition('-')[0]}-{living.pid}-x"
        (root / theirs).mkdir()
        build(KEY, writing(1)).close()
        assert sorted(os.listdir(root)) == [theirs, KEY]
    finally:
        living.send_signal(signal.SIGKILL)
        living.communicate()
    build(key_of({}, ()), writing(1)).close()
    assert theirs not in os.listdir(root)


# Expiry


def test_an_unused_entry_expires(root: Path) -> None:
    old, used, new = (key_of({"n": n}, ()) for n in range(3))
    long_ago = time.time() - 31 * 24 * 3600
    for key in (old, used):
        build(key, writing(1)).close()
        os.utime(root / key, (long_ago, long_ago))
    (root / "notes").mkdir()
    os.utime(root / "notes", (long_ago, long_ago))
    entry = find(used)
    assert entry is not None
    entry.close()
    build(new, writing(1)).close()
    assert sorted(os.listdir(root)) == sorted([used, new, "notes"])
