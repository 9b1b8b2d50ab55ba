"""Standard input and pipes can be read several times once they are buffered."""

from __future__ import annotations

import gzip
import os
import pty
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from rnntext.errors import DataError, UsageError
from rnntext.text.formats import DataOptions
from rnntext.text.lines import read_lines
from rnntext.training.data.buffering import buffer_sources
from tests.text.test_source import piped

posix = pytest.mark.skipif(os.name == "nt", reason="needs named pipes")
LINES = ["naïve café", "", "你好 🙂"]
TEXT = "".join(f"{line}\n" for line in LINES).encode()


def texts(paths: list[str], options: DataOptions) -> list[str]:
    return [line.text for line in read_lines(paths, options)]


@contextmanager
def fifo(path: Path, content: bytes) -> Iterator[str]:
    """A named pipe into which `content` is written once."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    yield str(path)
    writer.join()


def test_files_are_read_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(TEXT)
    paths = [str(tmp_path / "a"), str(tmp_path), "hf:name", str(tmp_path / "missing")]
    with buffer_sources(paths, DataOptions()) as options:
        assert options == DataOptions()


def test_standard_input_is_read_again() -> None:
    with buffer_sources(["-"], DataOptions(), stdin=piped(TEXT)) as options:
        for _ in range(3):
            assert texts(["-"], options) == LINES


@posix
def test_standard_input_is_descriptor_0() -> None:
    kept = os.dup(0)
    try:
        os.dup2(piped(TEXT), 0)
        with buffer_sources(["-"], DataOptions()) as options:
            assert texts(["-"], options) == LINES
    finally:
        os.dup2(kept, 0)
        os.close(kept)


@posix
@pytest.mark.parametrize("name", ["pipe", "pipe.gz", "pipe.jsonl"])
def test_a_pipe_is_read_again_as_what_it_is(name: str, tmp_path: Path) -> None:
    content = {
        "pipe": TEXT,
        "pipe.gz": gzip.compress(TEXT),
        "pipe.jsonl": b"".join(b'{"text": "%s"}\n' % line.encode() for line in LINES),
    }[name]
    (tmp_path / "file").write_bytes(b"a file\n")
    with fifo(tmp_path / name, content) as path:
        paths = [str(tmp_path / "file"), path]
        with buffer_sources(paths, DataOptions()) as options:
            assert not options.buffered_sources[path].truncated
            for _ in range(2):
                assert texts(paths, options) == ["a file", *LINES]
            # Errors name the source, not its buffer.
            with pytest.raises(DataError, match=r"pipe.* has no column 'x'|pipe.* is not"):
                texts([path], replace(options, text_column="x"))


@posix
def test_a_buffer_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with fifo(tmp_path / "pipe", TEXT) as path, buffer_sources([path], DataOptions()) as options:
        assert os.listdir(tmp_path / "tmp") == []
        descriptor = options.buffered_sources[path].descriptor
        os.fstat(descriptor)
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)


def test_a_non_seekable_source_may_be_named_once() -> None:
    again = buffer_sources(["-", "-"], DataOptions(), stdin=piped(TEXT))
    with pytest.raises(DataError, match="standard input is named twice and can be read"), again:
        pass


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_buffering_stops_after_a_complete_line(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe may have no end. UTF-16 is buffered whole: its line ends are not searched for."""
    monkeypatch.setattr("rnntext.text.source.CHUNK_BYTES", 10)
    lines = [f"line {number:02}" for number in range(40)]
    stop: Any = chain([False] * 3, [True] * 99)
    options = DataOptions(encoding=encoding)
    content = "".join(f"{line}\n" for line in lines).encode(encoding)
    stdin = piped(content)
    with buffer_sources(["-"], options, lambda: next(stop), stdin) as again:
        assert again.buffered_sources["-"].truncated == (encoding == "utf-8")
        found = texts(["-"], again)
    assert found == lines[: len(found)]
    assert 2 <= len(found) <= 6 if encoding == "utf-8" else len(found) == 40


@posix
@pytest.mark.parametrize("name", ["pipe.gz", "PIPE.GZ"])
def test_a_compressed_pipe_is_buffered_whole(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte of value 10 may be anywhere in it."""
    monkeypatch.setattr("rnntext.text.source.CHUNK_BYTES", 10)
    lines = [f"line {number} \n" for number in range(60)]
    content = gzip.compress("".join(lines).encode(), compresslevel=0)
    assert content.count(b"\n") >= 60
    with fifo(tmp_path / name, content) as path:  # noqa: SIM117
        with buffer_sources([path], DataOptions(), lambda: True) as options:
            assert not options.buffered_sources[path].truncated
            assert len(texts([path], options)) == 60


def test_buffering_does_not_stop_inside_the_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnntext.text.source.CHUNK_BYTES", 10)
    for text, truncated in (("a line longer than a chunk", False), ("one line\nand another", True)):
        stdin = piped(text.encode())
        with buffer_sources(["-"], DataOptions(), lambda: True, stdin) as options:
            assert options.buffered_sources["-"].truncated == truncated
            assert texts(["-"], options) == [text.split("\n")[0]]


@posix
def test_buffering_can_stop_while_the_source_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnntext.text.source._POLL_SECONDS", 0.001)
    reader, writer = os.pipe()
    os.write(writer, TEXT + b"an unfinished l")
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls > 3

    try:
        with buffer_sources(["-"], DataOptions(), stop, reader) as options:
            assert options.buffered_sources["-"].truncated
            assert texts(["-"], options) == LINES
    finally:
        os.close(writer)
        os.close(reader)


@posix
def test_a_terminal_is_refused() -> None:
    master, slave = pty.openpty()
    try:
        again = buffer_sources(["-"], DataOptions(), stdin=slave)
        with pytest.raises(UsageError, match="name a file, or pipe text in"), again:
            pass
    finally:
        os.close(master)
        os.close(slave)


@posix
def test_a_buffer_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    again = buffer_sources(["-"], DataOptions(), stdin=piped(TEXT))
    with pytest.raises(DataError) as caught, again:
        pass
    assert str(caught.value) == (
        f"cannot write a copy of standard input to {tmp_path / 'nowhere'}: No such file or "
        "directory; name another place with TMPDIR"
    )
