"""Texts divided with weights that are written by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rnntext.ngrams import read_tensors, write_tensors
from rnntext.splitting import characters
from rnntext.splitting.chains import IN_DOUBT
from rnntext.splitting.characters import CharacterWeights
from rnntext.splitting.features import CLASS_PAIRS, SLOTS, Characters, known_slots
from rnntext.splitting.ranges import RangeWeights, Rule
from rnntext.splitting.splitter import Splitter, SplitterWeights
from rnntext.splitting.weights import SlotWeights
from rnntext.text.raw_text import RawText

TEXTS = ["au chat, naïve 🙂 ", "", "  ", "你好世界", "a b"]
RANGES = RangeWeights(
    (Rule("au", before=("à", "le"), is_whole=True),),
    SlotWeights(np.zeros(0, np.uint32), np.zeros(0, np.float16), 1.0),
)


def weights(
    bias: float, features: SlotWeights | None = None, ranges: RangeWeights | None = None
) -> SplitterWeights:
    own = features or SlotWeights(np.zeros(0, np.uint32), np.zeros(0, np.float16), bias)
    paths = np.zeros(2, np.float32), np.zeros((2, 2), np.float32)
    in_doubt = np.full(CLASS_PAIRS, IN_DOUBT, np.uint32)
    return SplitterWeights(CharacterWeights(own, *paths, in_doubt, known_slots(["naïve"])), ranges)


def all_but_spaces() -> SlotWeights:
    """Weights with which all but a space continues a token: features that spaces alone have."""
    known = np.zeros(SLOTS, np.bool_)
    text = Characters(["x y", "é ,", "你 🙂", "a ï"])
    slots = text.features(np.arange(12), known)
    space = text.is_space()
    others = np.unique(slots[:, ~space])
    common = set.intersection(*(set(column.tolist()) for column in slots[:, space].T))
    found = np.array(sorted(common - set(others.tolist())), np.uint32)
    assert len(found)
    return SlotWeights(found, np.full(len(found), -9, np.float16), 1.0)


def tokens(model: SplitterWeights, texts: list[str]) -> list[list[str]]:
    return [found.raw.tokens() for found in Splitter(model).divide(texts)]


def test_where_nothing_continues_each_character_is_a_token() -> None:
    assert tokens(weights(-1.0), TEXTS) == [
        [*"auchat,naïve🙂"], [], [], [*"你好世界"], ["a", "b"],
    ]  # fmt: skip


def test_where_all_continues_a_text_is_a_token_without_the_space_at_its_end() -> None:
    assert tokens(weights(1.0), TEXTS) == [["au chat, naïve 🙂"], [], [], ["你好世界"], ["a b"]]


def test_features_decide() -> None:
    assert tokens(weights(0.0, all_but_spaces()), TEXTS) == [
        ["au", "chat,", "naïve", "🙂"], [], [], ["你好世界"], ["a", "b"],
    ]  # fmt: skip


def test_words_of_ranges() -> None:
    found = Splitter(weights(0.0, all_but_spaces(), RANGES)).divide(TEXTS)
    assert found[0].words == ["à", "le", "chat,", "naïve", "🙂"]
    spans = ((0, 2), (3, 8), (9, 14), (15, 16))
    assert found[0].raw == RawText(TEXTS[0], spans, (2, 1, 1, 1))
    assert found[4] == (RawText("a b", ((0, 1), (2, 3)), (1, 1)), ["a", "b"])


def test_answers_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    slots = np.arange(0, SLOTS, 2).astype(np.uint32)
    drawn = SlotWeights(slots, generator.normal(size=len(slots)).astype(np.float16), 0.1)
    splitter = Splitter(weights(0.0, drawn, RANGES))
    together = splitter.divide(TEXTS)
    assert [splitter.divide([text])[0] for text in TEXTS] == together
    monkeypatch.setattr(characters, "PIECE", 30)
    assert splitter.divide(TEXTS) == together
    assert splitter.divide([]) == []


def test_what_is_serialized_is_parsed() -> None:
    model = weights(0.0, all_but_spaces(), RANGES)
    content = model.serialize({"sentences": 7})
    assert SplitterWeights.parse(content).serialize({"sentences": 7}) == content
    assert SplitterWeights.parse(weights(1.0).serialize()).ranges is None


Change = Callable[[dict[str, np.ndarray]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop("slots"),
        lambda t: t.update(slots=t["slots"][1:]),
        lambda t: t.update(slots=t["slots"] + np.uint32(SLOTS)),
        lambda t: t.update(weights=t["weights"].astype(np.float32)),
        lambda t: t.update(transitions=t["transitions"].ravel()),
        lambda t: t.update(of_pair=t["of_pair"][1:]),
        lambda t: t.update(of_pair=t["of_pair"] + np.uint32(7)),
        lambda t: t.update(known=t["known"] + np.uint32(SLOTS)),
        lambda t: t.update(bias=np.zeros(2, np.float32)),
        lambda t: t.pop("range_rules"),
        lambda t: t.pop("range_bias"),
        lambda t: t.update(more=t["bias"]),
    ],
)
def test_weights_that_cannot_be_used_are_refused(change: Change) -> None:
    tensors = dict(read_tensors(weights(0.0, all_but_spaces(), RANGES).serialize()))
    change(tensors)
    with pytest.raises(ValueError, match=r"range|missing|fit|weights of a splitter"):
        SplitterWeights.parse(write_tensors(tensors, None))


def test_no_safetensors_file_is_refused() -> None:
    with pytest.raises(ValueError, match="no safetensors file"):
        SplitterWeights.parse(b"{}")


def test_a_long_text_is_split_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, text = weights(0.0, all_but_spaces()), "au chat, naïve 🙂 " * 3 + "你好世界" * 6
    whole = [found.raw for found in Splitter(model).divide([text, "a b", text])]
    monkeypatch.setattr(characters, "PIECE", 10)
    seen: list[int] = []
    spans = characters.CharacterSplitter._spans

    def noted(self: characters.CharacterSplitter, texts: list[str]) -> list[characters.Spans]:
        seen.extend(map(len, texts))
        return spans(self, texts)

    monkeypatch.setattr(characters.CharacterSplitter, "_spans", noted)
    parts = [found.raw for found in Splitter(model).divide([text, "a b", text])]
    assert max(seen) == 10
    # Pieces end after spaces, and inside a word only where it is as long as a piece.
    tokens = parts[0].tokens()
    assert tokens[:9] == ["au", "chat,", "naïve", "🙂"] * 2 + ["au"]
    assert "".join(tokens) == text.replace(" ", "")
    assert parts[1].tokens() == ["a", "b"]
    assert parts[2].tokens() == tokens
    assert whole[0].tokens()[:12] == tokens[:12]
    assert parts[2].spans == parts[0].spans
