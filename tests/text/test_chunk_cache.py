"""Ids of lines joined from cached chunks. The tests of the tokenizer compare them with the ids of
whole lines."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest

from rnntext.text import chunk_cache
from rnntext.text.chunk_cache import ChunkCache


class Letters:
    """Encodes each character as its code point, and records the texts."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: list[str]) -> list[list[int]]:
        self.texts += texts
        return [list(map(ord, text)) for text in texts]


def spelled(cache: ChunkCache, texts: list[str]) -> list[str]:
    return ["".join(map(chr, ids)) for ids in cache.encode(texts)]


def test_a_cached_chunk_is_not_encoded_again() -> None:
    letters = Letters()
    cache = ChunkCache(letters, " ")
    texts = [" the ships the", " ships", " the"]
    assert spelled(cache, texts) == texts
    assert sorted(letters.texts) == [" ships", " the"]
    assert spelled(cache, [" the quay", " ships"]) == [" the quay", " ships"]
    assert letters.texts[2:] == [" quay"]


@pytest.mark.parametrize("text", ["", " ", "  ", " a  b", " a ", " a\t b", " a \tb", " a\u00a0 b"])
def test_a_run_of_white_space_is_encoded_with_its_line(text: str) -> None:
    letters = Letters()
    line = " x z" + text
    assert spelled(ChunkCache(letters, " "), [" y", line, " y"]) == [" y", line, " y"]
    assert (line in letters.texts) == (text != "")
    # Nothing is encoded twice, as a chunk and as a part of its line.
    assert sum(map(len, letters.texts)) == len(" y") + len(line)


def test_without_a_prefix_every_line_is_split_at_its_spaces() -> None:
    letters = Letters()
    ChunkCache(letters, "").encode(["a  b ", "\ta b"])
    assert sorted(letters.texts) == ["", "\ta", "a", "b"]


def test_no_texts() -> None:
    assert ChunkCache(Letters(), " ").encode([]) == []


def test_a_full_cache_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_cache, "_MAX_CHUNKS", 10)
    letters = Letters()
    cache = ChunkCache(letters, " ")
    cache.encode([f" {'long' * 20}"] * 3)
    cache.encode([f" {'long' * 20}"])
    assert len(letters.texts) == 2  # too long to be cached
    names = [f" n{number}" for number in range(100)]
    for _ in range(2):
        letters.texts.clear()
        assert spelled(cache, names) == names
        # The names of the round before were over the limit and are no longer cached.
        assert letters.texts == names
    assert spelled(cache, [" other", " other"]) == [" other"] * 2
    letters.texts.clear()
    assert spelled(cache, [" other", " n1"]) == [" other", " n1"]
    assert letters.texts == [" n1"]


def test_a_cache_full_of_ids_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_cache, "_MAX_IDS", 100)
    letters = Letters()
    cache = ChunkCache(letters, "")
    cache.encode(["a", "b" * 200])
    assert spelled(cache, ["a"]) == ["a"]
    assert letters.texts == ["a", "b" * 200, "a"]


def test_an_interrupt_leaves_no_chunk_without_ids() -> None:
    letters = Letters()

    def interrupted(texts: list[str]) -> list[list[int]]:
        if "stop" in texts:
            raise KeyboardInterrupt
        return letters(texts)

    cache = ChunkCache(interrupted, "")
    assert spelled(cache, ["a b"]) == ["ab"]
    with pytest.raises(KeyboardInterrupt):
        cache.encode(["c stop"])
    assert spelled(cache, ["a c", "b d"]) == ["ac", "bd"]


def test_many_threads_at_once() -> None:
    texts = [f" a{number % 97} b{number % 89} c{number}" for number in range(2000)]
    cache = ChunkCache(Letters(), " ")
    with ThreadPoolExecutor(8) as pool:
        parts = [texts[start : start + 50] for start in range(0, 2000, 50)]
        found = pool.map(lambda part: spelled(cache, part), parts)
        assert list(found) == parts


@pytest.mark.parametrize(("length", "ids"), [(0, 1), (200, 206)])
def test_memory_does_not_grow_with_the_text(
    length: int, ids: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many chunks of one id, and fewer of many. The limits, the text and the memory are a 64th of
    the real ones, to save time."""
    monkeypatch.setattr(chunk_cache, "_MAX_CHUNKS", chunk_cache._MAX_CHUNKS // 64)
    monkeypatch.setattr(chunk_cache, "_MAX_IDS", chunk_cache._MAX_IDS // 64)
    cache = ChunkCache(lambda texts: [list(range(ids)) for _ in texts], " ")
    used = []
    tracemalloc.start()
    for start in range(0, 400_000 // 64, 16):
        cache.encode([f" {number} {'x' * length}{number}x" for number in range(start, start + 16)])
        used.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(used) < 30e6 / 64
