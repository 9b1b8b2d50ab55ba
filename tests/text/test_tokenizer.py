"""The four kinds of tokenizer: decoding, unknown text, and where words begin and end."""

from __future__ import annotations

import json
import pickle
import re
import tracemalloc
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext.errors import DataError
from rnntext.text import tokenizer as tokenizer_module
from rnntext.text import vocabulary
from rnntext.text.scripts import is_unspaced
from rnntext.text.tokenizer import (
    KINDS,
    EncodedWords,
    Tokenizer,
    TokenizerConfig,
    tokenizer_config_to_json,
)
from rnntext.text.word_splitting import is_presplit, split_long_line, split_words

SAMPLE = "naïve café 你好 🙂"
PROSE = [
    "The keeper didn't sleep; she counted the ships, and the ships' lamps.",
    f"“Well,” said Mara, “that's {SAMPLE}.” (Nobody laughed.)",
    "She didn't count the ships again, and the keeper said: well done!",
]
PRESPLIT = [
    "the <unk> did n't rise N % in mr. <unk> 's house",
    "the house did n't fall , mr. N said",
]
# Any text of one line, and of several.
LINE = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=30)
TEXT = st.text(
    st.sampled_from("\n \t\rabcé'你🙂\u0301<unk>eos") | st.characters(exclude_categories=["Cs"]),
    max_size=30,
)
# As `LINE`, with many spaces.
SPACED = st.text(st.sampled_from("  \t\u00a0\x1c.ab'é你🙂1"), max_size=60)
# Letters whose lower case is longer, shorter in bytes or depends on the context.
CASED = st.text(st.sampled_from("İΣKẞⱯABé \t"), max_size=20)
QUICK = settings(max_examples=60, deadline=None)


@cache
def trained(kind: str, **options: Any) -> Tokenizer:
    sizes = {"bpe": 300, "word": 500, "char": 500, "byte": 257}
    given = {"vocab_size": sizes[kind], **options}
    return Tokenizer.train(kind, PROSE * 3, **given)


@cache
def every_tokenizer() -> list[Tokenizer]:
    """One of each kind, and both splittings of words, with and without lower-casing."""
    return [
        trained(kind, lowercase=lowercase, **options)
        for lowercase in (False, True)
        for kind, options in (
            ("bpe", {}),
            ("byte", {}),
            ("char", {}),
            ("word", {"presplit": False}),
            ("word", {"presplit": True}),
        )
    ]


