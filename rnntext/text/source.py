"""Bytes to lines: opens text files, decodes them and splits them at line ends.

Knows: files, directories, standard input, gzip, encodings, the byte-order mark, line ends, and the
line and offset of a byte that cannot be decoded. Does not know: the meaning of a line.

Lines are yielded in blocks, one list of lines per read, so that a caller can use the lines that
have arrived while a pipe stays open. An empty block announces that the next read may block.
"""

from __future__ import annotations

import codecs
import os
import re
import select
import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from rnntext.arguments import DEFAULT_LONGEST_LINE, LINE
from rnntext.errors import DataError, UsageError
from rnntext.text.encoding_guess import escaped_encoding, wide_encoding

_OBJECTS = re.compile(r"\s*\[\s*\{")  # how a JSON array of objects begins
STDIN = "-"
ENCODING_ERRORS = ("strict", "replace")
CHUNK_BYTES = 1 << 18
_POLL_SECONDS = 0.25  # longest single wait for input, so that a pending signal is handled
# Bytes at the start of a file; a NUL among them makes it binary, as for grep and git.
BINARY_BYTES = 8192


class BinaryDataError(DataError):
    """Raised for a file with NUL bytes near its start: not text in the named encoding."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Encoding and error handling; raises UsageError for an unknown encoding."""

    encoding: str = "utf-8"
    errors: str = "strict"
    # Characters of the longest line. A line is held in memory until it ends, and what was written
    # to a pipe by mistake may never end one.
    max_line: int = DEFAULT_LONGEST_LINE
    # Bytes that cannot be decoded become lone surrogates, and a NUL stays, so that the reader can
    # refuse their line alone; see `not_text`.
    keep_bad: bool = False

    def __post_init__(self) -> None:
        if self.errors not in ENCODING_ERRORS:
            raise UsageError(
                f"--encoding-errors {self.errors}: choose one of {', '.join(ENCODING_ERRORS)}"
            )
        LINE.check("--max-line", self.max_line)
        try:
            # Python returns "" for an empty string without calling the codec, so decode a space.
            b" ".decode(self.encoding, "replace")
        except (LookupError, UnicodeError, ValueError) as error:
            raise UsageError(
                f"--encoding {for_message(self.encoding)}: no text encoding has this name"
                " (utf-8, latin-1, cp1252, utf-16 and gb18030 are some)"
            ) from error

    @property
    def codec(self) -> str:
        """Python's codec name; `utf-8-sig` becomes `utf-8` because `_LineDecoder` drops any BOM."""
        name = codecs.lookup(self.encoding).name
        return "utf-8" if name == "utf-8-sig" else name

    @property
    def wide(self) -> bool:
        """Return True if text in this encoding normally contains NUL bytes (UTF-16, UTF-32)."""
        return self.codec.startswith(("utf-16", "utf-32"))


_NOT_TEXT = re.compile("[\0\udc80-\udcff]")


def not_text(text: str, where: str, encoding: str) -> str | None:
    """Return what is wrong with `text` that was decoded with `keep_bad`; None if nothing is."""
    found = _NOT_TEXT.search(text)
    if found is None:
        return None
    if found[0] == "\0":
        return f"{where} has a NUL, which is not text"
    shown = "UTF-8" if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig") else encoding
    return f"{where} has a byte (0x{ord(found[0]) & 0xFF:02X}) that is not {shown}"


def for_message(text: str) -> str:
    """Return `text` for a one-line message: non-printable characters escaped, long text cut."""
    text = text if len(text) <= 200 else text[:199] + "…"
    return text if text.isprintable() else repr(text)


def source_name(path: str) -> str:
    """Return the name of `path` for messages."""
    return "standard input" if path == STDIN else for_message(path)


def extension(path: str) -> str:
    """Return the lower-case extension of `path`, ignoring `.gz`: `.csv` for `a.CSV.gz`."""
    return os.path.splitext(path.lower().removesuffix(".gz"))[1]


def visible_entries(directory: str) -> list[os.DirEntry[str]]:
    """Return the entries of `directory` that are not hidden, sorted by name; DataError if it cannot
    be read."""
    try:
        with os.scandir(directory) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{for_message(directory)} cannot be read: {error.strerror}") from error
    return sorted(visible, key=lambda entry: entry.name)


