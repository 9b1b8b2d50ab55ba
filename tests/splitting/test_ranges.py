"""Rules by which tokens become words, and which of them apply."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.splitting import ranges
from rnntext.splitting.ranges import RangeModel, RangeWeights, Rule, Rules, context_slots, looks
from rnntext.splitting.weights import SlotWeights

DU = Rule("du", before=("de", "le"), is_whole=True)
KI = Rule("", "ki", after=("ki",))
WA = Rule("wa", "", before=("wa",))
LAR = Rule("", "lar", suffix="lı", after=("ar",))


def weights(bias: float, slots: dict[int, float] | None = None) -> RangeWeights:
    found = slots or {}
    order = sorted(found)
    features = SlotWeights(
        np.array(order, np.uint32), np.array([found[s] for s in order], np.float16), bias
    )
    return RangeWeights((DU, KI, WA, LAR), features)


def test_a_rule_makes_words_and_keeps_a_capital_letter() -> None:
    assert DU.words("du") == ("de", "le")
    assert DU.words("Du") == ("De", "le")
    assert KI.words("Parktaki") == ("Parkta", "ki")
    assert WA.words("wakitab") == ("wa", "kitab")
    assert LAR.words("evlar") == ("evlı", "ar")


def test_the_rule_of_a_whole_token_comes_before_others() -> None:
    rules = Rules([DU, KI, WA, LAR, Rule("baki", before=("ba", "ki"), is_whole=True)])
    assert [found.words for found in rules.find("Baki")] == [("Ba", "ki")]
    assert [found.words for found in rules.find("Baki", whole=False)] == [("Ba", "ki")]
    assert {found.words for found in rules.find("wavki")} == {("wav", "ki"), ("wa", "vki")}
    # Too little would be kept; a letter that is two in small letters is no place to cut.
    assert rules.find("aki") == rules.find("İstanbuldaki") == rules.find("x") == []


def test_tokens_become_words_where_the_score_is_above_nothing() -> None:
    sentences = [["Je", "parle", "du", "chat"], [], ["evdeki"]]
    assert RangeModel(weights(1.0)).words(sentences) == [{2: ("de", "le")}, {}, {0: ("evde", "ki")}]
    assert RangeModel(weights(-1.0)).words(sentences) == [{}, {}, {}]


def test_what_stands_around_a_token_counts() -> None:
    names = ranges.name_hashes(Rules([DU]).find("du"))
    before, after = looks(["parle"]), looks(["chat"])
    slot = int(context_slots(names, before, after)[0, 0])  # the token before
    model = RangeModel(weights(-1.0, {slot: 2.0}))
    assert model.words([["parle", "du"], ["mange", "du"], ["du"], ["du", "parle", "du"]]) == [
        {1: ("de", "le")}, {}, {}, {2: ("de", "le")},
    ]  # fmt: skip


def test_what_is_remembered_of_tokens_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [["du", "a", "evki"], ["b", "du"], ["wax", "c"]]
    wanted = RangeModel(weights(1.0)).words(sentences)
    monkeypatch.setattr(ranges, "_MAX_TOKENS", 1)
    model = RangeModel(weights(1.0))
    assert [model.words([sentence])[0] for sentence in sentences] == wanted
    assert model.words(sentences) == wanted


def test_what_is_stored_is_read() -> None:
    stored = weights(0.5, {3: 1.5, 9: -2.0})
    found = RangeWeights.parse(stored.tensors())
    assert found.rules == stored.rules
    assert found.features.bias == 0.5
    assert found.features.slots.tolist() == [3, 9]


def spelled(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


@pytest.mark.parametrize(
    "rules",
    [
        "x",
        "[1]",
        "[[1, 2]]",
        '{"a": 1}',
        "[" * 100_000,
        '[["a", "", [], "", "", [], true]]',
        '[["a", "", [""], "", "", [], false]]',
        '[["a", "", [1], "", "", [], false]]',
    ],
)
def test_rules_that_cannot_be_used_are_refused(rules: str) -> None:
    tensors = {**weights(0.0).tensors(), "range_rules": spelled(rules)}
    with pytest.raises(ValueError, match=r"rule|JSON|values to unpack|Expecting"):
        RangeWeights.parse(tensors)
