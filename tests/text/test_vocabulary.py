"""Vocabularies of the four kinds: their tokens, the order of ids, and what is too little text."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest
from tokenizers import pre_tokenizers

from rnntext.errors import DataError, UsageError
from rnntext.text import vocabulary
from rnntext.text.tokenizer import KINDS, Tokenizer, TokenizerConfig
from rnntext.text.vocabulary import line_end, train_tokenizer
from tests.text.test_tokenizer import PROSE


def tokens(
    kind: str, lines: Iterable[str], size: int, min_frequency: int = 1, **options: bool
) -> list[str]:
    """The tokens of a vocabulary in the order of their ids."""
    trained = train_tokenizer(TokenizerConfig(kind, **options), lines, size, min_frequency)
    return [str(trained.id_to_token(i)) for i in range(trained.get_vocab_size())]


def test_the_line_end_of_each_kind() -> None:
    assert {kind: line_end(kind) for kind in KINDS} == {
        "bpe": "\n", "word": "<eos>", "char": "\n", "byte": "\n",
    }  # fmt: skip
    for kind in KINDS:
        assert tokens(kind, ["a cat"], 300)[0] == line_end(kind)


def test_the_order_of_ids() -> None:
    """Words by their counts, then by the alphabet; characters and bytes by their numbers."""
    words = [f"w{number:02}" for number in range(30)]
    lines = [" ".join(words[: n + 1]) for n in range(30)] + ["zz yy xx ww", "xx ww zz yy"]
    # w00 is in 30 lines, w01 in 29, ...; the last four are in two, as w28 is.
    expected = [*words[:28], "w28", "ww", "xx", "yy", "zz", "w29"]
    assert tokens("word", lines, 99, presplit=True) == ["<eos>", "<unk>", *expected]
    assert tokens("char", ["zzz", "你yy", "a"], 99) == ["\n", "<unk>", "a", "y", "z", "你"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    assert tokens("byte", ["a"], 1) == ["\n", *alphabet]
    assert len(alphabet) == 256
    bpe = tokens("bpe", ["abab abab"] * 3, 260)
    assert bpe == ["\n", *alphabet, "ab", "Ġab", "Ġabab"]


def test_the_smallest_vocabularies() -> None:
    """A vocabulary of characters has at least one of them."""
    for size, found in ((1, "c"), (2, "c"), (3, "c"), (4, "bc"), (5, "abc")):
        assert tokens("char", ["abbccc"], size) == ["\n", "<unk>", *found]
    for size, found in ((1, ""), (2, ""), (3, "c"), (4, "cb"), (5, "cba"), (6, "cba")):
        assert tokens("word", ["c b a c b c"], size) == ["<eos>", "<unk>", *found]
    assert len(tokens("bpe", ["abab abab"] * 3, 257)) == 257
    message = "--vocab-size must be at least 257 for bpe: 256 bytes and the line end"
    with pytest.raises(UsageError, match=message):
        tokens("bpe", ["abab abab"] * 3, 256)


def test_special_tokens_of_the_text_take_no_other_words_place() -> None:
    lines = ["<unk> <eos> <unk> <eos> a b"] * 2
    assert tokens("word", lines, 4, presplit=True) == ["<eos>", "<unk>", "a", "b"]


def test_a_line_feed_inside_a_text_is_the_line_end() -> None:
    assert tokens("char", ["a\n\nb\n"], 99) == ["\n", "<unk>", "a", "b"]


def test_merges_are_of_pairs_seen_twice() -> None:
    for min_frequency in (1, 2):
        assert tokens("bpe", ["xy zq zq"], 300, min_frequency)[257:] == ["zq", "Ġzq"]
    assert tokens("bpe", ["xy zq zq"], 300, 3)[257:] == []
    assert tokens("bpe", ["xy zq zq", "zq"], 300, 3)[257:] == ["zq", "Ġzq"]


def test_no_merge_spans_two_words() -> None:
    merged = tokens("bpe", ["one two", "one two three!"] * 9, 400)[257:]
    assert {"Ġone", "Ġtwo", "Ġthree"} < set(merged)
    assert not [token for token in merged if "Ġ" in token[1:] or "e!" in token]


def test_longer_words_are_split_for_merges_after_1024_bytes() -> None:
    # The space before the line is the first of the bytes.
    text = "a" * (1023 + 3 * 1024)
    assert max(map(len, tokens("bpe", [text], 300))) == 1024


@pytest.mark.parametrize(("limit", "count"), [(35, 3), (36, 4), (37, 4)])
def test_training_stops_after_the_line_that_exceeds_its_limit(
    limit: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "_TRAINING_LIMIT", limit)
    lines = iter(["twelve chars"] * 9)
    tokens("char", lines, 90)
    assert len(list(lines)) == 9 - count


@pytest.mark.parametrize(("kind", "token"), [("bpe", "Ġab"), ("word", "ab"), ("char", "a")])
def test_capitals_are_lowered_where_asked(kind: str, token: str) -> None:
    for lowercase in (True, False):
        found = tokens(kind, ["AB AB"] * 2, 300, lowercase=lowercase)
        assert (token in found) == lowercase
        assert (token.replace("a", "A").replace("b", "B") in found) != lowercase


def test_rare_characters_and_merges_can_be_left_out() -> None:
    char = Tokenizer.train("char", ["aab", "ab c"], vocab_size=90, min_frequency=2)
    assert [char.token(i) for i in range(char.vocab_size)] == ["\n", "<unk>", "a", "b"]
    lines = ["abcd"] * 5
    assert Tokenizer.train("bpe", lines, vocab_size=400, min_frequency=6).vocab_size == 257
    # " a", " ab", " abc" and " abcd", or four other merges.
    assert Tokenizer.train("bpe", lines, vocab_size=400, min_frequency=5).vocab_size == 261


def test_the_vocabulary_is_no_larger_than_asked_and_has_the_commonest() -> None:
    lines = ["d d d d c c c b b a a e e e e e"] * 2
    word = Tokenizer.train("word", lines, vocab_size=4)
    assert [word.token(i) for i in range(word.vocab_size)] == ["<eos>", "<unk>", "e", "d"]
    char = Tokenizer.train("char", ["ddddcccbbaaeeeee"], vocab_size=5)
    assert [char.token(i) for i in range(char.vocab_size)] == ["\n", "<unk>", "c", "d", "e"]
    for size in (257, 258, 290):
        bpe = Tokenizer.train("bpe", PROSE * 9, vocab_size=size)
        assert bpe.vocab_size == size
    assert Tokenizer.train("byte", [], vocab_size=1).vocab_size == 257


def test_a_merge_is_used() -> None:
    tokenizer = Tokenizer.train("bpe", ["ships ships ships"], vocab_size=262)
    assert len(tokenizer.encode(["ships"])[0]) == 1
    assert len(tokenizer.encode(["spihs"])[0]) > 3


@pytest.mark.parametrize("letters", ["a", "ab", "é"])
def test_merges_are_learned_from_long_words_in_parts(letters: str) -> None:
    # In an undivided word each merge would double the longest token, in quadratic time.
    text = letters * (100_000 // len(letters))
    tokenizer = Tokenizer.train("bpe", [text, "and a word"], vocab_size=300)
    longest = max(map(len, tokenizer.pieces))
    assert 256 <= longest <= 1024
    assert tokenizer.decode(tokenizer.encode([text])[0]) == text


def test_an_invalid_vocabulary_size() -> None:
    with pytest.raises(UsageError, match="--vocab-size must be at least 257 for bpe"):
        Tokenizer.train("bpe", PROSE, vocab_size=256)


@pytest.mark.parametrize("lines", [[], [""], ["", "  ", "\t"]])
@pytest.mark.parametrize("kind", ["bpe", "word"])
def test_nothing_to_learn_from(kind: str, lines: list[str]) -> None:
    with pytest.raises(DataError, match="the training text is empty"):
        Tokenizer.train(kind, lines, vocab_size=300)


def test_no_character_to_learn_from() -> None:
    with pytest.raises(DataError, match="the training text is empty"):
        Tokenizer.train("char", ["", ""], vocab_size=300)


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_deterministic(kind: str) -> None:
    # Many words and pairs of the same frequency.
    lines = [" ".join(f"w{a}{b} {b}x{a}" for b in "pqrstuv") for a in "abcdefgh"] * 2
    found = {
        Tokenizer.train(kind, iter(lines), vocab_size=300, presplit=False).to_json()
        for _ in range(4)
    }
    assert len(found) == 1


@pytest.mark.parametrize("seed", ["1", "2"])
def test_training_is_the_same_in_another_process(seed: str) -> None:
    program = (
        "from rnntext.text.tokenizer import Tokenizer\n"
        "lines = ['the keeper saw the ships', 'ships saw the sea'] * 2\n"
        "for kind in ('bpe', 'word', 'char'):\n"
        "    print(Tokenizer.train(kind, lines, vocab_size=280).to_json())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = ["the keeper saw the ships", "ships saw the sea"] * 2
    for kind, found in zip(("bpe", "word", "char"), done.stdout.splitlines(), strict=True):
        assert found == Tokenizer.train(kind, lines, vocab_size=280).to_json()


def test_training_reads_its_lines_once_and_no_more_than_it_must(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vocabulary, "_TRAINING_LIMIT", 40)
    read = []

    def lines() -> Any:
        for number in range(10_000):
            read.append(number)
            yield "twelve chars"

    Tokenizer.train("char", lines(), vocab_size=90)
    assert len(read) == 4
