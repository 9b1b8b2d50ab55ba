"""Bytes to lines: the one place that opens a text file, decodes it and finds its line ends.

Knows: files, standard input, gzip, encodings, the byte-order mark, what ends a line, and where
a bad byte stands. Does not know: what a line means.

Everything comes in blocks, a list of lines for each read, so that what has arrived can be used
while a pipe stays open. An empty block says that the next read may have to wait.
"""

from __future__ import annotations

import codecs
import os
import select
import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from rnntext.errors import DataError, UsageError

STDIN = "-"
ENCODING_ERRORS = ("strict", "replace")
CHUNK_BYTES = 1 << 18
_PATIENCE = 0.25  # seconds until a wait for input is begun anew
BINARY_BYTES = 8192  # how much of a file is searched for NUL bytes, as grep and git do


class BinaryDataError(DataError):
    """The file holds NUL bytes near its start and so is no text in the named encoding."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How bytes become text; raises UsageError for an encoding nobody knows."""

    encoding: str = "utf-8"
    errors: str = "strict"

    def __post_init__(self) -> None:
        if self.errors not in ENCODING_ERRORS:
            raise UsageError(
                f"--encoding-errors {self.errors}: choose one of {', '.join(ENCODING_ERRORS)}"
            )
        try:
            # A space, because an empty string is "decoded" without asking the codec.
            b" ".decode(self.encoding, "replace")
        except (LookupError, UnicodeError, ValueError) as error:
            raise UsageError(
                f"--encoding {printable(self.encoding)}: no text encoding has this name"
                " (utf-8, latin-1, cp1252, utf-16 and gb18030 are some)"
            ) from error

    @property
    def codec(self) -> str:
        """Python's name of the codec; `utf-8-sig` is `utf-8`, as every BOM is dropped here."""
        name = codecs.lookup(self.encoding).name
        return "utf-8" if name == "utf-8-sig" else name

    @property
    def wide(self) -> bool:
        """Whether NUL bytes are usual in text of this encoding."""
        return self.codec.startswith(("utf-16", "utf-32"))


def printable(text: str) -> str:
    """`text` as it may stand in a one-line message: odd characters escaped, long text cut."""
    text = text if len(text) <= 200 else text[:199] + "…"
    return text if text.isprintable() else repr(text)


def source_name(path: str) -> str:
    """The name of `path` in messages."""
    return "standard input" if path == STDIN else printable(path)


def extension(path: str) -> str:
    """The lower-case extension of `path` with its dot, seen through `.gz`: `a.CSV.gz` is `.csv`."""
    return os.path.splitext(path.lower().removesuffix(".gz"))[1]


def read_blocks(
    path: str, decoding: Decoding, stdin: int = 0, copy: int | None = None
) -> Iterator[list[str]]:
    """Yield the lines of `path` without their line ends, a list for each read.

    Only LF or CRLF ends a line; a last line needs neither; an empty file has no lines. An empty
    list says that the next read may have to wait. `-` reads the file descriptor `stdin`; where
    `copy` is given, that descriptor is read from its start in place of either. Raises DataError
    for a source that cannot be read or decoded, after the lines before the bad byte.
    """
    name = source_name(path)
    chunks = read_chunks(path, name, stdin) if copy is None else _read_again(copy)
    if path.lower().endswith(".gz"):
        chunks = _decompress(chunks, name)
    decoder = _LineDecoder(name, decoding)
    for chunk in chunks:
        if chunk:
            yield from decoder.feed(chunk)
        else:
            yield []
    yield from decoder.feed(b"", final=True)


def peek(blocks: Iterator[list[str]], count: int = 20) -> tuple[list[str], Iterator[list[str]]]:
    """Return the first `count` lines that are not blank, and all the blocks from the start."""
    taken: list[list[str]] = []
    head: list[str] = []
    for block in blocks:
        taken.append(block)
        head += (line for line in block if line.strip())
        if len(head) >= count:
            break
    return head[:count], chain(taken, blocks)


def file_text(blocks: Iterable[list[str]]) -> str:
    """Join the lines of one source with LF, which drops exactly one final line end."""
    return "\n".join(chain.from_iterable(blocks))


def _failure(name: str, error: OSError) -> DataError:
    reason = error.strerror or str(error)
    if isinstance(error, IsADirectoryError):
        reason += "; name the files in it"
    if isinstance(error, FileNotFoundError):
        reason += "; check its name"
    return DataError(f"{name} cannot be read: {reason}")


def _read_again(copy: int) -> Iterator[bytes]:
    os.lseek(copy, 0, os.SEEK_SET)
    while chunk := os.read(copy, CHUNK_BYTES):
        yield chunk


