"""Unlabelled texts in the encoded data: after the labelled ones, and never in validation."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rnntext.training.data import prepare
from rnntext.training.data.loading import Data
from rnntext.training.options import TrainingOptions
from rnntext.training.tasks.classifier import LabelledExamples
from tests.training.data.small_files import SAMPLE, all_rows, load_data, table, write

MORE = [f"{SAMPLE} more {number}" for number in range(25)]


@pytest.fixture
def data(tmp_path: Path) -> str:
    rows = [(f"{SAMPLE} {number}", "neg" if number % 3 else "pos") for number in range(60)]
    return table(tmp_path / "d.jsonl", rows)


def load(data: str, *unlabelled: str, **options: Any) -> Data[LabelledExamples]:
    options = {"tokenizer": "word", "distil": "teacher", "unlabelled": unlabelled, **options}
    keep = options.pop("keep", False)
    spent = options.pop("spent", lambda: 0.0)
    return load_data(TrainingOptions("classify", (data,), **options), keep=keep, spent=spent)


def texts(loaded: Data[LabelledExamples]) -> list[str]:
    rows = loaded.examples.train_texts
    return rows.read(range(len(rows.rows)))


@pytest.mark.parametrize("multi", [False, True])
def test_they_follow_the_labelled_texts_and_have_no_labels(
    multi: bool, data: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "more.txt", *MORE)
    loaded = load(data, path, multi_label=multi)
    without = load(data, multi_label=multi)
    assert texts(loaded) == [*texts(without), *MORE]
    rows, labelled = all_rows(loaded.examples.train), loaded.examples.labelled
    assert labelled == without.examples.labelled == 54
    assert [len(row) for row in rows.labels] == [1] * 54 + [0] * 25
    assert [row.tolist() for row in rows.labels[:54]] == [
        row.tolist() for row in all_rows(without.examples.train).labels
    ]
    decode = loaded.tokenizer.decode
    assert decode(rows.ids[-1]) == MORE[-1]  # the vocabulary is learned from them too
    assert [decode(row) for row in loaded.examples.valid.ids] == [
        without.tokenizer.decode(row) for row in without.examples.valid.ids
    ]
    assert replace(
        loaded.summary,
        characters=loaded.summary.characters - sum(map(len, MORE)),
        unlabelled=0,
        unlabelled_read=0,
        unlabelled_fingerprint="",
    ) == (without.summary)
    assert (loaded.summary.unlabelled, loaded.summary.unlabelled_read) == (25, 25)
    assert without.summary.unlabelled_fingerprint == ""


def test_several_files_are_read_in_order(data: str, tmp_path: Path) -> None:
    one, two = write(tmp_path / "1.txt", *MORE[:9]), write(tmp_path / "2.txt", *MORE[9:])
    assert texts(load(data, two, one))[54:] == [*MORE[9:], *MORE[:9]]


def test_near_duplicates_of_validation_texts_are_left_out(data: str, tmp_path: Path) -> None:
    without = load(data)
    valid = without.examples.valid_texts.read([0, 1])
    train = texts(without)[0]
    given = [MORE[0], valid[0], f"{valid[1].upper()}!", train, MORE[1]]
    loaded = load(data, write(tmp_path / "more.txt", *given))
    assert texts(loaded)[54:] == [MORE[0], train, MORE[1]]
    summary = loaded.summary
    assert (summary.unlabelled, summary.unlabelled_read, summary.unlabelled_left_out) == (3, 5, 2)


@pytest.mark.parametrize("named", [False, True])
def test_texts_of_groups_that_validation_has_are_left_out(named: bool, tmp_path: Path) -> None:
    def rows(name: str, films: range, start: int, **more: str) -> str:
        found = [
            {"text": f"{SAMPLE} {start + n}", "label": "np"[n % 2], "film": f"f{n % len(films)}"}
            for n in range(10 * len(films))
        ]
        return write(tmp_path / name, *(json.dumps({**row, **more}) for row in found))

    data = rows("d.jsonl", range(20), 0)
    options: dict[str, Any] = {"group_column": "film"}
    if named:
        options["valid"] = rows("v.jsonl", range(3), 900)
    valid = load(data, **options).examples.valid_texts
    of_valid = valid.read(range(len(valid.rows)))
    films = {"f0", "f1", "f2"}
    if not named:
        films = {f"f{int(text.rsplit(' ', 1)[1]) % 20}" for text in of_valid}
        assert 0 < len(films) < 20
    more = rows("u.jsonl", range(20), 5000)
    found = load(data, more, write(tmp_path / "u.txt", *MORE), **options)
    expected = [
        row["text"]
        for row in map(json.loads, Path(more).read_text("utf-8").splitlines())
        if row["film"] not in films
    ]
    # A file without the column says nothing of groups.
    assert texts(found)[found.examples.labelled :] == [*expected, *MORE]
    assert found.summary.unlabelled_left_out == 10 * len(films)
    # Without the option the column is one like any other.
    assert load(data, more).summary.unlabelled_left_out == 0


def test_the_format_of_the_labelled_data_tells_of_labels_in_lines(tmp_path: Path) -> None:
    rows = [f"__label__{'np'[n % 2]} {SAMPLE} {n}" for n in range(60)]
    data, more = write(tmp_path / "d.txt", *rows), [MORE[0], f"__label__n {MORE[1]}"]
    loaded = load(data, write(tmp_path / "more.txt", *more))
    assert texts(loaded)[54:] == MORE[:2]
    assert "__label__" not in loaded.tokenizer.to_json()
    csv = table(tmp_path / "d.jsonl", [(row[11:], row[9]) for row in rows])
    assert texts(load(csv, str(tmp_path / "more.txt")))[54:] == more


def test_the_cache_knows_their_bytes(data: str, tmp_path: Path) -> None:
    path = write(tmp_path / "more.txt", *MORE)
    first = load(data, path, keep=True)
    assert not first.encoded.reused
    again = load(data, path, keep=True)
    assert again.encoded.reused
    assert (texts(again), again.summary) == (texts(first), first.summary)
    assert again.examples.labelled == 54
    write(tmp_path / "more.txt", *MORE[:-1], "other")
    other = load(data, path, keep=True)
    assert not other.encoded.reused
    assert other.summary.unlabelled_fingerprint != first.summary.unlabelled_fingerprint
    # The same files in another role are other data.
    assert not load(data, data, keep=True).encoded.reused
    twice = TrainingOptions("classify", (data, data), tokenizer="word", distil="teacher")
    assert not load_data(twice, keep=True).encoded.reused


def test_the_cache_knows_the_files_of_a_directory(data: str, tmp_path: Path) -> None:
    folder = tmp_path / "unsup"
    folder.mkdir()
    write(folder / "1.txt", MORE[0])
    assert texts(load(data, str(folder), keep=True))[54:] == [MORE[0]]
    write(folder / "1.txt", MORE[1])
    assert texts(load(data, str(folder), keep=True))[54:] == [MORE[1]]


def clock(looks: int) -> Callable[[], float]:
    """A time budget that is spent at once after so many looks at it."""
    counted = itertools.count(1)
    return lambda: float(next(counted) > looks)


@pytest.mark.parametrize("phase", ["scan", "encoding"])
def test_a_part_that_time_allows_is_repeated(
    phase: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "CHUNK", 4)
    path = write(tmp_path / "more.txt", *MORE)
    found = [(looks, load(data, path, spent=clock(looks))) for looks in range(60)]
    # A clock that jumps cuts one phase short, the one that it jumps in.
    cuts = [
        (looks, cut)
        for looks, cut in found
        if cut.summary.unlabelled_cut and (cut.summary.unlabelled_read < 25) == (phase == "scan")
    ]
    assert len({cut.summary.unlabelled for _, cut in cuts}) > 2
    for looks, cut in cuts[1:3]:
        count = cut.summary.unlabelled
        assert 0 < count < 25
        assert cut.summary.train == cut.examples.labelled == 54
        assert texts(cut)[54:] == MORE[:count]
        assert cut.summary.part is None
        again = load(data, path, unlabelled_part=cut.summary.unlabelled_part)
        assert texts(again) == texts(cut)
        assert again.tokenizer.to_json() == cut.tokenizer.to_json()
        assert again.summary.unlabelled_part == cut.summary.unlabelled_part
        # A part is not kept for other runs.
        assert load(data, path, spent=clock(looks + 1), keep=True).encoded.place is None
    (whole,) = (cut for looks, cut in found if looks == 0)
    assert texts(whole)[54:] == MORE
