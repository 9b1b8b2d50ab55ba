"""What can be read only once can be read again."""

from __future__ import annotations

import gzip
import os
import pty
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from rnntext.errors import DataError, UsageError
from rnntext.text.formats import DataOptions
from rnntext.text.lines import read_lines
from rnntext.training.data.rereadable import rereadable
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
    with rereadable(paths, DataOptions()) as options:
        assert options == DataOptions()


def test_standard_input_is_read_again() -> None:
    with rereadable(["-"], DataOptions(), stdin=piped(TEXT)) as options:
        for _ in range(3):
            assert texts(["-"], options) == LINES


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
        with rereadable(paths, DataOptions()) as options:
            assert not options.copies[path].cut
            for _ in range(2):
                assert texts(paths, options) == ["a file", *LINES]
            # The errors of what is read again name the source.
            with pytest.raises(DataError, match=r"pipe.* has no column 'x'|pipe.* is not"):
                texts([path], DataOptions(text_column="x", copies=options.copies))


@posix
def test_a_copy_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with fifo(tmp_path / "pipe", TEXT) as path, rereadable([path], DataOptions()) as options:
        assert os.listdir(tmp_path / "tmp") == []
        descriptor = options.copies[path].descriptor
        os.fstat(descriptor)
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)


def test_what_can_be_read_once_is_named_once() -> None:
    again = rereadable(["-", "-"], DataOptions(), stdin=piped(TEXT))
    with pytest.raises(DataError, match="standard input is named twice and can be read"), again:
        pass


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_copying_ends_after_a_line_where_it_is_enough(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe may have no end. Of UTF-16 the end of a line is not looked for."""
    monkeypatch.setattr("rnntext.text.source.CHUNK_BYTES", 10)
    lines = [f"line {number:02}" for number in range(40)]
    answers: Any = chain([False] * 3, [True] * 99)
    options = DataOptions(encoding=encoding)
    content = "".join(f"{line}\n" for line in lines).encode(encoding)
    stdin = piped(content)
    with rereadable(["-"], options, lambda: next(answers), stdin) as again:
        assert again.copies["-"].cut == (encoding == "utf-8")
        found = texts(["-"], again)
    assert found == lines[: len(found)]
    assert 2 <= len(found) <= 6 if encoding == "utf-8" else len(found) == 40


@posix
def test_copying_ends_where_a_stream_goes_quiet_and_it_is_enough() -> None:
    reader, writer = os.pipe()
    os.write(writer, TEXT + b"not to its e")
    asked = 0

    def enough() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    try:
        with rereadable(["-"], DataOptions(), enough, reader) as options:
            assert options.copies["-"].cut
            assert texts(["-"], options) == LINES
    finally:
        os.close(writer)
        os.close(reader)


@posix
def test_nobody_has_to_type_a_text() -> None:
    master, slave = pty.openpty()
    try:
        again = rereadable(["-"], DataOptions(), stdin=slave)
        with pytest.raises(UsageError, match="name a file, or pipe text in"), again:
            pass
    finally:
        os.close(master)
        os.close(slave)


@posix
def test_no_room_for_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    again = rereadable(["-"], DataOptions(), stdin=piped(TEXT))
    with pytest.raises(DataError) as caught, again:
        pass
    assert str(caught.value) == (
        f"cannot write a copy of standard input to {tmp_path / 'nowhere'}: No such file or "
        "directory; free some space, or name another place with TMPDIR"
    )
