"""Bytes to lines: line ends, encodings, positions of bad bytes, gzip, and open pipes."""

from __future__ import annotations

import contextlib
import gzip
import os
import signal
import threading
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext.errors import DataError, UsageError
from rnntext.text import source
from rnntext.text.source import (
    BinaryDataError,
    Decoding,
    extension,
    file_text,
    for_message,
    peek_lines,
    read_byte_chunks,
    read_checked_bytes,
    read_line_blocks,
    source_name,
    visible_entries,
)

SAMPLE = "naïve café 你好 🙂"
# No byte-order mark, which is dropped at the start, and no half characters.
TEXT = st.text(
    st.one_of(
        st.sampled_from("\n\r\x0b\x0c\x85\u2028é好🙂"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff\0"),
    ),
    max_size=60,
)


def piped(data: bytes) -> int:
    """Return the reading end of a pipe that holds `data` and is closed at the other end."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


@contextlib.contextmanager
def standard_input(data: bytes) -> Iterator[None]:
    """Descriptor 0 is a pipe that holds `data`."""
    kept = os.dup(0)
    reader = piped(data)
    try:
        os.dup2(reader, 0)
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reader)


def lines_of(path: str, encoding: str = "utf-8", errors: str = "strict") -> list[str]:
    return list(chain.from_iterable(read_line_blocks(path, Decoding(encoding, errors))))


def lines_in(data: bytes, chunk: int = 1 << 18, encoding: str = "utf-8") -> list[str]:
    """Read `data` from a pipe, at most `chunk` bytes a read."""
    reader = piped(data)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(source, "CHUNK_BYTES", chunk)
            return list(chain.from_iterable(read_line_blocks("-", Decoding(encoding), reader)))
    finally:
        os.close(reader)


def expected_lines(text: str) -> list[str]:
    """An independent reference: split at LF, and drop one CR before it."""
    lines = []
    while "\n" in text:
        line, _, text = text.partition("\n")
        lines.append(line[:-1] if line[-1:] == "\r" else line)
    return [*lines, text] if text else lines


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ("", []),
        ("\n", [""]),
        (f"{SAMPLE}\n", [SAMPLE]),
        (SAMPLE, [SAMPLE]),
        ("a\n\n\nb", ["a", "", "", "b"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\rb\r\r\nc", ["a\rb\r", "c"]),
        ("a\r", ["a\r"]),
        ("a\x0cb\x0b\x1c\x85\u2028\u2029c\n", ["a\x0cb\x0b\x1c\x85\u2028\u2029c"]),
        ("\ufeffa\n\ufeffb\n", ["a", "\ufeffb"]),
        ("\ufeff", []),
        ("a\ufeffb", ["a\ufeffb"]),
    ],
)
def test_only_lf_and_crlf_end_a_line(data: str, lines: list[str]) -> None:
    assert lines_in(data.encode()) == lines
    assert lines_in(data.encode(), chunk=1) == lines


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32", "gb18030"])
@given(text=TEXT, chunk=st.integers(1, 9))
def test_lines_do_not_depend_on_the_reads(encoding: str, text: str, chunk: int) -> None:
    assert lines_in(text.encode(encoding), chunk, encoding) == expected_lines(text)


@given(
    before=TEXT, chunk=st.integers(1, 9), bad=st.sampled_from([b"\xff", b"\xc3(", b"\xe4\xbd\n"])
)
def test_a_bad_byte_is_named_by_line_offset_and_value(before: str, chunk: int, bad: bytes) -> None:
    good = before.encode()
    reader = piped(good + bad + b"after\n")
    read: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "CHUNK_BYTES", chunk)
        blocks = chain.from_iterable(read_line_blocks("-", Decoding(), reader))
        with pytest.raises(DataError) as caught:
            read.extend(blocks)
    os.close(reader)
    line = before.count("\n") + 1
    assert str(caught.value) == (
        f"standard input, line {line}, byte {len(good)} (0x{bad[0]:02X}) is not UTF-8: name the"
        " file's encoding with --encoding, or use --encoding-errors replace"
    )
    assert read == expected_lines(before[: before.rfind("\n") + 1])


def test_the_lines_before_a_bad_byte_are_whole_in_other_encodings() -> None:
    """Each read ends inside a character, whose first byte the second one needs."""
    reader = piped("你你\n".encode("gb18030") + b"\xff")
    read: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "CHUNK_BYTES", 3)
        blocks = chain.from_iterable(read_line_blocks("-", Decoding("gb18030"), reader))
        with pytest.raises(DataError, match=r"line 2, byte 5 \(0xFF\) is not gb18030"):
            read.extend(blocks)
    os.close(reader)
    assert read == ["你你"]


def test_a_character_cut_off_by_the_end_is_a_bad_byte() -> None:
    with pytest.raises(DataError, match=r"line 2, byte 3 \(0xF0\) is not UTF-8"):
        lines_in(b"ab\n\xf0\x9f\x99", chunk=1)


def test_offsets_in_other_encodings_and_the_replacing_of_bad_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("é\n".encode("utf-16") + b"\x00\xd8x\x00")
    with pytest.raises(DataError, match=r"a\.txt, line 2, byte 6 \(0x00\) is not utf-16"):
        lines_of(str(path), "utf-16")
    path.write_bytes(b"caf\xe9\n\xff")
    assert lines_of(str(path), "latin-1") == ["café", "ÿ"]
    assert lines_of(str(path), errors="replace") == ["caf\ufffd", "\ufffd"]
    path.write_bytes(b"a\x00b\x00")
    with pytest.raises(DataError, match=r"cannot be read as utf-16: .*BOM; name .*--encoding"):
        lines_of(str(path), "utf-16")


@pytest.mark.parametrize("name", ["no-such", "hex", "rot13", "undefined", "\u00e9"])
def test_an_unknown_encoding_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match=r"^--encoding .*no text encoding"):
        Decoding(name)


def test_an_unknown_error_handling_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"^--encoding-errors ignore: choose one of strict, rep"):
        Decoding(errors="ignore")


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-32"])
def test_a_wide_encoding_is_named(name: str) -> None:
    data = f"{SAMPLE}\n".encode(name)
    with pytest.raises(BinaryDataError, match=rf"seems to be UTF-\d\d, so say --encoding {name}$"):
        lines_in(data)
    assert lines_in(data, encoding=name) == [SAMPLE]


def test_an_encoding_of_seven_bits_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"ASCII\nmore " + "主人は\n".encode("iso-2022-jp"))
    blocks = chain.from_iterable(read_line_blocks(str(path), Decoding()))
    assert next(blocks) == "ASCII"  # lines before it are read
    with pytest.raises(DataError, match=r"a\.txt, line 2 seems to be ISO-2022-JP: say --encoding"):
        next(blocks)
    assert lines_of(str(path), "iso-2022-jp") == ["ASCII", "more 主人は"]
    # As it is, if it is said so, and where escape sequences are those of a terminal.
    assert lines_of(str(path), errors="replace")[1].startswith("more \x1b$B")
    assert lines_in(b"\x1b[31mred\x1b(B\n") == ["\x1b[31mred\x1b(B"]


def test_nul_bytes_near_the_start_mean_binary() -> None:
    with pytest.raises(BinaryDataError, match="standard input looks like a binary file"):
        lines_in(b"\x7fELF\0\0\0", chunk=2)
    with pytest.raises(BinaryDataError, match="--encoding utf-16"):
        lines_in("hello".encode("utf-16"))
    # A byte-order mark is one at the start alone.
    for data in (b"abcd\xff\xfe\0\0", b"a\0\xff\xfe"):
        with pytest.raises(BinaryDataError, match=r"\(NUL bytes\): name text files$"):
            lines_in(data, chunk=4)
    late = b"a" * source.BINARY_BYTES + b"\0"
    with pytest.raises(BinaryDataError):
        lines_in(late[1:], chunk=1000)
    for chunk in (1000, 1024):  # 1024: the first byte of a read
        with pytest.raises(DataError) as error:
            lines_in(late, chunk=chunk)
        assert not isinstance(error.value, BinaryDataError)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("chunk", [1, 1000, 1 << 18])
def test_a_nul_further_on_is_named_after_the_lines_before_it(encoding: str, chunk: int) -> None:
    text = "line\n" * 5000 + "a \0 nul\nlast"
    lines: list[str] = []
    with pytest.raises(DataError, match=r"^standard input, line 5001 has a NUL, .*: remove it"):
        lines.extend(chain.from_iterable(source_blocks(text.encode(encoding), encoding, chunk)))
    assert lines == ["line"] * 5000
    replaced = list(chain(*source_blocks(text.encode(encoding), encoding, chunk, "replace")))
    assert replaced[5000:] == ["a \ufffd nul", "last"]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("end", ["\n", "", "\r\n"])
def test_a_line_over_the_limit_is_named_after_the_lines_before_it(chunk: int, end: str) -> None:
    decoding = Decoding(max_line=10)
    for length in (9, 10):
        text = f"one\n{'é' * (length - end.count(chr(13)))}{end}"
        assert len(feed(text, decoding, chunk)) == 2
    lines: list[str] = []
    with pytest.raises(DataError) as error:
        feed(f"one\ntwo\n{'é' * 11}{end}", decoding, chunk, lines)
    assert str(error.value) == (
        "text, line 3 has more than 10 characters: cut it, or allow more with --max-line"
    )
    assert lines == ["one", "two"]


@pytest.mark.parametrize("chunk", [3, 1000])
@pytest.mark.parametrize(
    ("line", "advice"),
    [
        (' [ {"text": "one"}]', "write each object of the JSON array on a line of its own"),
        ("[laughs] one two", "cut it, or allow more with --max-line"),
    ],
)
def test_a_json_array_in_one_line_that_is_too_long(chunk: int, line: str, advice: str) -> None:
    with pytest.raises(DataError) as error:
        feed(f"{line}\n", Decoding(max_line=8), chunk)
    assert str(error.value).endswith(advice)
    assert "allow more with --max-line" in str(error.value)


def test_the_text_of_a_file_has_a_limit() -> None:
    blocks = [["ab", ""], [], ["cde"]]
    assert file_text(blocks, "f", 7) == "ab\n\ncde"
    with pytest.raises(DataError) as error:
        file_text(blocks, "f", 6)
    assert str(error.value).startswith("f has more than 6 characters: read it line by line, ")
    assert file_text([], "f", 1) == ""


def test_a_limit_that_is_no_number_of_characters() -> None:
    with pytest.raises(UsageError, match="--max-line must be a whole number from 1 to "):
        Decoding(max_line=0)


def test_what_never_ends_is_refused_before_it_is_copied() -> None:
    """A device of NULs, of random bytes, and one of letters without a line end."""
    decoding = Decoding(max_line=1 << 20)
    for unit, reason in (
        (b"\0", "binary file"),
        (b"\x81\xff", "is not UTF-8"),
        (b"a", "line 1 has more than"),
    ):
        reader, writer = os.pipe()
        with os.fdopen(writer, "wb", buffering=0) as file:
            thread = threading.Thread(target=write_until_closed, args=(file, unit * (1 << 16)))
            thread.start()
            taken: list[int] = []
            with pytest.raises(DataError, match=reason):
                taken.extend(map(len, read_checked_bytes("-", decoding, reader)))
            os.close(reader)
            thread.join(60)
            assert sum(taken) <= decoding.max_line


def write_until_closed(file: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):
        while True:
            file.write(data)


def test_compressed_bytes_are_passed_on_unseen(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(b"\x1f\x8b\0\0\xff")
    assert b"".join(read_checked_bytes(str(path), Decoding(), 0)) == b"\x1f\x8b\0\0\xff"


def feed(text: str, decoding: Decoding, chunk: int, lines: list[str] | None = None) -> list[str]:
    """The lines of a text that is read in chunks; also those before an error."""
    lines = [] if lines is None else lines
    decoder, data = source._LineDecoder("text", decoding), text.encode()
    for start in range(0, len(data), chunk):
        for block in decoder.feed(data[start : start + chunk]):
            lines += block
    for block in decoder.feed(b"", final=True):
        lines += block
    return lines


def source_blocks(
    data: bytes, encoding: str, chunk: int, errors: str = "strict"
) -> Iterator[list[str]]:
    decoder = source._LineDecoder("standard input", Decoding(encoding, errors))
    for start in range(0, len(data), chunk):
        yield from decoder.feed(data[start : start + chunk])
    yield from decoder.feed(b"", final=True)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file or directory; check its name"),
        (lambda path: path.mkdir(), "Is a directory; name the files in it"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
)
def test_what_cannot_be_opened_is_named(tmp_path: Path, make: object, reason: str) -> None:
    path = tmp_path / "a.txt"
    make(path)
    with pytest.raises(DataError) as caught:
        lines_of(str(path))
    assert str(caught.value) == f"{path} cannot be read: {reason}"


def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.touch(mode=0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    with pytest.raises(DataError, match=r"a\.txt cannot be read: Permission denied"):
        lines_of(str(path))


def test_a_name_that_would_break_the_line_is_escaped() -> None:
    with pytest.raises(DataError) as caught:
        lines_of("no\nsuch")
    assert (
        str(caught.value) == r"'no\nsuch' cannot be read: No such file or directory; check its name"
    )


def test_long_names_are_cut_after_200_characters() -> None:
    assert for_message("a" * 200) == "a" * 200
    assert for_message("a" * 201) == "a" * 199 + "…"
    assert for_message("a\t") == r"'a\t'"
    assert source_name("-") == "standard input"
    assert source_name("--") == "--"


def test_an_error_of_the_system_without_a_name_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(*_: object) -> bytes:
        raise OSError("the disk is gone")

    reader = piped(b"a\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", read)
        with pytest.raises(DataError, match=r"^standard input cannot be read: the disk is gone$"):
            list(read_line_blocks("-", Decoding(), reader))
    os.close(reader)


def test_entries_of_a_directory_are_sorted_and_hidden_ones_left_out(tmp_path: Path) -> None:
    names = [f"{number:02}." for number in range(30)]
    for name in [*names[::-1], ".hidden"]:
        (tmp_path / name).touch()
    assert [entry.name for entry in visible_entries(str(tmp_path))] == names
    missing = str(tmp_path / "none")
    with pytest.raises(DataError, match=f"^{missing} cannot be read: No such file or directory$"):
        visible_entries(missing)


def test_a_byte_order_mark_may_be_part_of_the_encodings_name(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\n")
    assert lines_of(str(path), "utf-8-sig") == ["a"]
    path.write_bytes(b"\xef\xbb\xbfa\n\xff")
    with pytest.raises(DataError, match=r"line 2, byte 5 \(0xFF\) is not UTF-8"):
        lines_of(str(path), "utf-8-sig")
    assert [Decoding(name).wide for name in ("utf-16", "utf-32-be", "utf-8", "utf-7")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_files_are_closed_and_standard_input_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a\n")
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        lines_of(str(path))
    assert os.listdir("/proc/self/fd") == before
    reader = piped(b"a\n")
    list(read_line_blocks("-", Decoding(), reader))
    os.close(reader)


def test_standard_input_is_descriptor_0() -> None:
    with standard_input(b"a\nb\n"):
        assert lines_of("-") == ["a", "b"]


def test_a_buffer_is_read_from_its_start_each_time(tmp_path: Path) -> None:
    with (tmp_path / "buffer").open("w+b") as file:
        file.write(b"a\nb\n")
        file.flush()
        for _ in range(2):
            blocks = read_line_blocks("a pipe", Decoding(), buffer=file.fileno())
            assert list(blocks) == [["a", "b"]]


@pytest.mark.parametrize("chunk", [1, 7, 1 << 18])
def test_gzip_members_and_padding(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "CHUNK_BYTES", chunk)
    path = tmp_path / "a.txt.GZ"
    long = "🙂" * 1000
    path.write_bytes(
        gzip.compress(f"{SAMPLE}\n{long}".encode()) + gzip.compress(b"!\n") + b"\0" * 20
    )
    assert lines_of(str(path)) == [SAMPLE, long + "!"]
    # No read of a file may block, not even one whose bytes give no text yet.
    assert [] not in read_line_blocks(str(path), Decoding())


@pytest.mark.parametrize("keep", [0, 5, 20, -9, -8, -1])
def test_gzip_cut_short(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"x" * 300)[:keep])
    with pytest.raises(DataError, match=r"a\.gz is cut short"):
        lines_of(str(path))


def test_gzip_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(b"plain text")
    with pytest.raises(DataError, match=r"a\.gz is not gzip data, or it is damaged"):
        lines_of(str(path))
    # Zeros belong after a member, not before it.
    path.write_bytes(b"\0\0" + gzip.compress(b"text"))
    with pytest.raises(DataError, match="damaged"):
        lines_of(str(path))
    # The same compression without the header of gzip.
    for content in (zlib.compress(b"text"), gzip.compress(b"text") + zlib.compress(b"more")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.gz is not gzip data, or it is damaged"):
            lines_of(str(path))
    data = bytearray(gzip.compress(b"some text\n"))
    data[-6] ^= 1  # in the checksum
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="damaged"):
        lines_of(str(path))


def test_an_open_pipe_gives_its_lines_and_announces_that_it_may_block() -> None:
    reader, writer = os.pipe()
    blocks = read_line_blocks("-", Decoding(), reader)
    assert next(blocks) == []  # the pipe is empty: the next read would block
    os.write(writer, f"{SAMPLE}\nhalf".encode())
    assert next(blocks) == [SAMPLE]
    assert next(blocks) == []
    os.write(writer, b" a line\n")
    os.close(writer)
    assert next(blocks) == ["half a line"]
    assert list(blocks) == []
    os.close(reader)


def test_what_waits_in_a_pipe_comes_at_once(tmp_path: Path) -> None:
    reader = piped(b"a\n")
    assert next(read_line_blocks("-", Decoding(), reader)) == ["a"]
    os.close(reader)
    # Opening a named pipe would wait for a writer.
    os.mkfifo(tmp_path / "pipe")
    assert next(read_line_blocks(str(tmp_path / "pipe"), Decoding())) == []
    # Compressed or not.
    chunks = [b"", gzip.compress(b"a\n"), b""]
    assert list(source._decompress(chunks, "pipe.gz")) == [b"", b"a\n", b""]


def test_it_is_told_before_the_first_wait_that_a_read_may_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []

    def wait_readable(_: int, seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) > 3

    monkeypatch.setattr(source, "_wait_readable", wait_readable)
    reader = piped(b"a\n")
    chunks = read_byte_chunks("-", "standard input", reader)
    assert next(chunks) == b""
    assert waits == [0]
    assert next(chunks) == next(chunks) == b""
    assert next(chunks) == b"a\n"
    assert waits[1:] == [source._POLL_SECONDS] * 3
    os.close(reader)


def test_a_file_never_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "CHUNK_BYTES", 2)
    path = tmp_path / "a.txt"
    path.write_text("a\nb\nc")
    assert list(read_line_blocks(str(path), Decoding())) == [["a"], ["b"], ["c"]]


def test_a_non_blocking_pipe_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_POLL_SECONDS", 0.001)
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    blocks = read_line_blocks("-", Decoding(), reader)
    assert [next(blocks) for _ in range(3)] == [[], [], []]  # each wait ends without input
    os.write(writer, b"late\n")
    os.close(writer)
    assert list(chain.from_iterable(blocks)) == ["late"]
    os.close(reader)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs signal masks of threads")
def test_ctrl_c_that_interrupts_no_system_call_is_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread receives the signal, so that it does not interrupt the wait for input. A
    signal that arrives just before the wait has the same effect."""
    reader, writer = os.pipe()
    waiting = threading.Event()
    wait_readable = source._wait_readable

    def tell_and_wait(descriptor: int, seconds: float) -> bool | None:
        if seconds:
            waiting.set()
        return wait_readable(descriptor, seconds)

    def press() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        waiting.wait()
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(source, "_wait_readable", tell_and_wait)
    chunks = read_byte_chunks("-", "standard input", reader)
    assert next(chunks) == b""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    thread = threading.Thread(target=press)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            assert not any(chunks)
    finally:
        waiting.set()
        thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(reader)
        os.close(writer)


def test_peek_gives_the_head_and_loses_nothing() -> None:
    def blocks() -> Iterator[list[str]]:
        yield from ([], ["", "a"], [" ", "b", "c"], ["d"])

    head, rest = peek_lines(blocks(), 2)
    assert head == ["a", "b"]
    assert list(rest) == [[], ["", "a"], [" ", "b", "c"], ["d"]]
    head, rest = peek_lines(blocks(), 9)
    assert head == ["a", "b", "c", "d"]
    assert list(rest) == [[], ["", "a"], [" ", "b", "c"], ["d"]]
    assert peek_lines(iter([["x"] * 30]))[0] == ["x"] * 20


def test_peek_reads_no_further_than_it_must() -> None:
    blocks = iter([["a"], ["b"], ["c"]])
    head, _ = peek_lines(blocks, 2)
    assert head == ["a", "b"]
    assert next(blocks) == ["c"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a.CSV", ".csv"), ("d.x/a.csv.gz", ".csv"), ("a.gz", ""), ("-", ""), ("a.b/c", "")],
)
def test_the_extension_before_gz(path: str, expected: str) -> None:
    assert extension(path) == expected