def read_line_blocks(
    path: str, decoding: Decoding, stdin: int = 0, buffer: int | None = None
) -> Iterator[list[str]]:
    """Yield the lines of `path` without their line ends, one list per read.

    Only LF or CRLF ends a line; the last line needs neither; an empty file has no lines. An
    empty list announces that the next read may block. `-` reads the file descriptor `stdin`.
    `buffer` is the descriptor of a file with the bytes of `path`, read from its start instead.
    Raises DataError for a source that cannot be read or decoded, that has a NUL, or a line that is
    too long, after yielding the lines before it.
    """
    name = source_name(path)
    chunks = read_byte_chunks(path, name, stdin) if buffer is None else _read_buffer(buffer)
    if is_compressed(path):
        chunks = _decompress(chunks, name)
    decoder = _LineDecoder(name, decoding)
    for chunk in chunks:
        if chunk:
            yield from decoder.feed(chunk)
        else:
            yield []
    yield from decoder.feed(b"", final=True)


def read_checked_bytes(path: str, decoding: Decoding, stdin: int) -> Iterator[bytes]:
    """Yield the bytes of each read of `path`, each after it was decoded as `read_line_blocks` does:
    what is no text is refused before more of it is read. Compressed bytes are not looked at."""
    name = source_name(path)
    decoder = None if is_compressed(path) else _LineDecoder(name, decoding)
    for chunk in read_byte_chunks(path, name, stdin):
        if decoder is not None:
            for _ in decoder.feed(chunk):
                pass
        yield chunk


def is_compressed(path: str) -> bool:
    """Return True if `path` has the name of a gzip file."""
    return path.lower().endswith(".gz")


def peek_lines(
    blocks: Iterator[list[str]], count: int = 20
) -> tuple[list[str], Iterator[list[str]]]:
    """Return the first `count` non-blank lines, and an iterator over all blocks from the start."""
    consumed: list[list[str]] = []
    head: list[str] = []
    for block in blocks:
        consumed.append(block)
        head += (line for line in block if line.strip())
        if len(head) >= count:
            break
    return head[:count], chain(consumed, blocks)


def file_text(blocks: Iterable[list[str]], name: str, most: int) -> str:
    """Join the lines of a source with LF. This drops exactly one final line end. Raises DataError
    for more than `most` characters."""
    lines: list[str] = []
    characters = -1  # no LF after the last line
    for block in blocks:
        lines += block
        characters += sum(map(len, block)) + len(block)
        if characters > most:
            raise DataError(
                f"{name} has more than {most:,} characters: read it line by line, or allow more"
                " with --max-line"
            )
    return "\n".join(lines)


def read_error(name: str, error: OSError) -> DataError:
    """Return the error for a source that the system does not let us read."""
    reason = error.strerror or str(error)
    if isinstance(error, IsADirectoryError):
        reason += "; name the files in it"
    if isinstance(error, FileNotFoundError):
        reason += "; check its name"
    return DataError(f"{name} cannot be read: {reason}")


def _read_buffer(buffer: int) -> Iterator[bytes]:
    os.lseek(buffer, 0, os.SEEK_SET)
    while chunk := os.read(buffer, CHUNK_BYTES):
        yield chunk


def read_byte_chunks(path: str, name: str, stdin: int) -> Iterator[bytes]:
    """Yield the bytes of each read of `path`. b"" is yielded before a step that may block, and
    again every _POLL_SECONDS while no input arrives."""
    if path != STDIN and not os.path.isfile(path):
        yield b""  # opening a named pipe blocks until a writer opens it
    try:
        # O_BINARY exists only on Windows, which otherwise translates line ends.
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
        descriptor = stdin if path == STDIN else os.open(path, flags)
    except OSError as error:
        raise read_error(name, error) from error
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        while True:
            if not regular and not _wait_readable(descriptor, 0):
                yield b""
                # A signal that arrives just before a blocking call does not interrupt it, and
                # Python runs its handler only after the call. Hence short waits.
                while _wait_readable(descriptor, _POLL_SECONDS) is False:
                    yield b""
            try:
                chunk = os.read(descriptor, CHUNK_BYTES)
            except BlockingIOError:
                continue  # a program that shares the terminal or pipe made it non-blocking
            if not chunk:
                return
            yield chunk
    except OSError as error:
        raise read_error(name, error) from error
    finally:
        if path != STDIN:
            os.close(descriptor)


def _wait_readable(descriptor: int, seconds: float) -> bool | None:
    """Wait at most `seconds` for input; return True if a read will not block, None if the system
    cannot tell."""
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    except (
        OSError,
        ValueError,
    ):  # not a socket on Windows, or over FD_SETSIZE
        return None


