"""Ids put together from chunks of lines. That they are those of the whole line is tested with the
tokenizer."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest

from rnntext.text import chunk_cache as chunks_module
from rnntext.text.chunk_cache import Chunks


class Letters:
    """Encodes each character as its code point, noting what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: list[str]) -> list[list[int]]:
        self.asked += texts
        return [list(map(ord, text)) for text in texts]


def spelled(chunks: Chunks, texts: list[str]) -> list[str]:
    return ["".join(map(chr, ids)) for ids in chunks.encode(texts)]


def test_what_was_met_is_not_asked_for_again() -> None:
    letters = Letters()
    chunks = Chunks(letters, " ")
    texts = [" the ships the", " ships", " the"]
    assert spelled(chunks, texts) == texts
    assert sorted(letters.asked) == [" ships", " the"]
    assert spelled(chunks, [" the quay", " ships"]) == [" the quay", " ships"]
    assert letters.asked[2:] == [" quay"]


@pytest.mark.parametrize("text", ["", " ", "  ", " a  b", " a ", " a\t b", " a \tb", " a\u00a0 b"])
def test_white_space_that_stands_together_is_encoded_with_its_line(text: str) -> None:
    letters = Letters()
    line = " x z" + text
    assert spelled(Chunks(letters, " "), [" y", line, " y"]) == [" y", line, " y"]
    assert (line in letters.asked) == (text != "")
    # Nothing is encoded twice, as a part of its line and with all of it.
    assert sum(map(len, letters.asked)) == len(" y") + len(line)


def test_words_are_apart_whatever_stands_between_them() -> None:
    letters = Letters()
    Chunks(letters, "").encode(["a  b ", "\ta b"])
    assert sorted(letters.asked) == ["", "\ta", "a", "b"]


def test_no_texts() -> None:
    assert Chunks(Letters(), " ").encode([]) == []


def test_little_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_module, "_MOST_CHUNKS", 10)
    letters = Letters()
    chunks = Chunks(letters, " ")
    chunks.encode([f" {'long' * 20}"] * 3)
    chunks.encode([f" {'long' * 20}"])
    assert len(letters.asked) == 2  # too long to be remembered
    names = [f" n{number}" for number in range(100)]
    for _ in range(2):
        letters.asked.clear()
        assert spelled(chunks, names) == names
        # When it is full it starts again.
        assert letters.asked == names
    assert spelled(chunks, [" other", " other"]) == [" other"] * 2
    letters.asked.clear()
    assert spelled(chunks, [" other", " n1"]) == [" other", " n1"]
    assert letters.asked == [" n1"]


def test_many_ids_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_module, "_MOST_IDS", 100)
    letters = Letters()
    chunks = Chunks(letters, "")
    chunks.encode(["a", "b" * 200])
    assert spelled(chunks, ["a"]) == ["a"]
    assert letters.asked == ["a", "b" * 200, "a"]


def test_an_interrupt_leaves_nothing_half_known() -> None:
    letters = Letters()

    def interrupted(texts: list[str]) -> list[list[int]]:
        if "stop" in texts:
            raise KeyboardInterrupt
        return letters(texts)

    chunks = Chunks(interrupted, "")
    assert spelled(chunks, ["a b"]) == ["ab"]
    with pytest.raises(KeyboardInterrupt):
        chunks.encode(["c stop"])
    assert spelled(chunks, ["a c", "b d"]) == ["ac", "bd"]


def test_many_threads_at_once() -> None:
    texts = [f" a{number % 97} b{number % 89} c{number}" for number in range(2000)]
    chunks = Chunks(Letters(), " ")
    with ThreadPoolExecutor(8) as pool:
        parts = [texts[start : start + 50] for start in range(0, 2000, 50)]
        found = pool.map(lambda part: spelled(chunks, part), parts)
        assert list(found) == parts


def test_memory_does_not_grow_with_the_text() -> None:
    chunks = Chunks(lambda texts: [list(map(ord, text)) for text in texts], " ")
    tracemalloc.start()
    for start in range(0, 400_000, 1000):
        chunks.encode([f" {number} {'x' * 200}{number}" for number in range(start, start + 1000)])
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 30e6
