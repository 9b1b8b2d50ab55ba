"""Splitting learned from sentences with which nothing is left open."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.splitting.splitter import Splitter, SplitterWeights
from rnntext.text.raw_text import RawText
from rnntext.training.linear import splitting
from rnntext.training.linear.ranges import _make_rules, learn_ranges, words_of_tokens
from rnntext.training.linear.splitting import keep_frequent, learn_characters
from tests.text.divided import division

NOUNS = ["chat", "roi", "café", "mot", "naïf", "bois", "jeu", "pot"]


def french() -> list[tuple[RawText, list[str]]]:
    found = []
    for noun in NOUNS:
        found.append(division(f"Le {noun} du {noun}.", "Le", noun, ("du", ["de", "le"]), noun, "."))
        found.append(division(f"Il mange du {noun}.", "Il", "mange", "du", noun, "."))
    return found


def unspaced() -> list[RawText]:
    """Words of 你, 你好 and 世界, written without spaces."""
    generator = np.random.default_rng(5)
    found = []
    for _ in range(40):
        words = [["吗", "你好", "世界"][n] for n in generator.integers(0, 3, 6)]
        raw, _ = division("".join(words), *words)
        found.append(raw)
    return found


def divided(weights: SplitterWeights, texts: list[str]) -> list[list[str]]:
    return [found.words for found in Splitter(weights).divide(texts)]


def test_words_without_spaces_are_learned() -> None:
    model = SplitterWeights(learn_characters(unspaced()), None)
    assert divided(model, ["世界你好吗吗世界", ""]) == [["世界", "你好", "吗", "吗", "世界"], []]


def test_spaces_inside_of_words_are_learned() -> None:
    generator = np.random.default_rng(6)
    sentences = []
    for _ in range(40):
        words = [["đại học", "là", "một"][n] for n in generator.integers(0, 3, 6)]
        sentences.append(division(" ".join(words), *words)[0])
    model = SplitterWeights(learn_characters(sentences), None)
    assert divided(model, ["là đại học một"]) == [["là", "đại học", "một"]]


def test_the_same_sentences_give_the_same_weights() -> None:
    first, second = (SplitterWeights(learn_characters(unspaced()), None) for _ in range(2))
    assert first.serialize() == second.serialize()


def test_tokens_of_a_part_do_not_count_as_known_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []
    known_slots = splitting.known_slots

    def watched(tokens: set[str]) -> np.ndarray:
        asked.append(set(tokens))
        return known_slots(tokens)

    monkeypatch.setattr(splitting, "known_slots", watched)
    monkeypatch.setattr(splitting, "_FOLDS", 2)
    given = [division(f"{a} {b}", a, b)[0] for a, b in ("ab", "cd", "ef", "gh")]
    learn_characters(given)
    assert asked == [set("efgh"), set("abcd"), set("abcdefgh")]


def test_features_that_one_place_has_are_left_out() -> None:
    kept, incidence = keep_frequent(np.array([[5, 5, 9], [1, 2, 2]], np.int32))
    assert kept.tolist() == [2, 5]
    assert incidence.shape == (3, 2)


def test_what_stands_around_tells_a_range_from_a_word() -> None:
    sentences = french()
    weights = learn_ranges(*map(list, zip(*sentences, strict=True)))
    assert weights is not None
    model = SplitterWeights(learn_characters([raw for raw, _ in sentences]), weights)
    assert divided(model, ["Il mange du pot.", "Le roi du jeu."]) == [
        ["Il", "mange", "du", "pot", "."],
        ["Le", "roi", "de", "le", "jeu", "."],
    ]


def test_data_without_ranges_have_no_rules() -> None:
    raw, words = division("a b", "a", "b")
    assert learn_ranges([raw], [words]) is None


def test_ranges_that_are_seen_once_are_believed() -> None:
    raw, words = division("a du", "a", ("du", ["de", "le"]))
    weights = learn_ranges([raw], [words])
    assert weights is not None
    model = SplitterWeights(learn_characters([raw]), weights)
    assert Splitter(model)._ranges is not None
    assert Splitter(model)._ranges.words([["x", "du"]]) == [{1: ("de", "le")}]


def test_a_rule_for_ends_needs_several_tokens_and_is_mostly_right() -> None:
    def rights(*stems: str) -> list[tuple[str, tuple[str, ...]]]:
        return [(f"{stem}ki", (stem, "ki")) for stem in stems]

    def ends(tokens: list[tuple[str, tuple[str, ...]]]) -> list[str]:
        return [rule.right for rule in _make_rules(tokens) if not rule.is_whole]

    assert ends(rights("evde", "parkta")) == []
    assert ends(rights("evde", "parkta", "dağda")) == ["ki"]
    others = [(f"{n}baki", (f"{n}baki",)) for n in range(100)]
    assert ends(rights("evde", "parkta", "dağda") + others) == []
    # The words of the same tokens in another order are the same rules.
    given = [*rights("evde", "parkta", "dağda"), ("du", ("de", "le"))]
    assert _make_rules(given) == _make_rules(given[::-1])


def test_words_of_tokens() -> None:
    raw, words = division("a du b", "a", ("du", ["de", "le"]), "b")
    assert list(words_of_tokens(raw, words)) == [
        ("a", ("a",)), ("du", ("de", "le")), ("b", ("b",)),
    ]  # fmt: skip