def _decompress(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Decompress gzip members as their bytes arrive, yielding at most CHUNK_BYTES at a time."""
    member = zlib.decompressobj(wbits=31)
    in_member = after_member = False
    for chunk in chunks:
        if not chunk:
            yield chunk
        while chunk:
            if not in_member and after_member:
                chunk = chunk.lstrip(b"\0")  # zero padding is allowed between and after members
                if not chunk:
                    break
            in_member = True
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
                in_member, after_member = False, True
    if in_member or not after_member:
        raise DataError(f"{name} is cut short, its gzip data has no end: get it again, whole")


class _LineDecoder:
    """Decodes byte chunks of any size into lines; tracks the line number and offset of bytes."""

    def __init__(self, name: str, decoding: Decoding) -> None:
        self._name = name
        self._decoding = decoding
        self._keep_bad = decoding.keep_bad and decoding.errors == "strict"
        errors = "surrogateescape" if self._keep_bad else decoding.errors
        self._decoder = codecs.getincrementaldecoder(decoding.codec)(errors)
        strict = decoding.errors == "strict" and not decoding.keep_bad
        self._checks_escapes = strict and decoding.codec in ("utf-8", "ascii")
        self._offset = 0  # bytes decoded so far
        self._line = 1  # number of the current line
        self._line_pieces: list[str] = []  # the current, unfinished line: one piece per read
        self._line_length = 0  # characters of these pieces
        self._at_start = True

    def feed(self, data: bytes, *, final: bool = False) -> Iterator[list[str]]:
        checks_nul = not (self._decoding.wide or self._keep_bad)
        if checks_nul and b"\0" in data[: max(0, BINARY_BYTES - self._offset)]:
            raise self._binary_error(data)
        if self._checks_escapes and (escaped := escaped_encoding(data)):
            place, encoding = escaped
            yield from self._split(self._decoder.decode(data[:place]))
            raise DataError(
                f"{self._name}, line {self._line} seems to be {encoding.upper()}: say --encoding"
                f" {encoding}, or to read its escape sequences as they are --encoding-errors"
                " replace"
            )
        state = self._decoder.getstate()
        pending = len(state[0])  # bytes of a character that is still incomplete
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            # Yield the lines before the bad byte first, so that they are processed.
            self._decoder.setstate(state)
            yield from self._split(self._decoder.decode(data[: max(0, error.start - pending)]))
            raise self._byte_error(error, self._offset - pending) from error
        except UnicodeError as error:
            raise DataError(
                f"{self._name} cannot be read as {self._decoding.encoding}: {error};"
                " name the file's encoding with --encoding"
            ) from error
        self._offset += len(data)
        nul = -1 if self._keep_bad else text.find("\0")
        if nul >= 0 and self._decoding.errors == "strict":
            yield from self._split(text[:nul])
            raise DataError(
                f"{self._name}, line {self._line} has a NUL, which is not text: remove it, or use"
                " --encoding-errors replace"
            )
        yield from self._split(text.replace("\0", "\ufffd") if nul >= 0 else text)
        if final and (last := "".join(self._line_pieces)):
            yield [last]

    def _split(self, text: str) -> Iterator[list[str]]:
        if text and self._at_start:
            text = text.removeprefix("\ufeff")
            self._at_start = False
        # str.splitlines would also split at U+0085, U+2028, form feeds and lone CRs.
        lines = text.split("\n")
        self._line_pieces.append(lines[0])
        self._line_length += len(lines[0])
        if len(lines) > 1:
            lines[0] = "".join(self._line_pieces)
            self._line_pieces = [lines.pop()]
            self._line_length = len(self._line_pieces[0])
            limit = self._decoding.max_line
            good = len(lines)
            if max(map(len, lines)) > limit:
                good = next(n for n, line in enumerate(lines) if len(line) > limit)
            self._line += good
            yield [line.removesuffix("\r") for line in lines[:good]]
            if good < len(lines):
                raise self._too_long(lines[good])
        if self._line_length > self._decoding.max_line:
            raise self._too_long("".join(self._line_pieces))

    def _too_long(self, line: str) -> DataError:
        advice = "cut it, or allow more with --max-line"
        if _OBJECTS.match(line):
            advice = (
                "allow more with --max-line, or write each object of the JSON array on a line of "
                "its own"
            )
        return DataError(
            f"{self._name}, line {self._line} has more than {self._decoding.max_line:,} characters:"
            f" {advice}"
        )

    def _byte_error(self, error: UnicodeDecodeError, offset: int) -> DataError:
        encoding = "UTF-8" if self._decoding.codec == "utf-8" else self._decoding.encoding
        return DataError(
            f"{self._name}, line {self._line}, byte {offset + error.start}"
            f" (0x{error.object[error.start]:02X}) is not {encoding}: name the file's encoding"
            " with --encoding, or use --encoding-errors replace"
        )

    def _binary_error(self, data: bytes) -> BinaryDataError:
        hint = "name text files"
        encoding = wide_encoding(data[:BINARY_BYTES]) if self._offset == 0 else None
        if encoding is not None:
            hint = f"it seems to be {encoding[:6].upper()}, so say --encoding {encoding}"
        return BinaryDataError(f"{self._name} looks like a binary file (NUL bytes): {hint}")
