"""Encodings told by their zero bytes and escape sequences."""

from __future__ import annotations

import pytest

from rnntext.text.encoding_guess import escaped_encoding, wide_encoding

TEXTS = ["naïve café 你好 🙂\n", "The heron\r\ncounted", "主人は\n鼻の一の\n", "Über\tStraße\n" * 9]


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", TEXTS)
def test_wide_encodings_without_a_mark(text: str, name: str) -> None:
    data = text.encode(name)
    assert wide_encoding(data) == name
    for cut in range(1, 4):  # the start of a file may end inside a character
        assert wide_encoding(data[:-cut] if len(data) > 20 else data) == name


@pytest.mark.parametrize("text", TEXTS)
def test_a_mark_decides(text: str) -> None:
    for form in ("le", "be"):
        for size in ("16", "32"):
            data = f"\ufeff{text}".encode(f"utf-{size}-{form}")
            assert wide_encoding(data) == f"utf-{size}"


def test_other_bytes_are_no_text() -> None:
    for data in (
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0", b"\0" * 20, b"text\0and more\n",
        b"PK\x03\x04\x14\0\0\0\x08\0\0\0!\0", b"\0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    ):  # fmt: skip
        assert wide_encoding(data) is None, data


@pytest.mark.parametrize(
    ("text", "name"),
    [("主人は", "iso-2022-jp"), ("ｱｲｳ 主人", "iso-2022-jp-ext"), ("안녕하세요", "iso-2022-kr")],
)
def test_escape_sequences_of_seven_bits(text: str, name: str) -> None:
    start = b"\x1b$)C" if name == "iso-2022-kr" else b""
    data = start + b"ASCII first\n" + text.encode(name).removeprefix(start) + b"\nand more\n"
    assert data.isascii()
    assert escaped_encoding(data) == (data.index(b"\x1b$"), name)
    cut = data[: data.index(b"\x1b$") + 5]
    assert escaped_encoding(cut) is not None


def test_escape_sequences_of_terminals_are_none() -> None:
    for data in (
        b"",
        b"plain $B",
        b"\x1b[31mred\x1b[0m",
        b"\x1b]0;title\x07",
        b"\x1b(B\x1b[m",
        b"\x1b$",
    ):
        assert escaped_encoding(data) is None
    # Nor bytes that no such encoding has.
    assert escaped_encoding("\x1b$B é".encode()) is None