def read_chunks(path: str, name: str, stdin: int) -> Iterator[bytes]:
    """Yield what each read of `path` brings; b"" says that the next step may have to wait, and
    while it does says so again and again."""
    if path != STDIN and not os.path.isfile(path):
        yield b""  # opening a named pipe waits for its writer
    try:
        # O_BINARY exists on Windows alone, which would else rewrite line ends.
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
        descriptor = stdin if path == STDIN else os.open(path, flags)
    except OSError as error:
        raise _failure(name, error) from error
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        while True:
            if not regular and not _ready(descriptor, 0):
                yield b""
                # A signal that comes just before a wait does not end it: Python has it act after.
                while _ready(descriptor, _PATIENCE) is False:
                    yield b""
            try:
                chunk = os.read(descriptor, CHUNK_BYTES)
            except BlockingIOError:
                continue  # another program that shares the terminal or pipe made it non-blocking
            if not chunk:
                return
            yield chunk
    except OSError as error:
        raise _failure(name, error) from error
    finally:
        if path != STDIN:
            os.close(descriptor)


def _ready(descriptor: int, seconds: float) -> bool | None:
    """Whether a read, after waiting at most so long, has something; None where nobody can tell."""
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    except (OSError, ValueError):  # Windows asks sockets only; or the number is too high
        return None


def _decompress(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Decompress gzip members as their bytes arrive, at most CHUNK_BYTES at a time."""
    member = zlib.decompressobj(wbits=31)
    inside = False
    members = 0
    for chunk in chunks:
        if not chunk:
            yield chunk
        while chunk:
            if not inside and members:
                chunk = chunk.lstrip(b"\0")  # padding between and after members is allowed
                if not chunk:
                    break
            inside = True
            try:
                text = member.decompress(chunk, CHUNK_BYTES)
            except zlib.error as error:
                raise DataError(
                    f"{name} is not gzip data, or it is damaged: pack it again"
                ) from error
            if text:
                yield text
            chunk = member.unconsumed_tail
            if member.eof:
                chunk = member.unused_data
                member = zlib.decompressobj(wbits=31)
                inside = False
                members += 1
    if inside or not members:
        raise DataError(f"{name} is cut short, its gzip data has no end: get it again, whole")


class _LineDecoder:
    """Bytes in pieces of any size to lines; knows the line and offset of every byte."""

    def __init__(self, name: str, decoding: Decoding) -> None:
        self._name = name
        self._decoding = decoding
        self._decoder = codecs.getincrementaldecoder(decoding.codec)(decoding.errors)
        self._offset = 0  # bytes seen
        self._line = 1  # number of the line being read
        self._line_pieces: list[str] = []  # the line being read, one piece a read
        self._at_start = True

    def feed(self, data: bytes, *, final: bool = False) -> Iterator[list[str]]:
        if not self._decoding.wide and b"\0" in data[: max(0, BINARY_BYTES - self._offset)]:
            raise self._binary_error(data)
        state = self._decoder.getstate()
        pending = len(state[0])  # bytes of a character whose end had not arrived
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            # The lines before the bad byte are good, and are answered before it is reported.
            self._decoder.setstate(state)
            yield from self._split(self._decoder.decode(data[: max(0, error.start - pending)]))
            raise self._byte_error(error, self._offset - pending) from error
        except UnicodeError as error:
            raise DataError(
                f"{self._name} cannot be read as {self._decoding.encoding}: {error};"
                " name the file's encoding with --encoding"
            ) from error
        self._offset += len(data)
        yield from self._split(text)
        if final and (last := "".join(self._line_pieces)):
            yield [last]

    def _split(self, text: str) -> Iterator[list[str]]:
        if text and self._at_start:
            text = text.removeprefix("\ufeff")
            self._at_start = False
        # str.splitlines would also split at U+0085, U+2028, form feeds and lone CRs.
        lines = text.split("\n")
        self._line_pieces.append(lines[0])
        if len(lines) > 1:
            lines[0] = "".join(self._line_pieces)
            self._line_pieces = [lines.pop()]
            self._line += len(lines)
            yield [line.removesuffix("\r") for line in lines]

    def _byte_error(self, error: UnicodeDecodeError, first: int) -> DataError:
        encoding = "UTF-8" if self._decoding.codec == "utf-8" else self._decoding.encoding
        return DataError(
            f"{self._name}, line {self._line}, byte {first + error.start}"
            f" (0x{error.object[error.start]:02X}) is not {encoding}: name the file's encoding"
            " with --encoding, or use --encoding-errors replace"
        )

    def _binary_error(self, data: bytes) -> BinaryDataError:
        hint = "name text files"
        if self._offset == 0 and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            hint = "if it is UTF-16, say --encoding utf-16"
        return BinaryDataError(f"{self._name} looks like a binary file (NUL bytes): {hint}")
