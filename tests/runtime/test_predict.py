"""Next words compared with an enumeration of all spellings, under models of known distributions."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from rnntext.errors import UsageError
from rnntext.runtime import predict as module
from rnntext.runtime.language_model import LanguageModel
from rnntext.runtime.predict import Predictions, Predictor
from rnntext.text.tokenizer import Tokenizer

Array = NDArray[Any]
Rule = Callable[[tuple[int, ...]], Array]  # ids so far -> probabilities of the next (V)

TEXT = "naïve café 你好 🙂 don't well-known naïvely end"
PIECES = ("bpe", "char", "byte")


class Known:
    """A fake language model whose probabilities come from a rule. Its state is the index of a
    history."""

    def __init__(self, tokenizer: Tokenizer, rule: Rule) -> None:
        self.tokenizer = tokenizer
        self.rule = rule
        self.histories: list[tuple[int, ...]] = [()]
        self.prompts: list[tuple[int, ...]] = []  # histories that were read from the zero state
        self.largest = 0  # the most rows in one call

    map = staticmethod(map)

    def initial_state(self, rows: int = 1) -> tuple[Array, ...]:
        return (np.zeros((1, rows, 1)),)

    def read(
        self, rows: Sequence[Array], state: tuple[Array, ...]
    ) -> tuple[Array, tuple[Array, ...]]:
        self.largest = max(self.largest, len(rows))
        numbers = []
        for row, before in zip(rows, state[0][0, :, 0].astype(int).tolist(), strict=True):
            assert len(row)
            self.histories.append((*self.histories[before], *row.tolist()))
            numbers.append(len(self.histories) - 1)
            if before == 0:
                self.prompts.append(self.histories[-1])
        with np.errstate(divide="ignore"):
            found = np.log([self.rule(self.histories[number]) for number in numbers])
        return found.astype(np.float32), (np.array(numbers, float).reshape(1, -1, 1),)

    def step(self, ids: Array, state: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        return self.read(list(ids[:, None]), state)

    def predictor(self) -> Predictor:
        return Predictor(cast(LanguageModel, self))


def trained(kind: str, lines: Sequence[str], **options: Any) -> Tokenizer:
    size = 290 if kind == "bpe" else 60
    return Tokenizer.train(kind, lines, vocab_size=size, min_frequency=1, **options)


def some_tokens(tokenizer: Tokenizer, characters: str, seed: int = 5) -> Rule:
    """Random probabilities that depend on the last two tokens. Only tokens made of these
    characters (for `byte`, of their bytes in any order) and the end of the line have any."""
    data = set(characters.encode())
    usable = np.array([set(piece) <= data or piece == b"\n" for piece in tokenizer.pieces])
    if tokenizer.unk_id is not None:
        usable[tokenizer.unk_id] = True
    known: dict[tuple[int, ...], Array] = {}

    def rule(history: tuple[int, ...]) -> Array:
        last = history[-2:]
        if last not in known:
            random = np.random.default_rng([seed, *last])
            odds = np.exp(2.5 * random.standard_normal(len(usable))) * usable
            known[last] = odds / odds.sum()
        return known[last]

    return rule


def memory_of(tokenizer: Tokenizer, text: str) -> Rule:
    """Probabilities 0.95 for the tokens that continue the text and then end the line."""
    target = (" " * (tokenizer.config.kind == "bpe") + text + "\n").encode()

    def rule(history: tuple[int, ...]) -> Array:
        rest = target[sum(len(tokenizer.pieces[i]) for i in history[1:]) :]
        fits = np.array([rest.startswith(piece) for piece in tokenizer.pieces])
        even = np.full(tokenizer.vocab_size, 1 / tokenizer.vocab_size)
        return 0.95 * fits / fits.sum() + 0.05 * even if fits.any() else even

    return rule


# ENDED: a word that has certainly ended, or a sign. NO_WORD: no word can follow. U+FFFD stands for
# bytes that are not text.
ENDED = re.compile(r"\s*(\w+(?:['-]\w+)*)(?:[^\w'-]|['-]\W)|\s*([^\w\s�])")
NO_WORD = re.compile(r"[^\S\n]*[\n�]")


Spelling = tuple[float, tuple[int, ...], bytes]  # probability, history with its ids, bytes


def longer(tokenizer: Tokenizer, rule: Rule, spelling: Spelling) -> Iterator[Spelling]:
    """The spelling extended by each token that may follow."""
    mass, history, data = spelling
    probabilities = mass * rule(history)
    for token in np.flatnonzero(probabilities).tolist():
        yield float(probabilities[token]), (*history, token), data + tokenizer.pieces[token]


def words_by_enumeration(
    tokenizer: Tokenizer, rule: Rule, before: Sequence[int], required: bytes
) -> tuple[dict[str, float], float]:
    """The probability of each word after some ids, given the required bytes, by going through
    all that may be spelled. What is very unlikely is not followed: its probability is the
    second value."""
    starts: list[Spelling] = []
    waiting: list[Spelling] = [(1.0, tuple(before), b"")]
    while required and waiting:
        for spelling in longer(tokenizer, rule, waiting.pop()):
            if spelling[2].startswith(required):
                starts.append(spelling)
            elif required.startswith(spelling[2]):
                waiting.append(spelling)
    total = sum(mass for mass, _, _ in starts)
    waiting += [(mass / total, history, data) for mass, history, data in starts]
    masses: dict[str, float] = {}
    lost = 0.0
    while waiting:
        mass, history, data = spelling = waiting.pop()
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(data)
        if history[-1] == tokenizer.unk_id or NO_WORD.match(text):
            continue
        if found := ENDED.match(text):
            word = found[1] or found[2]
            masses[word] = masses.get(word, 0.0) + mass
        elif mass > 1e-5:
            waiting += longer(tokenizer, rule, spelling)
        else:
            lost += mass
    beginning = required.decode().strip()
    return {word: mass for word, mass in masses.items() if word.startswith(beginning)}, lost


# A text, whether to complete it, the part that is read, and the bytes that must come next. Only in
# `bpe` is there a space at the start of a line.
CASES = [
    ("", False, "", ""),
    ("ab", False, "ab", " "),
    ("ab \t", False, "ab", " "),
    ("ab,", False, "ab,", None),
    ("a b\n", False, "a b\n", ""),
    ("ab b", True, "ab", " b"),
    ("b ", True, "b", " "),
    ("ab\na", True, "ab\n", "a"),
    ("ab é", True, "ab", " é"),
    ("ab ab-", True, "ab", " ab-"),
    ("b 'ab'", True, "b '", "ab'"),
]


def check(found: Predictions, true: dict[str, float], lost: float, top_k: int) -> None:
    """Check the bounds that `Predictions` documents."""
    listed = {each.word: each.probability for each in found.words}
    assert list(listed.values()) == sorted(listed.values(), reverse=True)
    assert len(listed) == len(found.words) <= top_k
    assert 0 <= found.unexplored <= 1
    assert sum(listed.values()) + found.unexplored < 1 + 1e-6
    last = min(listed.values(), default=0) if len(listed) == top_k else 0
    for word in {*true, *listed}:
        if word in listed:
            assert listed[word] <= true.get(word, 0) + lost + 1e-6
            assert true.get(word, 0) <= listed[word] + found.unexplored + 1e-6
        else:
            assert true[word] <= last + found.unexplored + 1e-6


@pytest.mark.parametrize(("text", "complete", "context", "required"), CASES)
@pytest.mark.parametrize("kind", PIECES)
def test_probabilities_are_those_of_all_spellings(
    kind: str,
    text: str,
    complete: bool,
    context: str,
    required: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokenizer = trained(kind, ["ab abb ba, a-b é bé abb's 'ab' ab-ab ab"] * 3)
    rule = some_tokens(tokenizer, "ab é,'-")
    before = [tokenizer.eos_id]
    if context:
        lines = context.split("\n")
        before += [int(i) for ids in tokenizer.encode_lines(lines[:-1]) for i in ids]
        before += tokenizer.encode([lines[-1]])[0].tolist() if lines[-1] else []
    starts_line = kind == "bpe" and (not context or context.endswith("\n"))
    must = (" " * starts_line + (required or "")).encode()
    true, lost = words_by_enumeration(tokenizer, rule, before, must)
    predictor = Known(tokenizer, rule).predictor()
    for top_k in (1, 3, 200):
        [found] = predictor.predict([text], top_k=top_k, complete=complete)
        check(found, true, lost, top_k)
    # With higher limits the search finds the exact probabilities.
    monkeypatch.setattr(module, "_MAX_HYPOTHESES", 3000)
    monkeypatch.setattr(module, "_NEGLIGIBLE", 1e-9)
    [long] = predictor.predict([text], top_k=300, complete=complete)
    check(long, true, lost, 300)
    assert long.unexplored < 0.005
    assert lost < 0.005


def listed(found: Predictions) -> dict[str, float]:
    return {each.word: each.probability for each in found.words}


def table(tokenizer: Tokenizer, rules: dict[str, dict[str, float]]) -> Rule:
    """A rule from a table: the pieces so far, joined by `|`, to the probabilities of the next."""
    ids = {piece: i for i, piece in enumerate(tokenizer.pieces)}

    def rule(history: tuple[int, ...]) -> Array:
        spelled = b"|".join(tokenizer.pieces[i] for i in history[1:]).decode()
        probabilities = np.zeros(tokenizer.vocab_size)
        for piece, probability in rules[spelled].items():
            probabilities[ids[piece.encode()]] = probability
        return probabilities

    return rule


def test_spellings_and_what_ends_a_word_are_summed_by_hand() -> None:
    tokenizer = trained("bpe", ["hello hello, hell lo lo well"] * 5)
    rules = {
        "": {" hello": 0.5, " hell": 0.25, " ": 0.125, ",": 0.0625, "\n": 0.0625},
        " hello": {",": 0.5, " hello": 0.25, "\n": 0.125, "l": 0.125},
        " hell": {"o": 0.5, ",": 0.5},
        " hell|o": {"\n": 0.5, "'": 0.5},
        " hell|o|'": {" ": 1.0},
        " hello|l": {" ": 1.0},
        " ": {",": 1.0},
    }
    predictor = Known(tokenizer, table(tokenizer, rules)).predictor()
    # The first word of a line comes after a space, so the comma is not the start of a word.
    given = 0.5 + 0.25 + 0.125
    words = {
        "hello": (0.5 * (0.5 + 0.25 + 0.125) + 0.25 * 0.5 * (0.5 + 0.5)) / given,
        "hell": 0.25 * 0.5 / given,
        ",": 0.125 / given,
        "hellol": 0.5 * 0.125 / given,
    }
    [found] = predictor.predict([""], top_k=9)
    assert listed(found) == pytest.approx(words, rel=1e-6)
    assert found.unexplored == 0
    [found] = predictor.predict([" hel"], top_k=9, complete=True)
    del words[","]
    letters = (0.5 + 0.25) / given
    assert listed(found) == pytest.approx({w: p / letters for w, p in words.items()}, rel=1e-6)


@pytest.mark.parametrize("kind", PIECES)
@pytest.mark.parametrize("line", ["", "one line\n"])
def test_a_text_known_by_heart_is_predicted_word_by_word(kind: str, line: str) -> None:
    tokenizer = trained(kind, [TEXT] * 3)
    by_heart = memory_of(tokenizer, TEXT)
    before = len(tokenizer.encode_lines(line.split("\n")[:-1])[0]) if line else 0
    predictor = Known(tokenizer, lambda history: by_heart(history[before:])).predictor()
    (line_of_words,) = tokenizer.encode_lines_of_words([TEXT])
    words = line_of_words.words
    assert "".join(words) == "".join(TEXT.split())
    spaces = [TEXT[: TEXT.index(word)] for word in words]
    asked = [line + text for space in spaces for text in (space, space.rstrip())]
    for found, word in zip(predictor.predict(asked), np.repeat(words, 2), strict=True):
        assert found.words[0].word == word, found
        assert found.words[0].probability > 0.4
    started = [
        (s + w[:size], w)
        for s, w in zip(spaces, words, strict=True)
        for size in range(1, len(w) + 1)
    ]
    completed = predictor.predict([line + text for text, _ in started], complete=True)
    for (text, word), found in zip(started, completed, strict=True):
        # A sign that is not a letter is a complete word, and so is a unit: the next one comes.
        following = words[words.index(word) + 1 :][:1]
        expected = following[0] if text.endswith(("🙂", "你", "好")) else word
        assert found.words[0].word == expected, text


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("kind", PIECES)
def test_what_really_comes_next_is_predicted_where_no_spaces_are(kind: str, complete: bool) -> None:
    text = "主人は iPhoneを「使った」กิน น้ำ"
    tokenizer = Tokenizer.train(kind, [text] * 3, vocab_size=300, min_frequency=1)
    predictor = Known(tokenizer, memory_of(tokenizer, text)).predictor()
    for before, after in (
        ("主", "人"), ("主人", "は"), ("主人は", "iPhone"), ("主人は iPhoneを", "「"),
        ("主人は iPhoneを「", "使"), ("主人は iPhoneを「使った", "」"),
    ):  # fmt: skip
        [found] = predictor.predict([before], complete=complete)
        assert found.words[0].word.startswith(after), (before, found)
        assert text.startswith(before + found.words[0].word, 0) or after == "iPhone"
        assert found.words[0].probability > 0.4
    # A word of other letters directly after such letters may be followed without a space too.
    text = "主人iPhoneを"
    predictor = Known(tokenizer, memory_of(tokenizer, text)).predictor()
    [found] = predictor.predict(["主人iPhone"])
    assert found.words[0].word == "を"
    [found] = predictor.predict(["主人iPh"], complete=True)
    assert found.words[0].word == "iPhone"


def test_probabilities_of_units_are_summed_by_hand() -> None:
    lines = ["ははは 人人人 公公公 主主主"] * 20 + ["主は人公", "は人公"] * 5
    tokenizer = Tokenizer.train("bpe", lines, vocab_size=999, min_frequency=1)
    ids = {piece: i for i, piece in enumerate(tokenizer.pieces)}
    first = tokenizer.encode(["主"])[0][-1]
    directly, after_space = np.zeros(tokenizer.vocab_size), np.zeros(tokenizer.vocab_size)
    for piece, probability in {"は": 0.5, "は人公": 0.25, " ": 0.125, "\n": 0.125}.items():
        directly[ids[piece.encode()]] = probability
    after_space[[ids["は".encode()], ids[b"\n"]]] = 0.75, 0.25

    def rule(history: tuple[int, ...]) -> Array:
        return directly if history[-1] == first else after_space

    [found] = Known(tokenizer, rule).predictor().predict(["主"], top_k=9)
    # は comes directly, or after a space; the end of the line is no word.
    wanted = {"は": 0.5 + 0.125 * 0.75, "は人公": 0.25}
    assert listed(found) == pytest.approx(wanted, rel=1e-6)
    assert found.unexplored == 0


@pytest.mark.parametrize("kind", PIECES)
def test_white_space_at_the_end_makes_no_difference(kind: str) -> None:
    tokenizer = trained(kind, [TEXT, "a b\tc\u3000"])
    model = Known(tokenizer, some_tokens(tokenizer, "abcdefghijkl "))
    alike = model.predictor().predict(["caf", "caf ", "caf\t", "caf \u3000 "])
    assert len({(tuple(found.words), found.unexplored) for found in alike}) == 1
    space = tokenizer.encode(["caf" if kind == "bpe" else "caf "])[0].tolist()
    assert set(model.prompts) == {(tokenizer.eos_id, *space)}


@pytest.mark.parametrize("kind", PIECES)
@pytest.mark.parametrize("complete", [False, True])
def test_a_line_starts_after_its_end_with_nothing_read(kind: str, complete: bool) -> None:
    tokenizer = trained(kind, [TEXT])
    model = Known(tokenizer, some_tokens(tokenizer, "abcdef "))
    model.predictor().predict(["", " ", "end\n", "end\n \t"], complete=complete)
    end = tokenizer.eos_id
    line = (end, *tokenizer.encode(["end"])[0].tolist(), end)
    assert sorted(model.prompts) == sorted([(end,), (end,), line, line])


@pytest.mark.parametrize("kind", PIECES)
def test_bytes_that_are_not_text_and_unknown_tokens_are_never_predicted(kind: str) -> None:
    tokenizer = trained(kind, ["ab é ab"])
    likely = [i for i, piece in enumerate(tokenizer.pieces) if piece in (b"\xc3", b"\xa9", b"\n")]
    if tokenizer.unk_id is not None:
        likely.append(tokenizer.unk_id)
    probabilities = np.full(tokenizer.vocab_size, 0.1 / tokenizer.vocab_size)
    probabilities[likely] += 0.9 / len(likely)
    predictor = Known(tokenizer, lambda history: probabilities).predictor()
    for found in predictor.predict(["", "ab", "ab ", "é,"], top_k=50):
        words = [each.word for each in found.words]
        assert all(word.isprintable() and "�" not in word and word.strip() for word in words)
        assert "<unk>" not in words


def test_five_words_are_predicted_unless_another_number_is_asked_for() -> None:
    tokenizer = trained("char", [TEXT])
    predictor = Known(tokenizer, some_tokens(tokenizer, "abcdefghij ")).predictor()
    assert predictor.predict(["caf "]) == predictor.predict(["caf "], top_k=5)
    assert len(predictor.predict(["caf "])[0].words) == 5


def test_a_completed_word_does_not_end_before_the_text_does() -> None:
    tokenizer = trained("byte", [])
    model = Known(tokenizer, some_tokens(tokenizer, "dont' "))
    [found] = model.predictor().predict(["don'"], complete=True, top_k=100)
    assert found.words
    assert all(re.fullmatch(r"don'\w+(?:'\w+)*", each.word) for each in found.words)


@pytest.mark.parametrize("kind", PIECES)
@pytest.mark.parametrize("complete", [False, True])
def test_predictions_do_not_depend_on_the_other_texts(kind: str, complete: bool) -> None:
    tokenizer = trained(kind, [TEXT, "ab abb ba, a-b bé ab-ab"])
    model = Known(tokenizer, some_tokens(tokenizer, "abcdefn é,'-"))
    predictor = model.predictor()
    words = [*TEXT.split(), "ab", "ba,", "a-", "\n", "\t", "(", "ab\n"]
    random = np.random.default_rng(0)
    texts = ["", *(" ".join(random.choice(words, size)) for size in range(150)), "ba ab " * 900]
    found = predictor.predict(texts, complete=complete)
    assert [each.text for each in found] == texts
    assert found == [predictor.predict([text], complete=complete)[0] for text in texts]
    # Hypotheses of many texts are read in one call, up to a limit.
    assert 64 < model.largest <= 128


def test_the_number_of_hypotheses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = trained("bpe", [TEXT])
    even = np.full(tokenizer.vocab_size, 1 / tokenizer.vocab_size)
    model = Known(tokenizer, lambda history: even)
    monkeypatch.setattr(module, "_MAX_HYPOTHESES", 30)
    found = model.predictor().predict(["", "a well-know", "a" * 200], top_k=5000, complete=True)
    assert len(model.histories) <= 1 + 3 * (1 + 30)
    assert all(each.unexplored > 0.3 for each in found)
    assert all(sum(listed(each).values()) + each.unexplored < 1 + 1e-9 for each in found)


WORDS = ["the cat saw the Cat", "the dog don't naïve", "can cat the , cat"]


@pytest.mark.parametrize("presplit", [False, True])
@pytest.mark.parametrize("lowercase", [False, True])
def test_whole_words_have_the_probabilities_that_the_model_gives(
    presplit: bool, lowercase: bool
) -> None:
    tokenizer = trained("word", WORDS, presplit=presplit, lowercase=lowercase)
    size = tokenizer.vocab_size
    probabilities = np.random.default_rng(1).dirichlet(np.ones(size))
    model = Known(tokenizer, lambda history: probabilities)
    predictor = model.predictor()
    ids = set(range(size)) - {tokenizer.eos_id, tokenizer.unk_id}
    true = {tokenizer.token(i): float(probabilities[i]) for i in ids}
    for text in ("", "the ", "the", "cat\n", "zebra"):
        [found] = predictor.predict([text], top_k=100)
        assert listed(found) == pytest.approx(true, rel=1e-5)
        assert found.words == sorted(found.words, key=lambda each: -each.probability)
        assert found.unexplored == 0
        assert predictor.predict([text], top_k=2)[0].words == found.words[:2]
    model.prompts.clear()
    [found] = predictor.predict(["the CA" if lowercase else "the ca"], top_k=9, complete=True)
    some = {word: p for word, p in true.items() if word.startswith("ca")}
    assert len(some) == 2
    assert listed(found) == pytest.approx({w: p / sum(some.values()) for w, p in some.items()})
    assert model.prompts == [(tokenizer.eos_id, *tokenizer.encode(["the"])[0].tolist())]
    assert predictor.predict(["the zeb"], complete=True)[0].words == []
    assert listed(predictor.predict(["the "], complete=True, top_k=100)[0]) == pytest.approx(true)


@pytest.mark.parametrize(
    ("text", "read", "beginning"),
    [
        ("the (ca", "the (", "ca"),
        ("the cat,", "the cat,", ""),
        ("the don't", "the do", "n't"),
        ("the naïv", "the", "naïv"),
    ],
)
def test_raw_text_is_completed_at_its_last_word(text: str, read: str, beginning: str) -> None:
    tokenizer = trained("word", WORDS, presplit=False)
    model = Known(tokenizer, lambda history: np.full(tokenizer.vocab_size, 0.1))
    [found] = model.predictor().predict([text], complete=True, top_k=100)
    assert found.words
    assert all(each.word.startswith(beginning) for each in found.words)
    assert sum(listed(found).values()) == pytest.approx(1 if beginning else found_share(tokenizer))
    assert model.prompts == [(tokenizer.eos_id, *tokenizer.encode([read])[0].tolist())]


def found_share(tokenizer: Tokenizer) -> float:
    """The share of all words in a uniform distribution: all tokens but the line's end and <unk>."""
    return (tokenizer.vocab_size - 2) / tokenizer.vocab_size