def reference(tokenizer: Tokenizer, line: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids and offsets of a whole line, from the library."""
    prefix = " " if tokenizer.config.kind == "bpe" else ""
    encoding = tokenizer._backend.encode(prefix + line, add_special_tokens=False)
    return encoding.ids, [(a - len(prefix), b - len(prefix)) for a, b in encoding.offsets]


def tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.token(i) for i in tokenizer.encode([text])[0]]


# Encoding and decoding


@QUICK
@given(text=TEXT)
def test_bpe_and_byte_lose_nothing(text: str) -> None:
    for kind in ("bpe", "byte"):
        tokenizer = trained(kind)
        (ids,) = tokenizer.encode([text])
        assert tokenizer.decode(ids) == text
        assert ids.dtype == np.int32
        assert not tokenizer.loses_text


@QUICK
@given(text=st.text(st.sampled_from("\n" + "".join(sorted(set("".join(PROSE))))), max_size=30))
def test_char_loses_nothing_that_it_knows(text: str) -> None:
    tokenizer = trained("char")
    (ids,) = tokenizer.encode([text])
    assert tokenizer.decode(ids) == text
    assert len(ids) == len(text)
    assert tokenizer.unk_id not in ids


@pytest.mark.parametrize(
    "text",
    [
        "She said “well done!” (and didn't laugh).",
        "the keeper didn't sleep; she said: that's Mara, and the ships!",
    ],
)
def test_word_gives_back_ordinary_prose(text: str) -> None:
    tokenizer = Tokenizer.train("word", [text, text], vocab_size=90, presplit=False)
    assert tokenizer.decode(tokenizer.encode([text, "x"])[0]) == text
    assert tokenizer.loses_text


@pytest.mark.parametrize("kind", KINDS)
def test_line_ends(kind: str) -> None:
    tokenizer = trained(kind)
    one, two, both, ended, empty, end, inner = tokenizer.encode(
        ["the ships", "the keeper", "the ships\nthe keeper", "the ships\n", "", "\n", "a\n\nb"]
    )
    eos = [tokenizer.eos_id]
    assert both.tolist() == [*one, *eos, *two]
    assert ended.tolist() == [*one, *eos, *empty]
    assert end.tolist() == [*empty, *eos, *empty]
    assert np.count_nonzero(inner == tokenizer.eos_id) == 2
    assert tokenizer.eos_id not in one
    assert tokenizer.decode(both) == "the ships\nthe keeper"
    lines = tokenizer.encode_lines(["the ships", "", "the keeper"])
    assert [line.tolist() for line in lines] == [[*one, *eos], [*empty, *eos], [*two, *eos]]
    assert tokenizer.decode(np.concatenate(lines)) == "the ships\n\nthe keeper\n"


@pytest.mark.parametrize("kind", KINDS)
def test_every_text_has_its_own_ids(kind: str) -> None:
    tokenizer = trained(kind)
    texts = ["the ships", "", "well\ndone", PROSE[1], "\n\n"]
    alone = [tokenizer.encode([text])[0].tolist() for text in texts]
    assert [ids.tolist() for ids in tokenizer.encode(texts)] == alone
    assert tokenizer.encode([]) == tokenizer.encode_lines([]) == tokenizer.encode_words([]) == []


@pytest.mark.parametrize("kind", ["bpe", "byte", "char"])
def test_names_of_special_tokens_are_ordinary_text(kind: str) -> None:
    text = "a <eos> b<unk> <unk>"
    tokenizer = Tokenizer.train(kind, [text] * 9, vocab_size=400)
    (ids,) = tokenizer.encode([text])
    assert tokenizer.decode(ids) == text
    assert tokenizer.eos_id not in ids
    assert tokenizer.unk_id not in ids
    assert (tokenizer.unk_id is None) == (kind != "char")


def test_in_raw_text_words_have_no_special_names_either() -> None:
    tokenizer = Tokenizer.train("word", ["a <eos> b <unk> c"] * 2, vocab_size=90, presplit=False)
    expected = ["a", "<", "eos", ">", "b", "<", "unk", ">", "c"]
    assert tokens(tokenizer, "a <eos> b <unk> c") == expected


def test_what_is_unknown() -> None:
    char = trained("char")
    assert char.decode(char.encode(["wzw"])[0]) == "w<unk>w"
    assert char.encode(["zz"])[0].tolist() == [char.unk_id] * 2  # one each
    word = Tokenizer.train("word", PROSE * 3, vocab_size=500, presplit=False)
    assert tokens(word, "the elephants, well") == ["the", "<unk>", ",", "well"]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_below_the_vocabulary_size_and_all_decode(kind: str) -> None:
    tokenizer = trained(kind)
    everything = np.concatenate(tokenizer.encode([*PROSE, "unseen 雨 \x00"]))
    assert everything.max() < tokenizer.vocab_size
    assert isinstance(tokenizer.decode(range(tokenizer.vocab_size)), str)
    names = [tokenizer.token(i) for i in range(tokenizer.vocab_size)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_joins_to_the_whole(kind: str) -> None:
    tokenizer = trained(kind)
    (ids,) = tokenizer.encode(["\n".join(PROSE)])
    decoder = tokenizer.decoder()
    pieces = [decoder.push(int(i)) for i in ids]
    assert "".join(pieces) + decoder.flush() == tokenizer.decode(ids)
    assert sum(bool(piece) for piece in pieces) > len(pieces) / 2


# Words of raw text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don't, can't, won't", "I|do|n't|,|ca|n't|,|wo|n't"),
        ("I'm Mara's; they'll it’s he'd", "I|'m|Mara|'s|;|they|'ll|it|’s|he|'d"),
        ("shouldn’t DON'T we've THEY'RE", "should|n’t|DO|N'T|we|'ve|THEY|'RE"),
        ("can't've", "ca|n't|'ve"),
        ("o'clock rock'n'roll", "o'clock|rock'n'roll"),
        ("the dogs' 'quoted' James's", "the|dogs|'|'|quoted|'|James|'s"),
        ("3.14 1,000 12:30 1/2 50% $5.00", "3.14|1,000|12:30|1/2|50|%|$|5.00"),
        ("in 1999, or 7.", "in|1999|,|or|7|."),
        ("2nd x86 1a", "2nd|x86|1a"),
        ("U.S.A. e.g. i.e.", "U.S.A.|e.g.|i.e."),
        ("Mr. Smith, Dr. No etc. vs. the end.", "Mr.|Smith|,|Dr.|No|etc.|vs.|the|end|."),
        ("worst. Best", "worst|.|Best"),
        ("see https://a.b/c?d=1. (www.x.org),", "see|https://a.b/c?d=1|.|(|www.x.org|)|,"),
        ("mail me@x.co.uk!", "mail|me@x.co.uk|!"),
        ("@you #tag_1", "@you|#tag_1"),
        ("wow... !! ?! -- —", "wow|...|!!|?|!|--|—"),
        ("“hi” (x) [y]", "“|hi|”|(|x|)|[|y|]"),
        ("state-of-the-art re-do - well-", "state-of-the-art|re-do|-|well|-"),
        ("🙂 🙂🙂 ok🙂", "🙂|🙂🙂|ok|🙂"),
        ("नमस्ते दुनिया।", "नमस्ते|दुनिया|।"),
        ("e\u0301te\u0301 naïve", "e\u0301te\u0301|naïve"),
        (SAMPLE, "naïve|café|你好|🙂"),
        ("foo_bar _x_", "foo_bar|_x_"),
        ("  a \t b\u00a0c  ", "a|b|c"),
        ("", ""),
    ],
)
def test_split_words(text: str, words: str) -> None:
    assert split_words(text) == (words.split("|") if words else [])


@QUICK
@given(text=TEXT)
def test_splitting_loses_only_white_space(text: str) -> None:
    # Unlike regular expressions, Python counts U+001C to U+001F as white space.
    text = re.sub("[\x1c-\x1f]", "", text)
    words = split_words(text)
    assert all(words)
    assert "".join(words) == "".join(text.split())


# Presplit text


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (PRESPLIT, True),
        (["the house did n't fall , mr. N said ."], True),
        (PROSE, False),
        (["word " * 200 + "attached,"], True),  # 1 of 201
        (["word " * 198 + "attached,"], False),  # 1 of 199
        (
            ["word " * 50 + mark for mark in ("a;", "a!", 'a"', "a)", "a]", "a”", "a?!", "a:")],
            False,
        ),
        (["(a [b 'c “d it's u.s. end."] * 9, True),  # marks that hang on elsewhere
        ([*PROSE, "but <unk> stands here"], True),
        ([*PROSE, "but <unk>, does not"], False),
        ([], True),
        (["", "  "], True),
    ],
)
def test_is_presplit(lines: list[str], expected: bool) -> None:
    assert is_presplit(iter(lines)) is expected


def test_is_presplit_looks_at_the_first_lines() -> None:
    assert is_presplit(["a b"] * 10_000 + PROSE * 1000)
    assert not is_presplit(["a, b"] * 10_000 + ["<unk>"])


def test_presplit_text_is_kept_exactly() -> None:
    tokenizer = Tokenizer.train("word", PRESPLIT, vocab_size=90)
    assert tokenizer.config.presplit
    assert tokens(tokenizer, PRESPLIT[0]) == PRESPLIT[0].split()
    assert tokens(tokenizer, "did  did n't,") == ["did", "did", "<unk>"]
    text = "\n".join(PRESPLIT)
    assert tokenizer.decode(tokenizer.encode([text])[0]) == text


def test_presplit_is_for_words_and_can_be_said() -> None:
    assert not Tokenizer.train("bpe", PRESPLIT, vocab_size=300).config.presplit
    assert not Tokenizer.train("word", PRESPLIT, vocab_size=90, presplit=False).config.presplit
    told = Tokenizer.train("word", PROSE * 2, vocab_size=90, presplit=True)
    assert tokens(told, "ships, and") == ["ships,", "and"]


# Training


def test_words_seen_once_are_unknown_unless_the_text_has_its_own() -> None:
    lines = ["a a b b c", "a , b"]
    vocabulary = {"<eos>", "<unk>", "a", "b"}
    tokenizer = Tokenizer.train("word", lines, vocab_size=90)
    assert {tokenizer.token(i) for i in range(tokenizer.vocab_size)} == vocabulary
    own = Tokenizer.train("word", [*lines, "<unk>"], vocab_size=90)
    assert {own.token(i) for i in range(own.vocab_size)} == vocabulary | {"c", ","}
    for lowest, size in ((1, 6), (2, 4), (3, 4), (4, 2)):
        found = Tokenizer.train("word", lines, vocab_size=90, min_frequency=lowest)
        assert found.vocab_size == size


@pytest.mark.parametrize("kind", KINDS)
def test_lower_case(kind: str) -> None:
    tokenizer = Tokenizer.train(kind, PROSE * 3, vocab_size=400, lowercase=True)
    text = "The KEEPER Said NAÏVE CAFÉ"
    upper, lower = tokenizer.encode([text, text.lower()])
    assert upper.tolist() == lower.tolist()
    assert tokenizer.decode(upper) == "the keeper said naïve café"
    (words,) = tokenizer.encode_words([text.split()])
    (lower_words,) = tokenizer.encode_words([text.lower().split()])
    assert words.ids.tolist() == lower_words.ids.tolist()
    assert tokenizer.unk_id not in words.ids
    assert tokenizer.loses_text


@pytest.mark.parametrize("kind", ["word", "char"])
def test_lower_case_is_the_same_everywhere(kind: str) -> None:
    options = {"presplit": False} if kind == "word" else {}
    tokenizer = Tokenizer.train(kind, ["ΟΔΟΣ ΟΔΟΣ"], vocab_size=99, lowercase=True, **options)
    assert tokenizer.unk_id not in tokenizer.encode(["ΟΔΟΣ"])[0]
    assert tokenizer.unk_id not in tokenizer.encode_words([["ΟΔΟΣ"]])[0].ids


# Words that are already split

WORDS = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Z", "C"]), min_size=1, max_size=8)
    | st.sampled_from(["don't", "'s", "U.S.", "ships", "the", "...", "🙂"]),
    max_size=8,
)


@QUICK
@given(sentence=WORDS)
def test_words_are_spelled_as_in_a_line(sentence: list[str]) -> None:
    presplit = Tokenizer.train("word", PRESPLIT, vocab_size=90)
    for tokenizer in (trained("bpe"), trained("byte"), trained("char"), presplit):
        (words,) = tokenizer.encode_words([sentence])
        line = tokenizer.encode([" ".join(sentence)])[0]
        if sentence:
            assert words.ids.tolist() == line.tolist()
        else:
            assert len(words.ids) == len(words.first) == len(words.last) == 0


@QUICK
@given(sentences=st.lists(st.lists(LINE | st.sampled_from(["", " ", "a b"]), max_size=5)))
def test_every_word_has_tokens_of_its_own(sentences: list[list[str]]) -> None:
    raw = Tokenizer.train("word", PROSE * 2, vocab_size=90, presplit=False)
    presplit = Tokenizer.train("word", PRESPLIT, vocab_size=90)
    for tokenizer in (*map(trained, ("bpe", "byte", "char")), raw, presplit):
        gap = tokenizer.config.kind in ("byte", "char")
        encoded = tokenizer.encode_words(sentences)
        assert len(encoded) == len(sentences)
        for words, sentence in zip(encoded, sentences, strict=True):
            assert len(words.first) == len(words.last) == len(sentence)
            if not sentence:
                continue
            assert (words.first <= words.last).all()
            assert words.first[0] == 0
            assert words.last[-1] == len(words.ids) - 1
            assert (words.first[1:] == words.last[:-1] + 1 + gap).all()
            for word, first, last in zip(sentence, words.first, words.last, strict=True):
                if tokenizer.loses_text:
                    continue
                spelled = tokenizer.decode(words.ids[first : last + 1])
                if tokenizer.unk_id is None:
                    assert spelled == word or word == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("word", ["", " ", "\u00a0", "\t"])
def test_a_word_of_nothing_still_has_a_token(kind: str, word: str) -> None:
    (words,) = trained(kind).encode_words([["ships", word, "the"]])
    assert (words.first <= words.last).all()
    assert words.first[2] > words.last[1] >= words.first[1] > words.last[0]


@pytest.mark.parametrize("kind", ["bpe", "char", "byte"])
def test_of_a_long_word_the_start_and_the_end_are_read(kind: str) -> None:
    tokenizer = trained(kind)
    text = "".join(chr(ord("a") + n % 23) for n in range(9000))
    whole = tokenizer.encode([text])[0]
    assert len(whole) > 256
    (words,) = tokenizer.encode_words([[text, "ships"]])
    assert words.first[0] == 0
    assert words.last[0] == 255
    assert words.ids[:128].tolist() == whole[:128].tolist()
    assert words.ids[128:256].tolist() == whole[-128:].tolist()


def test_words_split_by_the_caller_are_not_split_again() -> None:
    tokenizer = Tokenizer.train("word", PROSE * 3, vocab_size=500, presplit=False)
    (words,) = tokenizer.encode_words([["ships", "did", "n't", "didn't", ","]])
    found = [tokenizer.token(i) for i in words.ids]
    assert found == ["ships", "did", "n't", "<unk>", ","]


# Pieces of sentences


@pytest.mark.parametrize(
    ("size", "sizes"),
    [(8, [8]), (7, [7, 1]), (6, [6, 2]), (4, [3, 4, 1]), (3, [3, 3, 2]), (2, [2, 1, 3, 2]),
     (1, [2, 1, 3, 1, 1])],
)  # fmt: skip
def test_a_sentence_is_split_between_words(size: int, sizes: list[int]) -> None:
    """As many words as fit into a piece, at least one. These have 2, 1, 3, 1 and 1 tokens."""
    first = np.array([0, 2, 3, 6, 7], np.int32)
    last = np.array([1, 2, 5, 6, 7], np.int32)
    sentence = EncodedWords(np.arange(10, 18, dtype=np.int32), first, last)
    pieces = list(sentence.pieces(size))
    assert [len(piece.ids) for piece in pieces] == sizes
    assert np.concatenate([piece.ids for piece in pieces]).tolist() == sentence.ids.tolist()
    words = [
        piece.ids[a : b + 1].tolist()
        for piece in pieces
        for a, b in zip(piece.first, piece.last, strict=True)
    ]
    assert words == [[10, 11], [12], [13, 14, 15], [16], [17]]


def test_a_space_belongs_to_the_piece_of_the_next_word() -> None:
    (sentence,) = trained("byte").encode_words([["ab", "cd"]])
    one, two = sentence.pieces(4)
    text = [trained("byte").decode(piece.ids) for piece in (one, two)]
    assert text == ["ab", " cd"]
    assert (two.first.tolist(), two.last.tolist()) == ([1], [2])


def test_a_short_sentence_is_one_piece_and_an_empty_one_has_none() -> None:
    for words in (["a"], ["ab", "cd"]):
        (sentence,) = trained("byte").encode_words([words])
        (piece,) = sentence.pieces(len(sentence.ids))
        assert piece is sentence
    (empty,) = trained("byte").encode_words([[]])
    assert list(empty.pieces(3)) == []


# Long lines


@contextmanager
def pieces_of(size: int, batch: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer_module, "_PIECE_CHARACTERS", size)
        patch.setattr(tokenizer_module, "_CALL_CHARACTERS", batch)
        patch.setattr(tokenizer_module, "_PART_CHARACTERS", batch)
        yield


def encoded(tokenizer: Tokenizer, lines: list[str]) -> list[Any]:
    """The results of every method for some lines."""
    words = tokenizer.encode_words([line.split() for line in lines])
    of_words = tokenizer.encode_lines_of_words(lines)
    return [
        [ids.tolist() for ids in tokenizer.encode(lines)],
        [ids.tolist() for ids in tokenizer.encode_lines(lines)],
        [(line.ids.tolist(), line.words, line.owner.tolist()) for line in of_words],
        [(line.ids.tolist(), line.first.tolist(), line.last.tolist()) for line in words],
    ]


# A line has no line end in it.
ONE_LINE = (SPACED | LINE | TEXT).map(lambda text: text.replace("\n", " "))


@settings(QUICK, max_examples=100)
@given(lines=st.lists(ONE_LINE, max_size=4))
def test_a_line_in_pieces_has_the_same_ids(lines: list[str]) -> None:
    for tokenizer in every_tokenizer():
        expected = [[*reference(tokenizer, line)[0], tokenizer.eos_id] for line in lines]
        assert [ids.tolist() for ids in tokenizer.encode_lines(lines)] == expected
        assert all(ids.dtype == np.int32 for ids in tokenizer.encode_lines(lines))
        whole = encoded(tokenizer, lines)
        for size, batch in ((2, 1), (5, 12), (2, 1000)):
            with pieces_of(size, batch):
                assert encoded(tokenizer, lines) == whole, tokenizer.config


@settings(QUICK, max_examples=100)
@given(text=SPACED | LINE | TEXT)
def test_a_text_in_parts_has_the_same_ids(text: str) -> None:
    for tokenizer in every_tokenizer():
        (whole,) = tokenizer.encode_lines([text])
        for size, batch in ((2, 1), (5, 12), (2, 1000)):
            with pieces_of(size, batch):
                parts = list(tokenizer.encode_in_parts(text))
            assert all(len(part) and part.dtype == np.int32 for part in parts)
            assert np.concatenate(parts).tolist() == whole.tolist(), tokenizer.config


def test_a_text_is_encoded_in_parts_of_few_characters() -> None:
    for tokenizer in every_tokenizer():
        with pieces_of(8, 16):
            parts = list(tokenizer.encode_in_parts("a bc de\n\nfg hi " * 20))
        assert len(parts) > 10
        assert max(map(len, parts)) < 40


@pytest.mark.parametrize("line", ["", "a", "a b c", "aaa bbb  ccc dd e", " x  y z", "nospace"])
def test_a_prefix_is_split_with_its_line(line: str) -> None:
    for size in range(2, 9):
        expected = list(split_long_line(" " + line, size))
        assert list(split_long_line(line, size, " ")) == expected


def test_a_long_line_is_split() -> None:
    """Only before single spaces: a byte-level pre-tokenizer treats runs of them differently."""
    assert list(split_long_line("aaa bbb  ccc dd e", 4)) == ["aaa", " bbb  ccc", " dd", " e"]
    assert list(split_long_line("nospaceatall", 4)) == ["nospaceatall"]
    assert list(split_long_line("a b c", 5)) == ["a b c"]
    assert list(split_long_line("", 5)) == [""]
    assert max(map(len, split_long_line("word " * 1000, 64))) < 70


class Watched:
    """The library, recording the number of characters of each call."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.calls: list[list[int]] = []
        self.id_to_token = backend.id_to_token

    def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
        self.calls.append([len(text) for text in texts])
        return self.backend.encode_batch_fast(texts, **options)

    def encode_batch(self, texts: list[str], **options: Any) -> Any:
        self.calls.append([len(text) for text in texts])
        return self.backend.encode_batch(texts, **options)


@pytest.mark.parametrize("kind", ["bpe", "word"])
@pytest.mark.parametrize("method", ["encode", "encode_lines", "encode_lines_of_words"])
def test_the_library_encodes_few_characters_per_call(
    kind: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Tokenizer.load(trained(kind).to_json(), trained(kind).config)
    watched = Watched(tokenizer._backend)
    monkeypatch.setattr(tokenizer, "_backend", watched)
    # A cached chunk is not encoded again, so all words differ.
    first, second = ([f"the ship{n}"[:9] for n in range(a, a + 30)] for a in (0, 30))
    long = "".join(f"keep{n:02} " for n in range(200))
    with pieces_of(64, 256):
        getattr(tokenizer, method)([*first, long, *second])
    assert max(map(sum, watched.calls)) < 256 + 64 + 8
    assert max(map(max, watched.calls)) < 64 + 8
    # Lines fill a call together, also beside a long line.
    assert len(watched.calls) <= (2 * 30 * 10 + 200 * 7) // 256 + 1
    assert len(watched.calls) > 4


def test_a_call_ends_with_the_piece_that_fills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer.load(trained("word").to_json(), trained("word").config)
    watched = Watched(tokenizer._backend)
    monkeypatch.setattr(tokenizer, "_backend", watched)
    with pieces_of(64, 12):
        tokenizer.encode_lines_of_words(["abcd"] * 7)
    assert watched.calls == [[4, 4, 4], [4, 4, 4], [4]]


def test_every_character_has_an_id() -> None:
    tokenizer = trained("char")
    for character in ("\U0010ffff", "\0", "\ue000"):
        assert tokenizer.encode([character])[0].tolist() == [tokenizer.unk_id]


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_a_long_line_takes_little_more_than_its_ids(kind: str) -> None:
    tokenizer = trained(kind)
    line = "the keeper " * 50_000
    tokenizer.encode_lines_of_words(["the tables that are cached"])
    tracemalloc.start()
    try:
        (ids,) = tokenizer.encode([line])
        assert tracemalloc.get_traced_memory()[1] < 2.6 * ids.nbytes
        del ids
        tracemalloc.reset_peak()
        (found,) = tokenizer.encode_lines_of_words([line])
        # Two arrays, each held twice while it is concatenated, and a list of words.
        assert tracemalloc.get_traced_memory()[1] < 4.2 * found.ids.nbytes
    finally:
        tracemalloc.stop()


# The word of each token of a line


def is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def spans_of_words(line: str, places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places of words between white space, cut where a token begins or ends with a letter of a
    script without spaces and its marks."""
    spans = []
    for start, end in (match.span() for match in re.finditer(r"\S+", line)):
        for place in range(start + 1, end):
            base = next((c for c in reversed(line[start:place]) if not is_mark(c)), " ")
            beside = not is_mark(line[place]) and is_unspaced(base)
            begins = any(a == place for a, _ in places)
            begins = begins and not any(a < place < b for a, b in places)
            if begins and (beside or is_unspaced(line[place])):
                spans.append((start, place))
                start = place
        spans.append((start, end))
    return spans


@settings(QUICK, max_examples=200)
@given(line=SPACED | LINE | TEXT | CASED | st.text("a 你กิี́、", max_size=12))
def test_every_token_belongs_to_a_word(line: str) -> None:
    for tokenizer in every_tokenizer():
        (found,) = tokenizer.encode_lines_of_words([line])
        ids, places = reference(tokenizer, line)
        spans = [(a, b) for a, b in places if not line[a:b].isspace()]
        if tokenizer.config.kind != "word":
            spans = spans_of_words(line, places)
        assert found.ids.tolist() == [*ids, tokenizer.eos_id]
        assert found.words == [line[a:b] for a, b in spans]
        # The word of a token is the first that ends after the start of the token.
        owner = [sum(end <= start for _, end in spans) for start, _ in places]
        assert found.owner.tolist() == [*owner, len(spans)], tokenizer.config
        assert found.ids.dtype == found.owner.dtype == np.int32
        assert (np.diff(found.owner) >= 0).all()


@pytest.mark.parametrize(
    ("kind", "line", "expected"),
    [
        ("byte", "", ""),
        ("byte", "  ", "  "),
        ("byte", " a  bé\t", " a|  bé|\t"),
        ("byte", "İ\u3000x\u00a0🙂", "i̇|\u3000x|\u00a0🙂|"),
        ("char", "", ""),
        ("char", " a  bc\t", " a|  bc|\t"),
        ("char", "İ \tI", "i̇| \ti|"),
        ("bpe", "", " "),
        ("bpe", "The ships", " the| ships|"),
        ("bpe", "   ships,\tand  lamps  ", "    ships,|\tand|  lamps|  "),
        ("bpe", f"{SAMPLE} ", " naïve| café| 你|好| 🙂| "),
        ("byte", "的iPhone手机 กิน", "的|iphone|手|机| กิ|น|"),
        ("char", "用 abc、好", "用| abc、|好|"),
    ],
)
def test_what_each_word_is_made_of(kind: str, line: str, expected: str) -> None:
    """`expected`: the text of each word's tokens, and last that of the line's end."""
    tokenizer = Tokenizer.train(kind, [*PROSE * 3, line] * 2, vocab_size=300, lowercase=True)
    (found,) = tokenizer.encode_lines_of_words([line])
    *parts, end = (
        b"".join(tokenizer.pieces[i] for i in found.ids[found.owner == word]).decode()
        for word in range(len(found.words) + 1)
    )
    assert "|".join([*parts, end.removesuffix("\n")]) == expected
    assert end.endswith("\n")
    assert "".join(found.words) == "".join(line.split())
    assert [word.strip().lower() for word in parts] == [word.lower() for word in found.words]


@pytest.mark.parametrize(
    ("line", "presplit", "words"),
    [
        ("The Keeper  doesn't ZZZ, zzz ", False, "The|Keeper|does|n't|ZZZ|,|zzz"),
        ("The Keeper  doesn't ZZZ, zzz ", True, "The|Keeper|doesn't|ZZZ,|zzz"),
        ("İSTANBUL'S ΟΔΟΣ", False, "İSTANBUL|'S|ΟΔΟΣ"),
        ("<unk> ships", True, "<unk>|ships"),
        (f"\t{SAMPLE}\u00a0…", False, "naïve|café|你好|🙂|…"),
        ("", False, ""),
        (" \t ", True, ""),
    ],
)
@pytest.mark.parametrize("lowercase", [False, True])
def test_words_that_are_tokens_are_spelled_as_in_the_text(
    line: str, presplit: bool, words: str, lowercase: bool
) -> None:
    tokenizer = trained("word", presplit=presplit, lowercase=lowercase)
    (found,) = tokenizer.encode_lines_of_words([line])
    assert found.words == (words.split("|") if words else [])
    assert found.owner.tolist() == list(range(len(found.words) + 1))
    assert found.ids.tolist() == tokenizer.encode_lines([line])[0].tolist()


def test_a_word_that_is_white_space_goes_with_the_next() -> None:
    """U+001C is white space in Python, but not in regular expressions."""
    (found,) = trained("word", presplit=False).encode_lines_of_words(["the \x1c \x1d ships \x1c"])
    assert found.words == ["the", "ships"]
    assert found.owner.tolist() == [0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("tokenizer", every_tokenizer(), ids=lambda t: str(t.config))
def test_words_of_lines_of_any_length(tokenizer: Tokenizer) -> None:
    sentence = f"The  keeper's ships,\tİ {SAMPLE}: "
    long = sentence * (4 * tokenizer_module._PIECE_CHARACTERS // len(sentence))
    lines = ["the ships", long, "", long.strip(), " "]
    together = tokenizer.encode_lines_of_words(lines)
    plain = tokenizer.encode_lines(lines)
    for line, found, ids in zip(lines, together, plain, strict=True):
        assert found.ids.tolist() == ids.tolist()
        assert found.ids[:-1].tolist() == reference(tokenizer, line)[0]
        assert len(found.owner) == len(found.ids)
        assert (np.diff(found.owner) >= 0).all()
        assert found.owner[-1] == len(found.words)
        assert set(found.owner.tolist()) == set(range(len(found.words) + 1))
        assert "".join(found.words) == "".join(line.split())
    assert together[1].words == together[3].words
    # Equal words share one string.
    words = [word for found in together for word in found.words]
    assert len(set(map(id, words))) == len(set(words))


def test_lower_casing_leaves_white_space_where_it_is() -> None:
    # Above U+20000 there are neither cases nor white space.
    every = [chr(c) for c in range(0x20000) if not 0xD800 <= c < 0xE000 and c != ord("|")]
    lower = vocabulary.LOWERCASE.normalize_str("|".join(every)).split("|")
    assert sum(len(text) > 1 for text in lower) == 1  # İ
    for character, text in zip(every, lower, strict=True):
        assert len(text.split()) == len(character.split())
        assert text.isspace() == character.isspace()


# Storing


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lowercase", [False, True])
def test_stored_and_loaded(kind: str, lowercase: bool) -> None:
    tokenizer = Tokenizer.train(kind, PROSE * 3, vocab_size=300, lowercase=lowercase)
    config = json.loads(json.dumps(tokenizer_config_to_json(tokenizer.config)))
    text = "The keeper's ships, " + SAMPLE + " zz\n<unk>"
    for again in (
        Tokenizer.load(tokenizer.to_json(), TokenizerConfig(**config)),
        pickle.loads(pickle.dumps(tokenizer)),  # noqa: S301
    ):
        assert again.config == tokenizer.config
        assert again.to_json() == tokenizer.to_json()
        assert (again.vocab_size, again.eos_id, again.unk_id) == (
            tokenizer.vocab_size,
            tokenizer.eos_id,
            tokenizer.unk_id,
        )
        (ids,) = again.encode([text])
        assert ids.tolist() == tokenizer.encode([text])[0].tolist()
        assert again.decode(ids) == tokenizer.decode(ids)


@pytest.mark.parametrize("text", ["", "no JSON", "{}", "[]", "null", '{"model": {}}', "\x00"])
def test_a_malformed_file(text: str) -> None:
    with pytest.raises(DataError, match=r"tokenizer\.json cannot be read: "):
        Tokenizer.load(text, TokenizerConfig("bpe"))


def test_a_file_cut_short_and_one_of_another_kind() -> None:
    text = trained("bpe").to_json()
    with pytest.raises(DataError, match=r"tokenizer\.json cannot be read: "):
        Tokenizer.load(text[: len(text) // 2], TokenizerConfig("bpe"))
    with pytest.raises(DataError, match="is not of kind word"):
        Tokenizer.load(text, TokenizerConfig("word"))
    words = Tokenizer.train("word", PROSE * 2, vocab_size=90).to_json()
    with pytest.raises(DataError, match="is not of kind char"):
        Tokenizer.load(words, TokenizerConfig("char"))
