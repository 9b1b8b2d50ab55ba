"""Loading of training data: how files are read and copied, what their key covers, and digests.

What hits the cache is in `test_loading_cache.py`; what the data become, in `test_prepare_text.py`
and `test_prepare_examples.py`.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from rnntext.text import lines
from rnntext.text.formats import DataOptions
from rnntext.text.tables import Row
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data import loading
from rnntext.training.data.loading import data_options, digest_of
from rnntext.training.options import TrainingOptions
from tests.training.data.small_files import SAMPLE, language, load_data, story, write


def test_every_option_that_says_how_files_are_read_is_handed_on() -> None:
    given = DataOptions(
        format="csv",
        text_column="body",
        label_column="stars",
        multi_label=True,
        label_separator=";",
        group_column="film",
        encoding="latin-1",
        encoding_errors="replace",
        split="test",
        max_line=77,
    )
    options = TrainingOptions(
        "classify",
        ("x",),
        format="csv",
        text_column="body",
        label_column="stars",
        multi_label=True,
        label_separator=";",
        group_column="film",
        encoding="latin-1",
        encoding_errors="replace",
        split="test",
        max_line=77,
    )
    assert data_options(options) == given
    assert data_options(TrainingOptions("tag", ("x",), tag_column="pos")) == DataOptions(
        tag_column="pos"
    )
    assert data_options(TrainingOptions("classify", ("x",))) == DataOptions()


@pytest.mark.parametrize(("spent", "whole"), [(0.1, True), (0.101, False)])
def test_a_pipe_is_copied_for_a_tenth_of_the_time(
    spent: float, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnntext.text.source.CHUNK_BYTES", 100)
    reader, writer = os.pipe()
    os.write(writer, Path(story(tmp_path, 60)).read_bytes())
    os.close(writer)
    options = TrainingOptions("lm", (f"/dev/fd/{reader}",), tokenizer="byte", valid=story(tmp_path))
    loaded = load_data(options, spent=lambda: spent)
    os.close(reader)
    assert (loaded.summary.read == 60, loaded.summary.cut_short) == (whole, not whole)


def test_a_piped_validation_text_is_copied_too(tmp_path: Path) -> None:
    """It is read twice: to encode it, and for the key of the data."""
    reader, writer = os.pipe()
    os.write(writer, SAMPLE.encode() + b"\n")
    os.close(writer)
    loaded = language(story(tmp_path), valid=f"/dev/fd/{reader}", tokenizer="byte")
    os.close(reader)
    assert loaded.summary.valid == 1
    assert loaded.encoded.place is not None


def test_a_file_beside_remote_data_does_not_make_them_known(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(n, {"text": f"{SAMPLE} {n}"}) for n in range(60)]
    monkeypatch.setattr(lines, "read_remote", lambda *_, **__: iter(rows))
    # A file of the same name says nothing about them.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hf:some").mkdir()
    write(tmp_path / "hf:some" / "thing", "text")
    loaded = language("hf:some/thing", valid=write(tmp_path / "v", SAMPLE), tokenizer="byte")
    assert loaded.encoded.place is None
    assert not cache.exists()
    # `hf:` is a remote data set at the start of a name alone.
    local = tmp_path / "thing.hf:"
    write(local, *(f"{SAMPLE} {n}" for n in range(60)))
    assert language(str(local), tokenizer="byte").encoded.place is not None


def test_a_directory_is_the_same_with_a_slash_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "texts").mkdir()
    story(tmp_path / "texts")
    monkeypatch.chdir(tmp_path)
    paths = ["texts", "texts/", "./texts//", str(tmp_path / "texts"), f"{tmp_path}/texts/"]
    found = [language(path, tokenizer="byte").encoded.reused for path in paths]
    assert found == [False, True, True, True, True]


def test_an_entry_of_another_tokenizer_is_closed(tmp_path: Path) -> None:
    options = TrainingOptions("lm", (story(tmp_path),), tokenizer="byte")
    load_data(options)
    other = Tokenizer.train("char", [SAMPLE], vocab_size=50)
    load_data(options, other)
    before = len(os.listdir("/proc/self/fd"))
    kept = [load_data(options, other) for _ in range(3)]
    # Each keeps the one file that it reads from.
    assert len(os.listdir("/proc/self/fd")) <= before + 3
    assert all(loaded.encoded.reused for loaded in kept)


def test_a_digest_covers_the_rows_their_lengths_and_the_suffix() -> None:
    def digest(*rows: list[int], suffix: tuple[bytes, ...] = (), dtype: str = "int32") -> str:
        return digest_of([np.array(row, dtype) for row in rows], suffix)

    different = [
        digest([1, 2], [3]),
        digest([1], [2, 3]),
        digest([1, 2, 3]),
        digest([1, 2, 4]),
        digest([3], [1, 2]),
        digest([1, 2, 3], []),
        digest(),
        digest(suffix=(b"x",)),
        digest([1, 2], [3], suffix=(b"x",)),
    ]
    assert len(set(different)) == len(different)
    # The type of the rows is the cache's choice, and says nothing about the data.
    assert digest([1, 2], [3], dtype="int64") == digest([1, 2], [3], dtype="uint16") == different[0]


def test_a_digest_ends_once_its_share_of_the_time_is_exceeded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its first reads are made in any case, and the time for others begins with them."""
    monkeypatch.setattr(loading, "_FREE_READS", 3)
    for start, last in ((0.0, 0.05), (0.2, 0.22)):
        now = [start]
        check = loading._digest_limit(lambda now=now: now[0])
        for _ in range(3):
            check()
        now[0] = last
        check()
        now[0] = last + 0.001
        with pytest.raises(TimeoutError):
            check()
    busy = loading._digest_limit(lambda: pytest.fail("the time was asked for"))
    busy()
    busy()


def test_data_without_time_for_a_digest_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_FREE_READS", 0)
    options = TrainingOptions("lm", (story(tmp_path),), tokenizer="byte")
    answers = itertools.chain([0.0, 0.9], itertools.repeat(0.0))
    monkeypatch.setattr("rnntext.files._CHUNK", 16)
    assert load_data(options, keep=True, spent=lambda: next(answers)).encoded.place is None
    assert load_data(options, keep=True).encoded.place is not None