def test_upper_case_letters_are_completed_in_lower_case() -> None:
    for kind in PIECES:
        tokenizer = trained(kind, [TEXT], lowercase=True)
        predictor = Known(tokenizer, memory_of(tokenizer, TEXT)).predictor()
        [found] = predictor.predict(["NAÏVE CA"], complete=True)
        assert found.words[0].word == "café"


def test_no_texts_and_no_words_asked_for() -> None:
    tokenizer = trained("char", ["ab"])
    predictor = Known(tokenizer, some_tokens(tokenizer, "ab")).predictor()
    assert predictor.predict([]) == []
    with pytest.raises(UsageError, match=r"--top-k must be a whole number from 1 .*, not 0"):
        predictor.predict(["a"], top_k=0)


@pytest.mark.parametrize("complete", [False, True])
def test_a_trained_model_predicts_the_same_alone_and_in_a_batch(lm: Path, complete: bool) -> None:
    lines = ["", "The ", "Once upon a ti", "naïve café 你好 🙂", "word " * 300, 'He said "he']
    lines += ["a line of words that goes on and o"[:size] for size in range(0, 30, 3)] * 8
    found = Predictor.load(lm, 2).predict(lines, complete=complete)
    alone = Predictor.load(lm, 1)
    for line, answer in list(zip(lines, found, strict=True))[:16]:
        assert alone.predict([line], complete=complete) == [answer]
    assert found[16:26] == found[6:16]
    assert all(0 < each.words[0].probability <= 1 for each in found)
