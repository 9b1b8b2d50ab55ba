"""Training data in the cache: what hits it, what misses it, and what is not kept."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnntext.errors import DataError
from rnntext.text import lines
from rnntext.text.tables import Row
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data import prepare
from rnntext.training.data.loading import Data
from rnntext.training.data.store import StreamWriter
from rnntext.training.options import TrainingOptions
from rnntext.training.tasks.base import get_task
from rnntext.training.tasks.classifier import LabelledExamples
from rnntext.training.tasks.language_model import TextExamples
from tests.training.data.small_files import (
    SAMPLE,
    all_rows,
    columns,
    language,
    load_data,
    story,
    table,
    texts,
    write,
)


def reviews(tmp_path: Path) -> str:
    rows = [(f"{SAMPLE} {number}", "ab"[number % 2]) for number in range(40)]
    return table(tmp_path / "reviews.jsonl", rows)


def treebank(tmp_path: Path) -> str:
    return columns(tmp_path / "bank.conll", *(f"naïve{n}/X 你好/Y 🙂/Z" for n in range(30)))


DATA: dict[str, Callable[[Path], str]] = {"lm": story, "classify": reviews, "tag": treebank}


def content(data: Data[Any]) -> list[Any]:
    """Return all training and validation data as plain values, which can be compared."""
    if isinstance(data.examples, TextExamples):
        parts: list[Any] = [
            data.examples.stream[:],
            data.examples.counts,
            *data.examples.valid,
            data.examples.valid_bytes,
        ]
    elif isinstance(data.examples, LabelledExamples):
        sides = (all_rows(data.examples.train), data.examples.valid)
        parts = [data.labels, *(part for side in sides for part in (*side.ids, *side.labels))]
    else:
        every = (*data.examples.train.read(range(len(data.examples.train))), *data.examples.valid)
        parts = [data.labels, *(x for s in every for x in (s.ids, s.first, s.last, s.tags))]
    plain = [part.tolist() if isinstance(part, np.ndarray) else part for part in parts]
    return [*plain, data.summary, data.tokenizer.to_json(), data.tokenizer.config]


def no_text(*_: object, **__: object) -> None:
    raise AssertionError("text was read or a tokenizer was trained")


@pytest.mark.parametrize("tokenizer", ["bpe", "word", "char", "byte"])
@pytest.mark.parametrize("task", DATA)
def test_the_second_run_reads_no_text(
    task: str, tokenizer: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainingOptions(task, (DATA[task](tmp_path),), tokenizer=tokenizer)
    fresh = load_data(options, keep=False)
    assert fresh.encoded.place is None
    assert not cache.exists()
    first = load_data(options)
    (entry,) = cache.iterdir()
    assert (first.encoded.place, first.encoded.reused) == (str(entry), False)
    monkeypatch.setattr(type(get_task(task)), "plan", no_text)
    second = load_data(options)
    assert (second.encoded.place, second.encoded.reused) == (str(entry), True)
    files = [path for path in entry.iterdir() if path.name != "entry.json"]
    assert second.encoded.size == sum(path.stat().st_size for path in files)
    assert content(fresh) == content(first) == content(second)


def kept(cache: Path) -> int:
    return len(list(cache.iterdir()))


@pytest.mark.parametrize(
    "changed",
    [
        {"tokenizer": "char"},
        {"vocab_size": 300},
        {"lowercase": True},
        {"min_frequency": 5},
        {"seed": 1},
        {"encoding": "latin-1"},
        {"encoding_errors": "replace"},
        {"format": "text"},
        {"part": (50, 20, 0)},
        {"valid": "itself"},
    ],
)
def test_options_that_change_the_data_miss_the_cache(
    changed: dict[str, Any], tmp_path: Path, cache: Path
) -> None:
    path = story(tmp_path)
    options = TrainingOptions("lm", (path,), tokenizer="bpe")
    if "valid" in changed:
        changed = {"valid": path}
    load_data(options)
    again = load_data(options.merged(changed))
    assert not again.encoded.reused
    assert kept(cache) == 2
    assert content(again) == content(load_data(options.merged(changed), keep=False))


@pytest.mark.parametrize(
    "changed", [{"epochs": 3}, {"hidden": 9}, {"threads": 1}, {"device": "cpu"}, {"minutes": 5.0}]
)
def test_other_options_hit_the_cache(changed: dict[str, Any], tmp_path: Path, cache: Path) -> None:
    options = TrainingOptions("lm", (story(tmp_path),))
    load_data(options)
    assert load_data(options.merged(changed)).encoded.reused


def test_with_a_validation_file_another_seed_hits_the_cache(tmp_path: Path) -> None:
    options = TrainingOptions("lm", (story(tmp_path),), valid=write(tmp_path / "v", SAMPLE))
    load_data(options)
    assert load_data(options.merged({"seed": 4})).encoded.reused


def test_the_same_file_in_another_directory_hits_the_cache(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    load_data(TrainingOptions("lm", (story(tmp_path),)))
    assert load_data(TrainingOptions("lm", (story(tmp_path / "other"),))).encoded.reused


def test_a_files_bytes_and_not_its_time_decide_whether_it_changed(tmp_path: Path) -> None:
    path = Path(story(tmp_path))
    before = path.stat()
    options = TrainingOptions("lm", (str(path),), tokenizer="byte")
    load_data(options)
    path.write_text(path.read_text("utf-8").replace("line 7\n", "line 8\n"), "utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert not load_data(options).encoded.reused
    os.utime(path, (1, 1))
    assert load_data(options).encoded.reused


def test_a_directory_changes_with_the_names_and_contents_of_its_data_files(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(5):
            write(tmp_path / "data" / label / f"{number}.txt", f"{SAMPLE} {label} {number}")
    options = TrainingOptions("classify", (str(tmp_path / "data"),), tokenizer="byte")
    load_data(options)
    write(tmp_path / "data" / "a" / "notes.md", "no example")
    assert load_data(options).encoded.reused
    (tmp_path / "data" / "a").rename(tmp_path / "data" / "c")
    renamed = load_data(options)
    assert isinstance(renamed.examples, LabelledExamples)
    assert not renamed.encoded.reused
    assert renamed.labels == ("b", "c")
    write(tmp_path / "data" / "c" / "9.txt", "new")
    assert not load_data(options).encoded.reused
    # Symbolic links to folders are followed.
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere" / "1.txt", "one")
    write(tmp_path / "elsewhere" / "2.txt", "two")
    (tmp_path / "data" / "d").symlink_to(tmp_path / "elsewhere")
    assert not load_data(options).encoded.reused
    write(tmp_path / "elsewhere" / "1.txt", "won")
    assert not load_data(options).encoded.reused


def test_data_cut_short_by_the_clock_are_not_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "CHUNK", 10)
    options = TrainingOptions("lm", (story(tmp_path),), tokenizer="byte")
    late = itertools.count(0.9, 0.1)
    cut = load_data(options, spent=lambda: next(late))
    assert cut.summary.cut_short
    assert (cut.encoded.place, cut.encoded.trouble) == (None, None)
    assert kept(cache) == 0
    whole = load_data(options)
    assert not whole.encoded.reused
    # A run without time for encoding uses what the cache has.
    assert content(load_data(options, spent=lambda: next(late))) == content(whole)


def test_a_file_that_grows_while_it_is_read_is_not_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run uses the bytes that were there at first."""
    path = story(tmp_path)
    options = TrainingOptions("lm", (path,), tokenizer="byte")
    wanted = load_data(options, keep=False)
    real = Tokenizer.train

    def train(*args: Any, **named: Any) -> Tokenizer:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{SAMPLE}\n" * 10)
        return real(*args, **named)

    monkeypatch.setattr(Tokenizer, "train", train)
    loaded = load_data(options)
    assert content(loaded) == content(wanted)
    assert kept(cache) == 0


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def swap(path: Path) -> None:
    other = path.with_name("other")
    other.write_text(path.read_text("utf-8") + "more text\n" * 9, "utf-8")
    os.replace(other, path)


