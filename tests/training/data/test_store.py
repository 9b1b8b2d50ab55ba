"""Numbers on disk: slices equal what was written, and reading them holds no memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext.errors import DataError
from rnntext.training.data import store
from rnntext.training.data.store import (
    Array,
    RaggedArray,
    RaggedArrayWriter,
    Stream,
    StreamWriter,
    counts_of,
    id_type,
)


def new_file() -> BinaryIO:
    return tempfile.TemporaryFile()


def stream_of(pieces: Sequence[Sequence[int]], dtype: Any) -> Stream:
    file = new_file()
    writer = StreamWriter(file, dtype)
    for piece in pieces:
        writer.append(np.array(piece, np.int64))
    assert writer.length == sum(map(len, pieces))
    file.flush()
    return Stream(file, dtype)


NUMBERS = st.lists(st.lists(st.integers(0, 65_535), max_size=5), max_size=5)


@pytest.mark.parametrize("has_pread", [True, False])
@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64])
@given(pieces=NUMBERS, start=st.integers(0, 30), stop=st.integers(0, 30))
def test_a_window_is_a_slice(
    dtype: Any, has_pread: bool, pieces: list[list[int]], start: int, stop: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not has_pread:
            patch.delattr(os, "pread", raising=False)
        stream = stream_of(pieces, dtype)
        whole = np.array([number for piece in pieces for number in piece], np.int64)
        assert len(stream) == len(whole)
        assert stream[start:stop].tolist() == whole[start:stop].tolist()
        assert stream[:].tolist() == whole.tolist()
        # uint16 is read as int32.
        assert stream[:].dtype == (np.int32 if dtype == np.uint16 else dtype)
        stream[:][:1] = 7  # a slice is a copy
        assert stream[:].tolist() == whole.tolist()


@pytest.mark.parametrize(
    ("size", "dtype"), [(2, np.uint16), (65_536, np.uint16), (65_537, np.int32)]
)
def test_the_narrowest_type_holds_every_id(size: int, dtype: Any) -> None:
    assert id_type(size) == dtype
    assert stream_of([[size - 1]], id_type(size))[:].tolist() == [size - 1]


def test_a_file_is_closed_with_its_stream() -> None:
    file = new_file()
    stream = Stream(file, np.int32)
    assert not file.closed
    del stream
    assert file.closed


def test_a_file_that_is_truncated_while_it_is_read() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(40))
        file.flush()
        stream = Stream(file, np.int32)
        assert len(stream[:]) == 10
        file.truncate(20)
        assert len(stream[:5]) == 5
        with pytest.raises(DataError, match="was cut short while it was in use: run again"):
            stream[3:7]


ROWS = st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=9)


def rows_of(chunks: list[list[list[int]]]) -> RaggedArray:
    files = [new_file(), new_file()]
    writers = [StreamWriter(file, dtype) for file, dtype in zip(files, ["<u2", "<i8"], strict=True)]
    writer = RaggedArrayWriter(*writers)
    for chunk in chunks:
        writer.extend([np.array(row, np.int32) for row in chunk])
    for file in files:
        file.flush()
    return RaggedArray(Stream(files[0], "<u2"), Stream(files[1], "<i8"))


@given(chunks=st.lists(ROWS, max_size=4), start=st.integers(0, 9), stop=st.integers(0, 9))
def test_rows_are_what_was_written(chunks: list[list[list[int]]], start: int, stop: int) -> None:
    given_rows = [row for chunk in chunks for row in chunk]
    in_memory = RaggedArray.from_arrays([np.array(row, np.int32) for row in given_rows])
    for rows in (rows_of(chunks), in_memory):
        assert len(rows) == len(given_rows)
        assert [row.tolist() for row in rows] == given_rows
        for number in range(len(given_rows)):
            assert rows[number].tolist() == given_rows[number]
        lengths = list(map(len, given_rows))
        assert rows.lengths().tolist() == lengths
        if start <= stop <= len(rows):
            assert rows.lengths(start, stop).tolist() == lengths[start:stop]


def test_selected_rows_are_those_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_WINDOW", 2)
    chunks = [[[1, 2], [], [3]], [[4, 5, 6], [7], [8, 9, 10, 11]]]
    rows = rows_of(chunks)
    assert rows.size() == 11
    some = rows.select(np.array([0, 1, 3, 5]))
    expected = [[1, 2], [], [4, 5, 6], [8, 9, 10, 11]]
    assert (len(some), some.size()) == (4, 9)
    assert [row.tolist() for row in some] == expected
    assert some[2].tolist() == expected[2]
    assert some.lengths().tolist() == [2, 0, 3, 4]
    assert some.lengths(1, 3).tolist() == [0, 3]
    assert some.lengths(2).tolist() == [3, 4]
    nothing = rows.select(np.array([], np.int64))
    assert (len(nothing), nothing.size(), nothing.lengths().tolist()) == (0, 0, [])


def test_numbers_are_counted_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_WINDOW", 10)
    numbers: Array = np.random.default_rng(0).integers(6, size=37)
    counts = counts_of(stream_of([numbers.tolist()], np.uint16), 8)
    assert counts.tolist() == np.bincount(numbers, minlength=8).tolist()


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_slices_that_were_read_are_not_held() -> None:
    """Two hundred megabytes are read in slices: a memory map would hold all of them."""
    # Not ru_maxrss, which a child process inherits from its parent: a large parent would hide it.
    script = """
        import re, tempfile
        import numpy as np
        from rnntext.training.data.store import Stream, StreamWriter

        def peak():
            status = open("/proc/self/status").read()
            return int(re.search(r"VmHWM:\\s*(\\d+) kB", status)[1]) / 1e3

        file = tempfile.TemporaryFile()
        writer = StreamWriter(file, np.uint16)
        for _ in range(100):
            writer.append(np.ones(1_000_000, np.int32))
        file.flush()
        stream, before = Stream(file, np.uint16), peak()
        assert sum(int(stream[a : a + 100_000].sum()) for a in range(0, 10**8, 100_000)) == 10**8
        print(peak() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(found.stdout) < 20
