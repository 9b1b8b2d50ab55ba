"""The n-gram model: words, hashes and sums, compared with a plain implementation in integers."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from rnntext import ngrams
from rnntext.ngrams import (
    NgramModel,
    Tables,
    Words,
    bucket,
    find_words,
    hash_characters,
    hash_pairs,
    hash_words,
    occurrences,
)

MASK = 0xFFFFFFFF
TEXTS = [
    "Not good, not at all!",
    "good",
    "",
    "  \t\n",
    "dog bites man",
    "man bites dog",
    "很好 ภาษาไทย ดีมาก naïve 🙂🙂",
    "one\ttwo\u00a0three  four",
]


def plain_spread(value: int) -> int:
    value = (value ^ value >> 16) * 0x7FEB352D & MASK
    value = (value ^ value >> 15) * 0x846CA68B & MASK
    return value ^ value >> 16


def plain_hash(word: str) -> int:
    total = sum((ord(c) + 1) * pow(0x9E3779B1, n, 1 << 32) for n, c in enumerate(word))
    return plain_spread(total + len(word) * 0xC2B2AE3D & MASK)


def plain_characters(word: str) -> list[int]:
    padded, found = f" {word} ", []
    for size in range(1, 6):
        for start in range(len(padded) - size + 1):
            gram = padded[start : start + size]
            if gram != " ":
                value = 0
                for character in gram:
                    value = value * 0x01000193 + ord(character) + 1 & MASK
                found.append(plain_spread(value + size * 0x9E3779B1 & MASK))
    return found


def plain_pair(first: str, second: str) -> int:
    one, two = plain_hash(first), plain_hash(second)
    return plain_spread(one * 0x9E3779B1 + two * 0x85EBCA77 + 1 & MASK)


def random_tables(columns: int) -> Tables:
    random = np.random.default_rng(3)
    words, pairs, characters = (
        random.normal(size=(size, columns)).astype(np.float16) for size in (64, 128, 32)
    )
    return Tables(words, pairs, characters, random.normal(size=columns).astype(np.float32), 0.5)


def plain_scores(text: str, tables: Tables) -> np.ndarray:
    words = find_words(text)
    total = tables.bias.astype(float)
    for word in set(words):
        total = total + tables.words[plain_hash(word) * 64 >> 32]
        for gram in plain_characters(word):
            total = total + tables.characters[gram * 32 >> 32]
    for pair in set(itertools.pairwise(words)):
        total = total + tables.pairs[plain_pair(*pair) * 128 >> 32]
    return total * tables.scale


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop!", ["don", "'", "t", "stop", "!"]),
        ("snake_case x2 3.14", ["snake_case", "x2", "3", ".", "14"]),
        ("ÀÉ naïve Straße", ["àé", "naïve", "straße"]),
        ("very... well", ["very", ".", ".", ".", "well"]),
        ("这很好，真的。", ["这很好", "，", "真的", "。"]),
        ("กำลังดีมาก", ["กำลังดีมาก"]),  # vowel marks stay with their letters
        ("हिन्दी।", ["हिन्दी", "।"]),
        ("مرحبا، كيف؟", ["مرحبا", "،", "كيف", "؟"]),
        ("ok🙂🙂", ["ok", "🙂", "🙂"]),
        ("a\u2028b\u00a0c\x85d", ["a", "b", "c", "d"]),
        ("x" * 200 + "yz", ["x" * 200, "yz"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert find_words(text) == words


def test_a_word_of_any_length_has_a_hash() -> None:
    """A token of raw text may be longer than the words of an n-gram model."""
    words = ["x" * 200, "xy" * 300, "", "a"]
    assert hash_words(words).tolist() == [plain_hash(word) for word in words]


@given(st.lists(st.text(st.characters(exclude_characters=" "), min_size=1, max_size=200)))
def test_hashes_are_those_of_integers_modulo_two_to_the_32(words: list[str]) -> None:
    assert hash_words(words).tolist() == [plain_hash(word) for word in words]
    owners, grams = hash_characters(words)
    assert grams.dtype == np.uint32
    for number, word in enumerate(words):
        assert sorted(grams[owners == number].tolist()) == sorted(plain_characters(word))


def test_pairs_have_an_order() -> None:
    one, two = hash_words(["dog", "man"])
    both = hash_pairs(np.array([one, two]), np.array([two, one]))
    assert both.tolist() == [plain_pair("dog", "man"), plain_pair("man", "dog")]
    assert both[0] != both[1]


def test_a_bucket_is_the_highest_bits() -> None:
    hashes = np.array([0, 0x1FFFFFFF, 0x20000000, 0xFFFFFFFF], np.uint32)
    assert bucket(hashes, 8).tolist() == [0, 0, 1, 7]
    assert bucket(hashes, 1).tolist() == [0, 0, 0, 0]


def test_words_are_numbered_in_the_order_in_which_they_are_met() -> None:
    words = Words()
    numbers, lengths = words.read(["b A b", "", "a c"])
    assert numbers.tolist() == [0, 1, 0, 1, 2]
    assert lengths.tolist() == [3, 0, 2]
    assert words.spelled(0) == ["b", "a", "c"]
    assert words.spelled(2) == ["c"]
    assert words.hashes.tolist() == [plain_hash(word) for word in "bac"]
    assert len(words) == 3
    numbers, lengths = words.read([])
    assert (numbers.tolist(), lengths.tolist()) == ([], [])


def test_a_text_has_each_word_and_pair_once() -> None:
    hashes = hash_words(["a", "b"])
    found = occurrences(np.array([0, 1, 0, 1, 1, 0]), np.array([4, 0, 1, 1]), hashes)
    assert list(zip(found.word_text.tolist(), found.word.tolist(), strict=True)) == [
        (0, 0), (0, 1), (2, 1), (3, 0),
    ]  # fmt: skip
    # No pair crosses from one text to the next.
    expected = sorted([(0, plain_pair("a", "b")), (0, plain_pair("b", "a"))])
    assert list(zip(found.pair_text.tolist(), found.pair.tolist(), strict=True)) == expected


@pytest.mark.parametrize(("columns", "labels"), [(1, 2), (2, 2), (3, 3)])
def test_logits_are_sums_over_distinct_words_and_pairs(columns: int, labels: int) -> None:
    tables = random_tables(columns)
    model = NgramModel(tables, labels)
    found = model.logits(TEXTS)
    expected = np.array([plain_scores(text, tables) for text in TEXTS])
    if columns < labels:
        expected = np.concatenate([-expected / 2, expected / 2], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert model.logits([]).shape == (0, labels)


def test_a_text_has_the_same_logits_alone_and_among_others() -> None:
    model = NgramModel(random_tables(3), 3)
    together = model.logits(TEXTS)
    for text, row in zip(TEXTS, together, strict=True):
        assert NgramModel(random_tables(3), 3).logits([text]).tolist() == [row.tolist()]


def test_only_so_many_characters_of_a_text_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "MAX_CHARACTERS", 7)
    model = NgramModel(random_tables(1), 2)
    short, long, more = model.logits(["one two", "one two three", "one two three four"])
    assert short.tolist() == long.tolist() == more.tolist()
    assert model.logits(["one twx"])[0].tolist() != short.tolist()


def test_texts_are_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = NgramModel(random_tables(3), 3).logits(TEXTS)
    monkeypatch.setattr(ngrams, "MAX_CHARACTERS", 30)
    model = NgramModel(random_tables(3), 3)
    sizes: list[int] = []
    read = model._words.words.read

    def counted(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        sizes.append(len(texts))
        return read(texts)

    monkeypatch.setattr(model._words.words, "read", counted)
    assert model.logits(TEXTS).tolist() == whole.tolist()
    # 21, 4, 0, 4 | 13, 13 | 29 and more | 18 characters
    assert sizes == [4, 2, 1, 1]


def test_scores_of_words_are_forgotten_and_computed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["a b", "b a c", "a b"]
    whole = NgramModel(random_tables(1), 2).logits(texts)
    monkeypatch.setattr(ngrams, "_MAX_WORDS", 2)
    model = NgramModel(random_tables(1), 2)
    kept = []
    for text, row in zip(texts, whole, strict=True):
        assert model.logits([text])[0].tolist() == row.tolist()
        kept.append(len(model._words.words))
    assert kept == [2, 0, 2]


def test_threads_share_a_model() -> None:
    random = np.random.default_rng(0)
    batches = [[f"w{n} w{n + 1} x{n}" for n in random.integers(0, 999, 50)] for _ in range(40)]
    whole = NgramModel(random_tables(1), 2)
    expected = [whole.logits(batch).tolist() for batch in batches]
    shared = NgramModel(random_tables(1), 2)
    with ThreadPoolExecutor(4) as pool:
        found = [logits.tolist() for logits in pool.map(shared.logits, batches)]
    assert found == expected


def test_tables_are_restored() -> None:
    tables = random_tables(3)
    again = Tables.parse(tables.serialize())
    for name in ("words", "pairs", "characters", "bias"):
        one, two = getattr(tables, name), getattr(again, name)
        assert one.tolist() == two.tolist()
        assert one.dtype == two.dtype
    assert again.scale == tables.scale


def test_damaged_tables_are_refused() -> None:
    good = load(random_tables(3).serialize())
    for name, value in {
        "words": good["words"][:63],  # no power of two
        "pairs": good["pairs"][:, :2],
        "characters": good["characters"][0],
        "bias": good["bias"][:2],
        "scale": np.zeros(2, np.float32),
        "more": np.zeros(1, np.float32),
    }.items():
        with pytest.raises(ValueError, match=r"shape|not the tables"):
            Tables.parse(save({**good, name: np.ascontiguousarray(value)}))
    for name in good:
        with pytest.raises(ValueError, match="not the tables"):
            Tables.parse(save({n: value for n, value in good.items() if n != name}))
    with pytest.raises(ValueError, match="shape"):
        Tables.parse(save({**good, "words": good["words"][:0]}))
    with pytest.raises(ValueError, match=r"."):
        Tables.parse(b"no tables")


def test_a_model_has_a_column_for_each_label_or_one_for_two() -> None:
    one = random_tables(1)
    for tables, labels in ((one, 1), (one, 2), (random_tables(4), 4)):
        assert NgramModel(tables, labels).logits(["a"]).shape == (1, labels)
    for columns, labels in ((1, 3), (4, 3), (2, 3)):
        with pytest.raises(ValueError, match=f"{columns} columns for {labels} labels"):
            NgramModel(random_tables(columns), labels)


def test_the_scale_multiplies_the_bias_too() -> None:
    tables = random_tables(3)
    one = NgramModel(tables, 3).logits(TEXTS)
    two = NgramModel(replace(tables, scale=1.0), 3).logits(TEXTS)
    np.testing.assert_allclose(two, 2 * one)


@pytest.mark.parametrize(("columns", "labels"), [(1, 2), (2, 2), (3, 3)])
def test_shares_of_words_are_those_of_the_logits(columns: int, labels: int) -> None:
    tables = random_tables(columns)
    model = NgramModel(tables, labels)
    for text, logits in zip(TEXTS, model.logits(TEXTS), strict=True):
        found = model.shares(text)
        assert found.words.shape == found.pairs.shape == (len(find_words(text)), labels)
        total = found.words.sum(0) + found.pairs.sum(0) + found.bias
        np.testing.assert_allclose(total, logits, atol=1e-6)


def test_a_share_is_of_its_word_and_half_of_each_of_its_pairs() -> None:
    tables = random_tables(3)
    model = NgramModel(tables, 3)
    found = model.shares("Dog bites; dog")
    assert found.starts.tolist() == [0, 4, 9, 11]

    def word(spelled: str) -> np.ndarray:
        return plain_scores(spelled, tables) - tables.bias * tables.scale

    def pair(first: str, second: str) -> np.ndarray:
        row = tables.pairs[plain_pair(first, second) * 128 >> 32].astype(float)
        return row * tables.scale / 2

    # A word that the text has twice counts once: half of it in each place.
    expected = [word("dog") / 2, word("bites"), word(";"), word("dog") / 2]
    np.testing.assert_allclose(found.words, expected, atol=1e-6)
    first, second, third = pair("dog", "bites"), pair("bites", ";"), pair(";", "dog")
    expected = [first, first + second, second + third, third]
    np.testing.assert_allclose(found.pairs, expected, atol=1e-6)
    twice = model.shares("a b a b")
    once, back = pair("a", "b") / 2, pair("b", "a")
    np.testing.assert_allclose(twice.pairs, [once, once + back, back + once, once], atol=1e-6)


def test_shares_of_words_by_themselves_do_not_depend_on_their_order() -> None:
    model = NgramModel(random_tables(3), 3)
    one, other = model.shares("dog bites man"), model.shares("man bites dog")
    np.testing.assert_array_equal(one.words, other.words[::-1])
    assert np.abs(one.pairs - other.pairs[::-1]).min() > 1e-3


def test_words_are_found_in_a_text_that_grows_in_lower_case() -> None:
    text = "İİ İx  naïve ΣΟΦΟΣ!"
    found = NgramModel(random_tables(3), 3).shares(text)
    # The dot of İ is a mark of its own in lower case, which stays with its letter.
    assert [text[start] for start in found.starts] == ["İ", "İ", "n", "Σ", "!"]