def overwrite(path: Path) -> None:
    """With as much text, at another time."""
    with path.open("r+b") as file:
        file.write(b"X")
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("change", [shrink, swap, overwrite])
def test_a_text_that_changes_while_it_is_read_is_refused(
    change: Callable[[Path], None],
    keep: bool,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    path = Path(story(folder))
    options = TrainingOptions("lm", (str(folder),), tokenizer="byte")
    real = StreamWriter.append
    changed = False

    def append(*args: Any) -> None:
        nonlocal changed
        real(*args)
        if not changed:
            changed = True
            change(path)

    monkeypatch.setattr(StreamWriter, "append", append)
    with pytest.raises(DataError, match=r"text changed while it was read: start again, or train"):
        load_data(options, keep=keep)
    assert not keep or kept(cache) == 0


@pytest.mark.parametrize("task", DATA)
def test_a_resumed_run_hits_the_cache(task: str, tmp_path: Path, cache: Path) -> None:
    """It is given its own tokenizer; another tokenizer is another entry."""
    options = TrainingOptions(task, (DATA[task](tmp_path),), tokenizer="bpe")
    first = load_data(options)
    tokenizer = Tokenizer.load(first.tokenizer.to_json(), first.tokenizer.config)
    again = load_data(options, tokenizer)
    assert again.encoded.reused
    assert again.tokenizer is tokenizer
    assert content(again) == content(first)
    other = Tokenizer.train("char", [SAMPLE, "line 0123456789"], vocab_size=50)
    changed = [load_data(options, other) for _ in range(2)]
    assert [loaded.encoded.reused for loaded in changed] == [False, True]
    assert content(changed[0]) == content(changed[1]) != content(first)
    assert kept(cache) == 2


def test_the_same_text_from_another_pipe_hits_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(story(tmp_path)).read_bytes()
    loaded = []
    for _ in range(2):
        reader, writer = os.pipe()
        os.write(writer, text)
        os.close(writer)
        path = f"/dev/fd/{reader}"
        loaded.append(load_data(TrainingOptions("lm", (path,), tokenizer="byte")))
        os.close(reader)
    assert [data.encoded.reused for data in loaded] == [False, True]
    assert content(loaded[0]) == content(loaded[1])
    assert texts(loaded[0])[0] == texts(language(str(tmp_path / "text"), tokenizer="byte"))[0]


def test_remote_data_are_not_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(n, {"text": f"{SAMPLE} {n}"}) for n in range(60)]
    monkeypatch.setattr(lines, "read_remote", lambda *_, **__: iter(rows))
    loaded = language("hf:some/thing", tokenizer="byte")
    assert loaded.encoded.place is None
    assert loaded.summary.train + loaded.summary.valid == 60
    assert not cache.exists()
