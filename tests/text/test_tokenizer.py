"""The four kinds of tokenizer: what comes back, what is unknown, where words begin and end."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext.errors import DataError, UsageError
from rnntext.text import tokenizer as tokenizer_module
from rnntext.text.tokenizer import (
    KINDS,
    Tokenizer,
    TokenizerConfig,
    is_presplit,
    split_words,
    tokenizer_config_to_json,
)

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
QUICK = settings(max_examples=60, deadline=None)


@cache
def trained(kind: str, **options: Any) -> Tokenizer:
    sizes = {"bpe": 300, "word": 500, "char": 500, "byte": 257}
    given = {"vocab_size": sizes[kind], **options}
    return Tokenizer.train(kind, PROSE * 3, **given)


def tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.token(i) for i in tokenizer.encode([text])[0]]


# There and back


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


def test_straight_quotes_open_and_close() -> None:
    text = 'He said "well" and "no", twice.\n"Well", she said'
    tokenizer = Tokenizer.train("word", text.split("\n") * 2, vocab_size=90, presplit=False)
    assert tokenizer.decode(tokenizer.encode([text])[0]) == text
    # A line's end closes what is open.
    once = 'a "well'
    tokenizer = Tokenizer.train("word", [once, once], vocab_size=90, presplit=False)
    assert tokenizer.decode(tokenizer.encode([f"{once}\n{once}"])[0]) == f"{once}\n{once}"


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


# Streaming


@QUICK
@given(text=TEXT)
def test_a_stream_has_no_broken_characters(text: str) -> None:
    for kind in ("bpe", "byte"):
        tokenizer = trained(kind)
        decoder = tokenizer.decoder()
        pieces = [decoder.push(int(i)) for i in tokenizer.encode([text])[0]]
        assert "".join(pieces) == text
        assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)
        assert decoder.flush() == ""


@QUICK
@given(data=st.binary(max_size=12) | st.lists(
    st.sampled_from([b"\xe4", b"\xbd", b"\xa0", b"\xf0", b"\x9f", b"a", b"\n", b"\xc3", b"\xf5"]),
    max_size=12,
).map(b"".join))  # fmt: skip
def test_any_bytes_decode_as_they_do_at_once(data: bytes) -> None:
    tokenizer = trained("byte")
    id_of = {piece: i for i, piece in enumerate(tokenizer.pieces)}
    assert set(id_of) == {bytes([byte]) for byte in range(256)}
    expected = data.decode("utf-8", "replace")
    assert tokenizer.decode(id_of[bytes([byte])] for byte in data) == expected


def test_text_is_given_as_soon_as_it_is_whole() -> None:
    tokenizer = trained("byte")
    decoder = tokenizer.decoder()
    pieces = [decoder.push(int(i)) for i in tokenizer.encode(["aé🙂b"])[0]]
    assert pieces == ["a", "", "é", "", "", "", "🙂", "b"]
    assert decoder.push(int(tokenizer.encode(["你"])[0][0])) == ""
    assert decoder.flush() == "\ufffd"
    assert decoder.flush() == ""


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
    # Unlike regular expressions, Python takes four separators of old for white space.
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


def test_rare_characters_and_merges_can_be_left_out() -> None:
    char = Tokenizer.train("char", ["aab", "ab c"], vocab_size=90, min_frequency=2)
    assert [char.token(i) for i in range(char.vocab_size)] == ["\n", "<unk>", "a", "b"]
    lines = ["abcd"] * 5
    assert Tokenizer.train("bpe", lines, vocab_size=400, min_frequency=6).vocab_size == 257
    # " a", " ab", " abc" and " abcd", or as many others.
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


def test_a_size_that_cannot_be() -> None:
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
    monkeypatch.setattr(tokenizer_module, "_TRAINING_LIMIT", 40)
    read = []

    def lines() -> Any:
        for number in range(10_000):
            read.append(number)
            yield "twelve chars"

    Tokenizer.train("char", lines(), vocab_size=90)
    assert len(read) == 4


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


def test_words_that_somebody_else_split_are_looked_up_as_they_are() -> None:
    tokenizer = Tokenizer.train("word", PROSE * 3, vocab_size=500, presplit=False)
    (words,) = tokenizer.encode_words([["ships", "did", "n't", "didn't", ","]])
    found = [tokenizer.token(i) for i in words.ids]
    assert found == ["ships", "did", "n't", "<unk>", ","]


# Long lines


@QUICK
@given(lines=st.lists(SPACED | LINE, min_size=1, max_size=3))
def test_a_line_in_pieces_is_the_same_line(lines: list[str]) -> None:
    raw = Tokenizer.train("word", PROSE * 2, vocab_size=90, presplit=False)
    presplit = Tokenizer.train("word", PRESPLIT, vocab_size=90)
    every: Sequence[Tokenizer] = (*map(trained, ("bpe", "byte", "char")), raw, presplit)
    whole = [[ids.tolist() for ids in tokenizer.encode_lines(lines)] for tokenizer in every]
    for size in (2, 5):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tokenizer_module, "_PIECE", size)
            for tokenizer, expected in zip(every, whole, strict=True):
                found = [ids.tolist() for ids in tokenizer.encode_lines(lines)]
                assert found == expected, tokenizer.config


def test_a_long_line_is_really_cut() -> None:
    """Before single spaces alone: a byte-level splitter treats runs of them otherwise."""
    cut = list(tokenizer_module._cut("aaa bbb  ccc dd e", 4))
    assert cut == ["aaa", " bbb  ccc", " dd", " e"]
    assert list(tokenizer_module._cut("nospaceatall", 4)) == ["nospaceatall"]
    assert max(map(len, tokenizer_module._cut("word " * 1000, 64))) < 70


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
